"""Chooses, among all that one student handed in, the notebook that is graded and the weights that
are measured.
"""

import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from diffusion_lab.instructor.archives import LARGEST_ZIP, CannotRead, Entry, Folder, TooLarge, Zip
from diffusion_lab.instructor.platforms import NOTEBOOK, WEIGHTS, Owner, copy_number, shown

LARGEST_WEIGHTS = 60_000_000  # bytes
MOST_READ = 30  # notebooks of one student, the latest first
AT_ONCE = 2  # seconds between files that were changed together; a zip tells time no better
PACKAGE = re.compile(
    r"(^|/)diffusion_lab/"
)  # in a clone of the whole repository, with weights that are not the student's


@dataclass(frozen=True)
class File:
    """A file of a student, and where it is read."""

    entry: Entry
    store: Folder | Zip
    owner: Owner
    zip: str = ""  # the place of the zip that it lies in, if it does

    @property
    def place(self) -> str:
        """Returns the path as people see it."""
        return "/".join(
            shown(part, 150) for part in f"{self.zip}/{self.entry.place}".split("/") if part
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
    """The notebook of a student: the latest of those with answers to the lab, and what must be said
    about it.

    holds: of a `lab_reader`, or None.   Look into `file` (None without a notebook), `content`,
    `problem`, `remarks`.
    """

    def __init__(
        self, files: list[File], holds: Callable[[bytes], int] | None, with_weights: bool = False
    ) -> None:
        self.files, self.holds = files, holds
        self.file: File | None = None
        self.level, self.content, self.problem, self.weights, self.weights_problem = (
            -2,
            b"",
            "",
            b"",
            "",
        )
        self.remarks: list[str] = []
        self.answered: list[str] = []
        self.unread: list[str] = []
        weights = [file for file in files if file.is_weights]
        self._look_at([file for file in files if file.is_notebook])
        inside = self._opened() if self.level < 2 or with_weights and not weights else []
        if self.level < 2:
            self._look_at([file for file in inside if file.is_notebook])
        if (
            holds and not self.file
        ):  # a type that a browser has changed says nothing about the content
            others = [file for file in files + inside if not file.is_zip and not file.is_weights]
            self._look_at(list(filter(self._holds_answers, latest_first(others)[:MOST_READ])))
        if with_weights:
            self._take_weights(weights or [file for file in inside if file.is_weights])
        if not self.file:
            self.problem = self._nothing()
            return
        self.remarks += [
            f"{place} cannot be read" for place in self.unread if place != self.file.place
        ]
        if len(self.answered) > 1:
            self.remarks.append(
                f"{len(self.answered)} notebooks hold answers to this lab; graded is"
                f" {self.file.place}, the latest as far as names and times tell"
            )

    def _look_at(self, files: list[File]) -> None:
        """Takes the best of these notebooks if it is better than what there is."""
        for file in latest_first(files)[:MOST_READ]:
            level, content, problem = 2, b"", ""
            try:
                content = file.read()
                if self.holds and self.files != [file]:
                    level = self.holds(content)
            except CannotRead as error:
                level, problem = -1, _sentence(error)
                self.unread.append(file.place)
            if level == 2:
                self.answered.append(file.place)
            if level > self.level:
                self.level, self.file, self.content, self.problem = level, file, content, problem

    def _holds_answers(self, file: File) -> bool:
        """True if the content is a notebook of the lab, whatever the file is called."""
        with suppress(CannotRead):
            return self.holds is not None and self.holds(file.read()) > 0
        return False

    def _opened(self) -> list[File]:
        """Returns the files in the latest zip of the hand-in."""
        zips = latest_first([file for file in self.files if file.is_zip])
        if len(zips) > 1:
            self.remarks.append(f"{len(zips)} zips were handed in; only {zips[0].place} was opened")
        for file in zips[:1]:
            try:
                inside = Zip(file.read(LARGEST_ZIP))
                return [
                    File(entry, inside, file.owner, file.entry.place) for entry in inside.entries()
                ]
            except CannotRead as error:
                self.remarks.append(f"{file.place} {error}")
            except zipfile.BadZipFile:
                self.remarks.append(f"{file.place} is not a complete zip")
        return []

    def _take_weights(self, files: list[File]) -> None:
        """Takes the latest weights, and those that lab 07 names for handing in before any
        others.
        """
        files = sorted(latest_first(files), key=lambda file: "my_flowers" not in file.name)
        if len(files) > 1:
            self.remarks.append(
                f"{len(files)} files with weights were handed in; {files[0].place} is used"
            )
        for file in files[:1]:
            try:
                self.weights = file.read(LARGEST_WEIGHTS)
                self.weights_problem = (
                    ""
                    if self.weights
                    else f"The file of weights, {file.place}, is empty: hand it in again."
                )
            except CannotRead as error:
                self.weights_problem = f"The weights cannot be used: {file.place} {error}."

    def _nothing(self) -> str:
        names = [shown(file.name, 100) for file in latest_first(self.files)]
        others = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"No notebook (.ipynb) was handed in, but {', '.join(names[:3])}{others}."


def latest_first(files: list[File]) -> list[File]:
    """Returns the files as far as platform, time and name tell which is the later, and the later
    first.
    """
    newest = max((file.entry.time for file in files), default=0)

    def lateness(file: File) -> tuple[int, float, int, str]:
        together = newest - file.entry.time <= AT_ONCE
        return (
            file.owner.attempt,
            newest if together else file.entry.time,
            copy_number(file.name),
            file.entry.place,
        )

    return sorted(files, key=lateness, reverse=True)


def _sentence(error: CannotRead) -> str:
    if isinstance(error, TooLarge):
        return (
            f"This notebook {error}: clear its outputs (Kernel, Restart and Clear Outputs) and hand"
            " it in again."
        )
    return f"This {error}."
