"""Runs one student's answers: a folder for the box, nbval around it, and the judgement outside."""

import io
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.master import MAX_RESULT
from diffusion_lab.instructor.nbval_log import STARTED
from diffusion_lab.instructor.sandbox import ENDED, KERNEL_NAME, STOPPED, limit_resources, watch, write_specification
from diffusion_lab.instructor.staging import stage

LAST_LINES = 12  # of what a cell said, for the student
ATTEMPTS = 3  # to start a kernel, on a machine that may be busy
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Verdict:
    """What one answer earned, and the sentence that says why. `details` are the last lines of its cell's error."""

    number: str
    name: str
    points: float
    possible: float
    sentence: str
    details: str = ""


def grade_answers(master, answers, seed, limits, boxed=True):
    """Runs `answers`, {name: source}, and judges what comes out. Returns [Verdict], one for each task of the lab.

    An answer that leaves no result has ended its kernel, or was ended. It runs again, first in a new box, since the one
    before it may have been the cause; if it fails there, too, that is its own, and those behind it run without it.
    """
    waiting = [task.name for task in master.tasks if task.name in answers]
    results, errors, stopped = {}, {}, {}
    while waiting:
        new_results, new_errors, reason = _run(master, {name: answers[name] for name in waiting}, seed, limits, boxed)
        results, errors = results | new_results, errors | new_errors
        missing = [name for name in waiting if name not in new_results]
        if missing and missing[0] == waiting[0]:
            stopped[missing[0]] = _why(errors.get(missing[0], ""), reason, limits)
            missing = missing[1:]
        waiting = missing
    return [_verdict(task, task.name in answers, seed, results, errors, stopped) for task in master.tasks]


def _verdict(task, handed_in, seed, results, errors, stopped):
    points, sentence = 0.0, "Not handed in: there is no answer cell for this exercise."
    if task.name in results:
        points, sentence = task.judge(seed, results[task.name])
    elif handed_in:
        sentence = f"{STOPPED}{stopped[task.name]}."
    details = "" if points else "\n".join(errors.get(task.name, "").splitlines()[-LAST_LINES:])
    return Verdict(task.number, task.name, points, task.points, sentence, details)


def _too_long(limits):
    return f"it ran for more than {limits.seconds:g} seconds (is there a loop without an end?)"


def _why(error, reason, limits):
    if "Timeout of" in error:
        return _too_long(limits)
    return reason or "the kernel in which it ran came to an end"


def _run(master, answers, seed, limits, boxed):
    """({name: content of its results file}, {name: its cell's error}, why the watchdog ended it or None)."""
    inputs = {f"{task.name}.npz": _npz(task.inputs(seed)) for task in master.tasks}
    files = {f"{name}.json": name for name in answers}
    written, outcomes, reason = run_in_box(master.notebook(answers), master.files, inputs, files, limits, boxed)
    return {files[file]: content for file, content in written.items()}, _errors(outcomes, list(answers)), reason


def run_in_box(notebook, files, inputs, names, limits, boxed):
    """Runs a notebook in a box that holds `files`, {path: source of a staged module}, and `inputs`, {name: bytes}.

    `names` are those of the files that it may write. Returns ({name: content}, {number of a cell: (how it ended, what it said)}, why the
    watchdog ended it or None). Raises UserError if not even our own first cell comes to its end: that is no student's fault.
    """
    for _ in range(ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix="box-", ignore_cleanup_errors=True) as folder:
            folder = Path(folder)
            paths = _prepare(folder, notebook, files, inputs, names)
            reason = _run_nbval(folder, paths.values(), limits, boxed)
            outcomes = _outcomes(folder / "cells.jsonl")
            if reason == ENDED and (folder / STARTED).exists() and time.time() - (folder / STARTED).stat().st_mtime > limits.seconds:
                reason = _too_long(limits)  # nbval's interrupt ended it
            if outcomes.get(0, ("", ""))[0] == "passed":
                return {name: content for name, path in paths.items() if (content := _content(path))}, outcomes, reason
    raise UserError("The sandbox opens, but no kernel starts in it (is the machine overloaded?). Nothing is lost: give the same "
                    f"command again. What the first cell said: {outcomes.get(0, ('', 'nothing'))[1][-300:]}")


def _run_nbval(folder, results, limits, boxed):
    environment = os.environ | write_specification(folder, results, boxed) | {
        "DIFFUSION_LAB_CELL_LOG": str(folder / "cells.jsonl"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "DIFFUSION_LAB_STARTUP_SECONDS": str(limits.startup_seconds), "DIFFUSION_LAB_CELL_SECONDS": str(limits.seconds)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "nbval.plugin", "-p", "diffusion_lab.instructor.nbval_log",
               "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder), "--nbval-lax",
               f"--nbval-kernel-name={KERNEL_NAME}", str(folder / "master.ipynb")]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=lambda: limit_resources(limits))
    return watch(process, folder, limits, limits.startup_seconds + 2 * limits.seconds * len(results))


def _prepare(folder, notebook, files, inputs, names):
    """Fills the folder of a box; returns {name: empty results file}."""
    stage(files, folder / "package")
    for name in ("inputs", "results", "sockets"):
        (folder / name).mkdir()
    for name, content in inputs.items():
        (folder / "inputs" / name).write_bytes(content)
    nbformat.write(notebook, folder / "master.ipynb")
    paths = {name: folder / "results" / name for name in names}
    for path in paths.values():
        path.touch()
    return paths


def _npz(arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _content(path):
    """What stands in a results file, if it is a plain file of a plausible size."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        plausible = stat.S_ISREG(about.st_mode) and about.st_size <= MAX_RESULT
        return file.read(MAX_RESULT) if plausible else b""


def _outcomes(log):
    """{number of a cell: (how it ended, what it said)}."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else ()
    entries = [json.loads(line) for line in lines]
    return {entry["cell"]: (entry["outcome"], ANSI.sub("", entry["text"]).strip()) for entry in reversed(entries)}


def _errors(outcomes, names):
    """{name: text} of the cells that failed; the cells are the prelude, then two for each name."""
    errors = {}
    for cell, (outcome, text) in sorted(outcomes.items()):
        if cell and outcome != "passed":
            errors.setdefault(names[(cell - 1) // 2], text)
    return errors
