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

WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx and .ods, and how .xls begins


def read_table(path: Path) -> list[tuple[int, list[str]]]:
    """Returns [(line number, cells)] of all lines that are not empty, at least one.

    Reads every CSV format in which Excel may save the file: with commas, semicolons or tabs, in
    UTF-8, UTF-16 or a code page, and with or without a first line such as `sep=;`.

    Raises:
        UserError: if the file is empty or cannot be read, with the line.
    """
    delimiter, text = _delimiter(_decoded(path))
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        found = [(lines.line_num, cells) for cells in lines if any(map(str.strip, cells))]
    except csv.Error as error:
        raise UserError(
            f"{path}, line {lines.line_num} cannot be read ({error}). Fix it, and grade again."
        ) from None
    if not found:
        raise UserError(f"{path} is empty. Export or save it again, or remove it.")
    return found


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
    if content.startswith(WORKBOOKS):
        raise UserError(f"{path} is an Excel workbook, or another zip file. Export a CSV file.")
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


def _delimiter(text: str) -> tuple[str, str]:
    """Returns (the delimiter, the text without Excel's `sep=;`). The number of lines stays."""
    if marked := re.match(r"sep=(.)(?=[\r\n])", text, re.IGNORECASE):
        return marked[1], text[marked.end() :]
    header = text.split("\n")[0]
    return max("\t;,", key=header.count), text
