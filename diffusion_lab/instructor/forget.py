"""Removes a student from the folder of a grading. Nobody is graded again."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.changes import CHANGES, Grades, read_grades
from diffusion_lab.instructor.gradebook import GRADES
from diffusion_lab.instructor.manual import MANUAL, read_manual, write_manual
from diffusion_lab.instructor.names import did_you_mean, key_of, spellings
from diffusion_lab.instructor.oral import ORAL
from diffusion_lab.instructor.platforms.uploads import remove_uploads
from diffusion_lab.instructor.tables import read_table, table
from diffusion_lab.storage import only_one, write_atomically

NOBODY = "a removed student"  # replaces the name in remarks on others
REPORTS = ("summary.html", ORAL, CHANGES)  # of the whole class: the next grading writes them again

Student = dict[str, Any]  # of grades.json


def forget(text: str, out: Path) -> list[Path]:
    """Removes everything about one student from `out`.

    Their results, feedback page and lines are deleted, and so are the reports of the whole class
    that the next grading writes again.

    Args:
        text: the student's name or ID.
        out: the folder of a grading.

    Returns:
        The files that still contain the name, perhaps in another student's text.

    Raises:
        UserError: if there is no grading in `out`, or not exactly one such student.
    """
    grades = read_grades(out / GRADES)
    if not grades:
        raise UserError(f"There is no {GRADES} in {out}: give the folder of a grading with --out.")
    with only_one(out, "grading"):
        student = _find(text, grades, out)
        for path, result in _results(out):
            if _key(result) == student["key"]:
                path.unlink()
        if page := student["page"]:
            (out / "feedback" / page).unlink(missing_ok=True)
        for name in REPORTS:
            (out / name).unlink(missing_ok=True)
        remove_uploads(out)
        _rewrite_manual(out / MANUAL, grades, student)
        _rewrite_table(out / "grades.csv", student)
        _rewrite_grades(out / GRADES, grades, student)
    names = _pattern(student)
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    return [path for path in files if names.search(path.read_text("utf-8", errors="replace"))]


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


def _pattern(student: Student) -> re.Pattern[str]:
    """Returns a pattern for the student's name as a whole word."""
    return re.compile(rf"(?<!\w){re.escape(student['student'])}(?!\w)")


def _rewrite_manual(path: Path, grades: Grades, student: Student) -> None:
    if not path.exists():
        return
    manual = read_manual(path)
    kept = {
        key: given
        for key, given in manual.items()
        if key not in (student["key"], student["student"])
    }
    numbers = [verdict["number"] for each in grades["students"][:1] for verdict in each["verdicts"]]
    write_manual(path, kept, {}, numbers)


def _rewrite_table(path: Path, student: Student) -> None:
    if not path.exists():
        return
    name, page = _pattern(student), f"feedback/{student['page']}"
    lines = [
        [*cells[:-1], name.sub(NOBODY, cells[-1])]  # the last column has the remarks
        for _, cells in read_table(path)
        if page not in cells
    ]
    write_atomically(path, table(lines).encode("utf-8-sig"))


def _rewrite_grades(path: Path, grades: Grades, student: Student) -> None:
    name = _pattern(student)
    grades["absent"] = [each for each in grades.get("absent", ()) if each != student["student"]]
    grades["students"] = [
        each | {"remarks": [name.sub(NOBODY, remark) for remark in each["remarks"]]}
        for each in grades["students"]
        if each["key"] != student["key"]
    ]
    write_atomically(path, json.dumps(grades, indent=1).encode())
