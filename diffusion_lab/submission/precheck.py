"""Tells students what the grader will find in their notebook, before they hand it in.

It reads and runs the answers with the grader's code, so it is neither stricter nor milder.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from diffusion_lab.errors import UserError
from diffusion_lab.submission.answers import Answers, read_answers, too_long_to_run
from diffusion_lab.submission.definitions import Definitions
from diffusion_lab.submission.handout import GivenExercise, Handout, digest, handouts
from diffusion_lab.submission.reading import LARGEST, Cell, Unreadable, cells_of, python_of
from diffusion_lab.submission.recording import taken_in
from diffusion_lab.submission.tampering import find_tampering
from diffusion_lab.submission.trying import Trial, try_answers

ANSI = re.compile(r"\x1b\[[0-9;]*m")
MARKS = {True: ("✓ ", "green"), False: ("✗ ", "red"), None: ("! ", "yellow")}


class Finding(NamedTuple):
    """One line of the report. `good` is None for a remark that costs no points."""

    good: bool | None
    sentence: str


def precheck_notebook(path: str | Path, run: bool = True) -> bool:
    """Prints what the grader will find.

    Returns:
        True if nothing is wrong.

    Raises:
        UserError: if the file is not a notebook of one of the labs.
    """
    console, path = Console(), Path(path)
    if not path.is_file():
        raise UserError(
            f"{path} is not a file. Give the path of your notebook, for example"
            " notebooks/07_ddim.ipynb."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from None
    if len(content) > LARGEST:
        raise UserError(
            f"{path} is larger than {LARGEST // 10**6} MB. Clear its outputs before you hand it in."
        )
    findings = _show(console, examine_answers(content, path, try_answers if run else None))
    if run:
        cells = cells_of(content)
        with _copy_of(path.resolve().parent, cells) as folder:
            findings += _show(console, run_notebook(cells, folder))
    bad = any(finding.good is False for finding in findings)
    if bad:
        console.print("You can still hand it in: each exercise earns its points separately.")
    return not bad


def _show(console: Console, findings: list[Finding]) -> list[Finding]:
    for good, sentence in findings:
        mark, colour = MARKS[good]
        console.print(Text(mark, colour) + Text(sentence), soft_wrap=True)
    return findings


def examine_answers(
    content: bytes, path: Path, trial: Callable[..., dict[str, Trial]] | None = None
) -> list[Finding]:
    """Returns the findings about each exercise of the lab and its written part.

    Args:
        content: the notebook.
        path: its path, for error messages.
        trial: `try_answers`, or None to run nothing.
    """
    try:
        cells = cells_of(content)
        handout, answers = _lab_of(content, cells)
    except Unreadable as problem:
        raise UserError(f"{path}: {problem}") from None
    findings = [
        Finding(good, f"{task.number} {task.name}: {sentence}")
        for task, (good, sentence) in task_findings(handout, answers, trial)
    ]
    for cell in handout.cells:
        if "summary" in cell.mark:
            name = cell.mark["summary"]
            written = bool(answers.texts[name])
            said = (
                "written." if written else f"not written yet; it is worth {cell.points:g} points."
            )
            findings.append(Finding(written, f"The {name}: {said}"))
    return (
        findings
        + [Finding(None, remark) for remark in answers.remarks]
        + _check_cells(handout, cells)
    )


def task_findings(
    handout: Handout, answers: Answers, trial: Callable[..., dict[str, Trial]] | None
) -> list[tuple[GivenExercise, Finding]]:
    """Returns each exercise of a lab with what was found about its answer."""
    too_long = too_long_to_run(answers.sources)
    short = {name: source for name, source in answers.sources.items() if name not in too_long}
    tried = trial(handout.prelude, short) if trial and short else {}
    tried |= {name: Trial("stopped", sentence) for name, sentence in too_long.items()}
    return [
        (task, _finding(task.name, answers.sources.get(task.name), tried.get(task.name), handout))
        for task in handout.tasks
    ]


def _finding(name: str, source: str | None, tried: Trial | None, handout: Handout) -> Finding:
    if source is None:
        return Finding(
            False, "its cell is missing. Copy the exercise's cells from a fresh notebook."
        )
    if tried:
        names = (
            find_tampering(source, handout.recorded, taken_in(handout))
            if tried.outcome == "right"
            else []
        )
        if names:
            return Finding(
                False,
                f"the numbers are right, but it uses `{names[0]}`, which could change how answers"
                " are measured. Write it without this.",
            )
        return Finding(tried.outcome == "right", tried.sentence)
    if python_of(source) is None:
        return Finding(False, "this is not valid Python. Run its cell and read the message.")
    found = Definitions({0: source}).of(name)
    if not found:
        return Finding(False, f"its cell defines no function {name}.")
    if all(statement.is_stub for statement in found):
        return Finding(False, "not written yet.")
    return Finding(True, "written. Run its check to see if it is right.")


def _check_cells(handout: Handout, cells: list[Cell]) -> list[Finding]:
    """Returns findings about check cells that were deleted or changed.

    Grading does not need them, but the student misses what they say.
    """
    places, findings = handout.places(cells), []
    for task in handout.tasks:
        number = handout.number_of("check", task.name)
        found = {digest(cell["source"]) for cell, place in zip(cells, places) if place == number}
        if handout.cells[number].digest not in found:
            what = "was changed, so do not rely on what it says" if found else "is missing"
            findings.append(
                Finding(None, f"{task.number}: its check cell {what}. Grading uses its own check.")
            )
    return findings


def _lab_of(content: bytes, cells: list[Cell]) -> tuple[Handout, Answers]:
    """Returns (the lab from which this notebook has the most cells, the answers in it).

    Raises:
        Unreadable: if it has no answer to any lab.
    """
    labs = handouts()
    if not labs:
        raise UserError(
            "This installation is not complete, so nothing can be checked. Install the package"
            " again."
        )
    found = [
        (answers, handout)
        for handout in labs
        if (answers := read_answers(content, handout)).sources
    ]
    if not found:
        raise Unreadable("This notebook contains no exercise of a lab. Is it the right file?")
    answers, handout = max(
        found, key=lambda pair: (-pair[1].places(cells).count(None), len(pair[0].sources))
    )
    return handout, answers


@contextmanager
def _copy_of(folder: Path, cells: list[Cell]) -> Iterator[Path]:
    """Yields a copy of the notebook's folder, so that the smallest profile overwrites no model that
    the student has trained.

    The copy is next to the folder, because a notebook may read from `../data`. Only the folder
    `out`, into which labs write, and the files that the notebook names are copied. The others,
    which may be large, are links where the system allows it. What cannot be copied is left out.
    """
    code = "\n".join(cell["source"] for cell in cells)
    parent = folder.parent if os.access(folder.parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(
        prefix=".precheck-", dir=parent, ignore_cleanup_errors=True
    ) as copy:
        for entry in folder.iterdir():
            with suppress(OSError):  # such as a file that the student may not read
                written = entry.name == "out" or entry.is_file() and entry.name in code
                (_copied if written else _linked)(entry, Path(copy, entry.name))
        yield Path(copy)


def _linked(entry: Path, target: Path) -> None:
    try:
        target.symlink_to(entry, target_is_directory=entry.is_dir())
    except OSError:  # Windows, without developer mode
        _copied(entry, target)


def _copied(entry: Path, target: Path) -> None:
    """Copies a file, or a folder without what cannot be read; raises OSError at its end."""
    if entry.is_dir():
        shutil.copytree(entry, target, ignore_dangling_symlinks=True)
    else:
        shutil.copy2(entry, target)


def run_notebook(cells: list[Cell], folder: Path) -> list[Finding]:
    """Runs a notebook's cells from top to bottom in the smallest profile.

    The run continues after cells that fail.

    Returns:
        What was found. Failed checks are not in it, because the answers' findings already report
        them. Of the other cells that fail only the first is named: most others fail because of it.
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
        extra_arguments=["--log-level=ERROR"],  # without it, red warnings about the transport
    )
    try:
        client.execute(env=os.environ | {"DIFFUSION_LAB_PROFILE": "smoke"})
    except CellTimeoutError:
        return [
            Finding(
                False,
                f"In a run from top to bottom, {_title(code, running[-1])}, takes more than ten"
                " minutes, even in the smallest profile.",
            )
        ]
    except DeadKernelError:
        return [
            Finding(
                False,
                f"A run from top to bottom does not finish: {_title(code, running[-1])}, stops"
                " Python itself.",
            )
        ]
    errors = [
        (number, output)
        for number, cell in enumerate(code)
        for output in cell.outputs
        if output.output_type == "error"
    ]
    others = [
        f"A run from top to bottom stops in {_title(code, number)}: {_last_line(error)}"
        for number, error in errors
        if error.ename not in ("CheckFailed", "NotDone")
    ]
    if others:
        return [Finding(False, others[0])]
    return [Finding(True, "It runs from top to bottom (in the smallest profile).")]


def _title(code: list[Any], number: int) -> str:
    """Returns what to call a cell: its number, as Jupyter would show it, and its first line."""
    return f"cell [{number + 1}], `{code[number].source.strip().splitlines()[0][:60]}`"


def _last_line(error: Any) -> str:
    """Returns the sentence in a cell's error, or the last line of its traceback."""
    lines = [line for line in ANSI.sub("", "\n".join(error.traceback)).splitlines() if line.strip()]
    return " ".join(lines)[2:] if lines[0].startswith("✗ ") else lines[-1]
