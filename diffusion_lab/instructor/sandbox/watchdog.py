"""Watches a box from outside and ends it when it takes more than it may.

It does not rely on what the processes say about themselves. It counts their memory with its page
tables, what lies in the box's file systems, open files, and the CPU time of all that ever ran
in the box. A box that cannot be watched is ended.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from diffusion_lab.instructor.sandbox.bubblewrap import ROOM, Limits
from diffusion_lab.instructor.sandbox.guests import Guest
from diffusion_lab.instructor.sandbox.nbval_log import STARTED
from diffusion_lab.instructor.sandbox.processes import (
    Process,
    busy,
    descendants,
    grandchildren,
    memory,
    open_files,
    share_of_memory,
)

EMPTY_SECONDS = 3.0  # how long a box may be empty; when its kernel has stopped, pytest ends sooner
PATIENCE = 10  # times the limit of seconds, for a machine that is busy with something else
IDLE = 0.1  # a box that computes for less than this share of the time is waiting
KERNEL_ENDED = "it ended the kernel in which it ran"
LONGEST_LOOK = 0.5  # seconds between two looks count as no more than this
# How many processes one look asks for their share of memory. Asking waits for a process that is
# just forking, and meanwhile the others would continue.
SHARES_PER_LOOK = 8
FAILURES = 5  # looks that fail in a row; one look may fail at a process that is just ending
# Bytes of the system's memory for an empty file, and for a socket that nobody reads.
INODE, SOCKET = 2000, 2**19
TICKS = os.sysconf("SC_CLK_TCK")


def watch(
    process: subprocess.Popen,
    folder: Path,
    limits: Limits,
    poll: float = 0.1,
    guest: Guest | None = None,
    places: Iterable[str] = (),
) -> str | None:
    """Waits for `process`, which starts a box, and ends it if the box takes too much.

    Args:
        process: pytest, or anything else that starts a box.
        folder: where it says how many cells have begun.
        limits: of the box.
        poll: seconds between two looks.
        guest: whose processes also belong to the box, if it has another user id.
        places: the folders in which the guest can write.

    Returns:
        Why it was ended, or None.
    """
    watchdog = Watchdog(process.pid, Path(folder, STARTED), limits, guest, list(places))
    while process.poll() is None:
        reason = watchdog.look()
        if reason:
            if guest:
                guest.end()
            kill_with_descendants(process)
            return reason
        time.sleep(poll)
    return None


def kill_with_descendants(process: subprocess.Popen) -> None:
    """Kills a process and all that it has started.

    When the first process of a box dies, the system ends all others in the box at once, however
    many there are. Processes outside of boxes are first stopped and then killed, so that they
    cannot start any more in between.
    """
    _send(signal.SIGKILL, grandchildren(descendants(process.pid), process.pid))
    for _ in range(20):
        moving = [
            pid
            for pid, member in descendants(process.pid).items()
            if member.state not in (b"T", b"Z")
        ]
        _send(signal.SIGSTOP, moving)
        if not moving:
            break
    _send(signal.SIGKILL, [*descendants(process.pid), process.pid])
    process.wait()


def _send(number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, number)


class Watchdog:
    """What is known about one box. Each look adds to it."""

    def __init__(
        self,
        pid: int,
        started: Path,
        limits: Limits,
        guest: Guest | None = None,
        places: Iterable[str] = (),
    ) -> None:
        self.pid, self.started, self.limits = pid, started, limits
        self.guest, self.places = guest, list(places)
        self.cells, self.seconds, self.at_begin, self.idle = 0, 0.0, 0.0, 0.0
        self.new_cell = False  # at the last look
        self.seen: dict[tuple[int, bytes], int] = {}  # {(pid, born): CPU time}
        self.last_look = self.begun = time.monotonic()
        self.last_seen: float | None = None
        self.failures = 0
        self.shares: dict[int, tuple[float, int]] = {}  # {pid: (when, bytes)}

    def look(self) -> str | None:
        """Returns why the box must be ended, or None."""
        try:
            boxed = descendants(self.pid, self.guest.number if self.guest else None)
            reason = self._time(boxed) or self._excess(boxed)
            self.failures = 0
        except Exception as error:
            self.failures += 1
            if self.failures == FAILURES:
                return f"it could not be watched ({type(error).__name__})"
            return None
        return reason

    def _time(self, boxed: dict[int, Process]) -> str | None:
        """Returns which limit of time the box has exceeded, or None."""
        now = time.monotonic()
        passed, self.last_look = min(now - self.last_look, LONGEST_LOOK), now
        before, self.seconds = self.seconds, max(self.seconds, self._cpu_time(boxed))
        cells = self.started.stat().st_size if self.started.exists() else 0
        # `boxed` may be older than a cell that has begun, so its time counts from the next look.
        if self.new_cell:
            self.at_begin = self.seconds
        self.new_cell = cells != self.cells
        if self.new_cell:
            self.cells, self.begun, self.idle = cells, now, 0.0
        alive = [pid for pid, process in boxed.items() if not process.ended]
        # An empty box is no problem while pytest is still busy: it may be ending, and slow.
        if alive or self.last_seen and busy([self.pid]):
            self.last_seen = now
        if self.last_seen and now - self.last_seen > EMPTY_SECONDS:
            return KERNEL_ENDED  # nbval would wait for a dead kernel
        allowed = self.limits.seconds if cells > 1 else self.limits.startup_seconds
        if not self.new_cell and self.seconds - self.at_begin > allowed:
            return f"it used more than {allowed:g} seconds of CPU time (is there an infinite loop?)"
        if alive and not busy([self.pid, *alive]):
            # Processes that end at once are never seen at work, but their time counts.
            self.idle += max(0.0, passed - (self.seconds - before) / IDLE)
            if self.idle > allowed:
                return (
                    f"it waited for {allowed:g} seconds and computed nothing (does it sleep, or ask"
                    " for input?)"
                )
        if now - self.begun > PATIENCE * allowed:
            return f"it was still running after {PATIENCE * allowed:g} seconds"
        return None

    def _cpu_time(self, boxed: dict[int, Process]) -> float:
        """Returns the seconds of CPU time of all that ever ran in the box.

        This is the larger of two sums. The first misses processes that no look has seen, the second
        those that no parent has waited for.
        """
        self.seen |= {(pid, process.born): process.own_time for pid, process in boxed.items()}
        reaped = sum(process.own_time + process.reaped_time for process in boxed.values())
        return max(sum(self.seen.values()), reaped) / TICKS

    def _excess(self, boxed: dict[int, Process]) -> str | None:
        """Returns which other limit the box has exceeded, or None."""
        limits = self.limits
        threads = sum(process.threads for process in boxed.values())
        if len(boxed) > limits.processes or threads > limits.threads:
            return "it started too many processes"
        files, stored = self._stored(boxed)
        if files > limits.files:
            return "it wrote too many files"
        if self.guest and stored - files * INODE > sum(ROOM.values()):
            return "it wrote too much into files"
        if self.guest:
            stored += SOCKET * sum(map(open_files, boxed))
        if (
            stored + sum(map(memory, boxed)) > limits.memory
            and stored + self._shares(boxed) > limits.memory
        ):
            return f"it took more than {limits.memory / 1e9:g} GB of memory"
        if memory(self.pid) > limits.listener_memory:
            return "it printed too much"
        return None

    def _shares(self, boxed: dict[int, Process]) -> int:
        """Returns the sum of `share_of_memory`. Each look updates the oldest few of them."""
        for pid in sorted(boxed, key=lambda pid: self.shares.get(pid, (0, 0)))[:SHARES_PER_LOOK]:
            self.shares[pid] = time.monotonic(), share_of_memory(pid)
        return sum(self.shares[pid][1] for pid in boxed if pid in self.shares)

    def _stored(self, boxed: dict[int, Process]) -> tuple[int, int]:
        """Returns (number of files, bytes) that the box holds outside of its processes.

        They are in the file systems that the box may write, and in its sockets, also those that no
        process holds. All are visible through the box's first process, which is bubblewrap's own.
        """
        if self.guest:
            files, size = self.guest.stored(self.places)
            return files, size + files * INODE
        first = grandchildren(boxed, self.pid)
        if not any(process.parent in first for process in boxed.values()):
            return 0, 0  # the box is still being built, or there is none
        files, size = 0, SOCKET * Path(f"/proc/{first[0]}/net/unix").read_bytes().count(b"\n")
        for path in ROOM:
            about = os.statvfs(f"/proc/{first[0]}/root{path}")
            files += about.f_files - about.f_ffree
            size += (about.f_blocks - about.f_bfree) * about.f_frsize
        return files, size + files * INODE
