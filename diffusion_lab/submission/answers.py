"""Reads the answers out of one notebook. Nothing that is read here is run here."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from diffusion_lab.submission.definitions import Definitions, Statement
from diffusion_lab.submission.handout import TEXT, Handout
from diffusion_lab.submission.reading import LONGEST, Cell, Unreadable, cells_of, python_of

__all__ = ["Answers", "Unreadable", "nothing_found", "read_answers"]
ROOM = 300_000  # characters of code that are looked into; an honest notebook has some ten thousand


@dataclass
class Answers:
    """What the grader takes out of a notebook:

    {exercise: source}, {summary: text}, and remarks for the instructor.
    """

    sources: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    pictures: dict[str, str] = field(
        default_factory=dict
    )  # {id of the cell as it was handed out: PNG in base64}


def read_answers(content: bytes, handout: Handout) -> Answers:
    """Returns the `Answers` in a notebook, bytes, for a lab. Raises Unreadable.

    An answer is what its function's name stands for at the notebook's end: the last definition in a
    cell that Python can read, with the definitions that it needs from other cells. Where there is
    none, the cell that was handed out for it counts.
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
    """What to say of a notebook without any answer to a lab: perhaps it is another one's."""
    labs = {number.decode() for number in re.findall(rb'"grade_id":\s*"(\d\d)-', content)} - {lab}
    looks = f"; it looks like lab {labs.pop()}" if len(labs) == 1 else ""
    return f"There is no answer to lab {lab} in this notebook{looks}."


class _Notebook:
    """A student's notebook beside the one that was handed out."""

    def __init__(self, content: bytes, handout: Handout) -> None:
        self.cells, self.handout = cells_of(content), handout
        self.places = handout.places(self.cells)
        self.given = set(handout.prelude.splitlines())  # imports that every answer has anyway
        self.python: dict[int, str] = {}  # of the cells that Python can read
        self.broken: list[int] = []  # those that it cannot
        room = ROOM
        for number, cell in enumerate(self.cells):
            size = len(cell["source"])
            if cell["cell_type"] == "code" and size <= min(room, LONGEST):
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
        """True if an answer stands only in a cell whose type was changed, by a key, to raw or
        Markdown; takes it for code.
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
        """(the source of an answer or None, remarks)."""
        own, found = self.handout.number_of("exercise", name), self.definitions.of(name)
        broken = [number for number in self.broken if _defines(self.cells[number]["source"], name)]
        if not found:
            return self._unfinished(own, broken)
        last, notes = found[-1], []
        needed, missing = self.definitions.needed_by(name, last)
        if self.places[last.place[0]] != own:
            notes.append(
                "found by its function,"
                f" {'outside of its own cell' if own in self.places else 'its mark is lost'}"
            )
        if len({statement.place[0] for statement in found}) > 1:
            notes.append("defined in several cells, the last one counts")
        if broken:
            notes.append("a cell with a syntax error was passed over")
        if name in self.not_code:
            notes.append("a cell that is not code was read as code")
        if missing:
            notes.append(
                f"uses {', '.join(missing)}, which does not come along (functions, classes, imports"
                " and constants do)"
            )
        return self._spliced(needed, last.place[0]), notes

    def _spliced(self, needed: list[Statement], own: int) -> str:
        """The needed definitions of each cell, in order; of the answer's own cell everything."""
        pieces: dict[int, list[str]] = {}
        for statement in needed:
            if not all(part in self.given for part in statement.as_imports()):
                pieces.setdefault(statement.place[0], []).append(statement.source)
        pieces[own] = [self.python[own]]
        return "\n\n".join("\n".join(pieces[number]) for number in sorted(pieces))

    def _unfinished(self, own: int, broken: list[int]) -> tuple[str | None, list[str]]:
        """What stands where the answer should be, for the sentence that says what is wrong with
        it.
        """
        marked = [number for number, place in enumerate(self.places) if place == own]
        there = (
            marked
            or broken[-1:]
            or [
                number
                for number in self.handout.at(own, self.places)
                if self.cells[number]["cell_type"] == "code"
            ]
        )
        if not there:
            return None, []
        notes = [] if marked else ["found by its place, its mark is lost"]
        return "\n\n".join(self.cells[number]["source"] for number in there), notes

    def _around(self, number: int, kinds: Collection[str]) -> tuple[list[int], list[int]]:
        """(the cells that are the handed-out cell `number`, by their mark, id or first line; the
        student's own where it stood).
        """
        line = self.handout.cells[number].source.strip().split("\n")[0]
        near = [
            place
            for place in self.handout.at(number, self.places)
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
        """(what a student wrote into a cell for text, or around it if that was left as it is;
        remarks).
        """
        untouched = ("", self.handout.cells[number].source.strip())
        known, near = self._around(number, TEXT)
        written = [place for place in known if self.cells[place]["source"].strip() not in untouched]
        places = sorted({*written, *(place for place in near if not written or place > written[0])})
        texts = [
            text
            for place in places
            if (text := self.cells[place]["source"].strip()) not in untouched
        ]
        by_mark = [place for place in known if self.places[place] == number]
        return "\n\n".join(texts), (
            []
            if by_mark or not texts
            else ["the written part: found by its heading or place, its mark is lost"]
        )

    def picture(self, number: int) -> str | None:
        """The first picture that a cell shows, or what stands where it was; PNG in base64 or
        None.
        """
        known, near = self._around(number, ("code",))
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
        if isinstance(picture, list):  # of lines, as text may be
            picture = "".join(map(str, picture))
        if isinstance(picture, str):
            return picture
    return None
