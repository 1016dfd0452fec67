"""Reads the source of a lab, `solutions/NN_topic.py`, and is strict about it.

A source is a notebook in jupytext's percent format. What students must write is between `###
BEGIN SOLUTION` and `### END SOLUTION`, in a cell marked `exercise="name"`; the cell after it,
marked `check="name"`, calls the check. Both say in their metadata what they are, for our grader and
for nbgrader. Markdown cells tagged "answer" are for the solutions only; one with `summary="name"`
is text that the student writes and a person grades.
"""

import ast
import difflib
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from diffusion_lab import checks
from diffusion_lab.errors import UserError

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
MARKS = {"exercise": str, "check": str, "summary": str, "points": (int, float), "tags": list}
MARK = re.compile(r'\s+(\w+)=("[^"]*"|\[[^]]*\]|[^\s,]+)')
CELL = re.compile(rf"# %%( \[(markdown|raw)\])?(?P<marks>({MARK.pattern})*)")


def read_source(path: str | Path) -> NotebookNode:
    """Returns the lab as a notebook with all that a solution needs: metadata, cell ids and
    nbgrader's marks.

    Raises UserError, with file and line, for a region that is unclosed, nested, empty or outside an
    exercise; for marks of a cell that are unknown or cannot be read; for an exercise without its
    check, or out of order; for a heading without difficulty and minutes; and for what an exercise
    leaves behind that was taken out.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    _check_marks(path, text)
    _check_regions(path, text)
    notebook = jupytext.reads(text, "py:percent")
    lab, number, awaited, points, seen, worth = path.name[:2], 0, None, 1, {}, {}
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        exercise, check = cell.metadata.get("exercise"), cell.metadata.get("check")
        summary = cell.metadata.get("summary")
        if not check:  # which gives the points of its exercise
            points = cell.metadata.get("points", 1)
        if awaited and check != awaited:
            raise UserError(
                f'{path}: the cell after exercise {awaited!r} must be marked check="{awaited}".'
            )
        if check and not awaited:
            raise UserError(f"{path}: the check of {check!r} does not follow its exercise.")
        if (BEGIN in cell.source) != bool(exercise):
            raise UserError(
                f"{path}: a cell has a solution if and only if it is marked "
                'exercise="name" points=4, words in quotes and numbers without;'
                f" see:\n{cell.source[:200]}"
            )
        cell.metadata = NotebookNode({"tags": tags} if tags else {})
        if exercise and exercise not in checks.exercises():
            raise UserError(
                f"{path}: there is no check for exercise {exercise!r}: write one in"
                f" diffusion_lab/labs/lab{lab}/checks.py."
            )
        if exercise:
            number, awaited, worth[exercise] = number + 1, exercise, points
            cell.metadata.update(_marks(lab, "exercise", exercise, f"{int(lab)}.{number}", 0))
        elif check:
            awaited = None
            cell.metadata.update(
                _marks(lab, "check", exercise or check, f"{int(lab)}.{number}", points)
            )
        elif summary:
            cell.metadata.update(_marks(lab, "summary", summary, f"{int(lab)}", points))
        cell.id = _cell_id(cell, seen)
    if awaited:
        raise UserError(f"{path}: exercise {awaited!r} has no check.")
    _complete_headings(path, notebook, worth)
    _check_leftovers(path, text, notebook)
    notebook.metadata = nbformat.from_dict(KERNEL)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def exercises(notebook: NotebookNode) -> list[tuple[str, str, NotebookNode]]:
    """Returns the answer cells of a notebook, as [(number, name, cell)]."""
    marks = [(cell.metadata.get("diffusion_lab", {}), cell) for cell in notebook.cells]
    return [(mark["number"], mark["exercise"], cell) for mark, cell in marks if "exercise" in mark]


def _marks(lab: str, kind: str, name: str, number: str, points: float) -> dict[str, Any]:
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


def _cell_id(cell: NotebookNode, seen: dict[str, int]) -> str:
    """Returns an id that stays the same as long as the cell does: jupytext draws new ones at every
    read.
    """
    if "nbgrader" in cell.metadata:
        return cell.metadata["nbgrader"]["grade_id"]
    digest = hashlib.sha256(cell.source.encode()).hexdigest()[:10]
    seen[digest] = seen.get(digest, 0) + 1
    return f"{digest}-{seen[digest]}"


def _check_marks(path: Path, text: str) -> None:
    """The marks behind `# %%` must be those that are known, each with a value of its kind."""
    for line_number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("# %%"):
            continue
        where, found = f"{path}, line {line_number}", CELL.fullmatch(line.rstrip())
        try:
            if not found:
                raise ValueError
            marks = {name: json.loads(value) for name, value in MARK.findall(found["marks"])}
        except ValueError:
            raise UserError(
                f"{where}: `{line[:80]}` cannot be read: separate the marks by spaces, as in"
                ' exercise="name" points=4, words in quotes and numbers without.'
            ) from None
        unknown = [name for name in marks if name not in MARKS]
        if unknown:
            near = difflib.get_close_matches(unknown[0], MARKS, n=1)
            raise UserError(
                f"{where}: there is no mark"
                f" {unknown[0]!r}{f' (did you mean {near[0]}?)' if near else ''}: use"
                f" {', '.join(MARKS)}."
            )
        for name, value in marks.items():
            if not isinstance(value, MARKS[name]) and name != "points":
                raise UserError(
                    f"{where}: {name}={value!r} must be a"
                    f" {'list of words' if name == 'tags' else 'word'} in quotes."
                )
        points, owner = (
            marks.get("points", 0),
            next((marks[name] for name in ("exercise", "check", "summary") if name in marks), ""),
        )
        if (
            not isinstance(points, int | float)
            or isinstance(points, bool)
            or not 0 <= points < math.inf
        ):
            raise UserError(
                f"{where}: points={points!r} in the cell of {owner!r} is not a number of at"
                " least 0."
            )
        if "points" in marks and not {"exercise", "summary"} & marks.keys():
            raise UserError(f"{where}: only an exercise or a summary has points.")


def _check_leftovers(path: Path, text: str, notebook: NotebookNode) -> None:
    """What speaks of an exercise must speak of one that is there: headings, numbers, checks, and
    code that uses its function.
    """
    here = {number: name for number, name, _ in exercises(notebook)}

    def where(words: str) -> str:
        return (
            f"{path}, line"
            f" {next((number for number, line in enumerate(text.splitlines(), start=1) if words in line), 1)}"  # noqa: E501
        )

    for number, name in here.items():
        said = checks.exercises()[name].number
        if said != number:
            raise UserError(
                f"{path}: exercise {name!r} is number {number} here, and {said} at the end of "
                f"diffusion_lab/labs/lab{path.name[:2]}/checks.py: bring them into the same order."
            )
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for words, number in re.findall(
                rf"([Ee]xercise ({int(path.name[:2])}\.\d+))", cell.source
            ):
                if number not in here:
                    raise UserError(f"{where(words)}: there is no exercise {number} (any more).")
            for heading, number, name in re.findall(
                r"^(#+ Exercise (\d+\.\d+)\b.*`(\w+)`)", cell.source, re.M
            ):
                if here.get(number) != name:
                    raise UserError(
                        f"{where(heading)}: this heading is for {name!r}, but exercise {number} is"
                        f" {here.get(number)!r}."
                    )
    defined = set(here.values())
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tree = ast.parse(without_magics(cell.source))
            for name in sorted(_used(tree) & checks.exercises().keys() - defined - _defined(tree)):
                raise UserError(
                    f"{where(name)}: {name!r} is used, but there is no such exercise in this lab"
                    " (any more)."
                )
            defined |= _defined(tree)


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
    """Returns the names that code gives a value: variables, arguments, functions, classes and
    imports.
    """
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


def without_magics(source: str) -> str:
    """Returns Python code without the lines that only IPython understands."""
    return "\n".join(
        line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))
    )


def _check_regions(path: Path, text: str) -> None:
    begin = None
    for line_number, line in enumerate(text.splitlines(), start=1):
        where = f"{path}, line {line_number}"
        if line.strip() == BEGIN:
            if begin:
                raise UserError(
                    f"{where}: a solution begins inside the one that began in line {begin}."
                )
            begin, begin_line = line_number, line
        elif line.strip() == END:
            if not begin:
                raise UserError(f"{where}: a solution ends that never began.")
            if line_number == begin + 1:
                raise UserError(f"{where}: the solution is empty.")
            if line != begin_line.replace(BEGIN, END):
                raise UserError(f"{where}: the markers of a solution must be indented alike.")
            begin = None
        elif begin and line.startswith("# %%"):
            raise UserError(
                f"{where}: the solution that began in line {begin} does not end in its cell."
            )
        elif "BEGIN SOLUTION" in line or "END SOLUTION" in line:
            raise UserError(
                f"{where}: write the marker as `{BEGIN}` or `{END}`, on a line of its own."
            )
    if begin:
        raise UserError(f"{path}, line {begin}: this solution never ends.")


def _complete_headings(path: Path, notebook: NotebookNode, points: dict[str, float]) -> None:
    """Adds its points to the line with an exercise's difficulty.

    Raises UserError where there is none.
    """
    for number, name, cell in exercises(notebook):
        heading = re.compile(
            rf"^(#+ Exercise {re.escape(number)}\b.*`{name}`.*\n+.*Difficulty.*minutes)", re.M
        )
        before = [
            other
            for other in notebook.cells[: notebook.cells.index(cell)]
            if other.cell_type == "markdown"
        ]
        found = next((other for other in before if heading.search(other.source)), None)
        if found is None:
            raise UserError(
                f"{path}: exercise {name!r} needs a heading 'Exercise {number} · `{name}`', and"
                " below it its difficulty and how many minutes it takes."
            )
        found.source = heading.sub(
            rf"\1 · {points[name]:g} point{'s' * (points[name] != 1)}", found.source, count=1
        )
