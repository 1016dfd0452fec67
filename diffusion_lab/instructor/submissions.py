"""Finds the submitted notebooks, and whose they are. Nothing that is read here is run here."""

import hashlib
import os
import re
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from diffusion_lab.errors import UserError

LARGEST = 12_000_000  # bytes of a notebook; with all its pictures, lab 07 has less than two
WEIGHTS = ".weights.h5"
CANVAS = re.compile(r"^(?P<name>[a-z0-9'-]+?)_(?:LATE_)?(?P<id>\d+)_\d+_.+$", re.IGNORECASE)
MOODLE = re.compile(r"^(?P<name>.+)_(?P<id>\d+)_assignsubmission_file_?.*$")
GRADESCOPE = re.compile(r"^(?P<name>submission)_(?P<id>\d+)$")


@dataclass(frozen=True)
class Submission:
    """One notebook. `student` and `id` as the file or folder says; `problem`, if it cannot even be read, is a sentence."""

    student: str
    id: str
    place: str  # where it was found: a path within the folder or the zip
    content: bytes = field(repr=False, default=b"")
    problem: str = ""
    weights: bytes = field(repr=False, default=b"")

    @property
    def digest(self):
        return hashlib.sha256(self.content + self.weights).hexdigest()


def find_submissions(path, with_weights=False):
    """Yields the `Submission`s in a folder (of notebooks, or of folders of students) or in a zip, in order.

    `with_weights` also takes what a student's model has learned: the .weights.h5 that was handed in beside the notebook.
    Reads one at a time, so that a class of any size fits. Raises UserError if there is no notebook at all.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"There is no {path}: name the folder or the zip with the submitted notebooks.")
    if path.is_file() and path.suffix != ".ipynb" and not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a complete zip, and no notebook either: download it again.")
    with _Zip(path) if path.is_file() and zipfile.is_zipfile(path) else _Folder(path) as store:
        places = sorted(place for place in store.places() if not any(part.startswith((".", "__")) for part in place.split("/") if part != ".."))
        notebooks = [place for place in places if place.endswith(".ipynb")]
        weights = {_student(place): place for place in places if place.endswith(WEIGHTS)} if with_weights else {}
        if not notebooks:
            raise UserError(f"There is no notebook (.ipynb) in {path}.")
        taken = {}
        for place in notebooks:
            student, number = _student(place)
            taken[student, number] = taken.get((student, number), 0) + 1
            again = f" ({taken[student, number]})" if taken[student, number] > 1 else ""  # a person must look
            beside = store.read(weights[student, number])[0] if (student, number) in weights else b""
            yield Submission(student + again, number, place, *store.read(place), beside)
        for (student, number), place in _without_notebook(places, taken).items():
            yield Submission(student, number, place, problem=f"No notebook (.ipynb) was handed in, but {PurePosixPath(place).name}.")


def _without_notebook(places, taken):
    """{(student, id): place} of those who handed in other files only, as far as a folder or the file's name says whose they are."""
    found = {}
    for place in places:
        student, number = _student(place)
        if (student, number) not in taken and (number or "/" in place):
            found.setdefault((student, number), place)
    return found


class _Folder:
    """Files in a folder or below, or a single one: places within it, and reading without following links."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def places(self):
        if self.path.is_file():
            return [self.path.name]
        found = []
        for folder, folders, files in os.walk(self.path, followlinks=False):
            folders[:] = [name for name in folders if not name.startswith((".", "__"))]
            found += [Path(folder, name).relative_to(self.path).as_posix() for name in files]
        return found

    def read(self, place):
        """(content, problem) of a file that may be anything: a link, a pipe, too large."""
        path = self.path if self.path.is_file() else self.path / place
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            return b"", "This is a link or cannot be read, not a notebook: hand in the file itself."
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                return b"", "This is not a file: hand in the notebook itself."
            return _limited(file.read(LARGEST + 1), about.st_size)


class _Zip(zipfile.ZipFile):
    """Files in a zip, as `_Folder`."""

    def places(self):
        self.entries = {entry.filename.replace("\\", "/"): entry for entry in self.infolist()}
        return [place for place in self.entries if not place.endswith("/")]

    def read(self, place):
        try:
            with self.open(self.entries[place]) as file:
                return _limited(file.read(LARGEST + 1), self.entries[place].file_size)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError):
            return b"", "This file in the zip is damaged or encrypted: hand it in again."


def _limited(content, size):
    if len(content) > LARGEST:
        return b"", (f"This notebook has more than {LARGEST // 10**6} MB ({size / 1e6:.0f} MB): clear its outputs "
                     "(Kernel, Restart and Clear Outputs) and hand it in again.")
    return content, ""


def _student(place):
    """(name, id) from a path as Canvas, Moodle and Gradescope write them, or from the folder's or the file's name."""
    parts = [part for part in PurePosixPath(place).parts if part not in ("..", "/")]
    for part in parts:
        match = MOODLE.match(part) or CANVAS.match(part) or GRADESCOPE.match(part)
        if match:
            name = match["name"] if match.re is not GRADESCOPE else part
            return _printable(name), match["id"]
    return _printable(parts[0] if len(parts) > 1 else PurePosixPath(parts[0].removesuffix(WEIGHTS)).stem), ""


def _printable(name):
    return "".join(letter for letter in name if letter.isprintable()).strip()[:80] or "without a name"
