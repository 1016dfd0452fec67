"""A record of the exercises that a student has solved. It stays on the student's machine."""

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.labs.language import say
from diffusion_lab.storage import write_atomically

RECORD = Path("out", "progress.json")  # in the folder of the notebooks


def solved(record: Path) -> set[str]:
    """Returns the numbers of the solved exercises, such as {"2.1"}; none if there is no record."""
    try:
        return set(map(str, json.loads(record.read_text(encoding="utf-8"))["solved"]))
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def remember(record: Path, number: str) -> None:
    """Adds an exercise to a record. A folder that cannot be written to must not stop a student."""
    known = solved(record)
    if number not in known:
        content = json.dumps({"solved": sorted(known | {number}, key=in_order)})
        with suppress(UserError):
            write_atomically(record, content.encode())


def in_order(number: str) -> list[int]:
    """Returns the key that sorts "2.10" after "2.9"."""
    return [int(part) for part in number.split(".")]


def summary(done: set[str], numbers: set[str]) -> str:
    """Returns a line such as "Exercises solved so far: 2 of 3 in lab 02, 1 of 4 in lab 07."

    Args:
        done: the numbers of the solved exercises.
        numbers: of all exercises.
    """
    possible, known = (Counter(map(lab_of, each)) for each in (numbers, done & numbers))
    parts = [
        say("{done} of {possible} in lab {lab}", done=known[lab], possible=possible[lab], lab=lab)
        for lab in sorted(known)
    ]
    return say("Exercises solved so far: {labs}.", labs=", ".join(parts) or say("none"))


def lab_of(number: str) -> str:
    """Returns the lab of an exercise: "02" for "2.1"."""
    return number.split(".")[0].zfill(2)
