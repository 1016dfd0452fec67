"""Hides names while a person grades the written parts."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from diffusion_lab.instructor.rows import Row

ELSEWHERE = "see grades.csv"  # replaces remarks, which may contain names


def awaits_points(row: Row) -> bool:
    """True if the student wrote something that has no points yet."""
    return bool(row.written and row.manual == "" and any(row.texts.values()))


def hidden(rows: Sequence[Row], anonymous: bool) -> bool:
    """True if names must not be shown: until every written part has points."""
    return anonymous and any(map(awaits_points, rows))


def without_names(rows: Sequence[Row], seed: int) -> list[Row]:
    """Returns the rows in random order, with numbers in place of names.

    The order depends on the seed of the grading, so it stays the same when it is repeated. Keys
    stay, because manual.csv needs them.
    """

    def order(row: Row) -> str:
        return hashlib.sha256(f"{seed}|{row.key}".encode()).hexdigest()

    return [
        replace(
            row,
            student=f"Student {number}",
            id="",
            place="",
            page="",
            problem="",
            remarks=[ELSEWHERE] * bool(row.look_at),
        )
        for number, row in enumerate(sorted(rows, key=order), start=1)
    ]
