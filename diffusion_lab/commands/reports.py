"""Writes all reports of a grading, and the table in the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table
from rich.text import Text

from diffusion_lab.instructor.anonymous import hidden, without_names
from diffusion_lab.instructor.changes import CHANGES, Grades, changed_points, read_grades
from diffusion_lab.instructor.gradebook import GRADES, write_gradebook
from diffusion_lab.instructor.lateness import Policy, judge_lateness
from diffusion_lab.instructor.manual import MANUAL, read_manual, remarks_on_unclaimed
from diffusion_lab.instructor.oral import ORAL, oral_page
from diffusion_lab.instructor.pages import class_of, mark_of
from diffusion_lab.instructor.platforms.roster import Roster
from diffusion_lab.instructor.platforms.rosters import Matches, match
from diffusion_lab.instructor.platforms.uploads import (
    remarks_on_class,
    remarks_on_platform,
    write_uploads,
)
from diffusion_lab.instructor.results import Settings
from diffusion_lab.instructor.rows import Row, remarks_on_bonus
from diffusion_lab.instructor.similar import EarlierClass
from diffusion_lab.instructor.verdicts import Result
from diffusion_lab.storage import write_atomically

MOST_ROWS = 60  # of the table in the terminal
COLOURS = {"right": "green", "partly": "yellow", "wrong": "red"}


@dataclass(frozen=True)
class Reporting:
    """What the reports take into account, apart from the results."""

    policy: Policy | None = None  # about lateness
    anonymous: bool = False  # hides names until the written parts have points
    compare_with: Sequence[Path] = ()  # the grades.json of earlier classes
    # what was given on the command line, {"--late": "10%/day"}, to notice what is left out
    options: Mapping[str, str] = field(default_factory=dict)
    made_up: bool = False  # the sample class, whose rosters are from several platforms


def write_reports(
    out: Path,
    lab: str,
    settings: Settings,
    results: list[Result],
    roster: Roster | None,
    reporting: Reporting,
    earlier: Sequence[EarlierClass] = (),
) -> tuple[list[Row], list[str]]:
    """Writes all reports into the folder `out`.

    Returns:
        (the rows for the terminal, sentences for the instructor).
    """
    matches = match(results, roster) if roster else Matches(results, {}, [])
    results, late, sentences = matches.results, {}, []
    if reporting.policy:
        results, late, sentences = judge_lateness(matches, roster, reporting.policy)
    if roster:
        sentences = [
            *([] if reporting.made_up else remarks_on_platform(roster, results)),
            *remarks_on_class(roster, matches),
            *sentences,
        ]
    before = read_grades(out / GRADES)
    sentences += _forgotten(before, reporting.options)
    rows = write_gradebook(
        out,
        lab,
        settings,
        results,
        matches.absent,
        late,
        reporting.anonymous,
        earlier,
        sentences,
        reporting.options,
    )
    write_atomically(out / ORAL, oral_page(lab, rows, _mistakes(rows)))
    sentences += remarks_on_unclaimed(
        read_manual(out / MANUAL), {row.key: row.student for row in rows}
    )
    if roster:
        sentences += write_uploads(out, lab, rows, roster, matches)
    if awaited := sum(bool(row.awaited) for row in rows):
        sentences.append(
            f"{awaited} of {len(rows)} students {'has' if awaited == 1 else 'have'} no points for"
            " the written part yet; enter them in summary.html, and grade again."
        )
    if count := len(matches.absent):
        sentences.append(
            f"{count} {'student' if count == 1 else 'students'} on the roster"
            f" {'has' if count == 1 else 'have'} not handed in anything; summary.html names them."
        )
    if changed := {tuple(line[:2]) for line in changed_points(before, read_grades(out / GRADES))}:
        sentences.append(
            f"The points of {len(changed)} of {len(rows)} students have changed since the last"
            f" grading; {out}/{CHANGES} says why."
        )
    shown = rows
    if hidden(rows, reporting.anonymous):
        shown = without_names(rows, settings.seed)
    elif reporting.anonymous:
        sentences.append("Every written part has points, so the reports show names.")
    return shown, sentences + remarks_on_bonus(shown)


def _forgotten(before: Grades, options: Mapping[str, str]) -> list[str]:
    """Returns a sentence if the last grading in this folder had more options."""
    last = before.get("options", {})
    missing = [f"{name} {last[name]}".strip() for name in last if name not in options]
    if not missing:
        return []
    return [
        f"Last time you also gave {', '.join(missing)}. If you did not mean to leave that out this"
        " time, add it and grade again."
    ]


def class_table(rows: list[Row]) -> Table:
    """Returns the table of a class for the terminal."""
    table = Table(
        "student",
        "points",
        *(verdict.number for verdict in rows[0].verdicts),
        "look at it",
        box=None,
    )
    for row in rows[:MOST_ROWS]:
        marks = [f"[{COLOURS[class_of(verdict)]}]{mark_of(verdict)}[/]" for verdict in row.verdicts]
        table.add_row(
            Text(row.student), f"{row.points:g} of {row.possible:g}", *marks, Text(row.look_at)
        )
    return table


def _mistakes(rows: list[Row]) -> dict[str, list]:
    """Returns {exercise: its known mistakes} of the exercises in these rows."""
    from diffusion_lab.labs.checks import exercises  # slow to import

    names = {verdict.name for row in rows[:1] for verdict in row.verdicts}
    return {name: [*check.mistakes] for name, check in exercises().items() if name in names}
