"""Tells from the names of everything that was handed in whose each file is.

A platform is recognised by most of the names in a folder, never by a single one, which a student
may have chosen. A person's key comes from that person's folder or file alone: whoever else hands
in, it stays.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from diffusion_lab.submission.handout import FOLDER

# what platforms, browsers and Jupyter add to a name
COPY = r"(?: ?\(\d+\)|[-_]\d{1,2}|[ _-]+copy ?\d*)"
NOTEBOOK = re.compile(rf"(?P<stem>.*?)\.ipynb{COPY}*(?:\.(?:txt|json))?", re.IGNORECASE | re.DOTALL)
WEIGHTS = re.compile(
    rf"(?P<stem>.*?)(?:\.weights{COPY}*)?\.(?:h5|hdf5){COPY}*(?:\.txt)?", re.IGNORECASE | re.DOTALL
)
BYSTANDERS = re.compile(
    r"(?:readme|licen[cs]e)(?:\..*)?|.*\.(?:ya?ml|csv|ini|log|lnk)", re.IGNORECASE | re.DOTALL
)  # files that belong to nobody
CANVAS_IDS = re.compile(r"(?P<late>_late)?_(?=(?P<id>[1-9]\d*)_(?P<attempt>\d+)_)", re.IGNORECASE)
PLATFORMS = {
    name: re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for name, pattern in {
        "Canvas": (
            r"(?P<name>(?:(?!_\d+_assign(?:submission|feedback)_).)+?)(?P<late>_late)?_(?P<id>[1-9]\d*)_(?:\d+_.+|(?:text|link)\.html?)"
        ),
        "Canvas, anonymous": (
            r"(?P<name>anon(?:ymous)?)(?P<late>_late)?_(?P<id>\w{5})_(?:(?P<attempt>\d+)_.+|(?:text|link)\.html?)"
        ),
        "Moodle": r"(?P<name>.+?)_(?P<id>\d+)_assign(?:submission|(?P<feedback>feedback))_.*",
        "Gradescope": r"(?P<name>submission_(?P<id>\d+))",
        "Blackboard": r".+?_(?P<name>(?P<id>[^_]+))_attempt_(?P<attempt>[\d-]+)(?:_.*|\.txt)",
        "Brightspace": r"(?P<id>\d+)-\d+ - (?P<name>.+?) - .*",
    }.items()
}
NBGRADER = {"source", "release", "autograded", "feedback", "gradebook.db", "nbgrader_config.py"}
COLLECTIONS = set(
    [
        "submissions",
        "submitted",
        "submission",
        "export",
        "exports",
        "students",
        "repos",
        "repositories",
    ]
)
COURSE = set(
    [
        "lab",
        "labs",
        "notebook",
        "notebooks",
        "assignment",
        "assignments",
        "exercise",
        "exercises",
        "homework",
        "hw",
        "week",
        "final",
        "old",
        "new",
        "backup",
        "draft",
        "version",
        "copy",
        "v",
        "solution",
        "solutions",
        "answer",
        "answers",
        "untitled",
        "my",
        "flowers",
        "weights",
        "notes",
        "info",
        "instructions",
        "task",
        "tasks",
    ]
)
TOPICS = re.compile(
    "|".join(sorted((path.stem[3:] for path in FOLDER.glob("*.json")), key=len, reverse=True))
)

Read = Callable[[str], bytes]  # gives the content of a file by its place
Parts = tuple[str, ...]  # of a path: folders, and the file's name


@dataclass(frozen=True)
class Owner:
    """Whose a file is: name and ID as the platform knows them, and a key that no other name can
    imitate.
    """

    key: str
    name: str
    id: str = ""
    late: bool = False
    attempt: int = 0  # of two files, the one with the higher number was handed in later


def owners(places: Iterable[str], read: Read) -> dict[str, Owner]:
    """Returns {place:

    Owner}; what is nobody's is left out. `read(place)` is called for a list of names that a
    platform adds.
    """
    return _level({place: _parts(place) for place in places}, read)


def key_of(name: str, number: str) -> str:
    """Returns the key of a person in manual.csv:

    `name|ID`, with a digest behind it where the name cannot be shown as it is.
    """
    clear = shown(name)
    digest = (
        ""
        if clear == name
        else "|" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    )
    return (
        "|".join(part.replace("%", "%25").replace("|", "%7C") for part in (clear, number)) + digest
    )


def shown(name: str, longest: int = 80) -> str:
    """Returns a name without what a terminal or a page would obey: control codes, direction marks,
    halves of characters.
    """
    if re.search("[\ud800-\udfff]", name):  # a file name in the code page of another system
        name = name.encode(
            "utf-8",
            "surrogateescape" if not re.search("[\ud800-\udc7f\udd00-\udfff]", name) else "replace",
        ).decode("cp1252", "replace")
    name = "".join(letter for letter in unicodedata.normalize("NFC", name) if letter.isprintable())
    return name.strip()[:longest] or "without a name"


def copy_number(name: str) -> int:
    """Returns the number that a platform, a browser or Jupyter gave to another copy of a file; 0 if
    there is none.
    """
    numbers = re.findall(rf"({COPY})(?=\.|$)", name, re.IGNORECASE)
    return max((int(re.sub(r"\D", "", number) or 1) for number in numbers), default=0)


def original_of(name: str) -> str:
    """Returns "ada" for a name such as "ada (1)" or "ada-Copy1", and "" for one that is no copy of
    somebody's file.
    """
    original = re.sub(rf"{COPY}+$", "", name, flags=re.IGNORECASE)
    return original if original != name and _says_who(original) else ""


def _parts(place: str) -> Parts:
    return tuple(part for part in place.split("/") if part not in ("", ".", ".."))


def _stem(name: str) -> str:
    """Returns a file's name without its type: of ada.ipynb.txt and ada.weights-1.h5 it is ada."""
    match = NOTEBOOK.fullmatch(name) or WEIGHTS.fullmatch(name)
    return (match["stem"] if match else os.path.splitext(name)[0]) or name


