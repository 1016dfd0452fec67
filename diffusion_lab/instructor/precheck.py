"""The public half of grading, for students: is every exercise found, is nothing lost, does the notebook run?"""

import ast
import os
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from rich.console import Console
from rich.text import Text

from diffusion_lab import checks
from diffusion_lab.errors import UserError
from diffusion_lab.instructor.answers import Unreadable, read_answers
from diffusion_lab.instructor.archives import LARGEST


ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Wanted:
    """An exercise that a notebook should hold."""

    number: str
    name: str


def precheck_notebook(path, run=True):
    """Prints what the grader will find, and returns whether all is well. Raises UserError if it is no notebook of ours."""
    console, path = Console(), Path(path)
    if not path.is_file():
        raise UserError(f"{path} is not a file: name your notebook, such as notebooks/07_ddim.ipynb.")
    content = path.read_bytes()
    if len(content) > LARGEST:
        raise UserError(f"{path} has more than {LARGEST // 10**6} MB: clear its outputs before you hand it in.")
    findings = examine_answers(content, path)
    if run:
        findings += _run(path)
    for good, sentence in findings:
        console.print(Text("✓ " if good else "✗ ", "green" if good else "red") + Text(sentence), soft_wrap=True)
    if not all(good for good, _ in findings):
        console.print("You can hand it in all the same: each exercise has points of its own.")
    return all(good for good, _ in findings)


def examine_answers(content, path):
    """[(good, sentence)]: for each exercise of the lab whether it is there, written, and stands by itself."""
    try:
        wanted = _lab_of(content)
        answers = read_answers(content, wanted)
        notebook, given = nbformat.reads(content.decode("utf-8-sig"), as_version=4), _handed_out()
        own = _own_names(notebook, given, answers.sources)
    except Unreadable as problem:
        raise UserError(f"{path}: {problem}") from None
    findings = []
    for task in wanted:
        source = answers.sources.get(task.name)
        title = f"{task.number} {task.name}"
        if source is None:
            findings.append((False, f"{title}: there is no cell for it. Copy the exercise's cells from a fresh notebook."))
        elif "raise NotImplementedError" in source:
            findings.append((False, f"{title}: not written yet."))
        elif _names(source) is None:
            findings.append((False, f"{title}: this is not valid Python; run its cell and read the message."))
        elif strangers := sorted(_names(source) & own):
            findings.append((False, f"{title}: it uses {', '.join(strangers)}, which another cell of yours defines. Only the "
                                    "answer cell is graded: move it in there."))
        else:
            findings.append((True, f"{title}: written. Whether it is right, its check says."))
    return findings + _summary(notebook, given) + [(True, remark) for remark in answers.remarks]


def _summary(notebook, given):
    """A finding on the summary, if the notebook has one: it may still be as it was handed out."""
    written = {cell.get("id"): cell.source for cell in notebook.cells}
    return [(False, f"The summary: not written yet; it is worth {cell.metadata.nbgrader.points:g} points.")
            if written[cell.id] == cell.source else (True, "The summary: written.")
            for cell in given.values() if "summary" in cell.metadata.get("diffusion_lab", {}) and cell.id in written]


def _lab_of(content):
    """The exercises of the lab of which this notebook holds most."""
    labs = [[Wanted(getattr(checks, name).number, name) for name in names] for names in checks.EXERCISES.values()]
    counted = [(len(read_answers(content, wanted).sources), wanted) for wanted in labs]
    most, wanted = max(counted, key=lambda pair: pair[0])
    if not most:
        raise Unreadable("There is no exercise of a lab in this notebook: is it the right one?")
    return wanted


def _handed_out():
    """The cells of the labs as students get them, {id: cell}; none where no notebooks lie beside the package."""
    return {cell.id: cell for path in Path(checks.__file__).parents[2].glob("notebooks/*.ipynb")
            for cell in nbformat.read(path, as_version=4).cells}


def _own_names(notebook, given, answers):
    """Functions that cells define which are neither answers nor part of any lab as it was handed out."""
    names = set()
    for cell in notebook.cells if given else ():
        if cell.cell_type == "code" and cell.get("id") not in given:
            names |= _defined(cell.source)
    return names - {name for source in answers.values() for name in _defined(source)}


def _tree(source):
    try:
        return ast.parse("\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()))
    except (SyntaxError, ValueError):
        return None


def _defined(source):
    tree = _tree(source)
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)} if tree else set()


def _names(source):
    tree = _tree(source)
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} if tree else None


def _run(path):
    """[(good, sentence)] of a run from top to bottom in the smallest profile, on over cells that fail; the notebook stays.

    Where a check says what is wrong, other cells that fail are not named: most of them fail because of it.
    """
    import nbclient

    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=600, allow_errors=True, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}},
                                     extra_arguments=["--log-level=ERROR"])  # it would warn of its transport, in red
    try:
        client.execute(env=os.environ | {"DIFFUSION_LAB_PROFILE": "smoke"})
    except nbclient.exceptions.CellTimeoutError:
        return [(False, "A run from top to bottom takes more than ten minutes in one cell, even in the smallest profile.")]
    except nbclient.exceptions.DeadKernelError:
        return [(False, "A run from top to bottom ends before its end: a cell stops Python itself.")]
    errors = [output for cell in notebook.cells for output in cell.get("outputs", ()) if output.output_type == "error"]
    checked = [error.evalue for error in errors if error.ename == "CheckFailed"]  # NotDone is found before anything runs
    others = [f"A run from top to bottom stops: {_last_line(error)}" for error in errors[:1]]
    return [(False, sentence) for sentence in checked or others] or [(True, "It runs from top to bottom (in the smallest profile).")]


def _last_line(error):
    """The last line that a cell's error shows, which says most."""
    return [line for line in ANSI.sub("", "\n".join(error.traceback)).splitlines() if line.strip()][-1].removeprefix("✗ ")
