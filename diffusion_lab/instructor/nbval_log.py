"""A pytest plugin beside nbval: each cell's own time limit, and how it ended, as lines of JSON in a file."""

import json
import os
from pathlib import Path

STARTED = "started"  # a file that is as old as the cell that runs
LONGEST = 4000  # characters of what a cell said when it failed


def pytest_runtest_setup(item):
    """The first cell imports TensorFlow, which may take longer than an answer may."""
    name = "STARTUP" if _number(item.nodeid) == 0 else "CELL"
    item.config.option.nbval_cell_timeout = float(os.environ[f"DIFFUSION_LAB_{name}_SECONDS"])
    Path(os.environ["DIFFUSION_LAB_CELL_LOG"]).with_name(STARTED).touch()


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        line = {"cell": _number(report.nodeid), "outcome": report.outcome, "text": report.longreprtext[-LONGEST:]}
        with open(os.environ["DIFFUSION_LAB_CELL_LOG"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _number(nodeid):
    return int(nodeid.rsplit(" ", 1)[-1])
