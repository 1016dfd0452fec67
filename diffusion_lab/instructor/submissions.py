"""Finds the submitted notebooks, and in each of them the answers. Nothing that is read here is run here."""

import hashlib
import json
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


class Unreadable(UserError):
    """A file that is no notebook; the message is a sentence for the student."""


@dataclass
class Answers:
    """What the grader takes out of a notebook: {exercise: source}, {summary: text}, and remarks for the instructor."""

    sources: dict = field(default_factory=dict)
    texts: dict = field(default_factory=dict)
    remarks: list = field(default_factory=list)
    pictures: dict = field(default_factory=dict)  # {cell id: PNG in base64}


def read_answers(content, tasks, summaries=()):
    """The `Answers` in a notebook, bytes, for the tasks of a lab. Raises Unreadable.

    A cell is found by its exercise's name in the metadata, else by its id, else below the exercise's heading, else by
    the function that it defines: some web pages drop metadata. Several cells of one exercise (one that was split, or
    copied) count in their order, as they would run.
    """
    answers, remarks = Answers(), {}
    cells = _cells(content)
    for task in tasks:
        found, how = _find(cells, task)
        if found:
            answers.sources[task.name] = "\n\n".join(cell["source"] for cell in found)
        if how:
            remarks.setdefault(f"found {how}", []).append(task.number)
        if len(found) > 1:
            remarks.setdefault("several cells, taken together", []).append(task.number)
    answers.remarks = [f"{', '.join(numbers)}: {remark}" for remark, numbers in remarks.items()]
    for name in summaries:
        texts = [cell["source"] for cell in cells
                 if _mark(cell).get("summary") == name or str(cell.get("id", "")).endswith(f"-{name}")]
        answers.texts[name] = "\n\n".join(texts)
    for cell in cells:
        picture = _picture(cell)
        if picture:
            answers.pictures[str(cell.get("id", ""))] = picture
    return answers


def nothing_found(content, lab):
    """What to say of a notebook without any answer to a lab: perhaps it is another one's."""
    labs = {number.decode() for number in re.findall(rb'"grade_id":\s*"(\d\d)-', content)} - {lab}
    looks = f"; it looks like lab {labs.pop()}" if len(labs) == 1 else ""
    return f"There is no answer to lab {lab} in this notebook{looks}."


def _find(cells, task):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    ways = {
        "": [cell for cell in code if _mark(cell).get("exercise") == task.name],
        "by its id, the metadata is lost": [cell for cell in code if str(cell.get("id", "")).endswith(f"-{task.name}")],
        "under its heading, metadata and id are lost": _below_heading(cells, task),
        "by its function, the heading is lost": [cell for cell in code if _defines(cell, task.name)],
    }
    return next(((found, how) for how, found in ways.items() if found), ([], ""))


def _below_heading(cells, task):
    heading = re.compile(rf"^#+ Exercise {re.escape(task.number)}\b", re.MULTILINE)
    starts = [place for place, cell in enumerate(cells) if cell["cell_type"] == "markdown" and heading.search(cell["source"])]
    for start in starts:
        for cell in cells[start + 1 :]:
            if cell["cell_type"] == "markdown" and re.search(r"^#+ Exercise ", cell["source"], re.MULTILINE):
                break
            if cell["cell_type"] == "code" and _defines(cell, task.name):
                return [cell]
    return []


def _defines(cell, name):
    return re.search(rf"^(def {name}\b|{name}\s*=)", cell["source"], re.MULTILINE) is not None


def _mark(cell):
    mark = cell["metadata"].get("diffusion_lab")
    return mark if isinstance(mark, dict) else {}


def _picture(cell):
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        data = output.get("data") if isinstance(output, dict) else None
        picture = data.get("image/png") if isinstance(data, dict) else None
        if isinstance(picture, str):
            return picture
    return None


def _cells(content):
    """The cells of a notebook of any version, each with cell_type, source (a string) and metadata (a dictionary)."""
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
        cells = notebook.get("cells") or [cell for sheet in notebook.get("worksheets", ()) for cell in sheet["cells"]]
        return [_plain(cell) for cell in cells if isinstance(cell, dict)]
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        raise Unreadable("This file is not a notebook (it may be cut off, or renamed): open it in Jupyter, save it, and "
                         "hand in what was saved.") from None


def _plain(cell):
    source = cell.get("source", cell.get("input", ""))  # "input" in the format of 2013
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    metadata = cell.get("metadata")
    return {**cell, "cell_type": str(cell.get("cell_type")), "source": source.replace("\r\n", "\n").replace("\r", "\n"),
            "metadata": metadata if isinstance(metadata, dict) else {}}
