"""A roster: the table of a class's students that a platform exports."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from diffusion_lab.instructor.names import spellings, words
from diffusion_lab.instructor.rows import Row

NAMELESS = 2  # shorter words, such as initials, say nothing about a person


@dataclass(frozen=True)
class Person:
    """A student on a roster."""

    name: str  # "" if the platform grades anonymously
    id: str
    also: frozenset[str] = frozenset()  # other identifiers, such as a login or an e-mail address

    @property
    def identifiers(self) -> set[str]:
        """All identifiers, in lower case."""
        return {text.strip().lower().lstrip("@") for text in (self.id, *self.also)} - {""}

    @property
    def logins(self) -> set[str]:
        """What may be a log-in: an identifier, or the part of an e-mail address before the @."""
        return {text.split("@")[0] for text in self.identifiers}


@dataclass(frozen=True)
class Roster:
    """A table of students."""

    platform: str  # "canvas", "moodle", or "" for any other table
    header: list[str]
    lines: list[list[str]]  # as exported, each as long as the header
    people: dict[int, Person]  # {index of a line: student}
    grade: int | None = None  # the column of this lab's points, if the platform has one
    possible: str = ""  # points that the platform gives for this lab
    handed_in: dict[int, str] = field(default_factory=dict)  # {index of a line: when}


@dataclass(frozen=True)
class Upload:
    """What a platform is to import. Students who are not in it keep what they have there."""

    lab: str  # such as "07"
    possible: float
    points: dict[int, float]  # {index of a line of the roster: points}
    rows: dict[int, Row]  # {index of a line of the roster: row of the grade book}


def person_at(line: list[str], names: Iterable[int], ids: Iterable[int]) -> Person:
    """Returns the student on a line. The first of the columns `ids` that is not empty is the ID."""
    name = " ".join(filter(None, (line[column].strip() for column in names)))
    identifiers = [text for column in ids if (text := line[column].strip())]
    return Person(name, identifiers[0] if identifiers else "", frozenset(identifiers[1:]))


def agree(name: str, other: str) -> bool:
    """True if two spellings of a name may belong to one person: they share a word."""
    squashed = "".join(words(other))
    return bool(spellings(name) & spellings(other)) or any(
        len(word) > NAMELESS and word in squashed for word in words(name)
    )
