"""Reads and writes tables (CSV files) of spreadsheet programs and platforms.

In all our own tables, an apostrophe precedes text that a spreadsheet would take for a formula.
"""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from diffusion_lab.errors import UserError

NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?")
FORMULA = re.compile(r"'*(\s*[=+\-@＝＋－＠]|[\t\r])")


def read_table(path: Path) -> list[tuple[int, list[str]]]:
    """Returns [(line number, cells)] of all lines that are not empty.

    Reads every format in which Excel may save the file: with commas, semicolons or tabs, in UTF-8,
    UTF-16 or a code page.

    Raises:
        UserError: with the line, if the file cannot be read.
    """
    text = _decoded(path)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        return [(lines.line_num, cells) for cells in lines if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise UserError(
            f"{path}, line {lines.line_num} cannot be read ({error}). Fix it, and grade again."
        ) from None


def table(rows: Iterable[Iterable[object]]) -> str:
    """Returns rows of cells as the text of a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def number(value: float) -> str:
    """Returns a number of points with at most two decimals."""
    return f"{round(value, 2):.12g}"


def escape_formula(value: object) -> str:
    """Returns a cell's text, after an apostrophe if a spreadsheet would take it for a formula.

    Numbers stay numbers.
    """
    text = str(value)
    return "'" + text if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def unescape_formula(text: str) -> str:
    """Returns the text that `escape_formula` has escaped."""
    return text[1:] if text.startswith("'") and FORMULA.match(text[1:]) else text


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
