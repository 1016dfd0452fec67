"""Says whose points a regrading has changed, in which exercise, and why."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from diffusion_lab.instructor.tables import escape_formula, table
from diffusion_lab.storage import write_atomically

CHANGES = "changes.csv"
HEADER = (
    *("Student", "ID", "exercise", "before", "after", "why", "total before", "total after"),
    *("verdict before", "verdict after"),
)

Grades = dict[str, Any]  # the content of grades.json
# exercise, points before and after, reason, and the verdicts before and after, if there are any
Change = tuple[str, float | None, float | None, str, list[str]]


def read_grades(path: Path) -> Grades:
    """Returns the content of a grades.json, or {} if there is none that can be read."""
    try:
        grades = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return grades if isinstance(grades, dict) else {}


def changed_points(before: Grades, after: Grades) -> list[list[object]]:
    """Returns a line for each student and exercise whose points differ, as in `HEADER`.

    Students who are in only one of the two gradings are left out. If `before` was written by a
    version of the package that is too old to compare with, there are no lines.
    """
    try:
        return _lines(before, after)
    except (KeyError, TypeError, ValueError):
        return []


def _lines(before: Grades, after: Grades) -> list[list[object]]:
    old = {student["key"]: student for student in before.get("students", ())}
    lab = before.get("source", after["source"]) != after["source"]
    code = before.get("code") != after["code"]
    return [
        [new["student"], new["id"], exercise, *map(_cell, points), why]
        + [_cell(old[new["key"]]["points"]), _cell(new["points"]), *sentences]
        for new in after["students"]
        if new["key"] in old
        for exercise, *points, why, sentences in _changes(old[new["key"]], new, lab, code)
    ]


def write_changes(out: Path, before: Grades, after: Grades) -> None:
    """Writes changes.csv if any points differ, or else removes it."""
    lines = changed_points(before, after)
    if not lines:
        (out / CHANGES).unlink(missing_ok=True)
        return
    text = table([HEADER, *(map(escape_formula, line) for line in lines)])
    write_atomically(out / CHANGES, text.encode("utf-8-sig"))


def _changes(old: Grades, new: Grades, lab: bool, code: bool) -> Iterable[Change]:
    """Yields what has changed for a student.

    `lab` and `code` are True if the lab or the code of the grader has changed.
    """
    exercises = {verdict["number"]: {} for verdict in [*old["verdicts"], *new["verdicts"]]}
    for student in (old, new):
        for verdict in student["verdicts"]:
            exercises[verdict["number"]] |= {student is new: verdict}
    again = old["digest"] != new["digest"]
    for number, verdicts in exercises.items():
        name = f"{number} {next(iter(verdicts.values()))['name']}"
        points = [verdicts[new]["points"] if new in verdicts else None for new in (False, True)]
        if points[0] == points[1]:
            continue
        by_hand = [student.get("overrides", {}).get(number) for student in (old, new)]
        if by_hand[0] != by_hand[1]:
            why = "points by hand"
        elif len(verdicts) < 2 or lab and not again:
            why = "lab changed" if lab else "other options"
        elif again:
            why = "new submission"
        else:
            why = "check or grader changed" if code and not old["failed"] else "graded again"
        sentences = [verdicts.get(new, {}).get("sentence", "") for new in (False, True)]
        yield name, points[0], points[1], why, sentences
    by_hand = [float(student["manual"] or 0) for student in (old, new)]
    if by_hand[0] != by_hand[1]:
        yield "manual", by_hand[0], by_hand[1], "points by hand", ["", ""]
    lost = [-student.get("deduction", 0) for student in (old, new)]
    if lost[0] != lost[1]:
        rules = [student.get("late", "").split(" (")[0] for student in (old, new)]
        if again or old.get("handed_in") != new["handed_in"]:
            why = "new submission"
        else:
            why = "late policy" if rules[0] != rules[1] else "follows from the other points"
        yield "late", lost[0], lost[1], why, ["", ""]


def _cell(points: float | None) -> str:
    return "" if points is None else f"{points + 0:g}"
