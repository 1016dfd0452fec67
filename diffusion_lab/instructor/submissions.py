"""Finds the students who handed in, and the submission of each.

Only reads what was handed in, and never runs it.
"""

import hashlib
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.archives import LONGEST_LIST, Entry, Folder, Zip, open_store
from diffusion_lab.instructor.choosing import ANSWERED, Choice, File
from diffusion_lab.instructor.languages import EXERCISE
from diffusion_lab.instructor.names import NOT_A_SUBMISSION, original_of
from diffusion_lab.instructor.owners import find_owners, with_nbgraders_times
from diffusion_lab.instructor.times import read_time
from diffusion_lab.submission.answers import read_answers
from diffusion_lab.submission.handout import handouts
from diffusion_lab.submission.reading import cells_of

# the files of weights that labs write and students hand in
HANDED_IN = {"07": "my_flowers.weights.h5", "11": "my_few_steps.weights.h5"}
STUB = re.compile(rf'raise NotImplementedError\("{EXERCISE} ')


@dataclass(frozen=True)
class Submission:
    """What one student handed in."""

    student: str  # name and ID, as the platform has them
    id: str
    place: str  # of the notebook: its path within the folder or the zip
    content: bytes = field(repr=False, default=b"")
    problem: str = ""  # why nothing can be graded, a sentence
    weights: bytes = field(repr=False, default=b"")
    weights_problem: str = ""  # why the weights that were handed in cannot be used, a sentence
    remarks: tuple[str, ...] = ()  # for the instructor; other files of the class influence them
    key: str = ""  # of the student, in manual.csv
    handed_in: str = ""  # when, as the platform writes it; "" if unknown

    @property
    def digest(self) -> str:
        return hashlib.sha256(
            self.content + self.weights + self.weights_problem.encode()
        ).hexdigest()


def find_submissions(
    path: str | Path, relevance: Callable[[bytes], int] | None = None, weights: str | None = None
) -> Iterator[Submission]:
    """Yields one `Submission` for each student, in order.

    Reads one student's files at a time, so that a class of any size fits into memory.

    Args:
        path: a zip, a folder, or a single notebook.
        relevance: as `relevance_to` returns it, to decide between several notebooks of one student.
        weights: the name of a file with the weights of a trained model, to look for as well.

    Raises:
        UserError: if there is no notebook and no zip.
        OSError: if the folder disappears.
    """
    with _students(Path(path)) as students:
        if not any(file.is_notebook or file.is_zip for files in students for file in files):
            raise UserError(
                f"There is no notebook (.ipynb) in {path}. Give the zip or the folder with your"
                " students' notebooks, as your platform exports it."
            )
        names = {files[0].owner.name for files in students}
        for files in students:
            original = {original_of(files[0].owner.name)} & names
            yield _submission(
                files,
                relevance,
                weights,
                [f"perhaps a copy of what {name} handed in" for name in original],
            )


def count_submissions(path: str | Path) -> int:
    """Returns the number of submissions that `find_submissions` yields.

    Raises UserError if `path` cannot be read.
    """
    try:
        with _students(Path(path)) as students:
            return len(students)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}). Fix that, and run the same"
            " command again."
        ) from None


def relevance_to(lab: str) -> Callable[[bytes], int]:
    """Returns a function relevance(content) for a lab such as "07".

    It returns 2 (`ANSWERED`) for a notebook with answers to this lab, 1 for one whose exercises are
    unchanged, and 0 for any other file.
    """
    labs = {handout.lab: handout for handout in handouts()}
    own = labs[f"{int(lab):02}"]
    exercises = {own.number_of("exercise", task.name) for task in own.tasks}

    def relevance(content: bytes) -> int:
        try:
            cells = cells_of(content)
            known = {
                number: set(handout.places(cells)) - {None} for number, handout in labs.items()
            }  # first, because it is fast
            mine = known[own.lab]
            if not exercises <= mine and len(mine) < max(map(len, known.values())):
                return 0
            answers = read_answers(content, own).sources
        except Exception:  # the file comes from outside, and may have any content
            return 0
        # a few functions prove nothing: some labs are given the functions of others
        if not answers or not mine and 2 * len(answers) <= len(exercises):
            return 0
        return ANSWERED if any(not STUB.search(source) for source in answers.values()) else 1

    return relevance


@contextmanager
def _students(path: Path) -> Iterator[list[list[File]]]:
    """Yields the files of all students, one list for each.

    If a folder contains only the zip of a class, the files in that zip count.

    Raises:
        UserError: if it contains only the zips of several classes.
    """
    with open_store(path) as store:
        entries = store.entries()
        zips = _only_zips(path, entries)
        if len(zips) == 1:
            with Zip(zips[0]) as archive:
                students = _by_student(archive, archive.entries())
                if len(students) > 1:
                    yield students
                    return
        elif zips and all(map(_is_export, zips)):
            names = ", ".join(file.name for file in zips)
            raise UserError(
                f"{path} contains the submissions of several classes: {names}. Grade each with its"
                " own --out, and name the folder of the other with --compare-with."
            )
        yield _by_student(store, entries)


def _only_zips(folder: Path, entries: list[Entry]) -> list[Path]:
    """Returns the zips in a folder, or [] if anything else there may be a submission."""
    files = [entry for entry in entries if not NOT_A_SUBMISSION.fullmatch(entry.name)]
    zips = [folder / entry.place for entry in files if folder.is_dir()]
    return zips if all(map(zipfile.is_zipfile, zips)) else []


def _is_export(path: Path) -> bool:
    """True for the zip in which a platform exports the submissions of several students."""
    try:
        with Zip(path, LONGEST_LIST) as archive:
            owners = find_owners([entry.place for entry in archive.entries()], archive.read)
    except zipfile.BadZipFile:  # a student's
        return False
    return len({owner.id for owner in owners.values()} - {""}) > 1


def _by_student(store: Folder | Zip, entries: list[Entry]) -> list[list[File]]:
    students: dict[str, list[File]] = {}
    owners = find_owners([entry.place for entry in entries], store.read)
    owners = with_nbgraders_times(owners, store.read)
    for entry in entries:
        if owner := owners.get(entry.place):
            students.setdefault(owner.key, []).append(File(entry, store, owner))
    return list(students.values())


def _submission(
    files: list[File],
    relevance: Callable[[bytes], int] | None,
    weights: str | None,
    remarks: list[str],
) -> Submission:
    owner = files[0].owner
    try:
        choice = Choice(files, relevance, weights)
    except OSError:  # the whole folder is gone
        raise
    except Exception as error:  # must not stop the grading of the others
        return Submission(
            owner.name,
            owner.id,
            files[0].place,
            key=owner.key,
            problem=(
                f"This submission could not be read ({type(error).__name__}). A person must look at"
                " it."
            ),
        )
    late = ["Canvas: late"] * any(file.owner.late for file in files)
    return Submission(
        owner.name,
        owner.id,
        (choice.file or files[0]).place,
        choice.content,
        choice.problem,
        choice.weights,
        choice.weights_problem,
        (*late, *remarks, *choice.remarks),
        owner.key,
        _later((choice.file or files[0]).owner.handed_in, choice.weights_file),
    )


def _later(handed_in: str, weights: File | None) -> str:
    """Returns the later of two times: of the notebook, and of the weights."""
    also = weights.owner.handed_in if weights else ""
    first, second = read_time(handed_in), read_time(also)
    return also if first and second and second > first else handed_in
