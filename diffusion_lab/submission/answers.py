"""Reads the answers from a notebook, without running any of its code."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from diffusion_lab.submission.definitions import Definitions
from diffusion_lab.submission.handout import TEXT, Handout
from diffusion_lab.submission.reading import LONGEST_CELL, Cell, Unreadable, cells_of, python_of
from diffusion_lab.submission.statements import Statement

__all__ = ["Answers", "Unreadable", "nothing_found", "read_answers", "too_long_to_run"]
METADATA_LOST = "because the cell's metadata is lost"
MOST_CHARACTERS = 20_000  # of one answer; official answers have a few hundred
MOST_CODE = 300_000  # characters that are read; an honest notebook has a few tens of thousands


@dataclass
class Answers:
    """What the grader takes from a notebook."""

    sources: dict[str, str] = field(default_factory=dict)  # {exercise: source}
    texts: dict[str, str] = field(default_factory=dict)  # {name of the written part: text}
    remarks: list[str] = field(default_factory=list)  # for the instructor
    pictures: dict[str, str] = field(default_factory=dict)  # {id of the cell: PNG in base64}


def read_answers(content: bytes, handout: Handout) -> Answers:
    """Returns the `Answers` to a lab in a notebook.

    An answer is what its function's name refers to at the notebook's end. That is the last
    definition in a cell of valid Python, with the definitions that it needs from other cells. If
    there is none, the cell that was handed out for the answer counts.

    Raises:
        Unreadable: if `content` is not a notebook.
    """
    notebook, answers = _Notebook(content, handout), Answers()
    remarks: dict[str, list[str]] = {}  # {remark: numbers of exercises}
    for task in handout.tasks:
        source, notes = notebook.answer(task.name)
        if source is not None:
            answers.sources[task.name] = source
        for note in notes:
            remarks.setdefault(note, []).append(task.number)
    answers.remarks = [f"{', '.join(numbers)}: {remark}" for remark, numbers in remarks.items()]
    for number, given in enumerate(handout.cells):
        if "summary" in given.mark:
            answers.texts[given.mark["summary"]], notes = notebook.text(number)
            answers.remarks += notes
        if "cover" in given.mark and (picture := notebook.picture(number)):
            answers.pictures[given.id] = picture
    return answers


def nothing_found(content: bytes, lab: str) -> str:
    """Returns a sentence about a notebook without any answer to `lab`.

    If the notebook belongs to another lab, the sentence says so.
    """
    labs = {number.decode() for number in re.findall(rb'"grade_id":\s*"(\d\d)-', content)} - {lab}
    guess = f"; it looks like lab {labs.pop()}" if len(labs) == 1 else ""
    return f"There is no answer to lab {lab} in this notebook{guess}."


def too_long_to_run(answers: dict[str, str]) -> dict[str, str]:
    """Returns {exercise: sentence} for those `answers`, {exercise: source}, that are too long.

    Such an answer probably contains data.
    """
    return {
        name: (
            f"The answer was not run because it has {len(source):,} characters. The limit is"
            f" {MOST_CHARACTERS:,}."
        )
        for name, source in answers.items()
        if len(source) > MOST_CHARACTERS
    }


class _Notebook:
    """A student's notebook, compared with the one that was handed out."""

    def __init__(self, content: bytes, handout: Handout) -> None:
        self.cells, self.handout = cells_of(content), handout
        self.places = handout.places(self.cells)
        self.given = set(handout.prelude.splitlines())  # imports that every answer has anyway
        self.python: dict[int, str] = {}  # {number of the cell: source} of valid Python
        self.broken: list[int] = []  # the cells of invalid Python
        room = MOST_CODE
        for number, cell in enumerate(self.cells):
            size = len(cell["source"])
            if cell["cell_type"] == "code" and size <= min(room, LONGEST_CELL):
                room -= size
                python = python_of(cell["source"])
                if python is None:
                    self.broken.append(number)
                else:
                    self.python[number] = python
        self.definitions = self._definitions()
        self.not_code = {
            name for name in (task.name for task in handout.tasks) if self._reads_as_code(name)
        }
        if self.not_code:
            self.definitions = self._definitions()

    def _definitions(self) -> Definitions:
        return Definitions(dict(sorted(self.python.items())))

    def _reads_as_code(self, name: str) -> bool:
        """True if an answer is only in a raw or Markdown cell; such cells are then read as code.

        In Jupyter, pressing a single key is enough to change a cell's type.
        """
        if any(not statement.is_stub for statement in self.definitions.of(name)):
            return False
        place = self.handout.number_of("exercise", name)
        changed = {
            number: python
            for number, cell in enumerate(self.cells)
            if cell["cell_type"] == "raw"
            or cell["cell_type"] in TEXT
            and self.places[number] == place
            if _defines(cell["source"], name) and (python := python_of(cell["source"]))
        }
        self.python |= changed
        return bool(changed)

    def answer(self, name: str) -> tuple[str | None, list[str]]:
        """Returns (the source of an answer or None, remarks)."""
        own, found = self.handout.number_of("exercise", name), self.definitions.of(name)
        broken = [number for number in self.broken if _defines(self.cells[number]["source"], name)]
        if not found:
            return self._unfinished(own, broken)
        last, notes = found[-1], []
        needed, missing = self.definitions.needed_by(name, last)
        if self.places[last.place[0]] != own:
            found_where = "not in its own cell" if own in self.places else METADATA_LOST
            notes.append(f"found by its function's name, {found_where}")
        if len({statement.place[0] for statement in found}) > 1:
            notes.append("defined in several cells; the last one counts")
        if broken:
            notes.append("a cell with a syntax error was skipped")
        if name in self.not_code:
            notes.append("a cell that is not code was read as code")
        if missing:
            notes.append(
                f"uses {', '.join(missing)}, which grading leaves out (it keeps functions, classes,"
                " imports and constants)"
            )
        return self._joined(needed, last.place[0]), notes

    def _joined(self, needed: list[Statement], own: int) -> str:
        """Returns the needed statements in order, and everything in the answer's cell, `own`."""
        pieces: dict[int, list[str]] = {}
        for statement in needed:
            if not all(part in self.given for part in statement.as_imports()):
                pieces.setdefault(statement.place[0], []).append(statement.source)
        pieces[own] = [self.python[own]]
        return "\n\n".join("\n".join(pieces[number]) for number in sorted(pieces))

    def _unfinished(self, own: int, broken: list[int]) -> tuple[str | None, list[str]]:
        """Returns the code in the place of an answer, and remarks.

        It defines no answer, so it is only used to say what is wrong with it.
        """
        marked = [number for number, place in enumerate(self.places) if place == own]
        near = [
            number
            for number in self.handout.cells_near(own, self.places)
            if self.cells[number]["cell_type"] == "code"
        ]
        numbers = marked or broken[-1:] or near
        if not numbers:
            return None, []
        notes = [] if marked else [f"found by its place, {METADATA_LOST}"]
        return "\n\n".join(self.cells[number]["source"] for number in numbers), notes

    def _find(self, number: int, kinds: Collection[str]) -> tuple[list[int], list[int]]:
        """Finds the handed-out cell `number`.

        Returns:
            (cells with its metadata, its id or its first line; cells of these kinds in its place)
        """
        line = self.handout.cells[number].source.strip().split("\n")[0]
        near = [
            place
            for place in self.handout.cells_near(number, self.places)
            if self.cells[place]["cell_type"] in kinds
        ]
        known = [place for place, given in enumerate(self.places) if given == number]
        known = known or [
            place
            for place, given in enumerate(self.places)
            if given is None and line and line in self.cells[place]["source"].splitlines()
        ]
        return known, near

    def text(self, number: int) -> tuple[str, list[str]]:
        """Returns (what a student wrote in or around a cell for text, remarks)."""
        untouched = ("", self.handout.cells[number].source.strip())
        known, near = self._find(number, TEXT)
        written = [place for place in known if self.cells[place]["source"].strip() not in untouched]
        places = sorted({*written, *(place for place in near if not written or place > written[0])})
        texts = [
            text
            for place in places
            if (text := self.cells[place]["source"].strip()) not in untouched
        ]
        marked = any(self.places[place] == number for place in known)
        remark = f"the written part: found by its heading or place, {METADATA_LOST}"
        return "\n\n".join(texts), [] if marked or not texts else [remark]

    def picture(self, number: int) -> str | None:
        """Returns the first picture of a cell, or of those in its place; PNG in base64, or None."""
        known, near = self._find(number, ("code",))
        return next(
            (picture for place in [*known, *near] if (picture := _picture(self.cells[place]))), None
        )


def _defines(source: str, name: str) -> bool:
    return (
        re.search(rf"^[ \t]*((async +)?def +{name}\b|{name} *=)", source, re.MULTILINE) is not None
    )


def _picture(cell: Cell) -> str | None:
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        data = output.get("data") if isinstance(output, dict) else None
        picture = data.get("image/png") if isinstance(data, dict) else None
        if isinstance(picture, list):  # a list of lines
            picture = "".join(map(str, picture))
        if isinstance(picture, str):
            return picture
    return None
