"""`diffusion-lab grade`: grades a class, shows progress, and writes the reports."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from diffusion_lab.commands.reports import MOST_ROWS, Reporting, class_table, write_reports
from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.grading import grade_class
from diffusion_lab.instructor.manual import MANUAL, read_manual
from diffusion_lab.instructor.platforms.rosters import read_roster
from diffusion_lab.instructor.platforms.uploads import remove_uploads
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.selection import Only
from diffusion_lab.instructor.similar import read_earlier_class
from diffusion_lab.instructor.verdicts import Quality

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
    reporting: Reporting = Reporting(),
    only: str | None = None,
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
        raise UserError("Only lab 11 has a leaderboard: leave --board out, or grade --lab 11.")
    if assignment is not None and roster is None:
        raise UserError("--assignment names a column of --roster: give both.")
    number = source.name[:2]
    students = read_roster(roster, number, assignment) if roster else None
    earlier = [read_earlier_class(path, number) for path in reporting.compare_with]
    quality = Quality(kid, kid_points, kid_data) if kid is not None else None
    console, sample = Console(), submissions is None
    remove_uploads(Path(out))
    with tempfile.TemporaryDirectory() as folder, _progress(console) as progress:
        if submissions is None:
            from diffusion_lab.instructor.sample_class import write_sample_class  # slow to import

            submissions = write_sample_class(source, Path(folder))
        settings, results = grade_class(
            submissions,
            source,
            out,
            limits=limits,
            quality=quality,
            board=board,
            only=Only(only, students.people.values() if students else ()) if only else None,
            progress=progress,
            waiting=lambda names: console.print(
                Text(
                    f"Still running: {len(names) if reporting.anonymous else '; '.join(names)}."
                    " (Some answers take longer, because any that reaches its time limit runs"
                    " again, alone and with twice the time.)"
                ),
                soft_wrap=True,
            ),
            **options,
        )
    rows, sentences = write_reports(
        Path(out),
        number,
        settings,
        results,
        students,
        replace(reporting, made_up=sample),
        earlier,
    )
    console.print(class_table(rows))
    if len(rows) > MOST_ROWS:
        sentences.insert(
            0,
            f"These are the first {MOST_ROWS} of {len(rows)} submissions; all of them are in"
            f" {out}/grades.csv.",
        )
    sentences.append(
        f"{len(rows)} submission{'s' * (len(rows) != 1)}, sandbox: {settings.box}. The class at a"
        f" glance: {out}/summary.html. Grade book: {out}/grades.csv. For each student:"
        f" {out}/feedback/"
    )
    if sample and not roster:
        from diffusion_lab.instructor.sample_class import write_sample_rosters

        rosters = " or ".join(map(str, write_sample_rosters(Path(out))))
        sentences.append(
            "To see what Canvas and Moodle import, add --roster to the same command, with"
            f" {rosters}. These files are the made-up class as Canvas and Moodle would export it."
        )
    for sentence in sentences:
        console.print(Text(sentence), soft_wrap=True)


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
