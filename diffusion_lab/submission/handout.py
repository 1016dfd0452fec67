"""A lab as it was handed out, and which cell of a student's notebook is which cell of it.

Some web pages drop the metadata and ids by which a cell is known. Then its text is as good, and
where that was changed, its place between cells whose text was not.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffusion_lab.submission.reading import Cell

FOLDER = Path(__file__).with_name(
    "handed_out"
)  # one file a lab, which `diffusion-lab build` writes
TEXT = ("markdown", "raw")


@dataclass(frozen=True)
class Wanted:
    """An exercise that a notebook should hold:

    `number` such as "7.2", and the `name` of its function.
    """

    number: str
    name: str
    points: float = 1


@dataclass(frozen=True)
class Given:
    """A cell as it was handed out.

    `mark` is {"exercise", "check" or "summary": name, ...}, or {"cover": True}, or empty, and then
    only the digest of the source is known.
    """

    id: str
    kind: str
    digest: str
    mark: dict[str, Any]
    source: str = ""
    points: float = 0


@dataclass(frozen=True)
class Handout:
    """What a lab's notebook holds before a student writes into it.

    `prelude` is what runs before an answer is tried.
    """

    lab: str
    prelude: str
    tasks: list[Wanted]
    cells: list[Given]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Handout":
        content = json.loads(text)
        return cls(
            content["lab"],
            content["prelude"],
            [Wanted(**task) for task in content["tasks"]],
            [Given(**cell) for cell in content["cells"]],
        )

    def number_of(self, kind: str, name: str) -> int:
        """The number of the cell with a mark, such as ("summary", "summary")."""
        return next(number for number, cell in enumerate(self.cells) if cell.mark.get(kind) == name)

    def places(self, cells: list[Cell]) -> list[int | None]:
        """Returns for each cell of a notebook the number of the cell here that it is, or None for
        one of the student's own.
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

    def at(self, number: int, places: list[int | None]) -> list[int]:
        """The numbers of a student's cells that are cell `number` here, or are where it was:
        between the nearest cells before and behind it that are known.
        """
        known = [
            -1,
            *(place for place in places if place is not None and place != number),
            len(self.cells),
        ]
        before, behind = (
            max(place for place in known if place < number),
            min(place for place in known if place > number),
        )
        around = (
            before == number - 1 or behind == number + 1 or before in places and behind in places
        )  # else it may be another lab
        first = len(places) - places[::-1].index(before) if before in places else 0
        last = places.index(behind) if behind in places else len(places)
        return sorted(
            {index for index, place in enumerate(places) if place == number}
            | {index for index in range(first, last) if around and places[index] is None}
        )


def digest(source: str) -> str:
    """What two cells with the same source have in common; spaces around it count for nothing."""
    return hashlib.sha256(source.strip().encode()).hexdigest()[:12]


def handouts() -> list[Handout]:
    """The labs of this package, in order."""
    return [
        Handout.from_json(path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.glob("*.json"))
    ]


def _grade_id(cell: Cell, lab: str) -> str | None:
    """The id that a cell's metadata names, in one of two ways."""
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
