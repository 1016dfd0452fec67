"""Runs a notebook in a box of its own: a folder for it, nbval around it, and what came out."""

import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.nbval_log import STARTED
from diffusion_lab.instructor.sandbox import ENDED, KERNEL_NAME, limit_resources, watch, write_specification
from diffusion_lab.instructor.staging import stage

ATTEMPTS = 3  # to start a kernel, on a machine that may be busy
MAX_RESULT = 4_000_000  # bytes; honest results have some thousands
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def too_long(limits):
    return f"it ran for more than {limits.seconds:g} seconds (is there a loop without an end?)"


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
                reason = too_long(limits)  # nbval's interrupt ended it
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
