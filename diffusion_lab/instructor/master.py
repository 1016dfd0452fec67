"""Prepares a lab for grading: makes the notebook that runs answers, and judges its results.

The cells of this notebook are ours. Only the source of the answers comes from the student.
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
from diffusion_lab.instructor.sandbox.staging import files_in_box
from diffusion_lab.instructor.shares import require_shares, share_of
from diffusion_lab.instructor.source import KERNEL, exercises, read_source
from diffusion_lab.instructor.verdicts import Outcome
from diffusion_lab.labs.exercise import CheckFailed, Exercise, NotDone, first_line
from diffusion_lab.submission.measuring import by_draw
from diffusion_lab.submission.recording import taken_in

DRAWS = 3  # number of random inputs; an answer must be right on each
FIRST = "0"  # the rehearsal uses only the first draw
REHEARSAL = {"stops", "rehearsed"}  # its outputs
# A result is not judged if it has more than 64 times the numbers of a right one plus 2000, or more
# than 8 axes.
LARGER, ROOM, MOST_AXES = 64, 2000, 8
LONGEST = 400  # characters of a sentence


@dataclass(frozen=True)
class Task:
    """An exercise as the grader sees it."""

    number: str  # such as "7.2"
    name: str  # of its function
    points: float
    official: str = field(default="", repr=False)  # code that defines the right function

    @property
    def check(self) -> Exercise:
        return getattr(checks, self.name)

    @cached_property
    def expected(self) -> dict[str, np.ndarray]:
        """What `run` returns for the official answer, {name: array}.

        The inputs are not those of a grading.

        Raises:
            UserError: if the official answer does not run.
        """
        namespace: dict[str, Any] = {"__name__": "official"}
        try:
            exec(self.official, namespace)
            return self.check.run(namespace[self.name], self.check.draw(np.random.default_rng(0)))
        except Exception as error:
            raise UserError(
                f"The official answer to {self.number}, {self.name}, does not run:"
                f" {first_line(error)}"
            ) from error

    def inputs(self, seed: int) -> dict[str, np.ndarray]:
        """Returns the random inputs for an answer, {"draw/name": array}.

        There are several draws, because one result may be right by chance or copied from another
        student.
        """
        rng = np.random.default_rng([seed, *self.name.encode()])
        return {
            f"{draw}/{name}": values
            for draw in range(DRAWS)
            for name, values in self.check.draw(rng).items()
        }

    def judge(self, seed: int, result: bytes) -> tuple[Outcome, str]:
        """Returns (outcome, sentence) for the content of a results file, which may be forged.

        The sentence names the kind of mistake, but contains no right number.
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
        except Exception:  # no honest run writes such a file
            return "wrong", "Your answer did not return the arrays that this exercise asks for."
        return "right", _sentence(self.check.praise)

    def share(self, seed: int, result: bytes) -> float:
        """Returns the share of the points that a wrong result earns, from 0 to 1.

        The content of the results file may be forged.
        """
        worth = [mistake for mistake in self.check.mistakes if mistake.share]
        if not worth:
            return 0.0
        try:
            outputs, draws = by_draw(_unpacked(result, self)), by_draw(self.inputs(seed))
            return share_of(self.check, worth, draws, outputs)
        except Exception:  # no honest run writes such a file
            return 0.0

    def _compare_rehearsal(self, numbers: np.ndarray) -> None:
        """Raises CheckFailed unless the answer gives the same numbers in the lab's own model as the
        official answer.

        Model, noise and batches of the two are the same.
        """
        right = self.expected["rehearsed"]
        if numbers.shape != right.shape or not np.allclose(numbers, right, rtol=1e-3, atol=1e-3):
            raise CheckFailed(
                "the numbers are right when the check calls the function, but wrong in the lab's"
                " own model, during training or sampling. The function must return the same values"
                " inside a graph and in every call."
            )


class Master:
    """A lab, prepared for grading.

    Args:
        source: the path of its solutions/NN_topic.py.
    """

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
        for task in self.tasks:
            require_shares(task.check)
        self.module = f"labs.lab{self.lab}.checks"
        self.roots = helpers | {(self.module, task.name) for task in self.tasks}
        # here, and not for each submission, because Python 3.11 cannot parse in two threads at once
        self.files = files_in_box(self.roots)
        self.recorded, self.taken = set(self.handout.recorded), taken_in(self.handout)

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
    """Returns the source of the cell that runs an answer.

    It contains the answer as a string, because comments in code could control nbval.
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

    Arrays that are much larger than a right result are refused, because judging them could take
    hours.

    Raises:
        CheckFailed: if the file contains a failure or such an array.
        Exception: any, if the file has another format.
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
        raise ValueError("not the names of a right answer's arrays")
    outputs = {}
    for key, packed in content["outputs"].items():
        name, shape = key.split("/", 1)[1], tuple(int(length) for length in packed["shape"])
        size, right = math.prod(shape), np.size(task.expected[name])
        if size > LARGER * right + ROOM or len(shape) > MOST_AXES or min(shape, default=0) < 0:
            raise CheckFailed(
                f"`{name}` contains {size:.3g} numbers in {len(shape)} dimensions. A right answer"
                f" has {right} numbers."
            )
        outputs[key] = np.frombuffer(
            base64.b64decode(packed["float64"], validate=True), "float64"
        ).reshape(shape)
    return outputs


def _sentence(text: str) -> str:
    """Returns a text as one line of limited length, with a capital letter unless it begins with a
    name from the code.
    """
    text = " ".join(
        "".join(letter if letter.isprintable() else " " for letter in text[: 2 * LONGEST]).split()
    )
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    name = text.split(" ")[0].rstrip(",:")
    return text if "_" in name or name in checks.exercises() else text[:1].upper() + text[1:]
