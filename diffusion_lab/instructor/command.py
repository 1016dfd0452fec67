"""What `diffusion-lab grade` does: a progress bar, the grading, the reports, and a line about them."""

import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.gradebook import mark_of, write_gradebook
from diffusion_lab.instructor.grading import Quality, grade_class
from diffusion_lab.instructor.manual import MANUAL, read_manual, unclaimed
from diffusion_lab.instructor.sample_class import write_sample_class
from diffusion_lab.instructor.sandbox import Limits


def run_grade(submissions, lab, out, root, seconds, memory, kid=None, kid_points=4, kid_data="procedural_flowers", **options):
    """Grades `submissions`, or without them a made-up class. Raises UserError for what a person can mend."""
    (source,) = sources(root, [lab])
    read_manual(Path(out) / MANUAL)  # complains before the time for grading is spent
    limits = Limits(seconds=seconds, memory=memory)
    if kid is not None and not source.name.startswith("07"):
        raise UserError("Only lab 07 hands in weights of which KID can be measured: leave --kid out.")
    quality = Quality(kid, kid_points, kid_data) if kid is not None else None
    with tempfile.TemporaryDirectory() as folder, Progress(
        TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), transient=True
    ) as progress:
        bar = progress.add_task("grading", total=None)
        submissions = submissions or write_sample_class(source, Path(folder))
        settings, results = grade_class(submissions, source, out, limits=limits, quality=quality,
                                        progress=lambda done, total: progress.update(bar, completed=done, total=total), **options)
    rows = write_gradebook(out, source.name[:2], settings, results)
    console = Console()
    console.print(_table(rows))
    for sentence in unclaimed(read_manual(Path(out) / MANUAL), [row["key"] for row in rows]):
        console.print(_text(sentence))
    console.print(f"{len(rows)} submissions. The class at a glance: {out}/summary.html. Grade book: {out}/grades.csv. "
                  f"For each student: {out}/feedback/", soft_wrap=True)


def _table(rows):
    table = Table("student", "points", *(verdict["number"] for verdict in rows[0]["verdicts"]), "look at it", box=None)
    for row in rows[:60]:
        marks = [f"[{'green' if verdict['points'] else 'red'}]{mark_of(verdict)}[/]" for verdict in row["verdicts"]]
        remark = row["problem"] or "; ".join(row["remarks"])
        table.add_row(_text(row["student"]), f"{row['points']:g} of {row['possible']:g}", *marks, _text(remark))
    return table


def _text(value):
    from rich.text import Text

    return Text(value)  # which knows no markup
