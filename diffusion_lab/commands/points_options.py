"""The options of `diffusion-lab grade` about points: lateness, and who is graded and shown."""

from pathlib import Path
from typing import Annotated

import typer

Due = Annotated[
    str | None,
    typer.Option(
        help=(
            "When the lab is due, such as 2026-11-30T23:59 (local time) or 2026-11-30T23:59+01:00."
        )
    ),
]
LateRate = Annotated[
    str | None,
    typer.Option(
        help=(
            "What each day or hour late costs, even if only partly over, such as 10%/day or"
            " 5%/hour of a student's points, or 2/day for points. By default nothing: the reports"
            " only say how late a submission was."
        )
    ),
]
Grace = Annotated[
    str | None, typer.Option(help="Time after --due that costs nothing, such as 15m, 2h or 1d.")
]
Extensions = Annotated[
    Path | None,
    typer.Option(
        help="A table (CSV) of students with a different due time: student or id, and due."
    ),
]
Times = Annotated[
    Path | None,
    typer.Option(
        help=(
            "A table (CSV) of when students handed in: student or id, and time. It replaces the"
            " times that the platform reports."
        )
    ),
]
Anonymous = Annotated[
    bool,
    typer.Option(
        "--anonymous",
        help=(
            "Show numbers instead of names in summary.html and in the terminal, until every"
            " written part has points."
        ),
    ),
]
CompareWith = Annotated[
    list[Path] | None,
    typer.Option(
        help=(
            "The folder with the grade book of another class, or its grades.json, to find"
            " submissions that are nearly identical. The option can be repeated."
        )
    ),
]
OnlyStudent = Annotated[
    str | None,
    typer.Option(
        "--only",
        help=(
            "Grade only the students whose name or ID contains this text. The reports show the"
            " earlier results of all others."
        ),
    ),
]
