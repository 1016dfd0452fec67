"""A pytest plugin beside nbval: which cell runs, and how each ended, for the watchdog and the
grader.

nbval has limits of time of its own, counts on the kernel's good will for them, and knows only
wall-clock time. Here they are off: time is the watchdog's business.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the watchdog needs a constant of this module, and no pytest
    import pytest

STARTED = "started"  # a file that is as long as the number of cells that have begun
LONGEST = 4000  # characters of what a cell said when it failed
NO_LIMIT = 10.0**6
SET_PARENT_DEATH_SIGNAL, JOIN_SESSION_KEYRING = 1, 1  # of prctl and of keyctl
KEYCTL = {"x86_64": 250, "aarch64": 219}


def pytest_configure(config: pytest.Config) -> None:
    """Whoever started this takes it along when it dies, and this takes the box; the box gets
    neither its keys nor large files.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != int(os.environ["DIFFUSION_LAB_GRADER"]):  # it died before
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
            "cell": _number(report.nodeid),
            "outcome": report.outcome,
            "text": report.longreprtext[-LONGEST:],
        }
        with open(os.environ["DIFFUSION_LAB_CELL_LOG"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _number(nodeid: str) -> int:
    return int(nodeid.rsplit(" ", 1)[-1])
