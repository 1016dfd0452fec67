"""Reads and writes manual.csv: the points and comments that a person gives.

The file may come from any spreadsheet program.
"""

import difflib
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.tables import escape_formula, read_table, table, unescape_formula
from diffusion_lab.storage import write_atomically

MANUAL = "manual.csv"
COLUMNS = ("key", "points", "comment")
POINTS = re.compile(r"([+-]?(\d{1,6}(\.\d*)?|\.\d+))?")


class ByHand(NamedTuple):
    """What a person gives to a student. Points are text such as "", "2.5" or "-1"."""

    points: str = ""
    comment: str = ""


def read_manual(path: Path) -> dict[str, ByHand]:
    """Returns {key of a student: what a person gave}. Points may have a decimal comma.

    Raises:
        UserError: with the line, if the file cannot be read, points are not a number, a key has two
            different entries, or a line has additional cells.
    """
    if not path.exists():
        return {}
    manual: dict[str, ByHand] = {}
    lines = read_table(path)
    indices = _column_indices(path, lines[0][1] if lines else [])
    for number, cells in lines[1:]:
        where = f"{path}, line {number}"
        _add(manual, where, *_cells(where, cells, indices))
    return manual


def write_manual(path: Path, given: dict[str, ByHand], unclaimed: dict[str, ByHand]) -> None:
    """Writes a line for each student in this grading, and the entries for students who are not."""
    entries = [(key, *entry) for key, entry in given.items()]
    entries += [(key, *entry) for key, entry in unclaimed.items() if any(entry)]
    text = table([COLUMNS, *(map(escape_formula, entry) for entry in entries)])
    write_atomically(path, text.encode("utf-8-sig"))


def remarks_on_unclaimed(manual: dict[str, ByHand], keys: Collection[str]) -> list[str]:
    """Returns a sentence for each entry of `manual` whose key is not in `keys` and may be
    misspelt.
    """
    sentences = []
    for key in [key for key, given in manual.items() if any(given) and key not in keys]:
        near = difflib.get_close_matches(key, keys, n=1, cutoff=0.8)
        advice = (
            f"Did you mean {near[0]!r}?"
            if near
            else "Correct the key, or keep the line if this student did not hand in this time."
        )
        sentences.append(f"{MANUAL} has an entry for {key!r}, who is not in this grading. {advice}")
    return sentences


def _column_indices(path: Path, header: list[str]) -> list[int]:
    """Returns the indices of the three columns in the header."""
    names = [name.strip().lower() for name in header]
    if any(names.count(column) != 1 for column in COLUMNS):
        raise UserError(
            f"{path} must begin with the line key,points,comment. Fix it, or move it away."
        )
    return [names.index(column) for column in COLUMNS]


def _cells(where: str, cells: list[str], indices: list[int]) -> list[str]:
    """Returns [key, points, comment] of a line. Missing cells are empty."""
    if any(cell.strip() for index, cell in enumerate(cells) if index not in indices):
        raise UserError(
            f"{where} has more than the three cells key, points and comment. Put quotation marks"
            " around a cell that contains a comma, or move other text into the comment."
        )
    return [cells[index] if index < len(cells) else "" for index in indices]


def _add(manual: dict[str, ByHand], where: str, key: str, points: str, comment: str) -> None:
    points = points.strip().removeprefix("'").replace(",", ".").replace("−", "-")
    if not POINTS.fullmatch(points):
        raise UserError(
            f"{where}: {points!r} is not a number. Nothing is lost. Correct it, and grade again."
        )
    key, given = unescape_formula(key), ByHand(points.lstrip("+"), unescape_formula(comment))
    if any(given) and any(manual.get(key, given)) and manual.get(key, given) != given:
        raise UserError(
            f"{where}: there is another line for {key!r}. Keep one of them, and grade again."
        )
    if any(given) or key not in manual:
        manual[key] = given
