"""Tables of students and times: extensions, and when students handed in."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.names import did_you_mean, spellings
from diffusion_lab.instructor.platforms.roster import Roster
from diffusion_lab.instructor.platforms.rosters import IDS, NAMES, Matches
from diffusion_lab.instructor.tables import read_table
from diffusion_lab.instructor.times import read_deadline, read_time

DUE_TITLES = ("due", "new due", "due time", "new due time", "until")
TIME_TITLES = ("time", "handed in", "submitted", "submission time", "last modified (submission)")


@dataclass(frozen=True)
class Entry:
    """A line of a table with times."""

    where: str  # the file and the line, for messages
    ids: list[str]
    names: list[str]
    time: datetime


def read_entries(path: Path, titles: tuple[str, ...], zone: tzinfo | None = None) -> list[Entry]:
    """Returns the lines of a table with students and times. Without a zone, times are in `zone`.

    Raises:
        UserError: if it has no such columns, a cell is not a time, or two lines name one student.
    """
    if not path.is_file():
        raise UserError(f"There is no {path}. Give a table (CSV) with students and times.")
    lines = read_table(path)
    header = [cell.strip().lower() for cell in lines[0][1]]
    columns = [header.index(title) for title in titles if title in header]
    if not columns or not {*NAMES, *IDS} & set(header):
        raise UserError(f"{path} must begin with a line such as student,id,{titles[0]}.")
    found = []
    for number, cells in lines[1:]:
        line = dict(zip(header, map(str.strip, cells)))
        text = line.get(header[columns[0]], "")
        ids, names = ([line[name] for name in some if line.get(name)] for some in (IDS, NAMES))
        if not text or text == "-":
            continue
        time = read_deadline(text, zone) if titles is DUE_TITLES else read_time(text, zone)
        if time is None:
            raise UserError(
                f"{path}, line {number}: {text!r} is not a time. Write it as 2026-11-30T23:59."
            )
        for other in found:
            if (ids, names) == (other.ids, other.names):
                raise UserError(
                    f"{path}, line {number}: there is another line for {' '.join(names + ids)!r}."
                    " Keep one of them."
                )
        found.append(Entry(f"{path}, line {number}", ids, names, time))
    return found


def times_of_students(
    entries: Iterable[Entry], matches: Matches, roster: Roster | None, sentences: list[str]
) -> dict[str, datetime]:
    """Returns {key of a result: time}, and adds a sentence for each entry that fits nobody.

    If the members of a group have different times, the latest counts.
    """
    found: dict[str, datetime] = {}
    for entry in entries:
        who = " ".join(entry.names + entry.ids)
        keys, by_id = _fitting(entry, matches, roster)
        if len(keys) > 1 and not by_id:
            raise UserError(f"{entry.where}: {who!r} fits several students. Give an ID as well.")
        if not keys and not _on_roster(entry, roster):
            question = _question(entry, matches, roster)
            sentences.append(f"{entry.where}: {who!r} is not in this grading. {question}".strip())
        for key in keys:
            found[key] = max(entry.time, found.get(key, entry.time))
    return found


def _fitting(entry: Entry, matches: Matches, roster: Roster | None) -> tuple[list[str], bool]:
    """Returns (keys of the results that an entry fits, True if by ID, False if by name)."""
    by_id, by_name = [], []
    for result in matches.results:
        indices = matches.people.get(result.key, ())
        people = [roster.people[index] for index in indices] if roster else []
        ids = {*result.id.lower().split(", "), result.key.lower()} - {""}
        ids |= {text for person in people for text in person.identifiers | person.logins}
        names = [result.student, *result.student.split(", "), *(person.name for person in people)]
        if {text.lower() for text in entry.ids} & ids:
            by_id.append(result.key)
        if _has_name(entry, ids, names):
            by_name.append(result.key)
    return by_id or by_name, bool(by_id)


def _has_name(entry: Entry, ids: set[str], names: Iterable[str]) -> bool:
    """True if a name in an entry is among the names or IDs of a student."""
    return any(
        text.lower() in {*ids, name.lower()} or spellings(text) & spellings(name)
        for text in entry.names
        for name in names
    )


def _on_roster(entry: Entry, roster: Roster | None) -> bool:
    """True if an entry is about a student on the roster, who may have handed in nothing."""
    wanted = {text.lower() for text in entry.ids}
    return any(
        wanted & (ids := person.identifiers | person.logins) or _has_name(entry, ids, [person.name])
        for person in (roster.people.values() if roster else ())
    )


def _question(entry: Entry, matches: Matches, roster: Roster | None) -> str:
    """Returns a question about whom an entry may mean, or ""."""
    people = list(roster.people.values()) if roster else []
    names = [*(result.student for result in matches.results), *(person.name for person in people)]
    ids = [*(result.id for result in matches.results), *(person.id for person in people)]
    return did_you_mean(" ".join(entry.names), names) or did_you_mean(" ".join(entry.ids), ids)
