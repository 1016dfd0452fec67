"""Reads and writes manual.csv: the points and comments that a person gives.

The file may come from any spreadsheet program. In all our CSV files, an apostrophe precedes text
that a spreadsheet would take for a formula.
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
    """What a person gives to a student. Points are text such as "", "2.5" or "-1"."""

    points: str = ""
    comment: str = ""


def escape_formula(value: object) -> str:
    """Returns a cell's text, after an apostrophe if a spreadsheet would take it for a formula.

    Numbers stay numbers.
    """
    text = str(value)
    return "'" + text if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def unescape_formula(text: str) -> str:
    """Returns the text that `escape_formula` has escaped."""
    return text[1:] if text.startswith("'") and FORMULA.match(text[1:]) else text


def read_manual(path: Path) -> dict[str, ByHand]:
    """Returns {key of a student: what a person gave}.

    Reads every format in which Excel may save the file: with semicolons or tabs, with decimal
    commas, in UTF-16 or in a code page.

    Raises:
        UserError: with the line, if the file cannot be read, points are not a number, a key has two
            different entries, or a line has additional cells.
    """
    if not path.exists():
        return {}
    text = _decoded(path)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    manual: dict[str, ByHand] = {}
    try:
        indices = _column_indices(path, next(lines, []))
        for cells in lines:
            if any(cell.strip() for cell in cells):
                where = f"{path}, line {lines.line_num}"
                _add(manual, where, *_cells(where, cells, indices))
    except csv.Error as error:
        raise UserError(
            f"{path}, line {lines.line_num} cannot be read ({error}). Fix it, and grade again."
        ) from None
    return manual


def write_manual(path: Path, given: dict[str, ByHand], unclaimed: dict[str, ByHand]) -> None:
    """Writes a line for each student in this grading, and the entries for students who are not."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(map(escape_formula, (key, *entry)) for key, entry in given.items())
    writer.writerows(
        map(escape_formula, (key, *entry)) for key, entry in unclaimed.items() if any(entry)
    )
    write_atomically(path, text.getvalue().encode("utf-8-sig"))


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


def _decoded(path: Path) -> str:
    """Returns the file's text: UTF-8, UTF-16, or the code page of Western European Windows."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}). Fix that, and grade again."
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
            f'{path}, line {line}: some characters cannot be read. Save it as "CSV UTF-8", and'
            " grade again."
        ) from None


def _delimiter(text: str) -> str:
    header = text.split("\n")[0]
    return max("\t;,", key=header.count)


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
