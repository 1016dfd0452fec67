"""Finds what an answer could use to tamper with its own measurement. The grader reads its source.

Right numbers on fresh inputs cannot be forged. But a check also measures other things, such as how
often a network was called, and whether a function works in a graph. It measures them in the process
in which the answer runs, so an answer could report anything. Mathematics does not need the means to
do that, so an answer with right results earns no points if it uses them.
"""

import ast
import re
from collections.abc import Collection, Iterator

from IPython.core.inputtransformer2 import TransformerManager

from diffusion_lab.submission.forbidden import (
    ALLOWED_DUNDERS,
    ALLOWED_IN_LABS,
    ALLOWED_IN_OS,
    ATTRIBUTES,
    BUILTINS,
    MAGICS,
    MODULES,
    NAMES,
)
from diffusion_lab.submission.reading import parse
from diffusion_lab.submission.statements import run_at_once


def find_tampering(
    source: str, recorded: Collection[str] = (), taken: Collection[str] = ()
) -> list[str]:
    """Returns the names, in order, with which an answer could tamper with its own measurement.

    Args:
        source: the answer.
        recorded: the attributes in which the objects of a check record what happens.
        taken: the attributes that already have a meaning. An answer may add others to its `self`.
    """
    try:
        tree = parse(TransformerManager().transform_cell(MAGICS.sub(r"\1", source)))
    except SyntaxError:
        tree = None
    if tree is None:
        return ["invalid Python"]
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    own = {
        id(node) for klass in classes for method in klass.body for node in _own_attributes(method)
    }
    own |= {
        id(node)
        for function in _unused_functions(tree)
        for node in _own_attributes(function)
        if node.attr not in {*recorded, *taken}
    }
    found = [
        name for node in ast.walk(tree) for name in _forbidden_in(node, id(node) in own, recorded)
    ]
    names = {klass.name for klass in classes} | _first_arguments_of_class_methods(classes)
    found += [f"{name}..." for name in _passed_classes(tree, names)]
    found += _passed_builtins(tree)
    return list(dict.fromkeys(found))


def _own_attributes(method: ast.AST) -> list[ast.Attribute]:
    """Returns where a method reads or sets attributes of its `self`.

    Functions inside the method, decorated methods and anything but a method have none. Neither has
    a method in which the name of `self` is given to something else.
    """
    if not isinstance(method, ast.FunctionDef) or method.decorator_list or not method.args.args:
        return []
    itself = method.args.args[0].arg
    if any(itself in _bound(node) for part in method.body for node in ast.walk(part)):
        return []
    return [
        node
        for node in run_at_once(method.body)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == itself
    ]


def _bound(node: ast.AST) -> list[str]:
    """Returns the names that a node binds, other than a function's arguments."""
    if isinstance(node, ast.Name):
        return [node.id] if not isinstance(node.ctx, ast.Load) else []
    fields = (getattr(node, name, None) for name in ("name", "asname", "rest", "names"))
    return [
        name
        for value in fields
        for name in (value if isinstance(value, list) else [value])
        if isinstance(name, str)
    ]


def _unused_functions(tree: ast.Module) -> list[ast.FunctionDef]:
    """Returns the functions that the answer does not use itself.

    Only the check calls them, so their `self` is a model.
    """
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name not in used
    ]


def _first_arguments_of_class_methods(classes: list[ast.ClassDef]) -> set[str]:
    """Returns the names, such as `cls`, by which the answer's classes get at themselves."""
    return {
        method.args.args[0].arg
        for klass in classes
        for method in klass.body
        if isinstance(method, ast.FunctionDef) and method.args.args
        if any(getattr(each, "id", "") == "classmethod" for each in method.decorator_list)
    }


