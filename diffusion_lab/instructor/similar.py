"""Finds submissions that are nearly identical, in this class and in other ones.

The answers of two students are compared, and so is each of their written parts, all by
fingerprints: hashes of all pieces of eight words. Those of other classes are in their grades.json,
so the texts of the submissions need not be kept.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.changes import read_grades
from diffusion_lab.instructor.presentable import clean
from diffusion_lab.instructor.rows import Row
from diffusion_lab.submission.handout import handouts

ANSWERS = "answers"  # what is compared, next to the names of the written parts
# the least share of common pieces; two people who write independently share few
NEARLY_IDENTICAL, NEARLY_IDENTICAL_TEXT = 0.97, 0.8
PIECE = 8  # words
FEWEST_PIECES = 20  # shorter answers are always similar
MOST_WORDS = 5_000  # of a submission that are compared
DIGITS = 10  # of a hash


Prints = dict[str, set[str]]  # {what: hashes of a student's, see `prints_of`}


@dataclass(frozen=True)
class EarlierClass:
    """The fingerprints of another class."""

    folder: str  # of its grade book
    salt: int
    students: dict[str, Prints]  # {name: fingerprints}


def similar_submissions(rows: list[Row], lab: str) -> list[tuple[str, list[Row]]]:
    """Returns [(what, rows)]: groups of rows that are nearly identical, the largest group first.

    What is nearly identical are the answers, or a written part. A row joins a group if it has
    nearly all pieces of eight words in common with at least one other row in the group. Short texts
    are in no group.
    """
    prints = {row.key: prints_of(row, lab) for row in rows}
    kinds = dict.fromkeys(what for each in prints.values() for what in each)
    found = [(what, group) for what in kinds for group in _groups(rows, prints, what)]
    return sorted(found, key=lambda pair: len(pair[1]), reverse=True)


def _groups(rows: list[Row], prints: dict[str, Prints], what: str) -> list[list[Row]]:
    pieces = {key: each[what] for key, each in prints.items() if what in each}
    groups = {row.key: [row] for row in rows}
    for one, other in combinations(pieces, 2):
        if groups[one] is not groups[other] and _nearly_identical(pieces[one], pieces[other], what):
            together = groups[one] + groups[other]
            groups |= {row.key: together for row in together}
    return [*{id(group): group for group in groups.values() if len(group) > 1}.values()]


def prints_of(row: Row, lab: str, salt: int = 0) -> Prints:
    """Returns the hashes of a student's answers together, and of each written part.

    What the student was given counts for nothing: answers that were not written, and the text of
    the cell.
    """
    missing = {verdict.name for verdict in row.verdicts if verdict.outcome == "missing"}
    written = [source for name, source in row.answers.items() if name not in missing]
    texts = {
        name: hashes_of([text], salt) - hashes_of([_given(lab).get(name, "")], salt)
        for name, text in row.texts.items()
    }
    return {ANSWERS: hashes_of(written, salt)} | texts


@lru_cache
def _given(lab: str) -> dict[str, str]:
    """Returns {written part: the text that students are given}."""
    cells = [cell for handout in handouts() if handout.lab == lab for cell in handout.cells]
    return {cell.mark["summary"]: cell.source for cell in cells if "summary" in cell.mark}


def hashes_of(texts: Iterable[str], salt: int = 0) -> set[str]:
    """Returns the hashes of all pieces of eight words in some texts.

    Hashes with different salts have nothing in common.
    """
    words = re.findall(r"\w+|[^\w\s]", "\n".join(texts))[:MOST_WORDS]
    pieces = {" ".join(words[start : start + PIECE]) for start in range(len(words) - PIECE + 1)}
    return {
        hashlib.blake2b(
            piece.encode("utf-8", "replace"), digest_size=DIGITS // 2, key=str(salt).encode()
        ).hexdigest()
        for piece in pieces
    }


def fingerprints(row: Row, lab: str, salt: int) -> dict[str, Any]:
    """Returns the fields of a student in grades.json with the hashes, each set as one text."""
    texts = {what: "".join(sorted(hashes)) for what, hashes in prints_of(row, lab, salt).items()}
    return {"fingerprint": texts.pop(ANSWERS), "written_fingerprints": texts}


def read_earlier_class(path: Path, lab: str) -> EarlierClass:
    """Returns the fingerprints in the grades.json of another class.

    Args:
        path: of the file, or of the folder that contains it.
        lab: such as "07".

    Raises:
        UserError: if there is no such file, or it is of another lab or without fingerprints.
    """
    path = path / "grades.json" if path.is_dir() else path
    if not path.exists():
        raise UserError(
            f"--compare-with: there is no {path}. Give the folder with the grade book of the other"
            " class."
        )
    grades = read_grades(path)
    try:
        other, salt = str(grades["lab"]), int(grades["seed"])
        students = {
            f"{student['student']} ({student['id']})" if student["id"] else student["student"]: {
                what: _separate(str(text))
                for what, text in {
                    ANSWERS: student["fingerprint"],
                    **student.get("written_fingerprints", {}),
                }.items()
            }
            for student in grades["students"]
        }
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"--compare-with: {path} is not a grades.json with fingerprints. If an earlier version"
            " of the grader wrote it, grade that class again."
        ) from None
    if other != lab:
        raise UserError(f"--compare-with: {path} is of lab {other}, not of lab {lab}.")
    return EarlierClass(str(path.parent), salt, students)


def _separate(text: str) -> set[str]:
    return {text[start : start + DIGITS] for start in range(0, len(text), DIGITS)}


def with_remarks_on_earlier(
    rows: list[Row], lab: str, earlier: Sequence[EarlierClass]
) -> list[Row]:
    """Returns the rows with remarks on submissions that resemble those of other classes."""
    return [replace(row, remarks=row.remarks + _like(row, lab, earlier)) for row in rows]


def _like(row: Row, lab: str, earlier: Sequence[EarlierClass]) -> list[str]:
    """Returns a remark for each student of another class whose submission is nearly identical."""
    remarks = []
    for class_ in earlier:
        own = prints_of(row, lab, class_.salt)
        for name, other in class_.students.items():
            common = [
                what
                for what in own.keys() & other.keys()
                if _nearly_identical(own[what], other[what], what)
            ]
            if common:
                remarks.append(
                    f"nearly identical to {clean(name, 'student')} in {class_.folder}"
                    f" ({', '.join(sorted(common))})"
                )
    return remarks


def _nearly_identical(a: set[str], b: set[str], what: str) -> bool:
    least = NEARLY_IDENTICAL if what == ANSWERS else NEARLY_IDENTICAL_TEXT
    return min(len(a), len(b)) > max(FEWEST_PIECES, least * max(len(a), len(b))) and len(
        a & b
    ) > least * len(a | b)  # the first condition is fast
