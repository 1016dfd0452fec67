"""Removes a student from the folder of a grading. Nobody is graded again."""

import html
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.changes import CHANGES, Grades, read_grades
from diffusion_lab.instructor.gradebook import GRADES
from diffusion_lab.instructor.manual import MANUAL, read_manual, write_manual
from diffusion_lab.instructor.names import did_you_mean, key_of, may_mean, spellings
from diffusion_lab.instructor.oral import ORAL
from diffusion_lab.instructor.platforms.uploads import remove_uploads
from diffusion_lab.instructor.tables import read_table, table
from diffusion_lab.storage import only_one, write_atomically

NOBODY = "a removed student"  # replaces the name in remarks on others
COMMA = r",?\s+"  # between the parts of a name
REPORTS = ("summary.html", ORAL, CHANGES)  # of the whole class: the next grading writes them again

Student = dict[str, Any]  # of grades.json


def forget(text: str, out: Path) -> tuple[str, list[Path]]:
    """Removes everything about one student from `out`.

    Their results, feedback page and lines are deleted, and so are the reports of the whole class
    that the next grading writes again.

    Args:
        text: the student's name or ID.
        out: the folder of a grading.

    Returns:
        (the student's name, the files that still contain it, perhaps in another student's text).

    Raises:
        UserError: if there is no grading in `out`, or not exactly one such student.
    """
    grades = read_grades(out / GRADES)
    if not grades:
        raise UserError(f"There is no {GRADES} in {out}: give the folder of a grading with --out.")
    with only_one(out, "grading"):
        student = _find(text, grades, out)
        names = _pattern(student, text)
        for path, result in _results(out):
            if _key(result) == student["key"]:
                path.unlink()
        if page := student["page"]:
            (out / "feedback" / page).unlink(missing_ok=True)
        for name in REPORTS:
            (out / name).unlink(missing_ok=True)
        remove_uploads(out)
        _rewrite_manual(out / MANUAL, grades, student)
        _rewrite_table(out / "grades.csv", student, names)
        _rewrite_grades(out / GRADES, grades, student, names)
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    return student["student"], [path for path in files if names.search(_text(path))]


def _find(text: str, grades: Grades, out: Path) -> Student:
    """Returns the student with this name or ID, also if they have only handed in nothing."""
    absent = [_without_submission(name) for name in grades.get("absent", ())]
    # a roster may have given them another name or ID
    handed_in = [
        _without_submission(each["student"], each["id"], _key(each)) for _, each in _results(out)
    ]
    students = [*absent, *handed_in, *grades["students"]]
    keys = {
        each["key"]
        for each in students
        if text in (each["id"], each["key"]) or spellings(text) & spellings(each["student"])
    }
    found = [
        each for each in {each["key"]: each for each in students}.values() if each["key"] in keys
    ]
    if len(found) > 1:
        raise UserError(
            f"{len(found)} students have this name or ID: give one of"
            f" {', '.join(sorted(repr(each['key']) for each in found))}."
        )
    if not found:
        question = did_you_mean(text, [each["student"] for each in students])
        raise UserError(f"{out} has no student with the name or ID {text!r}. {question}".strip())
    return found[0]


def _without_submission(name: str, number: str = "", key: str = "") -> Student:
    return {"student": name, "id": number, "key": key or key_of(name, number), "page": ""}


def _results(out: Path) -> Iterator[tuple[Path, Student]]:
    """Yields (path, result) of all results of this grading and of earlier ones."""
    for path in sorted((out / "results").glob("*.json")):
        yield path, json.loads(path.read_text(encoding="utf-8"))


def _key(result: Student) -> str:
    return result["key"] or key_of(result["student"], result["id"])


def _pattern(student: Student, text: str) -> re.Pattern[str]:
    """Returns a pattern for the student's names as whole words, however people may write them.

    The names are those of the roster and of the submission, and `text` if it is a name.
    """
    name, handed_in = student["student"], unquote(student["key"].split("|")[0])
    typed = [text] * bool(spellings(text) & (spellings(name) | spellings(handed_in)))
    patterns = {pattern for each in [name, handed_in, *typed] for pattern in _orders(each)}
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(patterns))})(?!\w)")


def _orders(name: str) -> list[str]:
    """Returns patterns for a name such as `Ada Lovelace`, which also match `Lovelace, Ada`."""
    parts = [re.escape(part) for part in name.replace(",", " ").split()]
    if len(parts) < 2:  # may be an ordinary word
        return parts
    orders = [parts[first:] + parts[:first] for first in range(len(parts))]
    return [f"(?i:{COMMA.join(order)})" for order in orders]


def _text(path: Path) -> str:
    """Returns a file's text as a person reads it, without the escapes of JSON and HTML."""
    text = path.read_text("utf-8", errors="replace")
    with suppress(ValueError):  # not JSON
        text = re.sub(r"\\[nrt]", " ", json.dumps(json.loads(text), ensure_ascii=False))
    return html.unescape(text)


def _rewrite_manual(path: Path, grades: Grades, student: Student) -> None:
    if not path.exists():
        return
    manual = read_manual(path)
    kept = {
        key: given
        for key, given in manual.items()
        if key != student["key"] and not may_mean(key, student["student"], student["id"])
    }
    numbers = [verdict["number"] for each in grades["students"][:1] for verdict in each["verdicts"]]
    write_manual(path, kept, {}, numbers)


def _rewrite_table(path: Path, student: Student, names: re.Pattern[str]) -> None:
    if not path.exists():
        return
    page = f"feedback/{student['page']}"
    lines = [
        [*cells[:-1], names.sub(NOBODY, cells[-1])]  # the last column has the remarks
        for _, cells in read_table(path)
        if page not in cells
    ]
    write_atomically(path, table(lines).encode("utf-8-sig"))


def _rewrite_grades(path: Path, grades: Grades, student: Student, names: re.Pattern[str]) -> None:
    grades["absent"] = [each for each in grades.get("absent", ()) if each != student["student"]]
    grades["students"] = [
        each | {"remarks": [names.sub(NOBODY, remark) for remark in each["remarks"]]}
        for each in grades["students"]
        if each["key"] != student["key"]
    ]
    write_atomically(path, json.dumps(grades, indent=1).encode())
