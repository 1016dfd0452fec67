"""Finds submissions that are nearly identical, in this class and in earlier ones.

Submissions are compared by fingerprints: hashes of all their pieces of eight words. Those of
earlier classes are in their grades.json, so the texts of the submissions need not be kept.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.changes import read_grades
from diffusion_lab.instructor.presentable import clean
from diffusion_lab.instructor.rows import Row

NEARLY_IDENTICAL = 0.97  # least share of common pieces
PIECE = 8  # words
FEWEST_PIECES = 20  # shorter answers are always similar
MOST_WORDS = 5_000  # of a submission that are compared
DIGITS = 10  # of a hash


@dataclass(frozen=True)
class EarlierClass:
    """The fingerprints of a class that was graded earlier."""

    salt: int
    students: dict[str, set[str]]  # {name: hashes}


def similar_submissions(rows: list[Row]) -> list[list[Row]]:
    """Returns groups of rows with nearly identical answers, the largest group first.

    A row joins a group if its answers have nearly all pieces of eight words in common with those of
    at least one other row in the group. Short answers are in no group.
    """
    pieces = {row.key: hashes_of(row.answers) for row in rows}
    groups = {row.key: [row] for row in rows}
    for one, other in combinations(pieces, 2):
        if groups[one] is not groups[other] and _nearly_identical(pieces[one], pieces[other]):
            together = groups[one] + groups[other]
            groups |= {row.key: together for row in together}
    distinct = {id(group): group for group in groups.values() if len(group) > 1}
    return sorted(distinct.values(), key=len, reverse=True)


def hashes_of(answers: Mapping[str, str], salt: int = 0) -> set[str]:
    """Returns the hashes of all pieces of eight words in the answers, {exercise: source}.

    Hashes with different salts have nothing in common.
    """
    words = re.findall(r"\w+|[^\w\s]", "\n".join(answers.values()))[:MOST_WORDS]
    pieces = {" ".join(words[start : start + PIECE]) for start in range(len(words) - PIECE + 1)}
    return {
        hashlib.blake2b(
            piece.encode("utf-8", "replace"), digest_size=DIGITS // 2, key=str(salt).encode()
        ).hexdigest()
        for piece in pieces
    }


def fingerprint(answers: Mapping[str, str], salt: int) -> str:
    """Returns the hashes of the answers as one text."""
    return "".join(sorted(hashes_of(answers, salt)))


def read_earlier_class(path: Path, lab: str) -> EarlierClass:
    """Returns the fingerprints in the grades.json of an earlier class.

    Args:
        path: of the file, or of the folder that contains it.
        lab: such as "07".

    Raises:
        UserError: if there is no such file, or it is of another lab or without fingerprints.
    """
    path = path / "grades.json" if path.is_dir() else path
    grades = read_grades(path)
    try:
        other, salt = str(grades["lab"]), int(grades["seed"])
        texts = {
            f"{student['student']} ({student['id']})" if student["id"] else student["student"]: str(
                student["fingerprint"]
            )
            for student in grades["students"]
        }
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"--compare-with: {path} is not a grades.json with fingerprints. If an earlier version"
            " of the grader wrote it, grade that class again."
        ) from None
    if other != lab:
        raise UserError(f"--compare-with: {path} is of lab {other}, not of lab {lab}.")
    return EarlierClass(
        salt,
        {
            name: {text[start : start + DIGITS] for start in range(0, len(text), DIGITS)}
            for name, text in texts.items()
        },
    )


def with_remarks_on_earlier(rows: list[Row], earlier: Sequence[EarlierClass]) -> list[Row]:
    """Returns the rows with remarks on submissions that resemble those of earlier classes."""
    return [
        replace(
            row,
            remarks=row.remarks
            + [
                f"nearly identical to {clean(name, 'student')} of an earlier class"
                for name in _like(row, earlier)
            ],
        )
        for row in rows
    ]


def _like(row: Row, earlier: Sequence[EarlierClass]) -> list[str]:
    """Returns the names of the students of earlier classes with nearly identical answers."""
    found = []
    for class_ in earlier:
        hashes = hashes_of(row.answers, class_.salt)
        found += [
            name for name, other in class_.students.items() if _nearly_identical(hashes, other)
        ]
    return found


def _nearly_identical(a: set[str], b: set[str]) -> bool:
    return min(len(a), len(b)) > max(FEWEST_PIECES, NEARLY_IDENTICAL * max(len(a), len(b))) and len(
        a & b
    ) > NEARLY_IDENTICAL * len(a | b)  # the first condition is fast
