"""Temporary folders of boxes, which are also removed after a grader was killed.

A grader holds a lock on each of its folders, and the system releases the locks of a process that
dies. So a folder without a lock belongs to nobody.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

PREFIX = "diffusion-lab-box-"
LONGEST_PATH = 60  # bytes of the folder for temporary files
YOUNG = 60  # seconds within which a new folder is surely locked


@contextmanager
def box_folder() -> Iterator[Path]:
    """Yields a new folder and removes it afterwards."""
    _remove_abandoned(_temporary_folder())
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=_temporary_folder())
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Path(folder)
    finally:
        remove(folder)
        os.close(descriptor)


def _temporary_folder() -> str:
    """Returns the system's folder for temporary files, or /tmp if its path is too long.

    The path of a socket has at most 107 bytes.
    """
    place = tempfile.gettempdir()
    return place if len(os.fsencode(place)) <= LONGEST_PATH else "/tmp"


@lru_cache
def _remove_abandoned(place: str) -> None:
    """Removes the folders of graders that were killed."""
    for folder in Path(place).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_uid != os.getuid() or time.time() - folder.stat().st_mtime < YOUNG:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)
            finally:
                os.close(descriptor)


def remove(path: str | Path) -> None:
    """Removes a file or a folder, as far as that is possible."""
    if not os.path.isdir(path) or os.path.islink(path):
        with suppress(OSError):
            os.unlink(path)
        return
    with suppress(RecursionError):  # from folders that are nested too deeply for Python
        shutil.rmtree(path, ignore_errors=True)
    if os.path.isdir(path):
        subprocess.run(["rm", "-rf", "--", str(path)], stderr=subprocess.DEVNULL)
