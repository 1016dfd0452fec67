"""What one answer earned, and why; and what became of a whole submission."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# missing: nothing was handed in, or nothing written; stopped: the answer gave no result
Outcome = Literal["right", "wrong", "missing", "stopped"]
KID = ("KID", "flowers")  # number and name of the verdict on what a trained model draws


@dataclass(frozen=True)
class Quality:
    """What the instructor asks for: images at least as near to `data` as `kid`, for so many
    points.
    """

    kid: float
    points: float = 4
    data: str = "procedural_flowers"


@dataclass(frozen=True)
class Verdict:
    """What one answer earned, and the sentence that says why.

    `details` are the last lines of its cell's error.
    """

    number: str
    name: str
    outcome: Outcome
    points: float
    possible: float
    sentence: str
    details: str = ""


def not_graded(number: str, name: str, possible: float) -> Verdict:
    """Returns the verdict on what could not be graded, through no fault that anybody knows of."""
    return Verdict(
        number,
        name,
        "stopped",
        0.0,
        possible,
        "This could not be graded; a person will look at it.",
    )


@dataclass(frozen=True)
class Result:
    """What became of one submission."""

    student: str
    id: str
    place: str  # where the notebook was found
    key: str = ""  # of the student, in manual.csv
    digest: str = ""
    written: float = 0  # points of the written part, which a person gives
    problem: str = ""  # a sentence, if something is wrong with the whole submission
    failed: bool = False  # the next run tries again
    verdicts: list[Verdict] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # for the instructor
    answers: dict[str, str] = field(default_factory=dict)  # {exercise: source}
    texts: dict[str, str] = field(default_factory=dict)  # {summary: what the student wrote}
    picture: str | None = None  # PNG, in base64
    weights: str = ""  # fingerprint of a trained model, in base64

    def to_json(self) -> str:
        return json.dumps(encodable(asdict(self)))

    @classmethod
    def from_json(cls, text: str) -> "Result":
        """Raises ValueError, TypeError or KeyError for what `to_json` has not written."""
        content = json.loads(text)
        return cls(
            **content | {"verdicts": [Verdict(**verdict) for verdict in content["verdicts"]]}
        )


def encodable(value: Any) -> Any:
    """Returns a value for JSON in which every text can be encoded.

    A lone surrogate, which is half a character, becomes its escape.
    """
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(inner) for inner in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
