"""The notebook that is run in place of the student's: our cells, and of the student's only the
source of the answers.
"""

import base64
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import numpy as np

from diffusion_lab import checks
from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import student_notebook
from diffusion_lab.instructor.handing_out import handout_of, prelude_of
from diffusion_lab.instructor.sandbox.staging import staged_files, whole_module
from diffusion_lab.instructor.source import KERNEL, exercises, read_source
from diffusion_lab.instructor.verdicts import Outcome
from diffusion_lab.labs.exercise import CheckFailed, Exercise, NotDone, first_line
from diffusion_lab.submission.measuring import by_draw
from diffusion_lab.submission.recording import recorded_attributes, taken_attributes

DRAWS = 3  # of the inputs, on each of which an answer must be right
FIRST, REHEARSAL = (
    "0",
    {"stops", "rehearsed"},
)  # what is rehearsed comes out of the first of them alone
LARGER, ROOM, MOST_AXES = 64, 2000, 8  # how much larger than a right result a wrong one may be
LONGEST = 400  # characters of a sentence


@dataclass(frozen=True)
class Task:
    """An exercise as the grader sees it:

    `number` such as "7.2", the `name` of its function, and its `points`.
    """

    number: str
    name: str
    points: float
    official: str = field(default="", repr=False)  # code that defines the right function

    @property
    def check(self) -> Exercise:
        return getattr(checks, self.name)

    @cached_property
    def expected(self) -> dict[str, np.ndarray]:
        """Returns what `run` gives for the official answer, {name: array}, on other inputs than
        students'.

        Raises UserError if it does not run.
        """
        space: dict[str, Any] = {"__name__": "official"}
        try:
            exec(self.official, space)
            return self.check.run(space[self.name], self.check.draw(np.random.default_rng(0)))
        except Exception as error:
            raise UserError(
                f"The official answer to {self.number}, {self.name}, does not run:"
                f" {first_line(error)}"
            ) from error

    def inputs(self, seed: int) -> dict[str, np.ndarray]:
        """Returns the arrays that this grading gives to the answer; each `seed` draws others.

        There are several draws: a right number can be had by chance or from somebody else, but not
        three of them.
        """
        rng = np.random.default_rng([seed, *self.name.encode()])
        return {
            f"{draw}/{name}": values
            for draw in range(DRAWS)
            for name, values in self.check.draw(rng).items()
        }

    def judge(self, seed: int, result: bytes) -> tuple[Outcome, str]:
        """Returns (outcome, sentence) for the content of a results file, of which nothing is
        believed.

        The sentence says what kind of mistake it is, and no right number.
        """
        try:
            outputs, draws = by_draw(_unpacked(result, self)), by_draw(self.inputs(seed))
            with np.errstate(all="ignore"):
                for draw, inputs in draws.items():
                    (self.check.judge if draw == FIRST else self.check.examine)(
                        inputs, outputs[draw]
                    )
                self._compare_rehearsal(outputs[FIRST]["rehearsed"])
        except CheckFailed as failure:
            return "missing" if isinstance(failure, NotDone) else "wrong", _sentence(failure.hint)
        except Exception:  # numbers of a kind that no honest run produces
            return "wrong", "Your answer did not return the arrays that this exercise asks for."
        return "right", _sentence(self.check.praise)

    def _compare_rehearsal(self, numbers: np.ndarray) -> None:
        """Where the lab uses the answer, the same must come out as with ours, whose model, noise
        and batches are the same.
        """
        right = self.expected["rehearsed"]
        if numbers.shape != right.shape or not np.allclose(numbers, right, rtol=1e-3, atol=1e-3):
            raise CheckFailed(
                "the numbers are right when the function is called by itself, but in the lab's own"
                " model, in training and in sampling, others come out: it must compute the same in"
                " a graph, and each time."
            )


