"""`Verdict`, the points for one answer, and `Result`, everything known about one submission."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# missing: no answer, or only the stub; stopped: the answer gave no result
Outcome = Literal["right", "wrong", "missing", "stopped"]
BOARD_STEPS = (1, 2, 4)  # of DDIM
KID = ("KID", "flowers")  # number and name of the verdict on the images of a trained model


@dataclass(frozen=True)
class Quality:
    """What the images of a trained model must reach."""

    kid: float  # the largest that earns points
    points: float = 4
    data: str = "procedural_flowers"  # the data set of the real images


@dataclass(frozen=True)
class Verdict:
    """The points for one answer, and why."""

    number: str
    name: str
    outcome: Outcome
    points: float
    possible: float
    sentence: str
    details: str = ""  # the error in the answer's cell, see `own_lines`
    graded: float | None = None  # the grader's points, if a person gave others

    @property
    def feedback(self) -> str:
        """What the student reads."""
        if self.graded is None:
            return self.sentence
        return (
            f"{self.sentence} (Your instructor gave these points. The grader gave {self.graded:g}.)"
        )


def not_graded(number: str, name: str, possible: float) -> Verdict:
    """Returns the verdict on an answer that could not be graded for an unknown reason."""
    return Verdict(
        number,
        name,
        "stopped",
        0.0,
        possible,
        "This could not be graded. A person will look at it.",
    )


@dataclass(frozen=True)
class Result:
    """The result of one submission."""

    student: str
    id: str
    place: str  # of the notebook: its path within the folder or the zip
    key: str = ""  # of the student, in manual.csv
    digest: str = ""
    seed: int = 0  # of the random inputs that this submission got
    written: float = 0  # possible points for the written part, which a person grades
    problem: str = ""  # what is wrong with the whole submission, a sentence
    failed: bool = False  # the next run grades it again
    verdicts: list[Verdict] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # for the instructor
    answers: dict[str, str] = field(default_factory=dict)  # {exercise: source}
    texts: dict[str, str] = field(default_factory=dict)  # {summary: what the student wrote}
    picture: str | None = None  # PNG, in base64
    # KID of the tuned model after `BOARD_STEPS`, each with its standard error
    board: list[list[float]] = field(default_factory=list)
    weights: str = ""  # fingerprint of a trained model, in base64
    handed_in: str = ""  # when, as the platform writes it; "" if unknown
    outdated: bool = False  # the student has handed in again, but --only left it out

    def to_json(self) -> str:
        return json.dumps(encodable(asdict(self)))

    @classmethod
    def from_json(cls, text: str) -> "Result":
        """Returns the result that `to_json` has written.

        Raises:
            ValueError, TypeError, KeyError: for any other text.
        """
        content = json.loads(text)
        return cls(
            **content | {"verdicts": [Verdict(**verdict) for verdict in content["verdicts"]]}
        )


def encodable(value: Any) -> Any:
    """Returns a value for JSON with lone surrogates escaped, because UTF-8 cannot encode them."""
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(inner) for inner in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
