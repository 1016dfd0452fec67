"""Reads a roster of any kind, and finds out who on it has handed in which submission."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.names import key_of, spellings
from diffusion_lab.instructor.platforms import canvas, moodle
from diffusion_lab.instructor.platforms.roster import Roster, agree, person_at
from diffusion_lab.instructor.tables import read_table
from diffusion_lab.instructor.verdicts import Result

# headers of other tables, in lower case
NAMES = ("name", "student", "student name", "full name")
PARTS = (("first name", "firstname", "given name"), ("last name", "lastname", "surname"))
IDS = ("id", "sid", "student id", "id number", "number", "identifier", "username", "login")
IDS += ("github_username", "github username", "email", "email address", "e-mail")

ROUNDED = re.compile(r"\d([.,]\d*)?E\+\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Matches:
    """Who the submissions of a class belong to."""

    results: list[Result]  # with the names and IDs of the roster
    people: dict[str, list[int]]  # {key of a result: indices of lines}; several for a group
    absent: list[str]  # names of students without a submission


def read_roster(path: Path, lab: str, assignment: str | None = None) -> Roster:
    """Returns the roster in a CSV file: Canvas's, Moodle's, or a table with the students' names.

    Args:
        path: of the file.
        lab: such as "07".
        assignment: the title or ID of its assignment in Canvas, or None to look for it.

    Raises:
        UserError: if it cannot be read, has no column with names, contains no student or rounded
            IDs, or leaves open which assignment is meant.
    """
    if not path.exists():
        raise UserError(f"There is no {path}. Give the table (CSV) that your platform exports.")
    table = [cells for _, cells in read_table(path)]
    header = [cell.strip() for cell in table[0]]
    lines = [(cells + [""] * len(header))[: len(header)] for cells in table[1:]]
    roster = (
        canvas.read(header, lines, lab, assignment)
        or moodle.read(header, lines)
        or _other(path, header, lines)
    )
    if not roster.people:
        raise UserError(f"There are no students in {path}. Export it again.")
    if assignment is not None and roster.platform != "canvas":
        raise UserError("--assignment is for Canvas's grade book only: leave it out.")
    _require_exact_ids(path, roster)
    return roster


def _require_exact_ids(path: Path, roster: Roster) -> None:
    """Raises UserError if a spreadsheet has written IDs such as 23456780 as 2.35E+07."""
    people = roster.people.values()
    rounded = [text for each in people for text in (each.id, *each.also) if ROUNDED.fullmatch(text)]
    if roster.platform:  # without a platform, a table may name a student twice
        rounded += [
            text for text, count in Counter(each.id for each in people).items() if count > 1
        ]
    if rounded:
        raise UserError(
            f"{path} has IDs that a spreadsheet has rounded, such as {rounded[0]!r}. Export it"
            " again, and do not save it from a spreadsheet program."
        )


def match(results: list[Result], roster: Roster) -> Matches:
    """Finds each submission's student: by ID, or else by name.

    A submission that fits nobody or several students keeps its name. A remark says so, and also if
    a student has several submissions.
    """
    results = [
        replace(result, key=result.key or key_of(result.student, result.id)) for result in results
    ]
    by_id = _by_id(results, roster)
    fitting = {result.key: by_id.get(result.key) or _by_name(result, roster) for result in results}
    people = {key: indices for key, indices in fitting.items() if len(indices) == 1 or key in by_id}
    count = Counter(index for indices in people.values() for index in indices)
    return Matches(
        [_named(result, fitting[result.key], people, by_id, count, roster) for result in results],
        {
            key: indices
            for key, indices in people.items()
            if all(count[index] == 1 for index in indices)
        },
        [person.name or person.id for index, person in roster.people.items() if not count[index]],
    )


def _by_id(results: list[Result], roster: Roster) -> dict[str, list[int]]:
    """Returns {key of a result: indices of the lines with its IDs}.

    If most of the names disagree, the numbers are those of another platform, and count for nothing.
    """
    lines: dict[str, list[int]] = {}
    for kind in ("identifiers", "logins"):  # an exact identifier precedes the name in an address
        others: dict[str, list[int]] = {}
        for index, person in roster.people.items():
            for text in getattr(person, kind):
                others.setdefault(text, []).append(index)
        lines = others | lines
    found = {}
    for result in results:
        indices = [
            index
            for text in result.id.lower().split(", ")
            for index in _one(lines.get(text, []), result, roster)
        ]
        if indices:
            found[result.key] = [*dict.fromkeys(indices)]
    pairs = [
        (result.student, roster.people[index].name)
        for result in results
        for index in found.get(result.key, ())
        if roster.people[index].name
    ]
    wrong = sum(not agree(name, other) for name, other in pairs)
    return {} if 2 * wrong > len(pairs) else found


def _one(indices: list[int], result: Result, roster: Roster) -> list[int]:
    """Returns the line with an identifier: of several, the one whose name agrees, or none."""
    if len(indices) > 1:
        indices = [i for i in indices if agree(result.student, roster.people[i].name)]
    return indices if len(indices) == 1 else []


def _by_name(result: Result, roster: Roster) -> list[int]:
    """Returns the indices of the lines whose student may have handed in this result."""
    name = result.student
    return [
        index
        for index, person in roster.people.items()
        if name.lower() in person.identifiers | person.logins
        or spellings(name) & spellings(person.name)
    ]


def _named(
    result: Result,
    fitting: list[int],
    people: dict[str, list[int]],
    by_id: dict[str, list[int]],
    count: Counter[int],
    roster: Roster,
) -> Result:
    """Returns a result with the roster's name and ID, and a remark if there is a doubt."""
    names = [roster.people[index].name or roster.people[index].id for index in fitting]
    ids = [roster.people[index].id for index in fitting]
    if result.key not in people:
        remark = f"may be {' or '.join(names)} on the roster" if names else "not on the roster"
        return replace(result, remarks=[remark, *result.remarks])
    doubts = []
    if any(count[index] > 1 for index in fitting):
        doubts.append("another submission belongs to the same student on the roster")
    if result.key not in by_id and by_id and result.id:
        doubts.append(f"found by name only: the ID {result.id} is not on the roster")
    if result.key in by_id and names[0] and not agree(result.student, " ".join(names)):
        doubts.append(f"found by ID: the name handed in was {result.student}")
    members = len(result.id.split(", "))
    if len(fitting) < members:
        doubts.append(
            f"only {len(fitting)} of {members} members of the group are on the roster:"
            f" {result.student}"
        )
    remarks = [*doubts, *result.remarks]
    return replace(result, student=", ".join(names), id=", ".join(ids), remarks=remarks)


def _other(path: Path, header: list[str], lines: list[list[str]]) -> Roster:
    """Returns the roster in a table that is neither Canvas's nor Moodle's."""
    titles = [title.lower() for title in header]
    names = [titles.index(title) for title in NAMES if title in titles][:1]
    if not names:
        parts = [[titles.index(title) for title in part if title in titles] for part in PARTS]
        names = [columns[0] for columns in parts if columns]
    if not names:
        raise UserError(
            f"{path} is not a roster: it has none of the columns Student (Canvas), Identifier"
            " (Moodle) and Name. If Moodle speaks another language, switch it to English before you"
            " download the grading worksheet."
        )
    ids = [titles.index(title) for title in IDS if title in titles]
    people = {index: person_at(line, names, ids) for index, line in enumerate(lines)}
    people = {index: person for index, person in people.items() if person.name or person.id}
    return Roster("", header, lines, people)
