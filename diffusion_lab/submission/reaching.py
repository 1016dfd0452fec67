"""What an answer could use to change what measures it.

Read off its source, in the grader, before anything is believed.

Right numbers on fresh inputs cannot be forged. But some of what a check wants to know is no number
(how often a network was called, whether a function fits a graph), is measured in the process in
which the answer runs, and so an answer that wants to can say anything. Mathematics needs none of
the means to do that; so an answer with right results earns nothing if it uses them.
"""

import ast
import re
from collections.abc import Collection, Iterator

import keras
from IPython.core.inputtransformer2 import TransformerManager

from diffusion_lab.submission.reading import parse

MODULES = {
    "builtins",
    "code",
    "copy",
    "ctypes",
    "diffusion_lab.instructor",
    "diffusion_lab.submission",
    "dis",
    "gc",
    "importlib",
    "inspect",
    "io",
    "marshal",
    "mmap",
    "mock",
    "multiprocessing",
    "pathlib",
    "pickle",
    "pdb",
    "pkgutil",
    "runpy",
    "shelve",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "unittest",
    "weakref",
    "zipfile",
    "IPython.core",
}
BUILTINS = {
    "__import__",
    "compile",
    "delattr",
    "eval",
    "exec",
    "globals",
    "open",
    "setattr",
    "vars",
}
NAMES = {  # of functions and attributes, wherever they come from
    "attrgetter",
    "checks",
    "deepcopy",
    "defining",
    "exercise",
    "get_ipython",
    "labs",
    "measuring",
    "methodcaller",
    "_define",
    "_measure",
    "_exercise",
    "_getframe",
    "modules",
    "setprofile",
    "settrace",
    "f_back",
    "f_globals",
    "f_locals",
    "tb_frame",
    "gi_frame",
    "cr_frame",
    "user_ns",
    "numpy_function",
    "py_function",
    "run_functions_eagerly",
    "executing_eagerly",
    "init_scope",
    "inside_function",
    "is_symbolic_tensor",  # to be another function in a graph
    "fdopen",
    "memmap",
    "open_memmap",
    "popen",
    "save",
    "save_weights",
    "savetxt",
    "savez",
    "savez_compressed",
    "system",
    "tofile",
    "write_bytes",
    "write_file",
    "write_text",  # of results
}
OF_OS = {"environ", "getenv", "path", "cpu_count", "getcwd", "getpid", "sep"}  # may be used
HARMLESS = {
    "__call__",
    "__doc__",
    "__enter__",
    "__exit__",
    "__init__",
    "__iter__",
    "__len__",
    "__name__",
    "__next__",
    "__version__",
}
OFFERED = re.compile(
    r"\.(experiments|pictures|questions|start|toy_points|training_panel|widgets)\b"
)  # to notebooks; the rest of `labs` checks
MAGICS = re.compile(
    r"^([ \t]*)(%%?time(it)?\b[ \t]*|%(%capture|matplotlib|config|load_ext|autoreload)\b.*$)", re.M
)


def reaches(source: str, recorded: Collection[str] = (), taken: Collection[str] = ()) -> list[str]:
    """The names, in order, by which an answer could change what measures it.

    `recorded` are the attributes of the check's own objects in which it notes what it sees, `taken`
    all that mean something to anybody: an answer may give its `self` others.
    """
    try:
        tree = parse(TransformerManager().transform_cell(MAGICS.sub(r"\1", source)))
    except SyntaxError:
        tree = None
    if tree is None:
        return ["what is no Python"]
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    own = {id(node) for klass in classes for method in klass.body for node in _on_itself(method)}
    own |= {
        id(node)
        for function in _uncalled(tree)
        for node in _on_itself(function)
        if node.attr not in {*recorded, *taken}
    }
    found = [name for node in ast.walk(tree) for name in _reaching(node, id(node) in own, recorded)]
    found += [f"{name}..." for name in _passed_around(tree, {klass.name for klass in classes})]
    return list(dict.fromkeys(found))


