"""The naming schemes of the platforms that students hand in on.

A platform is recognised by most of the names in a folder, never by a single name, because a student
may have chosen that one.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import yaml

from diffusion_lab.instructor.names import (
    NOT_A_SUBMISSION,
    Owner,
    key_of,
    names_a_student,
    printable,
)

CANVAS_IDS = re.compile(r"(?P<late>_late)?_(?=(?P<id>[1-9]\d*)_(?P<attempt>\d+)_)", re.IGNORECASE)
# The groups of a pattern are `name` and `id`, and if the platform has them `late`, `attempt`,
# `handed_in` and `feedback`. Canvas is the first; add others at the end.
PLATFORMS = {
    name: re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for name, pattern in {
        "Canvas": (
            r"(?P<name>(?:(?!_\d+_assign(?:submission|feedback)_).)+?)(?P<late>_late)?"
            r"_(?P<id>[1-9]\d*)_(?:\d+_.+|(?:text|link)\.html?)"
        ),
        "Canvas, anonymous": (
            r"(?P<name>anon(?:ymous)?)(?P<late>_late)?"
            r"_(?P<id>\w{5})_(?:(?P<attempt>\d+)_.+|(?:text|link)\.html?)"
        ),
        "Moodle": r"(?P<name>.+?)_(?P<id>\d+)_assign(?:submission|(?P<feedback>feedback))_.*",
        "Gradescope": r"(?P<name>submission_(?P<id>\d+))",
        "Blackboard": r".+?_(?P<name>(?P<id>[^_]+))_attempt_(?P<attempt>[\d-]+)(?:_.*|\.txt)",
        "Brightspace": r"(?P<id>\d+)-\d+ - (?P<name>.+?) - (?P<handed_in>.*?)(?: - .*)?",
    }.items()
}
NBGRADER = {"source", "release", "autograded", "feedback", "gradebook.db", "nbgrader_config.py"}

Facts = dict[str, Any]  # the groups of a pattern of PLATFORMS


def recognise(names: Collection[str]) -> dict[str, Facts]:
    """Returns {name: facts} of the platform that most of the names come from, or {} if most come
    from none.
    """
    matches = [
        {name: match.groupdict() for name in names if (match := pattern.fullmatch(name))}
        for pattern in PLATFORMS.values()
    ]
    most = max(matches, key=len)
    others = [
        name for name in set(names).difference(*matches) if not NOT_A_SUBMISSION.fullmatch(name)
    ]
    if len(most) < max(len(others), min(2, len(others) + 1)):
        return {}
    persons = {(facts["name"], facts["id"]) for facts in most.values()}
    if len({number for _, number in persons}) < len({name for name, _ in persons}):
        return {}  # students share a number: it is a date or a lab, not an ID
    return _canvas_facts(most) if most is matches[0] else most


def platform_of(places: Iterable[str]) -> str:
    """Returns the platform that most of the paths of submissions come from, or ""."""
    paths = [place.split("/") for place in places]
    count = Counter(
        platform
        for parts in paths
        for platform, pattern in PLATFORMS.items()
        if any(map(pattern.fullmatch, parts))
    )
    platform, most = max(count.items(), key=lambda pair: pair[1], default=("", 0))
    return platform.split(",")[0] if 2 * most > len(paths) else ""


def owner_of(facts: Facts) -> Owner:
    """Returns the student whom a platform's name describes."""
    attempt = int(re.sub(r"\D", "", facts.get("attempt") or "0"))
    return Owner(
        key_of(facts["name"], facts["id"]),
        printable(facts["name"]),
        facts["id"],
        bool(facts.get("late")),
        attempt,
        printable(facts.get("handed_in") or facts.get("attempt") or "", 40),
    )


def gradescope_owners(metadata: bytes) -> dict[str, Owner]:
    """Returns {folder: Owner} from the content of Gradescope's submission_metadata.yml.

    The members of a group share one Owner. The folders of two owners with equal names and IDs are
    left out. A file in another format gives {}: then students keep their submission numbers.
    """
    found = {}
    try:
        # BaseLoader reads text and lists only, and ignores the tags of Ruby
        for folder, facts in yaml.load(metadata, Loader=yaml.BaseLoader).items():
            people = [
                {key.lstrip(":"): value for key, value in person.items()}
                for person in facts[":submitters"]
            ]
            name = ", ".join(person["name"] for person in people)
            number = folder.removeprefix("submission_")
            if any(person.get("sid") or person.get("email") for person in people):
                number = ", ".join(
                    person.get("sid") or person.get("email") or "?" for person in people
                )
            time = printable(str(facts.get(":created_at", "")), 40)
            found[folder] = Owner(
                key_of(name, number), printable(name), printable(number), handed_in=time
            )
    except Exception:  # the file comes from outside, and may have any content
        pass
    count = Counter(owner.key for owner in found.values())
    return {folder: owner for folder, owner in found.items() if count[owner.key] == 1}


def google_classroom_names(stems: list[str]) -> dict[str, str]:
    """Returns {stem: student} if most stems look like `Ada - 07_ddim` or `07_ddim - Ada`."""
    pairs = {stem: (stem.split(" - ")[0], stem.split(" - ")[-1]) for stem in stems if " - " in stem}
    if 2 * len(pairs) <= len(stems):
        return {}
    first, last = map(set, zip(*pairs.values()))
    students_last = not any(map(names_a_student, first)) or (
        len(first) == 1 < len(last) and all(map(names_a_student, last))
    )
    return {stem: pair[-1 if students_last else 0] for stem, pair in pairs.items()}


def github_names(folders: set[str], parent: str) -> dict[str, str]:
    """Returns {folder: student} if all folders begin with the same assignment, as the clones of
    Classroom 50 do: `lab07-ada` is ada's.
    """
    parent = parent.lower()
    if parent.endswith("-submissions"):
        prefix = parent.removesuffix("-submissions") + "-"
    else:
        prefixes = set(map(_assignment_prefix, folders))
        prefix = prefixes.pop() if len(prefixes) == 1 else ""
    return {
        folder: folder[len(prefix) :]
        for folder in folders
        if prefix and folder.lower().startswith(prefix.lower()) and len(folder) > len(prefix)
    }


def _assignment_prefix(folder: str) -> str:
    """Returns the longest beginning that ends with a hyphen and names no student, or ""."""
    ends = [end for end in range(len(folder), 0, -1) if folder[end - 1] == "-"]
    return next((folder[:end] for end in ends if not names_a_student(folder[:end])), "")


def _canvas_facts(found: dict[str, Facts]) -> dict[str, Facts]:
    """Returns the facts of names from Canvas, where a student's own name may contain numbers.

    Then the ID is the number that has the usual length in the other names.
    """
    candidates = {name: list(CANVAS_IDS.finditer(name)) for name in found}
    usual = Counter(_lengths(matches[0]) for matches in candidates.values() if len(matches) == 1)
    for name, matches in candidates.items():
        if matches:
            match = max(matches, key=lambda match: usual[_lengths(match)])
            found[name] |= match.groupdict() | {"name": name[: match.start()]}
    return found


def _lengths(match: re.Match[str]) -> tuple[int, int]:
    return len(match["id"]), len(match["attempt"])
