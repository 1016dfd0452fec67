"""Finds out which student each of the submitted files belongs to, from their paths alone.

A student's key depends only on that student's own folder or file, so it stays the same when other
students hand in.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from diffusion_lab.instructor.archives import CannotRead
from diffusion_lab.instructor.names import (
    Owner,
    belongs_to_nobody,
    key_of,
    may_hold_answers,
    names_a_student,
    printable,
    stem,
)
from diffusion_lab.instructor.naming_schemes import (
    NBGRADER,
    github_names,
    google_classroom_names,
    gradescope_owners,
    owner_of,
    recognise,
)

TIMESTAMP = "timestamp.txt"  # nbgrader's, next to what a student handed in
METADATA = "submission_metadata.yml"  # Gradescope's list of who handed in what

Read = Callable[[str], bytes]  # returns the content of the file at this place
Parts = tuple[str, ...]  # of a path: folders, and the file's name


def find_owners(places: Iterable[str], read: Read) -> dict[str, Owner]:
    """Returns {place: Owner}. Files that belong to no student are left out.

    Args:
        places: the paths of all files within the folder or the zip, with slashes.
        read: `read(place)` returns the content of a list of names that a platform has added.
    """
    return _owners({place: _parts(place) for place in places}, read)


def with_nbgraders_times(owners: dict[str, Owner], read: Read) -> dict[str, Owner]:
    """Returns the owners with the times of handing in that nbgrader has written.

    They count only if most students have one, because a student may hand in such a file, too.
    """
    places = [place for place in owners if place.split("/")[-1] == TIMESTAMP]
    stamped = {owners[place].key for place in places}
    if 2 * len(stamped) <= len({owner.key for owner in owners.values()}):
        return owners
    times: dict[str, str] = {}
    for place in sorted(places, key=lambda place: place.count("/")):
        folder = place.rpartition("/")[0]
        if _time_above(folder, times):
            continue  # a student has handed it in
        with suppress(CannotRead):
            text = printable(read(place)[:100].decode("utf-8", "replace"))
            # nbgrader writes UTC, unless it says otherwise
            times[folder] = text + " UTC" * bool(re.fullmatch(r"[\d :.-]*", text))
    return {
        place: replace(owner, handed_in=_time_above(place, times) or owner.handed_in)
        for place, owner in owners.items()
    }


def _time_above(place: str, times: dict[str, str]) -> str:
    """Returns the time of the topmost of the folders above a file that has one, or ""."""
    parts = place.split("/")
    folders = ("/".join(parts[:count]) for count in range(len(parts) + 1))
    return next((times[folder] for folder in folders if folder in times), "")


def _parts(place: str) -> Parts:
    return tuple(part for part in place.split("/") if part not in ("", ".", ".."))


def _owners(
    places: dict[str, Parts], read: Read, parent: str = "", prefix: str = ""
) -> dict[str, Owner]:
    """Returns {place: Owner} for {place: the parts of its path below the folder `parent`}.

    A folder is a student's, or a section or another folder with students in it.
    """
    groups = _by_first_part(places)
    folders = {head for head, below in groups.items() if any(below.values())}
    work = {
        head: rests
        for head, below in groups.items()
        if (rests := [rest for rest in below.values() if may_hold_answers((head, *rest)[-1])])
    }
    of_folders = recognise(folders)
    recognised = of_folders | recognise(groups.keys() - folders)
    listed = _listed_by_gradescope(places, read)
    found: dict[str, Owner] = {}
    for head, facts in recognised.items():
        if not facts.get("feedback"):
            found |= dict.fromkeys(groups[head], listed.get(head) or owner_of(facts))
    others = {head: below for head, below in groups.items() if head not in recognised}
    sections = not of_folders and _are_sections(work)
    shared = set() if of_folders else _shared_folders(work)
    of_clones = github_names(folders & work.keys(), parent)
    of_files = google_classroom_names([stem(head) for head in others if head not in folders])
    for head, below in others.items():
        if sections and head in work:
            found |= _owners(below, read, head, f"{prefix}{head}/")
        elif head in shared:
            found |= _owners(
                {place: rest for place, rest in below.items() if rest}, read, head, prefix
            )
        elif head in folders:
            student = Owner(key_of(prefix + head, ""), printable(of_clones.get(head, head)))
            found |= dict.fromkeys(below, student)
        elif not belongs_to_nobody(head, next_to_folders=bool(folders)):
            name = of_files.get(stem(head), stem(head))
            found |= dict.fromkeys(below, Owner(key_of(prefix + name, ""), printable(name)))
    return found


def _by_first_part(places: dict[str, Parts]) -> dict[str, dict[str, Parts]]:
    """Returns {first part: {place: the other parts}}."""
    groups: dict[str, dict[str, Parts]] = {}
    for place, parts in places.items():
        groups.setdefault(parts[0], {})[place] = parts[1:]
    if "submitted" in groups:  # a course of nbgrader, which keeps copies in its other folders
        return {head: below for head, below in groups.items() if head not in NBGRADER}
    return groups


def _listed_by_gradescope(places: dict[str, Parts], read: Read) -> dict[str, Owner]:
    listed: dict[str, Owner] = {}
    for place in [place for place, rest in places.items() if rest == (METADATA,)]:
        with suppress(CannotRead):
            listed |= gradescope_owners(read(place))
    return listed


def _shared_folders(work: dict[str, list[Parts]]) -> set[str]:
    """Returns the folders that are not one student's: the students' names are further down the
    path.
    """
    students = {head: _students(rests) for head, rests in work.items() if all(rests)}
    if len(work) == 1:
        return {head for head in students if students[head] or not names_a_student(head)}
    unnamed = {head for head in students if not names_a_student(head)}
    several = any(len(students[head]) > 1 for head in unnamed)
    return {
        head
        for head in unnamed
        if len(students[head]) > 1
        or several
        and students[head]
        and not re.fullmatch(r"[\W\d_]+", head)
    }


def _students(rests: list[Parts]) -> set[str]:
    """Returns the names of students below a folder: those of folders, and those of files if there
    are more than two files and each names a student.
    """
    folders = {name for rest in rests if (name := next(filter(names_a_student, rest[:-1]), None))}
    files = {stem(rest[0]) if len(rest) == 1 else "" for rest in rests}
    if len(files) <= 2 or not all(map(names_a_student, files)):
        files = set()
    return folders | files | recognise({rest[0] for rest in rests}).keys()


def _are_sections(work: dict[str, list[Parts]]) -> bool:
    """True if each folder contains the folders of several students, as in `Group A/Ada/07.ipynb`,
    and no student occurs twice.
    """
    inner = [{rest[0] if len(rest) > 1 else "" for rest in rests} for rests in work.values()]
    names = [name for below in inner for name in below]
    return (
        len(inner) > 1
        and all(len(below) > 1 for below in inner)
        and len(set(names)) == len(names)
        and all(map(names_a_student, names))
    )