def _passed_classes(tree: ast.Module, classes: set[str]) -> list[str]:
    """Returns the answer's classes that it uses for more than making objects.

    Their methods could be called with any other object as `self`.
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


def _passed_builtins(tree: ast.Module) -> list[str]:
    """Returns `getattr` where it is not called, and `type` where its result is more than shown or
    compared, since it makes other objects like that of the check.
    """
    fine: set[int] = set()
    for node in ast.walk(tree):
        called = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and called == "getattr":
            fine.add(id(node.func))
        if isinstance(node, ast.Call) and called in ("print", "isinstance"):
            fine |= set(map(id, node.args))
        if isinstance(node, ast.Compare):
            fine |= set(map(id, (node.left, *node.comparators)))
        if isinstance(node, ast.FormattedValue):
            fine.add(id(node.value))
        if isinstance(node, ast.Attribute) and node.attr == "__name__":
            fine.add(id(node.value))
    fine |= {
        id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) in fine
    }
    return [
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in ("getattr", "type") and id(node) not in fine
    ]


def _forbidden_in(node: ast.AST, own: bool, recorded: Collection[str]) -> Iterator[str]:
    """Yields the forbidden names in one node; `own` is True for an attribute of `self`."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        parent = f"{node.module}." if isinstance(node, ast.ImportFrom) and node.module else ""
        yield from (alias.name for alias in node.names if alias.asname and alias.name == "os")
        for name in [parent + alias.name for alias in node.names]:
            checking = name.startswith("diffusion_lab.labs") and not ALLOWED_IN_LABS.search(name)
            system = name.startswith("os.") and name.split(".")[1] not in ALLOWED_IN_OS
            private = name != "__future__.annotations" and re.search(r"\b_", parent or name)
            if (
                checking
                or system
                or private
                or any(f"{name}.".startswith(f"{module}.") for module in MODULES)
                or _is_known(name)
            ):
                yield name
    if isinstance(node, ast.Name) and (
        node.id in (BUILTINS | NAMES) - {"checks"}
        or node.id.startswith("__")
        and node.id not in ALLOWED_DUNDERS
    ):
        yield node.id
    if isinstance(node, ast.Attribute):
        before = getattr(node.value, "id", "") or getattr(node.value, "attr", "(...)")
        dunder = node.attr.startswith("__") and node.attr not in ALLOWED_DUNDERS
        again = node.attr == "__init__" and not _is_super(node.value)
        private = node.attr.startswith("_") and node.attr not in ALLOWED_DUNDERS and not own
        stored = not isinstance(node.ctx, ast.Load) and not own
        system = before == "os" and node.attr not in ALLOWED_IN_OS
        recording = node.attr in ATTRIBUTES | {*recorded} and not own
        known = recording or _is_known(f"{before}.{node.attr}")
        if dunder or again or private or stored or system or known:
            yield f"{before}.{node.attr}{' = ...' * stored}"
    if isinstance(node, ast.MatchClass):
        yield from (name for name in node.kwd_attrs if _forbidden_attribute(name, recorded))
    if not isinstance(node, ast.Name):
        yield from (name for name in _bound(node) if _has_a_meaning(name))
    if isinstance(node, ast.Call):
        called, arguments = getattr(node.func, "id", ""), node.args[1:2]
        if called == "getattr" and not all(
            isinstance(name, ast.Constant) and not _forbidden_attribute(name.value, recorded)
            for name in arguments
        ):
            yield "getattr"


def _is_known(name: str) -> bool:
    """True if the end of a name, such as `tf.io.gfile`, is one of `NAMES`."""
    parts = name.split(".")
    return not NAMES.isdisjoint((parts[-1], ".".join(parts[-2:])))


def _is_super(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "super"


def _has_a_meaning(name: str) -> bool:
    """True if Python or the grader uses a name by itself, so that an answer must not define it."""
    dunder = name.startswith("__") and name not in ALLOWED_DUNDERS
    return dunder or name in ("globals", "_define", "_measure", "_exercise")


def _forbidden_attribute(name: object, recorded: Collection[str]) -> bool:
    return str(name).startswith("_") or name in NAMES | {*recorded}
