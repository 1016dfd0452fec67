"""Made-up results of lab 07 for tests of the reports."""

import csv
import io
from dataclasses import replace

from diffusion_lab.instructor.results import Settings
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.verdicts import Result, Verdict

LONG = "\n".join(
    f"value_{number} = compute_{number}(first, second, {number})" for number in range(20)
)
SETTINGS = Settings("", "07_toy.py", 5, Limits())


def result(student, points=(4.0, 0.0), **more):
    verdicts = [
        Verdict(f"7.{place}", name, "right" if earned else "wrong", earned, 4.0, "So it is.")
        for place, (name, earned) in enumerate(zip(("first", "second"), points), start=1)
    ]
    return Result(
        student,
        **{
            "id": "12",
            "place": f"{student}.ipynb",
            "verdicts": verdicts,
            "answers": {"first": "return 1"},
            "texts": {"summary": "I did."},
        }
        | more,
    )


def with_verdict(result, number, **fields):
    """Changes fields of the verdict `number` in a result, and returns the result."""
    result.verdicts[number] = replace(result.verdicts[number], **fields)
    return result


def table(out):
    return list(
        csv.reader(io.StringIO((out / "grades.csv").read_bytes().decode("utf-8-sig"), newline=""))
    )
