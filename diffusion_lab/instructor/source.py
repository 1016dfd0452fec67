"""Reads the source of a lab as a notebook, and refuses mistakes in it.

`source_format` describes the format.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from diffusion_lab import checks
from diffusion_lab.errors import UserError
from diffusion_lab.instructor.languages import EXERCISE, LANGUAGES, points_in_words
from diffusion_lab.instructor.published import filled_in
from diffusion_lab.instructor.references import check_references
from diffusion_lab.instructor.source_format import BEGIN, check_marks, check_regions

KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read_source(path: str | Path) -> NotebookNode:
    """Returns the solution notebook of a lab, with cell ids and metadata for both graders.

    Raises:
        UserError: with file and line, for marks or regions that `source_format` does not allow; for
            an exercise without a check, or out of order; for a heading without difficulty and
            minutes; and for references to an exercise that was removed.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    check_marks(path, text)
    check_regions(path, text)
    notebook = jupytext.reads(filled_in(text), "py:percent")
    _check_order(path, notebook)
    points = _mark_cells(path.name[:2], notebook)
    _complete_headings(path, notebook, points)
    check_references(
        path, text, notebook, {number: name for number, name, _ in exercises(notebook)}
    )
    notebook.metadata = nbformat.from_dict(KERNEL)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def exercises(notebook: NotebookNode) -> list[tuple[str, str, NotebookNode]]:
    """Returns the answer cells of a notebook, as [(number, name, cell)]."""
    marks = [(cell.metadata.get("diffusion_lab", {}), cell) for cell in notebook.cells]
    return [(mark["number"], mark["exercise"], cell) for mark, cell in marks if "exercise" in mark]


def _check_order(path: Path, notebook: NotebookNode) -> None:
    """Raises UserError unless each answer is in a marked cell, and its check in the next cell."""
    awaited = None  # the exercise whose check must come next
    for cell in notebook.cells:
        exercise, check = cell.metadata.get("exercise"), cell.metadata.get("check")
        if awaited and check != awaited:
            raise UserError(
                f'{path}: the cell after exercise {awaited!r} must be marked check="{awaited}".'
            )
        if check and not awaited:
            raise UserError(f"{path}: the check of {check!r} does not follow its exercise.")
        if exercise and BEGIN not in cell.source:
            raise UserError(f"{path}: the cell of exercise {exercise!r} needs a `{BEGIN}`.")
        if BEGIN in cell.source and not exercise:
            raise UserError(
                f'{path}: a cell with a solution must be marked, as in exercise="name" points=4.'
                f" See:\n{cell.source[:200]}"
            )
        if exercise and exercise not in checks.exercises():
            raise UserError(
                f"{path}: there is no check for exercise {exercise!r}. Write its class in"
                f" diffusion_lab/labs/lab{path.name[:2]}/checks.py, and add it to the last"
                " statement there, which numbers the exercises. (For a single one, it has a comma:"
                f" ({exercise},) = numbered(...).)"
            )
        awaited = exercise
    if awaited:
        raise UserError(f"{path}: exercise {awaited!r} has no check.")


def _mark_cells(lab: str, notebook: NotebookNode) -> dict[str, float]:
    """Replaces the marks of cells by metadata for both graders, and numbers the exercises.

    Returns:
        {exercise: points}.
    """
    points: dict[str, float] = {}
    digests: dict[str, int] = {}
    for cell in notebook.cells:
        marks = cell.metadata
        cell.metadata = NotebookNode({key: marks[key] for key in ("tags", "alt") if key in marks})
        if exercise := marks.get("exercise"):
            points[exercise] = marks.get("points", 1)
            number = f"{int(lab)}.{len(points)}"
            cell.metadata.update(_metadata(lab, "exercise", exercise, number, 0))
        elif check := marks.get("check"):
            number = f"{int(lab)}.{len(points)}"
            cell.metadata.update(_metadata(lab, "check", check, number, points[check]))
        elif summary := marks.get("summary"):
            cell.metadata.update(
                _metadata(lab, "summary", summary, f"{int(lab)}", marks.get("points", 1))
            )
        cell.id = _cell_id(cell, digests)
    return points


def _metadata(lab: str, kind: str, name: str, number: str, points: float) -> dict[str, Any]:
    nbgrader: dict[str, Any] = {
        "schema_version": 3,
        "grade_id": f"{lab}-{name}" + ("-check" if kind == "check" else ""),
        "grade": kind != "exercise",
        "solution": kind != "check",
        "locked": kind == "check",
        "task": False,
    }
    if kind != "exercise":
        nbgrader["points"] = points
    return {"diffusion_lab": {kind: name, "number": number}, "nbgrader": nbgrader}


def _cell_id(cell: NotebookNode, digests: dict[str, int]) -> str:
    """Returns an id that stays the same while the cell does. jupytext makes new ids each time."""
    if "nbgrader" in cell.metadata:
        return cell.metadata["nbgrader"]["grade_id"]
    digest = hashlib.sha256(cell.source.encode()).hexdigest()[:10]
    digests[digest] = digests.get(digest, 0) + 1
    return f"{digest}-{digests[digest]}"


def _complete_headings(path: Path, notebook: NotebookNode, points: dict[str, float]) -> None:
    """Adds the points to the line with each exercise's difficulty.

    Raises:
        UserError: if there is no such line.
    """
    for number, name, cell in exercises(notebook):
        heading = re.compile(
            rf"^(#+ ({EXERCISE}) {re.escape(number)}\b.*`{name}`.*\n+\*.*●.*\d[^*\n]*)\*", re.M
        )
        before = [
            other
            for other in notebook.cells[: notebook.cells.index(cell)]
            if other.cell_type == "markdown"
        ]
        found = next((other for other in before if heading.search(other.source)), None)
        if found is None:
            raise UserError(
                f"{path}: exercise {name!r} needs a heading 'Exercise {number} · `{name}`', and a"
                " line below it with its difficulty and how many minutes it takes, such as"
                " *Difficulty ●○○ · 5 minutes*. (The heading may begin with"
                f" {', '.join(LANGUAGES)}, and with another word if you add a file for your"
                " language to diffusion_lab/labs/languages.)"
            )
        found.source = heading.sub(
            lambda match: f"{match[1]} · {points_in_words(points[name], match[2])}*",
            found.source,
            count=1,
        )