def _says_who(name: str) -> bool:
    """True unless a name has nothing but words and numbers of the course, such as `Lab 07` or
    `07_ddim (1)`.
    """
    words = set(re.findall(r"[^\W\d_]+", TOPICS.sub(" ", name.lower())))
    return not words & COLLECTIONS and bool(words - COURSE or re.search(r"\d{5}", name))


def _level(
    parts: dict[str, Parts], read: Read, above: str = "", prefix: str = ""
) -> dict[str, Owner]:
    """Returns {place: Owner} for {place: what is left of its path below the folder `above`}."""
    groups: dict[str, dict[str, Parts]] = {}
    found: dict[str, Owner] = {}
    for place, left in parts.items():
        groups.setdefault(left[0], {})[place] = left[1:]
    if "submitted" in groups:  # in a course of nbgrader, whose other folders hold its own copies
        groups = {head: below for head, below in groups.items() if head not in NBGRADER}
    work = {
        head: lefts
        for head, below in groups.items()
        if (lefts := [left for left in below.values() if _is_work((head, *left))])
    }
    folders = {head for head, below in groups.items() if any(below.values())}
    of_folders, of_files = _recognised(folders), _recognised(groups.keys() - folders)
    names = _gradescope(parts, read)
    for head, facts in (of_folders | of_files).items():
        below = groups.pop(head)
        if not facts.get("feedback"):
            found |= dict.fromkeys(below, names.get(head) or _owner(**facts))
    sections, opened = (
        not of_folders and _are_sections(work),
        set() if of_folders else _opened(work),
    )
    titles, shorter = (
        _titled([_stem(head) for head in groups if head not in folders]),
        _without_course(folders & work.keys(), above),
    )
    for head, below in groups.items():
        if sections and head in work:
            found |= _level(below, read, head, f"{prefix}{head}/")
        elif head in opened:
            found |= _level(
                {place: left for place, left in below.items() if left}, read, head, prefix
            )
        elif head in folders:
            found |= dict.fromkeys(
                below, Owner(key_of(prefix + head, ""), shown(shorter.get(head, head)))
            )
        elif not _stands_by(head, beside=folders):
            name = titles.get(_stem(head), _stem(head))
            found |= dict.fromkeys(below, Owner(key_of(prefix + name, ""), shown(name)))
    return found


def _is_work(parts: Parts) -> bool:
    """True for a notebook or a zip, which may hold one."""
    return bool(NOTEBOOK.fullmatch(parts[-1])) or parts[-1].lower().endswith(".zip")


def _stands_by(name: str, beside: Collection[str]) -> bool:
    """True for a file that is nobody's; `beside` are the folders next to it."""
    text = name.lower().endswith((".txt", ".md")) or beside and not _is_work((name,))
    return bool(BYSTANDERS.fullmatch(name) or text and not _says_who(_stem(name)))


def _people(lefts: list[Parts]) -> set[str]:
    """Returns the names of people below a folder: of folders, or of the files of a class."""
    people = {name for left in lefts if (name := next(filter(_says_who, left[:-1]), None))}
    files = {_stem(left[0]) if len(left) == 1 else "" for left in lefts}
    return (
        people
        | (files if len(files) > 2 and all(map(_says_who, files)) else set())
        | _recognised({left[0] for left in lefts}).keys()
    )


def _opened(work: dict[str, list[Parts]]) -> set[str]:
    """Returns the folders that are not one person's: the name is further down the path."""
    people = {head: _people(lefts) for head, lefts in work.items() if all(lefts)}
    if len(work) == 1:
        return {head for head in people if people[head] or not _says_who(head)}
    unnamed = {head for head in people if not _says_who(head)}
    crowded = any(len(people[head]) > 1 for head in unnamed)
    return {
        head
        for head in unnamed
        if len(people[head]) > 1 or crowded and people[head] and not re.fullmatch(r"[\W\d_]+", head)
    }


