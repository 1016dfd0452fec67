"""Moodle: reads the grading worksheet of an assignment, and writes grades and feedback for it.

The formats are those of Moodle's own `assign/feedback/offline/importgradeslib.php` and
`assign/feedback/file/importziplib.php` (github.com/moodle/moodle).
"""

import re
from collections.abc import Sequence

from diffusion_lab.instructor.pages import in_html
from diffusion_lab.instructor.platforms.roster import Person, Roster, Upload, person_at
from diffusion_lab.instructor.rows import Row
from diffusion_lab.instructor.tables import number, table

REQUIRED = ("Identifier", "Grade", "Last modified (grade)")  # or Moodle refuses the worksheet
IDS = ("Identifier", "ID number", "Username", "Email address")
NAME, GRADE, POSSIBLE, COMMENTS = "Full name", "Grade", "Maximum grade", "Feedback comments"
TIME = "Last modified (submission)"


def read(header: list[str], lines: list[list[str]]) -> Roster | None:
    """Returns the roster in a grading worksheet, or None for any other table."""
    columns = _columns(header)
    if not set(_columns(REQUIRED)) <= set(columns):
        return None
    names = [columns[title.lower()] for title in (NAME,) if title.lower() in columns]
    ids = [columns[title.lower()] for title in IDS if title.lower() in columns]
    people = {}
    for index, line in enumerate(lines):
        if number := re.search(r"\d+$", line[ids[0]].strip()):  # such as `Participant 123456`
            person = person_at(line, names, ids[1:])
            also = person.also | {person.id}
            people[index] = Person(person.name, number[0], also)
    out_of, time = columns.get(POSSIBLE.lower()), columns.get(TIME.lower())
    possible = "" if out_of is None else next((lines[index][out_of] for index in people), "")
    times = {} if time is None else {index: lines[index][time] for index in people}
    return Roster("moodle", header, lines, people, columns[GRADE.lower()], possible, times)


def grades(roster: Roster, upload: Upload) -> str:
    """Returns the CSV file for *Upload grading worksheet*.

    All columns stay as exported, except the grade, and the feedback comments if they are empty or
    from an earlier upload. Moodle has no grades below 0 or above the maximum.
    """
    comments = _columns(roster.header).get(COMMENTS.lower())
    lines = []
    for index, points in upload.points.items():
        accepted = min(max(points, 0), upload.possible)  # Moodle skips all other grades
        line = list(roster.lines[index])
        if roster.grade is not None:
            line[roster.grade] = number(accepted)
        if comments is not None:
            comment = _comment(upload.rows[index])
            if not line[comments].strip() or _is_ours(line[comments], comment):
                line[comments] = comment
        lines.append(line)
    return table([roster.header, *lines])


def feedback(person: Person, row: Row, page: bytes) -> tuple[str, bytes]:
    """Returns (name, content) of the file that *Upload multiple feedback files in a zip* gives to a
    student.

    Moodle takes what is between the first two underscores for the number of the participant.
    """
    name = re.sub(r"[_/\\]", " ", person.name).strip() or "Participant"
    return f"{name}_{person.id}_assignsubmission_file/feedback.html", page


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Returns {title in lower case: its first column}, because versions of Moodle write "Maximum
    Grade" and "Maximum grade".
    """
    return {title.lower(): column for column, title in reversed([*enumerate(header)])}


def _is_ours(comment: str, new: str) -> bool:
    """True for a comment from an earlier upload: it begins with the name of the same exercise."""
    beginning = new.partition(":")[0]
    return comment.startswith("<ul>") and comment.startswith(beginning)


def _comment(row: Row) -> str:
    """Returns a student's feedback as a list in HTML."""
    items = [
        f"{verdict.number} {verdict.name}: {verdict.points:g} of {verdict.possible:g}."
        f" {row.feedback_on(verdict)}".rstrip()
        for verdict in row.verdicts
    ]
    items += [text for text in (row.problem, row.awaited, row.given, row.late, row.comment) if text]
    return "<ul>" + "".join(f"<li>{in_html(item)}</li>" for item in items) + "</ul>"
