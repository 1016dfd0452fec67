"""Starts a Dask scheduler and workers on this machine, in processes that a test can kill."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager


@contextmanager
def local_cluster(folder, workers=2):
    """Yields (the scheduler's address, the workers' processes).

    Each worker takes one submission at a time.
    """
    file = folder / "scheduler.json"
    processes = [
        _start(
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            0,
            "--no-dashboard",
            "--scheduler-file",
            file,
        )
    ]
    try:
        wait_for(lambda: file.exists() and file.read_text().strip().endswith("}"))
        address = json.loads(file.read_text())["address"]
        for _ in range(workers):
            processes.append(
                _start(
                    "distributed.cli.dask_worker",
                    address,
                    "--nthreads",
                    1,
                    "--no-nanny",
                    "--no-dashboard",
                    "--local-directory",
                    folder,
                )
            )
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for(condition, seconds=1200):
    """Waits until the condition is true. Raises TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the condition did not become true in time")
        time.sleep(0.05)


def _start(module, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
