"""Runs a notebook in a box of its own: a folder for it, nbval around it, and what came out."""

import fcntl
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nbformat

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox.bubblewrap import KERNEL_NAME, Limits, write_specification
from diffusion_lab.instructor.sandbox.staging import inside, stage
from diffusion_lab.instructor.sandbox.watchdog import watch

ATTEMPTS = 3  # to start a kernel, on a machine that may be busy
MAX_RESULT = 4_000_000  # bytes; honest results have some thousands
ANSI = re.compile(r"\x1b\[[0-9;]*m")
PREFIX = "diffusion-lab-box-"
LONGEST_PLACE = 60  # bytes of a path
YOUNG = 60  # seconds within which a new folder is surely locked
BOXES_ON: Counter[int] = Counter()  # {core: number of boxes}
CHOOSING = threading.Lock()


@dataclass(frozen=True)
class CellOutcome:
    """How a cell ended, and what it said if it failed."""

    passed: bool
    said: str


@dataclass(frozen=True)
class BoxRun:
    """What came of a notebook in a box."""

    results: dict[str, bytes]  # {name of a file: what was written into it}, without the empty ones
    cells: dict[int, CellOutcome]  # {number of a cell: how it ended}, of those that did
    ended: str | None = None  # why the watchdog ended the box


def run_in_box(
    notebook: nbformat.NotebookNode,
    files: dict[str, str],
    inputs: dict[str, bytes],
    names: Collection[str],
    limits: Limits,
    boxed: bool,
) -> BoxRun:
    """Runs a notebook in a box that holds `files`, {path: source of a staged module}, and `inputs`,
    {name: bytes}.

    `names` are those of the files that it may write.

    Raises UserError if not even our own first cell comes to its end: that is no student's fault.
    """
    said = "nothing"
    for attempt in range(ATTEMPTS):
        with _folder() as folder, _core() as core:
            paths = _prepare(
                folder, notebook, files | inside("instructor.inside.kernel"), inputs, names
            )
            try:
                reason = _run_nbval(folder, paths.values(), limits, boxed, [core])
            except (
                OSError
            ) as error:  # no more processes, because of somebody else's box: it is ended soon
                said = str(error)
                time.sleep(attempt)
                continue
            cells = _cells(folder / "cells.jsonl")
            first = cells.get(0, CellOutcome(False, said))
            if first.passed:
                contents = {name: _content(path) for name, path in paths.items()}
                return BoxRun(
                    {name: content for name, content in contents.items() if content}, cells, reason
                )
            said = reason or first.said[-300:]
    raise UserError(
        "The sandbox opens, but no kernel starts in it (is the machine overloaded?). Nothing is"
        f" lost: give the same command again. What the first cell said: {said}"
    )


def _run_nbval(
    folder: Path, results: Iterable[Path], limits: Limits, boxed: bool, cores: list[int]
) -> str | None:
    """Returns why the watchdog ended it, or None."""
    environment = (
        os.environ
        | write_specification(folder, results, boxed, cores)
        | {
            "DIFFUSION_LAB_CELL_LOG": str(folder / "cells.jsonl"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "DIFFUSION_LAB_GRADER": str(os.getpid()),
            "DIFFUSION_LAB_FILE_SIZE": str(limits.file_size),
        }
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "nbval.plugin",
        "-p",
        "diffusion_lab.instructor.sandbox.nbval_log",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(folder),
        "--nbval-lax",
        f"--nbval-kernel-name={KERNEL_NAME}",
        f"--nbval-kernel-startup-timeout={limits.startup_seconds}",
        str(folder / "master.ipynb"),
    ]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return watch(process, folder, limits)


@contextmanager
def _folder() -> Iterator[Path]:
    """Yields a new folder, locked as long as it is in use; the system releases the lock of whoever
    is killed.
    """
    _sweep(_place())
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=_place())
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Path(folder)
    finally:
        _remove(folder)
        os.close(descriptor)


def _place() -> str:
    """Returns the folder for temporary files, or a shorter one: the path of a socket has 107 bytes
    at most.
    """
    place = tempfile.gettempdir()
    return place if len(os.fsencode(place)) <= LONGEST_PLACE else "/tmp"


@lru_cache
def _sweep(place: str) -> None:
    """Removes the folders of graders that were killed."""
    for folder in Path(place).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_uid != os.getuid() or time.time() - folder.stat().st_mtime < YOUNG:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
            finally:
                os.close(descriptor)


def _remove(folder: str | Path) -> None:
    with suppress(RecursionError):  # only without a sandbox can an answer write folders here at all
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _core() -> Iterator[int]:
    """Yields the processor core with the fewest of our boxes.

    A box stays on one core, so that it cannot slow down the others.
    """
    with CHOOSING:
        core = min(sorted(os.sched_getaffinity(0)), key=BOXES_ON.__getitem__)
        BOXES_ON[core] += 1
    try:
        yield core
    finally:
        with CHOOSING:
            BOXES_ON[core] -= 1


def _prepare(
    folder: Path,
    notebook: nbformat.NotebookNode,
    files: dict[str, str],
    inputs: dict[str, bytes],
    names: Iterable[str],
) -> dict[str, Path]:
    """Fills the folder of a box; returns {name: empty results file}."""
    stage(files, folder / "package")
    for name in ("inputs", "results"):
        (folder / name).mkdir()
    for name, content in inputs.items():
        (folder / "inputs" / name).write_bytes(content)
    nbformat.write(notebook, folder / "master.ipynb")
    paths = {name: folder / "results" / name for name in names}
    for path in paths.values():
        path.touch()
    return paths


def _content(path: Path) -> bytes:
    """Returns what is in a results file, if it is a plain file of a plausible size."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        plausible = stat.S_ISREG(about.st_mode) and about.st_size <= MAX_RESULT
        return file.read(MAX_RESULT) if plausible else b""


def _cells(log: Path) -> dict[int, CellOutcome]:
    """Returns {number of a cell: how it ended} of a log; of two entries for one cell, the first."""
    entries = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        with suppress(ValueError):  # the last one, if pytest was killed while it wrote
            entries.append(json.loads(line))
    return {
        entry["cell"]: CellOutcome(
            entry["outcome"] == "passed", ANSI.sub("", entry["text"]).strip()
        )
        for entry in reversed(entries)
    }
