"""What goes into the sandbox: of the package only what the measurements need, and no answer.

A check has three steps, `draw`, `run` and `judge` (`diffusion_lab.checks.core`), and only `run` happens beside the
student's code. So the sandbox gets a slice of the package: the two halves of `run`, which are `measure` and `rehearse`,
and whatever they use, name by name. `examine` with its right answers, the package's own schedules and samplers, and the solutions stay outside: what is not there cannot be
read, called or returned.
"""

import ast
from functools import cached_property
from pathlib import Path

import diffusion_lab

PACKAGE = Path(diffusion_lab.__file__).parent
WHOLE = ("__init__.py", "code_pages.py", "quiet.py", "errors.py", "checks/core.py")  # no secrets in them, and all of them is used


def staged_files(roots):
    """{path: source} of the slice. `roots` are the names to begin with: {(module, name)}."""
    files = {path: (PACKAGE / path).read_text(encoding="utf-8") for path in WHOLE}
    return files | {f"{name.replace('.', '/')}.py": module.source() for name, module in slice_package(roots).items()}


def inside(name):
    """{path: source} of a module of `instructor` that was written for the inside of the box, as diffusion_lab.<name>."""
    return {f"{name}.py": (PACKAGE / "instructor" / f"{name}.py").read_text(encoding="utf-8")}


def stage(files, folder):
    """Writes `staged_files` into `folder`/diffusion_lab."""
    for path, text in files.items():
        target = Path(folder, "diffusion_lab", path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        for parent in Path(path).parents:
            init = Path(folder, "diffusion_lab", parent, "__init__.py")
            if not init.exists():
                init.write_text("")


def slice_package(roots):
    """{module: `Module`} of all that `roots` need, directly or not; module names without "diffusion_lab."."""
    modules, awaiting = {}, [*roots, *_imports(PACKAGE / "checks" / "core.py")]
    while awaiting:
        module_name, name = awaiting.pop()
        if module_name.replace(".", "/") + ".py" in WHOLE:
            continue
        module = modules.setdefault(module_name, Module(module_name))
        awaiting += module.keep(name)
    return modules


def _imports(path):
    """What a module takes from others of the package: [(module, name)]."""
    statements = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    return [(node.module.removeprefix("diffusion_lab."), alias.name)
            for node in statements if (node.module or "").startswith("diffusion_lab.") for alias in node.names]


class Module:
    """One module of the package, of which some top-level names are kept."""

    def __init__(self, name):
        path = PACKAGE / f"{name.replace('.', '/')}.py"
        if not path.exists():
            path = PACKAGE / name.replace(".", "/") / "__init__.py"
        self.tree, self.kept = ast.parse(path.read_text(encoding="utf-8")), set()
        if name.startswith("checks."):
            _drop_judgement(self.tree)

    @cached_property
    def definitions(self):
        """{name: statement}: where each top-level name comes from."""
        return {name: statement for statement in self.tree.body for name in _names_of(statement)}

    def keep(self, name):
        """Keeps a name and what it needs from this module; returns what it needs from others: [(module, name)]."""
        outside, awaiting = [], [name]
        while awaiting:
            name = awaiting.pop()
            statement = self.definitions.get(name)
            if statement is None or name in self.kept:
                continue
            self.kept.add(name)
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("diffusion_lab."):
                original = next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)
                outside.append((statement.module.removeprefix("diffusion_lab."), original))
            awaiting += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
        return outside

    def source(self):
        """The kept statements, in their order; of an import only the names that are needed."""
        lines = []
        for statement in self.tree.body:
            names = [name for name in _names_of(statement) if name in self.kept]
            if names and isinstance(statement, ast.Import | ast.ImportFrom):
                aliases = [alias for alias in statement.names if _bound(alias) in names]
                statement.names = aliases
            if names:
                lines.append(ast.unparse(statement))
        return "\n\n".join(lines) + "\n"


def _drop_judgement(tree):
    """Of the exercises in a module, leaves what `run` needs: `draw`, `examine` and their helpers go."""
    exercises, known = [], {"Exercise", "Method"}  # those of checks/core.py
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and known & {getattr(base, "id", None) for base in node.bases}:
            known.add(node.name)
            exercises.append(node)
    methods = [node for exercise in exercises for node in exercise.body if isinstance(node, ast.FunctionDef)]
    wanted, size = {"measure", "rehearse"}, 0
    while size != len(wanted):
        size = len(wanted)
        wanted |= {node.attr for method in methods if method.name in wanted
                   for node in ast.walk(method) if isinstance(node, ast.Attribute)}
    for exercise in exercises:
        exercise.body = [node for node in exercise.body if not isinstance(node, ast.FunctionDef) or node.name in wanted]


def _names_of(statement):
    """The names that a top-level statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [_bound(alias) for alias in statement.names]
    if isinstance(statement, ast.Assign):
        return [node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return []


def _bound(alias):
    return alias.asname or alias.name.split(".")[0]
