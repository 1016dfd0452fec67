"""Finds who handed in, and which of a student's files is the submission.

Nothing that is read here is run here.
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.archives import Entry, Folder, Zip, open_store
from diffusion_lab.instructor.choosing import Choice, File
from diffusion_lab.instructor.platforms import original_of, owners
from diffusion_lab.submission.answers import read_answers
from diffusion_lab.submission.handout import handouts
from diffusion_lab.submission.reading import LARGEST, cells_of

__all__ = ["LARGEST", "Submission", "count_submissions", "find_submissions", "lab_reader"]
STUB = 'raise NotImplementedError("Exercise '


@dataclass(frozen=True)
class Submission:
    """What one student handed in.

    `student` and `id` as the platform says; `problem`, if nothing can be graded, is a sentence.
    """

    student: str
    id: str
    place: str  # where the notebook was found: a path within the folder or the zip
    content: bytes = field(repr=False, default=b"")
    problem: str = ""
    weights: bytes = field(repr=False, default=b"")
    weights_problem: str = ""  # why there are none although a file was handed in, a sentence
    remarks: tuple[
        str, ...
    ] = ()  # for the instructor: they depend on the student's other files, too
    key: str = ""  # of the student, in manual.csv

    @property
    def digest(self) -> str:
        return hashlib.sha256(
            self.content + self.weights + self.weights_problem.encode()
        ).hexdigest()


def find_submissions(
    path: str | Path, holds: Callable[[bytes], int] | None = None, with_weights: bool = False
) -> Iterator[Submission]:
    """Yields one `Submission` for each student in a folder (of notebooks, of folders, of hand-ins)
    or in a zip, in order.

    holds: of a `lab_reader`, decides between several notebooks of a student.   with_weights: also
    takes what a student's model has learned. Reads one student at a time, so that a class of any
    size fits. Raises UserError if nobody handed in a notebook, and OSError if the folder
    disappears.
    """
    with _students(Path(path)) as students:
        if not any(file.is_notebook or file.is_zip for files in students for file in files):
            raise UserError(f"There is no notebook (.ipynb) in {path}.")
        names = {files[0].owner.name for files in students}
        for files in students:
            original = {original_of(files[0].owner.name)} & names
            yield _submission(
                files,
                holds,
                with_weights,
                [f"perhaps another copy of what {name} handed in" for name in original],
            )


def count_submissions(path: str | Path) -> int:
    """Returns how many students `find_submissions` will find.

    Raises UserError if `path` cannot be read.
    """
    try:
        with _students(Path(path)) as students:
            return len(students)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): correct that, and give the same"
            " command again."
        ) from None


def lab_reader(lab: str) -> Callable[[bytes], int]:
    """Returns holds(content) for a lab's number such as "07": 2 for a notebook with answers to this
    lab, 1 for one whose exercises are as they were handed out, 0 for another lab's or none.
    """
    labs = {handout.lab: handout for handout in handouts()}
    own = labs[f"{int(lab):02}"]
    exercises = {own.number_of("exercise", task.name) for task in own.tasks}

    def holds(content: bytes) -> int:
        try:
            cells = cells_of(content)
            known = {
                number: set(handout.places(cells)) - {None} for number, handout in labs.items()
            }  # quick, so first
            mine = known[own.lab]
            if not exercises <= mine and len(mine) < max(map(len, known.values())):
                return 0
            answers = read_answers(content, own).sources
        except Exception:  # whatever a file can bring a reader to
            return 0
        if (
            not answers or not mine and 2 * len(answers) <= len(exercises)
        ):  # functions of one lab are given in others
            return 0
        return 1 + any(STUB not in source for source in answers.values())

    return holds


@contextmanager
def _students(path: Path) -> Iterator[list[list[File]]]:
    """Yields the files of all students, a list for each.

    A folder with nothing but the zip of a class in it counts as that zip.
    """
    with open_store(path) as store:
        entries = store.entries()
        if path.is_dir() and len(entries) == 1 and zipfile.is_zipfile(path / entries[0].place):
            with Zip(path / entries[0].place) as inside:
                students = _grouped(inside, inside.entries())
                if len(students) > 1:
                    yield students
                    return
        yield _grouped(store, entries)


def _grouped(store: Folder | Zip, entries: list[Entry]) -> list[list[File]]:
    students: dict[str, list[File]] = {}
    whose = owners([entry.place for entry in entries], store.read)
    for entry in entries:
        if owner := whose.get(entry.place):
            students.setdefault(owner.key, []).append(File(entry, store, owner))
    return list(students.values())


def _submission(
    files: list[File], holds: Callable[[bytes], int] | None, with_weights: bool, remarks: list[str]
) -> Submission:
    owner = files[0].owner
    try:
        choice = Choice(files, holds, with_weights)
    except OSError:  # the whole folder has gone
        raise
    except Exception as error:  # whatever one hand-in can bring about
        return Submission(
            owner.name,
            owner.id,
            files[0].place,
            key=owner.key,
            problem=f"This hand-in could not be read ({type(error).__name__}): a person must look.",
        )
    late = ["handed in late"] * any(file.owner.late for file in files)
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
    )
