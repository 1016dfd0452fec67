"""A pytest plugin for nbval: logs which cell runs and how each ended.

The watchdog and the grader read these logs. The plugin also turns off nbval's own time limits,
because they measure only wall-clock time and need a kernel that cooperates. Time is the watchdog's
job.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the watchdog imports a constant from here, and needs no pytest
    import pytest

STARTED = "started"  # a file with one byte for each cell that has begun
LONGEST_TEXT = 4000  # characters of what a cell said when it failed
NO_LIMIT = 10.0**6
SET_PARENT_DEATH_SIGNAL, JOIN_SESSION_KEYRING = 1, 1  # commands of prctl and keyctl
KEYCTL = {"x86_64": 250, "aarch64": 219}


def pytest_configure(config: pytest.Config) -> None:
    """Ties this process to the grader, so that it dies with it, and the box dies with this process.

    The box gets none of the grader's keys, and cannot write large files.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != int(os.environ["DIFFUSION_LAB_GRADER"]):  # the grader has already died
        os._exit(1)
    libc.syscall(KEYCTL.get(os.uname().machine, -1), JOIN_SESSION_KEYRING, None)
    size = int(os.environ["DIFFUSION_LAB_FILE_SIZE"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def pytest_runtest_setup(item: Any) -> None:  # a cell of nbval's
    item.config.option.nbval_cell_timeout = item.output_timeout = NO_LIMIT
    with open(Path(os.environ["DIFFUSION_LAB_CELL_LOG"]).with_name(STARTED), "ab") as file:
        file.write(b".")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        line = {
            "cell": _cell_number(report.nodeid),
            "outcome": report.outcome,
            "text": report.longreprtext[-LONGEST_TEXT:],
        }
        with open(os.environ["DIFFUSION_LAB_CELL_LOG"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _cell_number(nodeid: str) -> int:
    return int(nodeid.rsplit(" ", 1)[-1])
