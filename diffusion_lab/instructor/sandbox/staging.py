"""Cuts out the part of the package that the sandbox needs, without any answer.

A check has three steps, `draw`, `run` and `judge` (`diffusion_lab.labs.exercise`). Only `run`
shares a process with the student's code. So the sandbox gets a slice of the package: the two halves
of `run`, which are `measure` and `rehearse`, and the names that these use. `examine` with its right
answers, the package's own schedules and samplers, and the solutions stay outside, so that student
code cannot read, call or return them.
"""

import ast
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import diffusion_lab
from diffusion_lab.errors import UserError

PACKAGE = Path(diffusion_lab.__file__).parent
WHOLE = (  # files without secrets, of which everything is used
    "__init__.py",
    "startup/code_pages.py",
    "startup/quiet.py",
    "errors.py",
    "labs/exercise.py",
)

LAB = "labs.lab"  # the beginning of the modules that belong to one lab

Name = tuple[str, str]  # (module without "diffusion_lab.", name on its first level)


def staged_files(roots: Iterable[Name]) -> dict[str, str]:
    """Returns {path: source} of the slice that holds `roots` and all that these need."""
    files = {path: (PACKAGE / path).read_text(encoding="utf-8") for path in WHOLE}
    return files | {
        f"{name.replace('.', '/')}.py": module.source()
        for name, module in slice_package(roots).items()
    }


def files_in_box(roots: Iterable[Name]) -> dict[str, str]:
    """Returns {path: source} of all code of the package that shares a process with answers."""
    return (
        staged_files(roots)
        | whole_module("submission.defining")
        | whole_module("submission.measuring")
    )


def whole_module(name: str) -> dict[str, str]:
    """Returns {path: source} of an entire module, such as "instructor.inside.kernel"."""
    path = f"{name.replace('.', '/')}.py"
    return {path: (PACKAGE / path).read_text(encoding="utf-8")}


def stage(files: dict[str, str], folder: Path) -> None:
    """Writes `files`, {path: source}, into `folder`/diffusion_lab."""
    for path, text in files.items():
        target = Path(folder, "diffusion_lab", path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        for parent in Path(path).parents:
            init = Path(folder, "diffusion_lab", parent, "__init__.py")
            if not init.exists():
                init.write_text("")


def slice_package(roots: Iterable[Name]) -> "dict[str, Module]":
    """Returns {name: `Module`} of all modules that `roots` need, directly or not.

    The names are without "diffusion_lab.".
    """
    modules: dict[str, Module] = {}
    awaiting = [*roots, *_imports(PACKAGE / "labs" / "exercise.py")]
    while awaiting:
        module_name, name = awaiting.pop()
        if module_name.replace(".", "/") + ".py" in WHOLE:
            continue
        module = modules.setdefault(module_name, Module(module_name))
        awaiting += module.keep(name)
    return modules


def _imports(path: Path) -> list[Name]:
    """Returns what a module imports from other modules of the package."""
    statements = [
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
    ]
    return [
        (module, alias.name)
        for node in statements
        if (module := _in_the_package(node))
        for alias in node.names
    ]


def _in_the_package(statement: ast.ImportFrom) -> str:
    """Returns the module of the package that a statement imports from, or "" for other imports."""
    prefix, module = "diffusion_lab.", statement.module or ""
    return module.removeprefix(prefix) if module.startswith(prefix) else ""


def _parsed(name: str) -> ast.Module:
    """Returns the syntax tree of a module of the package."""
    path = PACKAGE / f"{name.replace('.', '/')}.py"
    if not path.exists():
        path = PACKAGE / name.replace(".", "/") / "__init__.py"
    return ast.parse(path.read_text(encoding="utf-8"))


class Module:
    """One module of the package, of which some top-level names are kept."""

    def __init__(self, name: str) -> None:
        self.name, self.tree = name, _parsed(name)
        self.kept: set[str] = set()
        if name.startswith(LAB):
            _drop_judgement(self.tree)

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """Returns {top-level name: the statement that defines it}."""
        return {
            name: statement
            for statement in self.tree.body
            for name in _names_of(statement, self.name)
        }

    def keep(self, name: str) -> list[Name]:
        """Keeps a name and what it needs from this module; returns what it needs from others."""
        outside: list[Name] = []
        awaiting = [name]
        while awaiting:
            name = awaiting.pop()
            statement = self.definitions.get(name)
            if statement is None or name in self.kept:
                continue
            self.kept.add(name)
            if isinstance(statement, ast.ImportFrom) and (module := _in_the_package(statement)):
                original = next(
                    alias.name for alias in statement.names if (alias.asname or alias.name) == name
                )
                outside.append((module, original))
            awaiting += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
        return outside

    def source(self) -> str:
        """Returns the kept statements in order, with only the needed names of each import."""
        lines = []
        for statement in self.tree.body:
            names = [name for name in _names_of(statement, self.name) if name in self.kept]
            if names and isinstance(statement, ast.Import | ast.ImportFrom):
                aliases = [alias for alias in statement.names if _bound(alias) in names]
                statement.names = aliases
            if names:
                lines.append(ast.unparse(statement))
        return "\n\n".join(lines) + "\n"


def _drop_judgement(tree: ast.Module) -> None:
    """Removes everything that `run` does not need from the exercises in a module.

    That is the right answer, the mistakes, `draw`, `examine` and their helpers.
    """
    exercises, inherited = _exercises(tree)
    methods = [
        node
        for exercise in (*exercises, *inherited)
        for node in exercise.body
        if isinstance(node, ast.FunctionDef)
    ]
    wanted, size = {"measure", "rehearse", "name", "takes", "praise", "shape_hint"}, 0
    while size != len(wanted):
        size = len(wanted)
        wanted |= {
            node.attr
            for method in methods
            if method.name in wanted
            for node in ast.walk(method)
            if isinstance(node, ast.Attribute)
        }
    for exercise in exercises:
        exercise.body = [node for node in exercise.body if wanted & set(_members(node))] or [
            ast.Pass()
        ]


def _exercises(tree: ast.Module) -> tuple[list[ast.ClassDef], list[ast.ClassDef]]:
    """Returns the exercises in a module, and those of the modules that it imports a base from."""
    here: list[ast.ClassDef] = []
    elsewhere: list[ast.ClassDef] = []
    known = {"Exercise", "Method"}  # the base classes in labs/exercise.py
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and _in_the_package(node).startswith(LAB):
            there, above = _exercises(_parsed(_in_the_package(node)))
            bases = {exercise.name for exercise in there}
            known |= {_bound(alias) for alias in node.names if alias.name in bases}
            elsewhere += [*there, *above]
        if isinstance(node, ast.ClassDef) and known & {
            getattr(base, "id", None) for base in node.bases
        }:
            known.add(node.name)
            here.append(node)
    return here, elsewhere


def _members(node: ast.stmt) -> list[str]:
    """Returns the names that a statement in the body of a class defines."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [
        getattr(node, "name", ""),
        *(name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)),
    ]


def _names_of(statement: ast.stmt, module: str) -> list[str]:
    """Returns the names that a top-level statement of a module defines.

    Raises:
        UserError: for a statement that defines none. The slice would lack it, and answers would
            fail.
    """
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [_bound(alias) for alias in statement.names]
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [
            node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)
        ]
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):  # a docstring
        return []
    raise UserError(
        f"diffusion_lab.{module} cannot go into the sandbox: line {statement.lineno},"
        f" `{ast.unparse(statement).splitlines()[0][:60]}`, is not a function, class, import or"
        " assignment. Write it as one of these."
    )


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.split(".")[0]
