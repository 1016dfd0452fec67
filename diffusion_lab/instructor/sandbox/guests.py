"""User ids for boxes: one that nobody else has, for one box at a time.

Everything that a guest leaves, in memory or in the folders that any user may write, belongs to its
user id, and so can be found and removed. A lock on a file reserves an id, and the file says "used"
until all is removed. So the next grader cleans up after one that was killed.
"""

import fcntl
import grp
import os
import pwd
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox.folders import remove
from diffusion_lab.instructor.sandbox.processes import belonging_to

# systemd's documentation lists these as unused. They are also below the limit of 65,536 that
# containers with user namespaces have. The number after each is that of its `KILLER`.
NUMBERS = range(60578, 61184, 2)
# One call reaches all processes of a guest, so that none can fork away. The killer acts as the
# guest, but belongs to a user whom the guest can neither signal nor trace.
KILLER = """
import os, signal, sys
guest = int(sys.argv[1])
os.setgroups([])
os.setresgid(guest, guest, guest)
os.setresuid(guest + 1, guest, guest + 1)
assert os.getresuid() == (guest + 1, guest, guest + 1)
os.kill(-1, signal.SIGKILL)
"""
LOCKS = Path("/run/diffusion-lab-guests")
# where any user may write
SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/run/shm", "/var/crash")
PATIENCE = 10.0  # seconds until killed processes must have ended
DEEPEST = 100  # levels of folders; more count as too many files


@dataclass(frozen=True)
class Guest:
    """A user id, reserved for one box. Its group has the same number."""

    number: int
    lock: int  # the descriptor of its lock

    def end(self) -> bool:
        """Kills all of its processes; returns True if none is left."""
        begun = time.monotonic()
        while left := belonging_to(self.number):
            if time.monotonic() - begun > PATIENCE:
                break
            command = [sys.executable, "-I", "-S", "-c", KILLER, str(self.number)]
            streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            subprocess.run(command, cwd="/", env={}, **streams)
            time.sleep(0.01)
        return not left

    def clear(self) -> None:
        """Kills its processes and removes its files in the folders that any user may write."""
        if not self.end():
            return  # the file still says "used"
        for place in SHARED:
            for path in list(_owned(place, self.number, inside=False)):
                remove(path)
        os.ftruncate(self.lock, 0)

    def stored(self, places: list[str]) -> tuple[int, int]:
        """Returns (number, bytes) of its files in `places`."""
        files = size = 0
        for place in places:
            for path in _owned(place, self.number, inside=True):
                with suppress(OSError):
                    files, size = files + 1, size + 512 * os.lstat(path).st_blocks
        return files, size


def _owned(place: str, number: int, inside: bool) -> Iterator[str]:
    """Yields what a user owns in a folder.

    It looks into the user's own folders if `inside`, and always into those of the administrator
    that any user may write.
    """
    awaiting = [(place, 0)]
    while awaiting:
        folder, depth = awaiting.pop()
        if depth > DEEPEST:
            raise RecursionError("folders are nested too deeply")
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            with suppress(FileNotFoundError):
                about = entry.stat(follow_symlinks=False)
                own = about.st_uid == number
                if own:
                    yield entry.path
                if entry.is_dir(follow_symlinks=False) and (
                    inside if own else about.st_uid == 0 and about.st_mode & 0o002
                ):
                    awaiting.append((entry.path, depth + 1))


@contextmanager
def guest() -> Iterator[Guest]:
    """Yields a user id that nobody else has, and afterwards ends and removes all that it left.

    Raises:
        UserError: if there is none, or without root's rights.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise UserError("The sandbox 'user' needs root and Linux: run the grader as root.")
    LOCKS.mkdir(mode=0o700, parents=True, exist_ok=True)
    numbers = list(NUMBERS)
    random.shuffle(numbers)  # containers on one machine count a user's processes together
    for number in numbers:
        reserved = _reserve(number)
        if reserved:
            break
    else:
        raise UserError(
            f"All user ids from {NUMBERS[0]} to {NUMBERS[-1]} are in use. Wait until other gradings"
            " have ended, or give a lower number with --jobs."
        )
    try:
        yield reserved
    finally:
        reserved.clear()
        os.close(reserved.lock)


def _reserve(number: int) -> Guest | None:
    """Returns the guest with this number, or None if it is in use."""
    if _has_a_name(number) or _has_a_name(number + 1) or belonging_to(number + 1):
        return None
    lock = os.open(LOCKS / str(number), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        reserved = Guest(number, lock)
        if os.fstat(lock).st_size:  # of a grader that was killed
            reserved.clear()
        if not os.fstat(lock).st_size and not belonging_to(number):
            os.write(lock, b"used")
            return reserved
    except OSError:
        pass
    os.close(lock)
    return None


def _has_a_name(number: int) -> bool:
    for known in (pwd.getpwuid, grp.getgrgid):
        with suppress(KeyError):
            known(number)
            return True
    return False
