"""Finds references to exercises that a lab does not have: in headings, text and code.

They remain when an exercise is removed from a lab.
"""

import ast
import re
from pathlib import Path

from nbformat import NotebookNode

from diffusion_lab import checks
from diffusion_lab.errors import UserError
from diffusion_lab.instructor.languages import EXERCISE


def check_references(
    path: Path, text: str, notebook: NotebookNode, exercises: dict[str, str]
) -> None:
    """Raises UserError for a reference to an exercise that the lab does not have.

    Args:
        path: of the lab's source.
        text: of the source, for line numbers.
        notebook: the source as a notebook.
        exercises: {number: name} of the lab's exercises.
    """
    for number, name in exercises.items():
        expected = checks.exercises()[name].number
        if expected != number:
            raise UserError(
                f"{path}: exercise {name!r} is number {number} here, but {expected} at the end of"
                f" diffusion_lab/labs/lab{path.name[:2]}/checks.py. Put both in the same order."
            )
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            _check_text(path, text, cell.source, exercises)
    defined = set(exercises.values())
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tree = ast.parse(without_magics(cell.source))
            for name in sorted(_used(tree) & checks.exercises().keys() - defined - _defined(tree)):
                raise UserError(
                    f"{_line_of(name, path, text)}: {name!r} is used, but this lab has no such"
                    " exercise (any more)."
                )
            defined |= _defined(tree)


def without_magics(source: str) -> str:
    """Returns Python code without the lines that only IPython understands."""
    return "\n".join(
        line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))
    )


def _check_text(path: Path, text: str, source: str, exercises: dict[str, str]) -> None:
    lab = int(path.name[:2])
    for words, number in re.findall(rf"((?:{EXERCISE}|exercise) ({lab}\.\d+))", source):
        if number not in exercises:
            raise UserError(
                f"{_line_of(words, path, text)}: there is no exercise {number} (any more)."
            )
    for heading, number, name in re.findall(
        rf"^(#+ {EXERCISE} (\d+\.\d+)\b.*`(\w+)`)", source, re.MULTILINE
    ):
        if exercises.get(number) != name:
            raise UserError(
                f"{_line_of(heading, path, text)}: this heading is for {name!r}, but exercise"
                f" {number} is {exercises.get(number)!r}."
            )


def _line_of(words: str, path: Path, text: str) -> str:
    lines = enumerate(text.splitlines(), start=1)
    return f"{path}, line {next((number for number, line in lines if words in line), 1)}"


def _used(tree: ast.AST) -> set[str]:
    """Returns the names that code reads, and those of the checks that it calls."""
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    } | {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "checks"
    }


def _defined(tree: ast.AST) -> set[str]:
    """Returns the names that code defines: variables, arguments, functions, classes and imports."""
    return {
        name
        for node in ast.walk(tree)
        for name in (
            getattr(node, "asname", None) or getattr(node, "name", None),
            getattr(node, "arg", None),
            node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else None,
        )
        if isinstance(name, str)
    }
