"""Chooses the notebook to grade and the weights to measure, among the files of one student."""

import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from diffusion_lab.instructor.archives import LARGEST_ZIP, CannotRead, Entry, Folder, TooLarge, Zip
from diffusion_lab.instructor.names import NOTEBOOK, WEIGHTS, Owner, copy_number, printable
from diffusion_lab.submission.kinds import instead_of_a_notebook

LARGEST_WEIGHTS = 60_000_000  # bytes
MOST_READ = 30  # notebooks of one student, the latest first
SAME_TIME = 2  # seconds between files that were changed together; a zip is no more precise
# a clone of the whole repository contains weights that are not the student's
PACKAGE = re.compile(r"(^|/)diffusion_lab/")
ANSWERED = 2  # the relevance of a notebook with answers to the lab, see `relevance_to`


@dataclass(frozen=True)
class File:
    """A student's file, and where to read it."""

    entry: Entry
    store: Folder | Zip
    owner: Owner
    zip: str = ""  # the place of the zip that contains it, if any

    @property
    def place(self) -> str:
        """The path in a form that can be printed."""
        return "/".join(
            printable(part, 150) for part in f"{self.zip}/{self.entry.place}".split("/") if part
        )

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def is_notebook(self) -> bool:
        return bool(NOTEBOOK.fullmatch(self.name))

    @property
    def is_weights(self) -> bool:
        return bool(WEIGHTS.fullmatch(self.name)) and not PACKAGE.search(self.entry.place)

    @property
    def is_zip(self) -> bool:
        return self.name.lower().endswith(".zip")

    def read(self, *limit: int) -> bytes:
        return self.store.read(self.entry.place, *limit)


class Choice:
    """The notebook of a student: the latest one with answers to the lab.

    Args:
        files: of one student.
        relevance: as `relevance_to` returns it, or None.
        wanted: the name of a file with weights, to choose one as well, whatever its name; or None.

    Attributes:
        file, content: the notebook and its bytes; None and b"" without one.
        problem: why there is no notebook, or why it cannot be read; a sentence or "".
        weights, weights_file, weights_problem: the bytes of the weights, their file, and why they
            cannot be used.
        remarks: for the instructor.
    """

    def __init__(
        self,
        files: list[File],
        relevance: Callable[[bytes], int] | None,
        wanted: str | None = None,
    ) -> None:
        self.files, self.relevance = files, relevance
        self.file: File | None = None
        self.level = -2  # relevance of `file`; -1 if it is unreadable, -2 if there is none
        self.content, self.problem = b"", ""
        self.weights, self.weights_problem = b"", ""
        self.weights_file: File | None = None
        self.remarks: list[str] = []
        self.answered: list[str] = []
        self.unread: list[str] = []
        weights = [file for file in files if file.is_weights]
        self._consider([file for file in files if file.is_notebook])
        zipped = self._unzipped() if self.level < ANSWERED or wanted and not weights else []
        if self.level < ANSWERED:
            self._consider([file for file in zipped if file.is_notebook])
        if relevance and not self.file:  # a browser may have changed the file's type
            others = [file for file in files + zipped if not file.is_zip and not file.is_weights]
            self._consider(list(filter(self._is_of_the_lab, latest_first(others)[:MOST_READ])))
        if wanted:
            self._choose_weights(wanted, weights or [file for file in zipped if file.is_weights])
        if self.file:
            self.remarks += self._other_notebooks(self.file)
        else:
            self.problem = _no_notebook(files + zipped)

    def _consider(self, files: list[File]) -> None:
        """Chooses the best of these notebooks if it is better than the present choice."""
        for file in latest_first(files)[:MOST_READ]:
            level, content, problem = ANSWERED, b"", ""
            try:
                content = file.read()
                if self.relevance and self.files != [file]:
                    level = self.relevance(content)
            except CannotRead as error:
                level, problem = -1, _sentence(error)
                self.unread.append(file.place)
            if level == ANSWERED:
                self.answered.append(file.place)
            if level > self.level:
                self.level, self.file, self.content, self.problem = level, file, content, problem

    def _is_of_the_lab(self, file: File) -> bool:
        """True if the content is a notebook of the lab, whatever the name of the file."""
        with suppress(CannotRead):
            return self.relevance is not None and self.relevance(file.read()) > 0
        return False

    def _unzipped(self) -> list[File]:
        """Returns the files in the student's latest zip."""
        zips = latest_first([file for file in self.files if file.is_zip])
        if len(zips) > 1:
            self.remarks.append(f"{len(zips)} zips were handed in; only {zips[0].place} was opened")
        for file in zips[:1]:
            try:
                archive = Zip(file.read(LARGEST_ZIP))
                return [
                    File(entry, archive, file.owner, file.entry.place)
                    for entry in archive.entries()
                ]
            except CannotRead as error:
                self.remarks.append(f"{file.place} {error}")
            except zipfile.BadZipFile:
                self.remarks.append(f"{file.place} is not a complete zip")
        return []

    def _choose_weights(self, wanted: str, files: list[File]) -> None:
        """Chooses the latest weights, but prefers those with the name that the lab gives them."""
        name = wanted.removesuffix(".weights.h5")  # platforms add to names
        files = sorted(latest_first(files), key=lambda file: name not in file.name)
        if len(files) > 1:
            self.remarks.append(
                f"{len(files)} files with weights were handed in; {files[0].place} is used"
            )
        for file in files[:1]:
            self.weights_file = file
            try:
                self.weights = file.read(LARGEST_WEIGHTS)
                self.weights_problem = (
                    ""
                    if self.weights
                    else f"The file with the weights, {file.place}, is empty. Hand it in again."
                )
            except CannotRead as error:
                self.weights_problem = f"The weights cannot be used: {file.place} {error}."

    def _other_notebooks(self, chosen: File) -> list[str]:
        remarks = [f"{place} cannot be read" for place in self.unread if place != chosen.place]
        if len(self.answered) > 1:
            remarks.append(
                f"{len(self.answered)} notebooks contain answers to this lab; {chosen.place} was"
                " graded, the latest by name and time"
            )
        return remarks


def latest_first(files: list[File]) -> list[File]:
    """Returns the files, the latest first, as far as attempt, time and name tell."""
    newest = max((file.entry.time for file in files), default=0)

    def lateness(file: File) -> tuple[int, float, int, str]:
        together = newest - file.entry.time <= SAME_TIME
        return (
            file.owner.attempt,
            newest if together else file.entry.time,
            copy_number(file.name),
            file.entry.place,
        )

    return sorted(files, key=lateness, reverse=True)


def _no_notebook(files: list[File]) -> str:
    """Returns a sentence about files without a notebook, which names the kind of a single one."""
    opened = {file.zip for file in files}
    unopened = [file for file in files if file.entry.place not in opened]
    if len(unopened) == 1 and not unopened[0].is_zip:
        with suppress(CannotRead):
            if sentence := instead_of_a_notebook(unopened[0].read()):
                return sentence
    names = [printable(file.name, 100) for file in latest_first(unopened)]
    others = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"No notebook (.ipynb) was handed in, only {', '.join(names[:3])}{others}."


def _sentence(error: CannotRead) -> str:
    if isinstance(error, TooLarge):
        return (
            f"This notebook {error}. Clear its outputs (Kernel, Restart and Clear Outputs) and hand"
            " it in again."
        )
    return f"This file {error}."
