"""Writes the reports of a grading: the grade book, a feedback page for each student, and a summary.

Text from a submission may be hostile: see `presentable`, `pages` and `manual` for what makes it
safe.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.anonymous import hidden, without_names
from diffusion_lab.instructor.changes import read_grades, write_changes
from diffusion_lab.instructor.manual import (
    MANUAL,
    NONE,
    ByHand,
    read_manual,
    remarks_on_unclaimed,
    write_manual,
)
from diffusion_lab.instructor.names import alphabetical, key_of, may_mean
from diffusion_lab.instructor.pages import feedback_page, summary_page
from diffusion_lab.instructor.results import Settings
from diffusion_lab.instructor.rows import Late, Row, remarks_on_bonus, row_of
from diffusion_lab.instructor.similar import (
    EarlierClass,
    fingerprints,
    with_remarks_on_earlier,
)
from diffusion_lab.instructor.tables import escape_formula, table
from diffusion_lab.instructor.verdicts import Result
from diffusion_lab.storage import write_atomically

GRADES = "grades.json"
NOT_IN_JSON = ("picture", "share", "weights")  # fields of a row


def write_gradebook(
    out: str | Path,
    lab: str,
    settings: Settings,
    results: list[Result],
    absent: Sequence[str] = (),
    late: Mapping[str, Late] | None = None,
    anonymous: bool = False,
    earlier: Sequence[EarlierClass] = (),
    warnings: Sequence[str] = (),
    options: Mapping[str, str] = NONE,
) -> list[Row]:
    """Writes all reports, and keeps the points that a person entered in manual.csv.

    Args:
        out: the folder for the reports.
        lab: such as "07".
        settings: of the grading.
        results: as `grade_class` returns them.
        absent: names of students on the roster who have handed in nothing.
        late: {key of a result: what it loses because it was late}.
        anonymous: True shows numbers instead of names in the summary, until every written part has
            points.
        earlier: classes to compare with.
        warnings: sentences about the whole class, for the summary.
        options: of the command line, for the next grading in this folder.

    Returns:
        The rows of the grade book, in the order of the names.
    """
    out = Path(out)
    manual = read_manual(out / MANUAL)
    results = [
        replace(result, key=result.key or key_of(result.student, result.id))
        for result in sorted(results, key=lambda result: alphabetical(result.student))
    ]
    by_hand, unclaimed = _by_student(manual, results)
    numbers = [verdict.number for verdict in results[0].verdicts] if results else []
    _require_exercises(by_hand, numbers)
    rows = _write_feedback(out / "feedback", lab, results, by_hand, late or {})
    rows = with_remarks_on_earlier(rows, lab, earlier)
    write_manual(out / MANUAL, by_hand, unclaimed, numbers)
    # the byte order mark tells Excel the encoding
    write_atomically(out / "grades.csv", _table(lab, rows).encode("utf-8-sig"))
    facts = {
        "lab": lab,
        "seed": settings.seed,
        "sandbox": settings.box,
        "limits": asdict(settings.limits),
        "source": hashlib.sha256(settings.source.encode()).hexdigest(),  # of the lab
        "code": settings.code,
        "time": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "absent": list(absent),
        "options": dict(options),
    }
    students = [
        {name: value for name, value in asdict(row).items() if name not in NOT_IN_JSON}
        | fingerprints(row, lab, settings.seed)
        for row in rows
    ]
    grades = facts | {"students": students}
    shown = without_names(rows, settings.seed) if hidden(rows, anonymous) else rows
    warnings = [
        *warnings,
        *remarks_on_bonus(shown),
        *remarks_on_unclaimed(unclaimed, {row.key: row.student for row in rows}),
    ]
    write_atomically(
        out / "summary.html", summary_page(facts | {"warnings": warnings}, shown, unclaimed)
    )
    # last, because a regrading compares its points with those of the last complete grading
    write_changes(out, read_grades(out / GRADES), grades)
    write_atomically(out / GRADES, json.dumps(grades, indent=1).encode())
    return rows


def _by_student(
    manual: dict[str, ByHand], results: list[Result]
) -> tuple[dict[str, ByHand], dict[str, ByHand]]:
    """Returns ({key of a student: entry}, {key: entry} of the entries for nobody in this grading).

    Any spelling of the name is enough, with or without the ID, if only one student fits.
    """
    by_hand = {result.key: manual.get(result.key, ByHand()) for result in results}
    unclaimed = {key: entry for key, entry in manual.items() if key not in by_hand}
    for text, entry in list(unclaimed.items()):
        keys = [each.key for each in results if may_mean(text, each.student, each.id)]
        if len(keys) == 1 and not any(by_hand[keys[0]]):
            by_hand[keys[0]] = unclaimed.pop(text)
        elif keys and entry.hold:
            raise UserError(
                f"{MANUAL} puts {text!r} on hold, but it is not clear who that is. Enter the hold"
                " in the line with the student's ID, and grade again."
            )
    return by_hand, unclaimed


def _require_exercises(by_hand: dict[str, ByHand], numbers: list[str]) -> None:
    """Raises UserError if a person gave points for an exercise that the lab does not have."""
    for key, entry in by_hand.items():
        for number in set(entry.exercises) - set(numbers):
            raise UserError(
                f"{MANUAL} has points for {key!r} in {number}, but this grading has only"
                f" {', '.join(numbers)}. Correct the column, and grade again."
            )


def _write_feedback(
    folder: Path,
    lab: str,
    results: list[Result],
    by_hand: dict[str, ByHand],
    late: Mapping[str, Late],
) -> list[Row]:
    """Writes the feedback pages, and returns the rows of the grade book."""
    shown = [
        _row_and_page(lab, result, by_hand[result.key], late.get(result.key, Late()))
        for result in results
    ]
    for row, page in shown:
        write_atomically(folder / row.page, page)
    for outdated in set(folder.glob("*.html")) - {folder / row.page for row, _ in shown}:
        outdated.unlink()  # or it would be sent out with the others
    return [row for row, _ in shown]


def _row_and_page(lab: str, result: Result, by_hand: ByHand, late: Late) -> tuple[Row, bytes]:
    """Returns a result's row and feedback page.

    If they cannot be made, the result keeps its points, and a sentence replaces the submission.
    """
    try:
        row = row_of(result, by_hand, late)
        return row, feedback_page(lab, row)
    except Exception as error:
        sentence = f"It could not be shown ({type(error).__name__}). A person must look at it."
        bare = replace(result, answers={}, texts={}, picture=None, remarks=[], problem=sentence)
        if result == bare:
            raise
        return _row_and_page(lab, bare, by_hand, late)


def _table(lab: str, rows: list[Row]) -> str:
    """Returns the grade book as CSV. `platforms.uploads` writes what platforms import."""
    exercises = [f"{verdict.number} {verdict.name}" for verdict in rows[0].verdicts] if rows else []
    before, after = ("Student", "ID", f"Lab {lab}", "of"), ("manual", "late", "file", "feedback")
    lines = [
        [
            row.student,
            row.id,
            f"{row.points:g}",
            f"{row.possible:g}",
            *(f"{verdict.points:g}" for verdict in row.verdicts),
            row.manual,
            f"{-row.deduction:g}" if row.deduction else "",
            row.place,
            f"feedback/{row.page}",
            row.look_at,
        ]
        for row in rows
    ]
    header = [*before, *exercises, *after, "look at it"]
    return table([header, *(map(escape_formula, line) for line in lines)])