def _are_sections(work: dict[str, list[Parts]]) -> bool:
    """True if every folder holds several persons' folders, such as `Group A/Ada/07.ipynb`, and no
    name occurs twice.
    """
    inner = [{left[0] if len(left) > 1 else "" for left in lefts} for lefts in work.values()]
    names = [name for below in inner for name in below]
    return (
        len(inner) > 1
        and all(len(below) > 1 for below in inner)
        and len(set(names)) == len(names)
        and all(map(_says_who, names))
    )


def _recognised(heads: Collection[str]) -> dict[str, dict[str, Any]]:
    """Returns {name: facts} of the platform that most of the names come from; {} if most come from
    none.
    """
    matches = [
        {head: match.groupdict() for head in heads if (match := pattern.fullmatch(head))}
        for pattern in PLATFORMS.values()
    ]
    most = max(matches, key=len)
    persons = {(facts["name"], facts["id"]) for facts in most.values()}
    others = [head for head in set(heads).difference(*matches) if not BYSTANDERS.fullmatch(head)]
    if len(most) < max(len(others), min(2, len(others) + 1)) or len(
        {number for _, number in persons}
    ) < len({name for name, _ in persons}):
        return {}
    return _split_rightly(most) if most is matches[0] else most


def _split_rightly(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns the facts of Canvas's names; where more numbers follow each other, the ID is as long
    as most people's.
    """
    pairs = {head: list(CANVAS_IDS.finditer(head)) for head in found}
    usual = Counter(_lengths(several[0]) for several in pairs.values() if len(several) == 1)
    for head, several in pairs.items():
        if several:
            match = max(several, key=lambda pair: usual[_lengths(pair)])
            found[head] |= match.groupdict() | {"name": head[: match.start()]}
    return found


def _lengths(match: re.Match[str]) -> tuple[int, int]:
    return len(match["id"]), len(match["attempt"])


def _owner(
    name: str,
    id: str,
    late: str | None = None,
    attempt: str | None = None,
    feedback: str | None = None,
) -> Owner:
    return Owner(
        key_of(name, id), shown(name), id, bool(late), int(re.sub(r"\D", "", attempt or "0"))
    )


def _gradescope(parts: dict[str, Parts], read: Read) -> dict[str, Owner]:
    """Returns {folder:

    Owner} from Gradescope's list of who handed in what, if there is one; groups share a row.
    """
    found = {}
    for place in [place for place, left in parts.items() if left == ("submission_metadata.yml",)]:
        try:
            listed = yaml.load(
                read(place), Loader=yaml.BaseLoader
            )  # which knows text and lists, and no tags of Ruby
            for folder, facts in listed.items():
                people = [
                    {key.lstrip(":"): value for key, value in person.items()}
                    for person in facts[":submitters"]
                ]
                name = ", ".join(person["name"] for person in people)
                number = ", ".join(
                    person["sid"] for person in people if person.get("sid")
                ) or folder.removeprefix("submission_")
                found[folder] = Owner(key_of(name, number), shown(name), shown(number))
        except Exception:  # a list that is not as we know it: numbers instead of names are no loss
            continue
    twice = Counter(owner.key for owner in found.values())
    return {folder: owner for folder, owner in found.items() if twice[owner.key] == 1}


def _titled(stems: list[str]) -> dict[str, str]:
    """Returns {stem: name} where most are called as Google Classroom does it, `Ada - 07_ddim`, or
    the other way round.
    """
    pairs = {stem: (stem.split(" - ")[0], stem.split(" - ")[-1]) for stem in stems if " - " in stem}
    if 2 * len(pairs) <= len(stems):
        return {}
    first, last = map(set, zip(*pairs.values()))
    side = (
        -1
        if not any(map(_says_who, first))
        or len(first) == 1 < len(last)
        and all(map(_says_who, last))
        else 0
    )
    return {stem: pair[side] for stem, pair in pairs.items()}


def _without_course(heads: set[str], above: str) -> dict[str, str]:
    """Returns {folder: name} where every folder begins alike, as clones of GitHub do:

    `lab07-ada` is ada.
    """
    begins = (
        {above.lower().removesuffix("-submissions") + "-"}
        if above.lower().endswith("-submissions")
        else {
            next(
                (
                    head[:end]
                    for end in range(len(head), 0, -1)
                    if head[end - 1] == "-" and not _says_who(head[:end])
                ),
                "",
            )
            for head in heads
        }
    )
    begin = begins.pop() if len(begins) == 1 else ""
    return {
        head: head[len(begin) :]
        for head in heads
        if begin and head.lower().startswith(begin.lower()) and len(head) > len(begin)
    }