def _on_itself(method: ast.AST) -> list[ast.Attribute]:
    """The attributes that a method of the answer's own class, such as a layer, has of its own
    object.
    """
    if not isinstance(method, ast.FunctionDef) or method.decorator_list or not method.args.args:
        return []
    inner = [
        node
        for part in ast.walk(method)
        if isinstance(part, ast.FunctionDef | ast.Lambda) and part is not method
        for node in ast.walk(part)
    ]
    return [
        node
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute)
        and getattr(node.value, "id", "") == method.args.args[0].arg
        and not any(node is other for other in inner)
    ]


def _uncalled(tree: ast.Module) -> list[ast.FunctionDef]:
    """The functions that the answer never uses itself: whoever calls them with a `self` gives them
    a model.
    """
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name not in used
    ]


def _passed_around(tree: ast.Module, classes: set[str]) -> list[str]:
    """The classes of the answer that are used for more than making objects: their methods could be
    called with any other object.
    """
    fine = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for part in [
            node.func,
            *(node.args if getattr(node.func, "id", "") in ("super", "isinstance") else ()),
        ]
    }
    return [
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in classes and id(node) not in fine
    ]


def _reaching(node: ast.AST, own: bool, recorded: Collection[str]) -> Iterator[str]:
    """Yields what one piece of code could do."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        parent = f"{node.module}." if isinstance(node, ast.ImportFrom) and node.module else ""
        for name in [parent + alias.name for alias in node.names]:
            checking = name.startswith("diffusion_lab.labs") and not OFFERED.search(name)
            system = name.startswith("os.") and name.split(".")[1] not in OF_OS
            if (
                checking
                or system
                or any(f"{name}.".startswith(f"{module}.") for module in MODULES)
                or name.split(".")[-1] in NAMES
            ):
                yield name
    if isinstance(node, ast.Name) and (
        node.id in (BUILTINS | NAMES) - {"checks"}
        or node.id.startswith("__")
        and node.id not in HARMLESS
    ):
        yield node.id
    if isinstance(node, ast.Attribute):
        dunder = node.attr.startswith("__") and node.attr not in HARMLESS
        stored = not isinstance(node.ctx, ast.Load) and not own
        system = getattr(node.value, "id", "") == "os" and node.attr not in OF_OS
        if dunder or stored or system or node.attr in NAMES or node.attr in recorded and not own:
            yield f"{ast.unparse(node)[:60]}{' = ...' * stored}"
    if isinstance(node, ast.Call):
        called, arguments = getattr(node.func, "id", ""), node.args[1:2]
        if called == "getattr" and not all(
            isinstance(name, ast.Constant) and not _secret(name.value, recorded)
            for name in arguments
        ):
            yield "getattr"
        if isinstance(node.func, ast.Call) and getattr(node.func.func, "id", "") == "type":
            yield "type(...)(...)"


def _secret(name: object, recorded: Collection[str]) -> bool:
    return str(name).startswith("_") or name in NAMES | {*recorded}


def taken_attributes(files: dict[str, str]) -> set[str]:
    """The attributes and functions that the code in the box has names for, and those of every Keras
    model.
    """
    nodes = [node for source in files.values() for node in ast.walk(ast.parse(source))]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return (
        attributes
        | {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        | set(dir(keras.Model))
    )


def recorded_attributes(files: dict[str, str], official: str) -> set[str]:
    """The attributes in which the objects that are in the box with an answer note what they see,
    but for those that right answers use: they change after `__init__`. `files` are {path: source}.
    """
    methods = [
        method
        for path, source in files.items()
        if path.startswith("labs/")
        for klass in ast.walk(ast.parse(source))
        if isinstance(klass, ast.ClassDef)
        for method in klass.body
        if isinstance(method, ast.FunctionDef) and method.name != "__init__"
    ]
    nodes = [node for method in methods for node in ast.walk(method)]
    changed = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    changed |= {
        node.func.value.attr
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("append", "extend", "update", "add")
        and isinstance(node.func.value, ast.Attribute)
    }
    return changed - {
        node.attr for node in ast.walk(ast.parse(official)) if isinstance(node, ast.Attribute)
    }
