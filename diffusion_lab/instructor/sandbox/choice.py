"""Chooses the sandbox for a grading by trying which of them opens on this machine."""

from collections.abc import Iterable
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox.bubblewrap import require_bubblewrap
from diffusion_lab.instructor.sandbox.user_box import require_user_box

BOXES = ("bubblewrap", "user")  # the better one first
WITHOUT = "To grade without a sandbox, which is safe only for code that you trust: --sandbox none."


def choose_box(wanted: str = "auto", private: Iterable[str | Path] = ()) -> str:
    """Returns the sandbox to use: "bubblewrap", "user" or "none".

    Args:
        wanted: one of these, or "auto" for the first that opens here.
        private: files and folders that no answer may read, besides the package.

    Raises:
        UserError: if it does not open here. The message says why, and what to do.
    """
    if wanted == "none":
        return wanted
    reasons = []
    for box in BOXES if wanted == "auto" else [wanted]:
        reason = why_closed(box, private)
        if not reason:
            return box
        reasons.append(reason)
    raise UserError(" ".join(["No sandbox works on this machine.", *reasons, WITHOUT]))


def why_closed(box: str, private: Iterable[str | Path] = ()) -> str:
    """Returns why a sandbox does not open here, a sentence or two, or "" if it opens."""
    try:
        if box == "bubblewrap":
            require_bubblewrap()
        else:
            require_user_box(private)
    except UserError as error:
        return str(error)
    return ""
