"""What one answer earned, and why."""

from dataclasses import dataclass

KID = ("KID", "flowers")  # number and name of the verdict on what a trained model draws


@dataclass
class Verdict:
    """What one answer earned, and the sentence that says why. `details` are the last lines of its cell's error.

    `outcome` is "right", "wrong", "missing" (nothing was handed in, or nothing written) or "stopped" (no result).
    """

    number: str
    name: str
    outcome: str
    points: float
    possible: float
    sentence: str
    details: str = ""


def not_graded(number, name, possible):
    """The verdict on what could not be graded, through no fault that anybody knows of."""
    return Verdict(number, name, "stopped", 0.0, possible, "This could not be graded; a person will look at it.")
