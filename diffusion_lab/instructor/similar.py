"""Finds submissions that are nearly identical."""

import re
from itertools import combinations

from diffusion_lab.instructor.rows import Row

NEARLY_IDENTICAL = 0.97  # least share of common pieces
PIECE = 8  # words
FEWEST_PIECES = 20  # shorter answers are always similar
MOST_WORDS = 5_000  # of a submission that are compared


def similar_submissions(rows: list[Row]) -> list[list[Row]]:
    """Returns groups of rows with nearly identical answers, the largest group first.

    A row joins a group if its answers have nearly all pieces of eight words in common with those of
    at least one other row in the group. Short answers are in no group.
    """
    pieces = {row.key: _pieces(row) for row in rows}
    groups = {row.key: [row] for row in rows}
    for one, other in combinations(pieces, 2):
        a, b = pieces[one], pieces[other]
        if (
            groups[one] is not groups[other]
            and min(len(a), len(b)) > max(FEWEST_PIECES, NEARLY_IDENTICAL * max(len(a), len(b)))
            and len(a & b) > NEARLY_IDENTICAL * len(a | b)
        ):
            together = groups[one] + groups[other]
            groups |= {row.key: together for row in together}
    distinct = {id(group): group for group in groups.values() if len(group) > 1}
    return sorted(distinct.values(), key=len, reverse=True)


def _pieces(row: Row) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+|[^\w\s]", "\n".join(row.answers.values()))[:MOST_WORDS]
    return {tuple(words[start : start + PIECE]) for start in range(len(words) - PIECE + 1)}
