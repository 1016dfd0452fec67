"""The format of a lab's source, `solutions/NN_topic.py`: marks of cells and regions with answers.

A source is a notebook in jupytext's percent format. The answer that students must write is between
`### BEGIN SOLUTION` and `### END SOLUTION`, in a cell marked `exercise="name"`. The next cell,
marked `check="name"`, calls the check. Markdown cells tagged "answer" are for the solutions only. A
cell marked `summary="name"` is for text that the student writes and a person grades. A cell that
shows a picture is marked with its text alternative, as in `alt="Eight flowers on dark green."`.
"""

import difflib
import json
import math
import re
from pathlib import Path
from typing import Any

from diffusion_lab.errors import UserError

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
MARKS = {
    "exercise": str,
    "check": str,
    "summary": str,
    "points": (int, float),
    "tags": list,
    "alt": str,
}
MARK = re.compile(r'\s+(\w+)=("[^"]*"|\[[^]]*\]|[^\s,]+)')
CELL = re.compile(rf"# %%( \[(markdown|raw)\])?(?P<marks>({MARK.pattern})*)")


def check_marks(path: Path, text: str) -> None:
    """Raises UserError for an unknown mark after `# %%`, or one whose value has a wrong type."""
    for line_number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("# %%"):
            where = f"{path}, line {line_number}"
            marks = _read_marks(where, line.rstrip())
            _check_values(where, marks)
            _check_points(where, marks)


def _read_marks(where: str, line: str) -> dict[str, Any]:
    try:
        found = CELL.fullmatch(line)
        if not found:
            raise ValueError
        return {name: json.loads(value) for name, value in MARK.findall(found["marks"])}
    except ValueError:
        raise UserError(
            f"{where}: `{line[:80]}` cannot be read. Separate the marks by spaces, and write words"
            ' in quotes and numbers without, as in exercise="name" points=4.'
        ) from None


def _check_values(where: str, marks: dict[str, Any]) -> None:
    for name, value in marks.items():
        if name not in MARKS:
            near = difflib.get_close_matches(name, MARKS, n=1)
            advice = f"Did you mean {near[0]}? " if near else ""
            raise UserError(
                f"{where}: there is no mark {name!r}. {advice}The marks are {', '.join(MARKS)}."
            )
        if not isinstance(value, MARKS[name]) and name != "points":
            kind = "a list of words" if name == "tags" else "text"
            raise UserError(f"{where}: {name}={value!r} must be {kind} in quotes.")


def _check_points(where: str, marks: dict[str, Any]) -> None:
    if "points" not in marks:
        return
    points = marks["points"]
    name = next((marks[kind] for kind in ("exercise", "check", "summary") if kind in marks), "")
    if (
        not isinstance(points, int | float)
        or isinstance(points, bool)
        or not 0 <= points < math.inf
    ):
        raise UserError(
            f"{where}: points={points!r} in the cell of {name!r} is not a number of at least 0."
        )
    if not {"exercise", "summary"} & marks.keys():
        raise UserError(f"{where}: only an exercise or a summary has points.")


def check_regions(path: Path, text: str) -> None:
    """Raises UserError for a region that is not closed in its cell, nested, empty or indented in
    two ways.
    """
    begin, begin_line = None, ""
    for line_number, line in enumerate(text.splitlines(), start=1):
        where = f"{path}, line {line_number}"
        if line.strip() == BEGIN:
            if begin:
                raise UserError(
                    f"{where}: a solution begins inside the solution that began in line {begin}."
                )
            begin, begin_line = line_number, line
        elif line.strip() == END:
            if not begin:
                raise UserError(f"{where}: a solution ends here, but has not begun.")
            if line_number == begin + 1:
                raise UserError(f"{where}: the solution is empty.")
            if line != begin_line.replace(BEGIN, END):
                raise UserError(f"{where}: indent the two markers of a solution equally.")
            begin = None
        elif begin and line.startswith("# %%"):
            raise UserError(
                f"{where}: the solution that began in line {begin} does not end in its cell."
            )
        elif "BEGIN SOLUTION" in line or "END SOLUTION" in line:
            raise UserError(
                f"{where}: write the marker as `{BEGIN}` or `{END}`, on a separate line."
            )
    if begin:
        raise UserError(f"{path}, line {begin}: this solution does not end.")
