"""`diffusion-lab grade`: grades a class, shows progress, and writes the reports."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.anonymous import hidden, without_names
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.changes import CHANGES, changed_points, read_grades
from diffusion_lab.instructor.gradebook import GRADES, write_gradebook
from diffusion_lab.instructor.grading import grade_class
from diffusion_lab.instructor.lateness import Policy, judge_lateness
from diffusion_lab.instructor.manual import MANUAL, read_manual, remarks_on_unclaimed
from diffusion_lab.instructor.pages import class_of, mark_of
from diffusion_lab.instructor.platforms.rosters import Matches, match, read_roster
from diffusion_lab.instructor.platforms.uploads import remove_uploads, write_uploads
from diffusion_lab.instructor.rows import Row
from diffusion_lab.instructor.sample_class import write_sample_class
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.verdicts import Quality

MOST_ROWS = 60  # of the table in the terminal
COLOURS = {"right": "green", "partly": "yellow", "wrong": "red"}
QUIET_SECONDS = 30  # between two lines of progress, where there is no terminal for a bar


def run_grade(
    submissions: Path | None,
    lab: str,
    out: str | Path,
    root: Path,
    seconds: float,
    memory: int,
    kid: float | None = None,
    kid_points: float = 4,
    kid_data: str = "procedural_flowers",
    board: bool = False,
    roster: Path | None = None,
    assignment: str | None = None,
    policy: Policy | None = None,
    anonymous: bool = False,
    **options: Any,
) -> None:
    """Grades `submissions`, or a made-up class if it is None, and writes the reports to `out`.

    Raises:
        UserError: for a mistake in the request.
    """
    (source,) = sources(root, [lab])
    read_manual(Path(out) / MANUAL)  # so that a mistake in it is reported before the grading
    if source.name.startswith("00"):
        raise UserError("Lab 00 has no exercises: choose another with --lab.")
    limits = Limits(seconds=seconds, memory=memory)
    if kid is not None and not source.name.startswith("07"):
        raise UserError(
            "KID can only be measured for the weights that students hand in with lab 07: leave"
            " --kid out."
        )
    if board and not source.name.startswith("11"):
        raise UserError("Only lab 11 has a board: leave --board out, or grade --lab 11.")
    if assignment is not None and roster is None:
        raise UserError("--assignment names a column of --roster: give both.")
    students = read_roster(roster, source.name[:2], assignment) if roster else None
    quality = Quality(kid, kid_points, kid_data) if kid is not None else None
    console = Console()
    with tempfile.TemporaryDirectory() as folder, _progress(console) as progress:
        submissions = submissions or write_sample_class(source, Path(folder))
        settings, results = grade_class(
            submissions,
            source,
            out,
            limits=limits,
            quality=quality,
            board=board,
            progress=progress,
            **options,
        )
    matches = match(results, students) if students else Matches(results, {}, [])
    results, late, sentences = matches.results, {}, []
    if policy:
        results, late, sentences = judge_lateness(matches, students, policy)
    before = read_grades(Path(out) / GRADES)
    rows = write_gradebook(out, source.name[:2], settings, results, matches.absent, late, anonymous)
    if changed := {line[0] for line in changed_points(before, read_grades(Path(out) / GRADES))}:
        sentences.append(
            f"The points of {len(changed)} of {len(rows)} students differ from those of the last"
            f" grading; {out}/{CHANGES} says why."
        )
    remove_uploads(Path(out))
    if hidden(rows, anonymous):
        console.print(_table(without_names(rows, settings.seed)))
    else:
        console.print(_table(rows))
        if anonymous:
            sentences.append("Every written part has points, so the reports show names.")
    if len(rows) > MOST_ROWS:
        console.print(
            Text(
                f"These are the first {MOST_ROWS} of {len(rows)} submissions; all of them are in"
                f" {out}/grades.csv."
            ),
            soft_wrap=True,
        )
    keys = [row.key for row in rows]
    sentences += remarks_on_unclaimed(read_manual(Path(out) / MANUAL), keys)
    if students:
        sentences += write_uploads(Path(out), source.name[:2], rows, students, matches)
    if matches.absent:
        sentences.append(
            f"{len(matches.absent)} on the roster handed in nothing; summary.html names them."
        )
    for sentence in sentences:
        console.print(Text(sentence), soft_wrap=True)
    console.print(
        Text(
            f"{len(rows)} submissions, sandbox: {settings.box}. The class at a glance:"
            f" {out}/summary.html. Grade book: {out}/grades.csv. For each student: {out}/feedback/"
        ),
        soft_wrap=True,
    )


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Yields progress(done, total), which shows a bar in a terminal, and elsewhere prints lines."""
    if console.is_terminal:
        with Progress(
            TextColumn("grading"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        ) as bar:
            task = bar.add_task("grading", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    said: float | None = None

    def tell(done: int, total: int) -> None:
        nonlocal said
        if said is None or done == total or time.monotonic() - said >= QUIET_SECONDS:
            console.print(f"graded {done} of {total}")
            said = time.monotonic()

    yield tell


def _table(rows: list[Row]) -> Table:
    table = Table(
        "student",
        "points",
        *(verdict.number for verdict in rows[0].verdicts),
        "look at it",
        box=None,
    )
    for row in rows[:MOST_ROWS]:
        marks = [f"[{COLOURS[class_of(verdict)]}]{mark_of(verdict)}[/]" for verdict in row.verdicts]
        remark = row.problem or "; ".join(row.remarks)
        table.add_row(
            Text(row.student), f"{row.points:g} of {row.possible:g}", *marks, Text(remark)
        )
    return table
