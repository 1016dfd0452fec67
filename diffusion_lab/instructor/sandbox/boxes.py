"""Runs a notebook in a new box, with nbval outside it, and returns what came out."""

import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox import user_box
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.sandbox.folders import box_folder
from diffusion_lab.instructor.sandbox.guests import Guest, guest
from diffusion_lab.instructor.sandbox.provisioner import (
    KERNEL_NAME,
    private_folder,
    write_specification,
)
from diffusion_lab.instructor.sandbox.staging import stage, whole_module
from diffusion_lab.instructor.sandbox.watchdog import watch

ATTEMPTS = 3  # to start a kernel, on a machine that may be busy
MAX_RESULT = 4_000_000  # bytes; honest results have a few thousand
ANSI = re.compile(r"\x1b\[[0-9;]*m")
BOXES_ON: Counter[int] = Counter()  # {core: number of boxes}
CHOOSING_CORE = threading.Lock()


@dataclass(frozen=True)
class CellOutcome:
    """How a cell ended, and what it said if it failed."""

    passed: bool
    said: str


@dataclass(frozen=True)
class BoxRun:
    """What came out of a box in which a notebook ran."""

    results: dict[str, bytes]  # {file name: content}, without the empty files
    cells: dict[int, CellOutcome]  # {number of the cell: outcome}, without those that never ended
    ended: str | None = None  # why the watchdog ended the box


def run_in_box(
    notebook: nbformat.NotebookNode,
    files: dict[str, str],
    inputs: dict[str, bytes],
    result_names: Collection[str],
    limits: Limits,
    box: str,
) -> BoxRun:
    """Runs a notebook in a box.

    Args:
        notebook: its first cell is the grader's own.
        files: {path: source} of the staged package.
        inputs: {file name: content} of what the cells may read.
        result_names: the files that the cells may write.
        limits: what the box may use.
        box: "bubblewrap", "user", or "none" for a kernel without a sandbox.

    Raises:
        UserError: if the first cell fails. No student can be the cause of that.
    """
    said = "nothing"
    for attempt in range(ATTEMPTS):
        with (
            box_folder() as folder,
            guest() if box == "user" else nullcontext() as user,
            _least_used_core() as core,
        ):
            files = files | whole_module("instructor.inside.kernel")
            paths = _prepare(folder, notebook, files, inputs, result_names)
            try:
                reason = _run_nbval(folder, paths.values(), limits, box, [core], user)
            except OSError as error:  # another box uses up all processes; it will soon be ended
                said = str(error)
                time.sleep(attempt)
                continue
            cells = _read_log(private_folder(folder) / "cells.jsonl")
            first = cells.get(0, CellOutcome(False, said))
            if first.passed:
                contents = {name: _read_result(path) for name, path in paths.items()}
                results = {name: content for name, content in contents.items() if content}
                return BoxRun(results, cells, reason)
            said = reason or first.said[-300:]
    raise UserError(
        "The sandbox opens, but no kernel starts in it. The machine may be overloaded. Nothing is"
        f" lost: run the same command again. What the first cell said: {said}"
    )


def _run_nbval(
    folder: Path,
    results: Collection[Path],
    limits: Limits,
    box: str,
    cores: list[int],
    user: Guest | None = None,
) -> str | None:
    """Runs the notebook; returns why the watchdog ended it, or None."""
    private = private_folder(folder)
    if user:
        user_box.prepare(folder, results, user)
    variables = write_specification(folder, results, box, cores, user) | {
        "DIFFUSION_LAB_CELL_LOG": str(private / "cells.jsonl"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "DIFFUSION_LAB_GRADER": str(os.getpid()),
        "DIFFUSION_LAB_FILE_SIZE": str(limits.file_size),
    }
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "nbval.plugin"),
        *("-p", "diffusion_lab.instructor.sandbox.nbval_log", "-p", "no:cacheprovider"),
        *("-c", os.devnull, "--rootdir", str(private), "--nbval-lax"),
        f"--nbval-kernel-name={KERNEL_NAME}",
        f"--nbval-kernel-startup-timeout={limits.startup_seconds}",
        str(private / "master.ipynb"),
    ]
    process = subprocess.Popen(
        command,
        cwd=private,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=[user.lock] if user else [],  # so that the id stays reserved until all have ended
    )
    try:
        return watch(process, private, limits, guest=user, places=user_box.places(folder))
    finally:
        if user:
            user.end()


@contextmanager
def _least_used_core() -> Iterator[int]:
    """Yields the processor core with the fewest boxes.

    A box stays on one core, so that it cannot slow down programs on the others.
    """
    with CHOOSING_CORE:
        core = min(sorted(os.sched_getaffinity(0)), key=BOXES_ON.__getitem__)
        BOXES_ON[core] += 1
    try:
        yield core
    finally:
        with CHOOSING_CORE:
            BOXES_ON[core] -= 1


def _prepare(
    folder: Path,
    notebook: nbformat.NotebookNode,
    files: dict[str, str],
    inputs: dict[str, bytes],
    result_names: Iterable[str],
) -> dict[str, Path]:
    """Fills the folder of a box; returns {name: path of an empty results file}."""
    stage(files, folder / "package")
    for name in ("inputs", "results"):
        (folder / name).mkdir()
    for name, content in inputs.items():
        (folder / "inputs" / name).write_bytes(content)
    nbformat.write(notebook, private_folder(folder) / "master.ipynb")
    paths = {name: folder / "results" / name for name in result_names}
    for path in paths.values():
        path.touch()
    return paths


def _read_result(path: Path) -> bytes:
    """Returns the content of a results file, if it is a plain file of a plausible size, or b""."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        plausible = stat.S_ISREG(about.st_mode) and about.st_size <= MAX_RESULT
        return file.read(MAX_RESULT) if plausible else b""


def _read_log(log: Path) -> dict[int, CellOutcome]:
    """Returns {number of the cell: outcome}; of two entries for one cell, the first counts."""
    entries = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        with suppress(ValueError):  # the last line, if pytest was killed while it wrote
            entries.append(json.loads(line))
    return {
        entry["cell"]: CellOutcome(
            entry["outcome"] == "passed", ANSI.sub("", entry["text"]).strip()
        )
        for entry in reversed(entries)
    }
