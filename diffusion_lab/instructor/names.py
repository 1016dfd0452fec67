"""What the names of files, folders and people say, whatever platform they come from."""

import difflib
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from diffusion_lab.submission.handout import FOLDER

ALIKE = 0.8  # of a misspelt name and the right one, from 0 to 1
# What platforms, browsers and Jupyter add to a name. No text matches it in two ways, since a name
# with many such texts would take hours.
COPY = r"(?: ?\(\d+\)|[-_]\d{1,2}|(?<![ _-])[ _-]+copy(?: ?\d+)?)"
NOTEBOOK = re.compile(rf"(?P<stem>.*?)\.ipynb{COPY}*(?:\.(?:txt|json))?", re.IGNORECASE | re.DOTALL)
WEIGHTS = re.compile(
    rf"(?P<stem>.*?)(?:\.weights{COPY}*)?\.(?:h5|hdf5){COPY}*(?:\.txt)?", re.IGNORECASE | re.DOTALL
)
NOT_A_SUBMISSION = re.compile(
    r"(?:readme|licen[cs]e)(?:\..*)?|.*\.(?:ya?ml|csv|ini|log|lnk)", re.IGNORECASE | re.DOTALL
)
COLLECTION = re.compile("submissions?|submitted|exports?|students|repos|repositories")
COURSE = re.compile(
    "labs?|notebooks?|assignments?|exercises?|homework|hw|week|final|old|new|backup|draft|version"
    "|copy|v|solutions?|answers?|untitled|my|flowers|weights|notes|info|instructions|tasks?"
)
TOPICS = re.compile(
    "|".join(sorted((path.stem[3:] for path in FOLDER.glob("*.json")), key=len, reverse=True))
)


@dataclass(frozen=True)
class Owner:
    """The student to whom a file belongs."""

    key: str  # differs from the key of every other student, see `key_of`
    name: str  # as the platform has it
    id: str = ""
    late: bool = False
    attempt: int = 0  # the file with the higher number was handed in later
    handed_in: str = ""  # when, as the platform writes it; "" if unknown


def key_of(name: str, number: str) -> str:
    """Returns the key of a student in manual.csv: `name|ID`.

    If the name contains characters that cannot be shown, a digest of the name follows.
    """
    clear = printable(name)
    digest = (
        ""
        if clear == name
        else "|" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    )
    return (
        "|".join(part.replace("%", "%25").replace("|", "%7C") for part in (clear, number)) + digest
    )


def printable(name: str, longest: int = 80) -> str:
    """Returns a name without control codes, direction marks and lone surrogates."""
    if re.search("[\ud800-\udfff]", name):  # a file name in the code page of another system
        name = name.encode(
            "utf-8",
            "surrogateescape" if not re.search("[\ud800-\udc7f\udd00-\udfff]", name) else "replace",
        ).decode("cp1252", "replace")
    name = "".join(letter for letter in unicodedata.normalize("NFC", name) if letter.isprintable())
    return name.strip()[:longest] or "without a name"


def words(name: str) -> list[str]:
    """Returns the words of a name, in lower case and without accents."""
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", name)
        if not unicodedata.combining(letter)
    )
    return re.findall(r"[^\W_]+", plain.casefold())


@cache
def spellings(name: str) -> frozenset[str]:
    """Returns how platforms may write a name: `Lovelace, Ada`, `Ada Lovelace`, `lovelaceada`."""
    parts = words(name)
    joined = {"".join(parts), "".join(parts[1:] + parts[:1]), "".join(parts[-1:] + parts[:-1])}
    return frozenset({" ".join(sorted(parts)), *joined} - {""})


def may_mean(text: str, name: str, number: str) -> bool:
    """True if a person may write `text` for the student with this name and ID.

    It is a spelling of the name, such as `Ada Lovelace`, or one with the ID: `Lovelace, Ada|7`.
    """
    given, bar, last = text.rpartition("|")
    if bar and last.strip().lower() != number.lower():
        return False
    return bool(spellings(given if bar else text) & spellings(name))


def alphabetical(name: str) -> str:
    """Returns a key for sorting by name, in which numbers count as numbers: 2 precedes 10."""
    return re.sub(r"\d+", lambda number: number[0].zfill(12), " ".join(words(name)))


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """Returns a question with the name that `text` may be a misspelling of, or ""."""
    known = {spelling: name for name in names for spelling in spellings(name)}
    near = difflib.get_close_matches("".join(words(text)), known, n=1, cutoff=ALIKE)
    return f"Did you mean {known[near[0]]!r}?" if near else ""


def copy_number(name: str) -> int:
    """Returns the number that a platform, a browser or Jupyter has added to a copy's name, or 0."""
    numbers = re.findall(rf"({COPY})(?=\.|$)", name, re.IGNORECASE)
    return max((int(re.sub(r"\D", "", number) or 1) for number in numbers), default=0)


def original_of(name: str) -> str:
    """Returns "ada" for a name such as "ada (1)" or "ada-Copy1", and "" for a name that is not a
    copy of a student's name.
    """
    original = re.sub(rf"{COPY}+$", "", name, flags=re.IGNORECASE)
    return original if original != name and names_a_student(original) else ""


def stem(name: str) -> str:
    """Returns a file's name without its type: "ada" for ada.ipynb.txt and ada.weights-1.h5."""
    match = NOTEBOOK.fullmatch(name) or WEIGHTS.fullmatch(name)
    return (match["stem"] if match else os.path.splitext(name)[0]) or name


def names_a_student(name: str) -> bool:
    """True unless a name consists of words and numbers of the course, such as `Lab 07` or
    `07_ddim (1)`.
    """
    words = set(re.findall(r"[^\W\d_]+", TOPICS.sub(" ", name.lower())))
    if any(map(COLLECTION.fullmatch, words)):
        return False
    return not all(map(COURSE.fullmatch, words)) or bool(re.search(r"\d{5}", name))


def may_hold_answers(name: str) -> bool:
    """True for the name of a notebook, or of a zip, which may contain one."""
    return bool(NOTEBOOK.fullmatch(name)) or name.lower().endswith(".zip")


def belongs_to_nobody(name: str, next_to_folders: bool) -> bool:
    """True for a file that no student handed in, such as README.md.

    Next to students' folders, that is every file without a student's name, unless it may hold
    answers.
    """
    general = name.lower().endswith((".txt", ".md")) or (
        next_to_folders and not may_hold_answers(name)
    )
    return bool(NOT_A_SUBMISSION.fullmatch(name) or general and not names_a_student(stem(name)))
