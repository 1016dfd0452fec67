"""manual.csv: the points and comments that a person gives, in whatever form a table program saved
them.

A row's key is opaque here. Text that a table program would take for a formula has an apostrophe in
front, in every file.
"""

import csv
import difflib
import io
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from diffusion_lab.errors import UserError
from diffusion_lab.storage import write_atomically

MANUAL = "manual.csv"
COLUMNS = ("key", "points", "comment")
POINTS = re.compile(r"([+-]?(\d{1,6}(\.\d*)?|\.\d+))?")
NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?")
FORMULA = re.compile(r"'*(\s*[=+\-@＝＋－＠]|[\t\r])")


class ByHand(NamedTuple):
    """What a person gives to a student; points such as "", "2.5" or "-1"."""

    points: str = ""
    comment: str = ""


def harmless(value: object) -> str:
    """Returns a cell's text with an apostrophe in front if a table program would compute with it;
    numbers stay numbers.
    """
    text = str(value)
    return "'" + text if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def original(text: str) -> str:
    """Returns the text that `harmless` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text[1:]) else text


def read_manual(path: Path) -> dict[str, ByHand]:
    """Returns what a person gave, by the keys of the students.

    Excel saves semicolons or tabs, decimal commas, UTF-16 or a code page; all of these are read.

    Raises:
        UserError: with the line, for what cannot be read, for what is no number of points, for a
            key that has two different entries, and for cells that would be lost.
    """
    if not path.exists():
        return {}
    text = _decoded(path)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    manual: dict[str, ByHand] = {}
    try:
        places = _places(path, next(lines, []))
        for cells in lines:
            if any(cell.strip() for cell in cells):
                where = f"{path}, line {lines.line_num}"
                _add(manual, where, *_cells(where, cells, places))
    except csv.Error as error:
        raise UserError(
            f"{path}, line {lines.line_num} cannot be read ({error}): correct it, and grade again."
        ) from None
    return manual


def write_manual(path: Path, given: dict[str, ByHand], others: dict[str, ByHand]) -> None:
    """Writes what a person gave to the students of this grading, and to those who are not among
    them this time.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(map(harmless, (key, *entry)) for key, entry in given.items())
    writer.writerows(map(harmless, (key, *entry)) for key, entry in others.items() if any(entry))
    write_atomically(path, text.getvalue().encode("utf-8-sig"))


def unclaimed(manual: dict[str, ByHand], keys: Collection[str]) -> list[str]:
    """Returns a sentence for each entry of `manual` whose key is none of `keys`: perhaps it was
    misspelt.
    """
    sentences = []
    for key in [key for key, given in manual.items() if any(given) and key not in keys]:
        near = difflib.get_close_matches(key, keys, n=1, cutoff=0.8)
        advice = (
            f"did you mean {near[0]!r}?"
            if near
            else "correct the key, or leave the line if this student is only missing today."
        )
        sentences.append(
            f"{MANUAL} has an entry for {key!r}, which counts for nobody in this grading: {advice}"
        )
    return sentences


def _decoded(path: Path) -> str:
    """Returns the file's text: UTF-8, UTF-16, or the code page of Western European Windows."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): correct that, and grade again."
        ) from None
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
    try:
        return content.decode("utf-16" if marked else "cp1252")
    except UnicodeDecodeError:
        raise UserError(
            f'{path}, line {line}: some letters cannot be read. Save it again as "CSV UTF-8", then'
            " grade again."
        ) from None


def _delimiter(text: str) -> str:
    header = text.split("\n")[0]
    return max("\t;,", key=header.count)


def _places(path: Path, header: list[str]) -> list[int]:
    """Returns the places of the three columns in the header."""
    names = [name.strip().lower() for name in header]
    if any(names.count(column) != 1 for column in COLUMNS):
        raise UserError(
            f"{path} must begin with a line key,points,comment: correct it, or move it away."
        )
    return [names.index(column) for column in COLUMNS]


def _cells(where: str, cells: list[str], places: list[int]) -> list[str]:
    """Returns [key, points, comment] of a line, in which missing cells are empty."""
    if any(cell.strip() for place, cell in enumerate(cells) if place not in places):
        raise UserError(
            f"{where} has more than the three cells key, points and comment, and the others would"
            " be lost: put quotation marks around a cell with a comma, or move the others into the"
            " comment."
        )
    return [cells[place] if place < len(cells) else "" for place in places]


def _add(manual: dict[str, ByHand], where: str, key: str, points: str, comment: str) -> None:
    points = points.strip().removeprefix("'").replace(",", ".").replace("−", "-")
    if not POINTS.fullmatch(points):
        raise UserError(
            f"{where}: {points!r} is not a number of points. Nothing is lost: correct it, and grade"
            " again."
        )
    key, given = original(key), ByHand(points.lstrip("+"), original(comment))
    if any(given) and any(manual.get(key, given)) and manual.get(key, given) != given:
        raise UserError(
            f"{where}: there is another line for {key!r}. Keep one of them, and grade again."
        )
    if any(given) or key not in manual:
        manual[key] = given