class Master:
    """A lab, prepared for grading. `source` is the path of its solutions/NN_topic.py."""

    def __init__(self, source: Path) -> None:
        self.lab, notebook = source.name[:2], read_source(source)
        self.handout = handout_of(self.lab, notebook, student_notebook(notebook))
        self.summaries = {
            cell.metadata.diffusion_lab.summary: cell
            for cell in notebook.cells
            if "summary" in cell.metadata.get("diffusion_lab", {})
        }
        self.cover = next(
            (cell.id for cell in notebook.cells if "cover" in cell.metadata.get("tags", [])), None
        )
        self.answers = {name: cell.source for _, name, cell in exercises(notebook)}
        self.prelude, helpers = prelude_of(notebook)
        official = "\n\n".join([self.prelude, *self.answers.values()])
        self.tasks = [
            Task(task.number, task.name, task.points, official) for task in self.handout.tasks
        ]
        self.module = f"labs.lab{self.lab}.checks"
        self.roots = helpers | {(self.module, task.name) for task in self.tasks}
        self.files = (
            staged_files(self.roots)
            | whole_module("submission.defining")
            | whole_module("submission.measuring")
        )  # once and for all: Python 3.11 cannot parse in two threads at a time
        self.recorded, self.taken = (
            recorded_attributes(self.files, official),
            taken_attributes(self.files),
        )

    def notebook(self, answers: dict[str, str]) -> nbformat.NotebookNode:
        """Returns the notebook that runs `answers`, {name: source}, each followed by its
        measurement.
        """
        cells = [
            _cell(
                "prelude",
                f"{self.prelude}\nfrom diffusion_lab.submission.measuring import start as"
                f" _start\n_start('diffusion_lab.{self.module}')",
            )
        ]
        for task in self.tasks:
            if task.name in answers:
                cells.append(
                    _cell(f"answer-{task.name}", answer_cell(task.name, answers[task.name]))
                )
                cells.append(
                    _cell(
                        f"measure-{task.name}",
                        "from diffusion_lab.submission.measuring import measure as _measure\n"
                        f"from diffusion_lab.{self.module} import {task.name} as _exercise\n"
                        "_measure(_exercise, globals())",
                    )
                )
        return nbformat.v4.new_notebook(cells=cells, metadata=nbformat.from_dict(KERNEL))


def answer_cell(name: str, source: str) -> str:
    """Returns the cell that runs an answer.

    The answer's source is a string in it: as code, its comments could give orders to nbval.
    """
    source = source.replace("NBVAL_", "NBVAL ")
    return (
        f"from diffusion_lab.submission.defining import define as _define\n_define({name!r},"
        f" {source!r}, globals())"
    )


def _cell(name: str, source: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(source, id=name[:64])


def _unpacked(result: bytes, task: Task) -> dict[str, np.ndarray]:
    """Returns the arrays in a results file of a task.

    Raises CheckFailed for a failure that is written there, and anything for what is neither.
    What is much larger than a right result is not even looked at: to judge it might take hours.
    """
    content = json.loads(result)
    if isinstance(content.get("failed"), str):
        raise (NotDone if content.get("missing") is True else CheckFailed)(content["failed"])
    if content["outputs"].keys() != {
        f"{draw}/{name}"
        for draw in range(DRAWS)
        for name in task.expected
        if str(draw) == FIRST or name not in REHEARSAL
    }:
        raise ValueError("other names than those of a right answer")
    outputs = {}
    for key, packed in content["outputs"].items():
        name, shape = key.split("/", 1)[1], tuple(int(length) for length in packed["shape"])
        size, right = math.prod(shape), np.size(task.expected[name])
        if size > LARGER * right + ROOM or len(shape) > MOST_AXES or min(shape, default=0) < 0:
            raise CheckFailed(
                f"`{name}` holds {size:.3g} numbers in {len(shape)} dimensions: a right answer"
                f" gives {right}."
            )
        outputs[key] = np.frombuffer(
            base64.b64decode(packed["float64"], validate=True), "float64"
        ).reshape(shape)
    return outputs


def _sentence(text: str) -> str:
    """Returns a text as one line of bounded length that begins with a capital, unless a name from
    the code is there.
    """
    text = " ".join(
        "".join(letter if letter.isprintable() else " " for letter in text[: 2 * LONGEST]).split()
    )
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    name = text.split(" ")[0].rstrip(",:")
    return text if "_" in name or name in checks.exercises() else text[:1].upper() + text[1:]
