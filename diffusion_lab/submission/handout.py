"""A lab as it was handed out, and which of its cells each cell of a student's notebook is.

Some websites drop the metadata and ids that identify a cell. Then its text identifies it. If the
text was changed, its place does: between cells with unchanged text.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from diffusion_lab.submission.reading import Cell

FOLDER = Path(__file__).with_name("handed_out")  # `diffusion-lab build` writes a file for each lab
TEXT = ("markdown", "raw")


@dataclass(frozen=True)
class GivenExercise:
    """An exercise of a lab: its `number`, such as "7.2", and the `name` of its function."""

    number: str
    name: str
    points: float = 1


@dataclass(frozen=True)
class GivenCell:
    """A cell as it was handed out.

    `mark` is {"exercise", "check" or "summary": name, ...}, or {"cover": True}, or empty. If it is
    empty, only the digest of the source is stored.
    """

    id: str
    kind: str
    digest: str
    mark: dict[str, Any]
    source: str = ""
    points: float = 0


@dataclass(frozen=True)
class Handout:
    """A lab's notebook before a student writes into it.

    `prelude` is the code that runs before an answer is tried. Answers must not touch the attributes
    `recorded`, in which a check records what happens, and must not redefine those in `taken`.
    """

    lab: str
    prelude: str
    tasks: list[GivenExercise]
    cells: list[GivenCell]
    recorded: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Handout":
        content = json.loads(text)
        return cls(
            content["lab"],
            content["prelude"],
            [GivenExercise(**task) for task in content["tasks"]],
            [GivenCell(**cell) for cell in content["cells"]],
            content["recorded"],
            content["taken"],
        )

    def number_of(self, kind: str, name: str) -> int:
        """Returns the number of the cell with a mark, such as ("summary", "summary")."""
        return next(number for number, cell in enumerate(self.cells) if cell.mark.get(kind) == name)

    def places(self, cells: list[Cell]) -> list[int | None]:
        """Returns, for each cell of a notebook, the number of the handed-out cell that it is.

        Cells that the student added have None.
        """
        by_id: dict[str | None, int | None] = {
            cell.id: number for number, cell in enumerate(self.cells)
        }
        by_digest: dict[str | None, int | None] = {}
        for number, cell in enumerate(self.cells):
            by_digest[cell.digest] = None if cell.digest in by_digest else number
        return [
            next(
                (
                    keys[key]
                    for keys, key in (
                        (by_id, _grade_id(cell, self.lab)),
                        (by_id, cell["id"]),
                        (by_digest, digest(cell["source"])),
                    )
                    if keys.get(key) is not None
                ),
                None,
            )
            for cell in cells
        ]

    def cells_near(self, number: int, places: list[int | None]) -> list[int]:
        """Returns the student's cells that may be the handed-out cell `number` or replace it.

        These are that cell and all cells that the student added between the nearest known
        cells before and after it.

        Args:
            number: of the handed-out cell.
            places: the result of `places` for the student's cells.
        """
        known = [
            -1,
            *(place for place in places if place is not None and place != number),
            len(self.cells),
        ]
        before = max(place for place in known if place < number)
        after = min(place for place in known if place > number)
        first = len(places) - places[::-1].index(before) if before in places else 0
        last = places.index(after) if after in places else len(places)
        found = {index for index, place in enumerate(places) if place == number}
        # Without a known cell nearby, this may be the notebook of another lab.
        if before == number - 1 or after == number + 1 or before in places and after in places:
            found |= {index for index in range(first, last) if places[index] is None}
        return sorted(found)


def digest(source: str) -> str:
    """Returns a short hash of a cell's source, without the white space around it."""
    return hashlib.sha256(source.strip().encode()).hexdigest()[:12]


def handouts() -> list[Handout]:
    """Returns the labs of this package, in order."""
    return [
        Handout.from_json(path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.glob("*.json"))
    ]


def _grade_id(cell: Cell, lab: str) -> str | None:
    """Returns the id in a cell's metadata, which has one of two forms, or None."""
    nbgrader, mark = (cell["metadata"].get(key) for key in ("nbgrader", "diffusion_lab"))
    if isinstance(nbgrader, dict) and isinstance(nbgrader.get("grade_id"), str):
        return nbgrader["grade_id"]
    if isinstance(mark, dict):
        return next(
            (
                f"{lab}-{mark[kind]}{end}"
                for kind, end in (("exercise", ""), ("check", "-check"), ("summary", ""))
                if kind in mark
            ),
            None,
        )
    return None
