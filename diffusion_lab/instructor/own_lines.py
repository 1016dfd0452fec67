"""Cuts the error of a cell in the sandbox to what a student can use."""

import re
from collections.abc import Iterable

MOST_LINES = 16
LONGEST_LINE = 200  # characters


def own_lines(said: str, names: Iterable[str]) -> str:
    """Returns the error of a cell without the grader's own frames.

    It begins with the first line of an answer. If there is none, only the last paragraph of the
    traceback is left, which is the message.

    Args:
        said: what the cell said, with the traceback that IPython prints.
        names: of the answers, which `define` runs as files such as `<denoise>`.
    """
    files = "|".join(map(re.escape, names))
    frame = re.search(rf"^ *File <({files})>", said, re.MULTILINE)
    own = said[frame.start() :] if frame else said.strip().rpartition("\n\n")[2]
    lines = [line[:LONGEST_LINE] for line in own.strip().splitlines()]
    if len(lines) > MOST_LINES:  # both ends say more than the middle, which libraries fill
        lines = [*lines[: MOST_LINES // 2], "[…]", *lines[-MOST_LINES // 2 :]]
    return "\n".join(lines)
