"""The parts of a prediction question."""

from typing import NamedTuple


class Question(NamedTuple):
    """A question that a student answers before a surprising plot.

    Args:
        text: the question; HTML, and LaTeX between dollar signs.
        choices: {choice: the comment that a student who picks it reads}. A choice is plain text.
            The comment on the right one says why it is right; the others name what was
            overlooked, without giving the answer away.
        right: the position of the right choice, from 0.
    """

    text: str
    choices: dict[str, str]
    right: int
