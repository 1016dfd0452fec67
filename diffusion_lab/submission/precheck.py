"""The public half of grading, for students: is every exercise found, is it right, is nothing lost,
does the notebook run?

It reads and runs the answers with the code of the grader, so that it is neither stricter nor
milder.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from diffusion_lab.errors import UserError
from diffusion_lab.submission.answers import Answers, read_answers
from diffusion_lab.submission.definitions import Definitions
from diffusion_lab.submission.handout import Handout, digest, handouts
from diffusion_lab.submission.reaching import reaches
from diffusion_lab.submission.reading import LARGEST, Cell, Unreadable, cells_of, python_of
from diffusion_lab.submission.trying import Trial, try_answers

ANSI = re.compile(r"\x1b\[[0-9;]*m")
MARKS = {True: ("✓ ", "green"), False: ("✗ ", "red"), None: ("! ", "yellow")}


class Finding(NamedTuple):
    """One line of the report. `good` is None for what is worth a look and costs nothing."""

    good: bool | None
    sentence: str


def precheck_notebook(path: str | Path, run: bool = True) -> bool:
    """Prints what the grader will find, and returns whether all is well.

    Raises UserError if it is no notebook of ours.
    """
    console, path = Console(), Path(path)
    if not path.is_file():
        raise UserError(
            f"{path} is not a file: name your notebook, such as notebooks/07_ddim.ipynb."
        )
    content = path.read_bytes()
    if len(content) > LARGEST:
        raise UserError(
            f"{path} has more than {LARGEST // 10**6} MB: clear its outputs before you hand it in."
        )
    findings = _shown(console, examine_answers(content, path, try_answers if run else None))
    if run:
        findings += _shown(console, run_notebook(cells_of(content), path.parent))
    bad = any(finding.good is False for finding in findings)
    if bad:
        console.print("You can hand it in all the same: each exercise has points of its own.")
    return not bad


def _shown(console: Console, findings: list[Finding]) -> list[Finding]:
    for good, sentence in findings:
        mark, colour = MARKS[good]
        console.print(Text(mark, colour) + Text(sentence), soft_wrap=True)
    return findings


def examine_answers(
    content: bytes, path: Path, trial: Callable[..., dict[str, Trial]] | None = None
) -> list[Finding]:
    """Returns what there is to say of each exercise of the lab and of its written part.

    `trial` is `try_answers`, or None to run nothing.
    """
    try:
        cells = cells_of(content)
        handout, answers = _lab_of(content, cells)
    except Unreadable as problem:
        raise UserError(f"{path}: {problem}") from None
    tried = trial(handout.prelude, answers.sources) if trial else {}
    findings = []
    for task in handout.tasks:
        good, sentence = _finding(task.name, answers.sources.get(task.name), tried.get(task.name))
        findings.append(Finding(good, f"{task.number} {task.name}: {sentence}"))
    for cell in handout.cells:
        if "summary" in cell.mark:
            written = bool(answers.texts[cell.mark["summary"]])
            said = (
                "written." if written else f"not written yet; it is worth {cell.points:g} points."
            )
            findings.append(Finding(written, f"The summary: {said}"))
    return (
        findings
        + [Finding(None, remark) for remark in answers.remarks]
        + _check_cells(handout, cells)
    )


def _finding(name: str, source: str | None, tried: Trial | None) -> Finding:
    if source is None:
        return Finding(
            False, "there is no cell for it. Copy the exercise's cells from a fresh notebook."
        )
    if tried:
        means = reaches(source) if tried.outcome == "right" else []
        if means:
            return Finding(
                False,
                f"the numbers are right, but it uses `{means[0]}`, by which it could change what "
                "measures it: write it without.",
            )
        return Finding(tried.outcome == "right", tried.sentence)
    if python_of(source) is None:
        return Finding(False, "this is not valid Python; run its cell and read the message.")
    found = Definitions({0: source}).of(name)
    if not found:
        return Finding(False, f"its cell defines no function {name}.")
    if all(statement.is_stub for statement in found):
        return Finding(False, "not written yet.")
    return Finding(True, "written. Whether it is right, its check says.")


def _check_cells(handout: Handout, cells: list[Cell]) -> list[Finding]:
    """Findings on checks that were deleted or changed: a grading does without them, but the student
    goes without what they say.
    """
    places, findings = handout.places(cells), []
    for task in handout.tasks:
        number = handout.number_of("check", task.name)
        found = {digest(cell["source"]) for cell, place in zip(cells, places) if place == number}
        if handout.cells[number].digest not in found:
            what = "was changed, so it may say what is not true" if found else "is not there"
            findings.append(
                Finding(None, f"{task.number}: its check cell {what}. A grading uses its own.")
            )
    return findings


def _lab_of(content: bytes, cells: list[Cell]) -> tuple[Handout, Answers]:
    """(the lab of which this notebook holds most cells, the answers in it). Raises Unreadable."""
    labs = handouts()
    if not labs:
        raise UserError(
            "This installation is not complete, so nothing can be checked: install the package"
            " again."
        )
    found = [
        (answers, handout)
        for handout in labs
        if (answers := read_answers(content, handout)).sources
    ]
    if not found:
        raise Unreadable("There is no exercise of a lab in this notebook: is it the right one?")
    answers, handout = max(
        found, key=lambda pair: (-pair[1].places(cells).count(None), len(pair[0].sources))
    )
    return handout, answers


def run_notebook(cells: list[Cell], folder: Path) -> list[Finding]:
    """Findings of a run from top to bottom in the smallest profile, on over cells that fail; the
    notebook stays.

    What a check cell says has been said of its answer. Of other cells that fail only the first is
    named: most fail because of it.
    """
    import nbclient
    import nbformat
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    code = [
        nbformat.v4.new_code_cell(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and cell["source"].strip()
    ]
    running = [0]
    client = nbclient.NotebookClient(
        nbformat.v4.new_notebook(cells=code),
        timeout=600,
        allow_errors=True,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=lambda cell, cell_index: running.append(cell_index),
        extra_arguments=["--log-level=ERROR"],
    )  # it would warn of its transport, in red
    try:
        client.execute(env=os.environ | {"DIFFUSION_LAB_PROFILE": "smoke"})
    except CellTimeoutError:
        return [
            Finding(
                False,
                "A run from top to bottom takes more than ten minutes in"
                f" {_named(code, running[-1])}, even in the smallest profile.",
            )
        ]
    except DeadKernelError:
        return [
            Finding(
                False,
                f"A run from top to bottom ends before its end: {_named(code, running[-1])} "
                "stops Python itself.",
            )
        ]
    errors = [
        (number, output)
        for number, cell in enumerate(code)
        for output in cell.outputs
        if output.output_type == "error"
    ]
    others = [
        f"A run from top to bottom stops in {_named(code, number)}: {_last_line(error)}"
        for number, error in errors
        if error.ename not in ("CheckFailed", "NotDone")
    ]
    if others:
        return [Finding(False, others[0])]
    return [Finding(True, "It runs from top to bottom (in the smallest profile).")]


def _named(code: list[Any], number: int) -> str:
    """What to call a cell: its number in a run from top to bottom, as Jupyter shows it, and its
    first line.
    """
    return f"cell [{number + 1}], `{code[number].source.strip().splitlines()[0][:60]}`"


def _last_line(error: Any) -> str:
    """The last line that a cell's error shows, which says most."""
    return [line for line in ANSI.sub("", "\n".join(error.traceback)).splitlines() if line.strip()][
        -1
    ].removeprefix("✗ ")
