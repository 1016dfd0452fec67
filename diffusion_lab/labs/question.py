"""The parts of a prediction question."""

from typing import NamedTuple


class Question(NamedTuple):
    """A question that a student answers before a surprising plot.

    Args:
        text: the question; HTML, and LaTeX between dollar signs.
        choices: {choice: what a student who picks it reads at once}. A choice is plain text. For
            the right one the sentence says why; for a wrong one it names what was overlooked,
            without giving the answer away.
        right: the position of the right choice, from 0.
    """

    text: str
    choices: dict[str, str]
    right: int
