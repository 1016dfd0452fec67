"""Reads and writes manual.csv: the points and comments that a person gives.

The file may come from any spreadsheet program.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.names import did_you_mean
from diffusion_lab.instructor.tables import escape_formula, read_table, table, unescape_formula
from diffusion_lab.storage import write_atomically

MANUAL = "manual.csv"
COLUMNS = ("key", "points", "comment")  # the file has them all, and may have others
HOLD = "hold"
EXERCISE = re.compile(r"\d+[.,]\d+|kid", re.IGNORECASE)  # a column with points for an exercise
POINTS = re.compile(r"([+-]?(\d{1,6}(\.\d*)?|\.\d+))?")
NO = ("no", "0", "false")  # what people enter for a student who is not on hold
NONE: Mapping[str, str] = MappingProxyType({})


class ByHand(NamedTuple):
    """What a person gives to a student. Points are text such as "", "2.5" or "-1"."""

    points: str = ""
    comment: str = ""
    hold: str = ""  # why the student's points are not published yet; any text means that
    exercises: Mapping[str, str] = NONE  # {number: points that replace those of the grader}

    def cell(self, column: str) -> str:
        """Returns what is in a column of manual.csv, except the key."""
        named = {"points": self.points, "comment": self.comment, HOLD: self.hold}
        return (named | dict(self.exercises)).get(column, "")


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
    columns = _columns(path, lines[0][1])
    for number, cells in lines[1:]:
        where = f"{path}, line {number}"
        _add(manual, where, _cells(where, cells, columns))
    return manual


def columns_of(numbers: Iterable[str], entries: Iterable[ByHand]) -> list[str]:
    """Returns the columns of manual.csv for exercises with these numbers, and for these entries."""
    others = sorted({number for entry in entries for number in entry.exercises})
    return list(dict.fromkeys([*COLUMNS, HOLD, *numbers, *others]))


def write_manual(
    path: Path,
    given: dict[str, ByHand],
    unclaimed: dict[str, ByHand],
    numbers: Iterable[str] = (),
) -> None:
    """Writes a line for each student in this grading, and the entries for students who are not.

    The exercises with these numbers have a column.
    """
    kept = {key: entry for key, entry in unclaimed.items() if any(entry)}
    columns = columns_of(numbers, [*given.values(), *kept.values()])
    lines = [[key, *map(entry.cell, columns[1:])] for key, entry in [*given.items(), *kept.items()]]
    text = table([columns, *(map(escape_formula, line) for line in lines)])
    write_atomically(path, text.encode("utf-8-sig"))


def remarks_on_unclaimed(manual: dict[str, ByHand], names: Mapping[str, str]) -> list[str]:
    """Returns a sentence for each entry of `manual` that belongs to nobody and may be misspelt.

    `names` is {key: name} of the students in the grading.
    """
    sentences = []
    for key in [key for key, given in manual.items() if any(given) and key not in names]:
        advice = (
            did_you_mean(key, names)
            or did_you_mean(key.split("|")[0], names.values())
            or "Correct the key, or keep the line if this student did not hand in this time."
        )
        sentences.append(f"{MANUAL} has an entry for {key!r}, who is not in this grading. {advice}")
    return sentences


def _columns(path: Path, header: list[str]) -> dict[int, str]:
    """Returns {index: column} of the header. Columns with other names are left out."""
    names = [name.strip().lower() for name in header]
    columns = {
        index: name.replace(",", ".").replace("kid", "KID")
        for index, name in enumerate(names)
        if name in (*COLUMNS, HOLD) or EXERCISE.fullmatch(name)
    }
    if not {*COLUMNS} <= {*columns.values()} or len({*columns.values()}) < len(columns):
        raise UserError(
            f"{path} must begin with the line key,points,comment. Fix it, or move it away."
        )
    return columns


def _cells(where: str, cells: list[str], columns: dict[int, str]) -> dict[str, str]:
    """Returns {column: cell} of a line. Missing cells are empty."""
    if any(cell.strip() for index, cell in enumerate(cells) if index not in columns):
        raise UserError(
            f"{where} has a cell outside the columns key, points, comment, hold and those of"
            " exercises, such as 7.2. Put quotation marks around a cell that contains a comma, or"
            " move other text into the comment."
        )
    return {column: cells[index] if index < len(cells) else "" for index, column in columns.items()}


def _add(manual: dict[str, ByHand], where: str, cells: dict[str, str]) -> None:
    key, hold = unescape_formula(cells["key"]), unescape_formula(cells.get(HOLD, "")).strip()
    given = ByHand(
        _points(where, cells["points"]),
        unescape_formula(cells["comment"]),
        "" if hold.lower() in NO else hold,
        {
            column: points
            for column, text in cells.items()
            if EXERCISE.fullmatch(column) and (points := _points(where, text))
        },
    )
    if any(given) and any(manual.get(key, given)) and manual.get(key, given) != given:
        raise UserError(
            f"{where}: there is another line for {key!r}. Keep one of them, and grade again."
        )
    if any(given) or key not in manual:
        manual[key] = given


def _points(where: str, text: str) -> str:
    points = text.strip().removeprefix("'").replace(",", ".").replace("−", "-")
    if not POINTS.fullmatch(points):
        raise UserError(
            f"{where}: {points!r} is not a number. Nothing is lost. Correct it, and grade again."
        )
    return points.lstrip("+")
