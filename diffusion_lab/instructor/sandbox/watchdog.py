"""Watches a box from outside and ends it when it takes more than it may.

It counts what the box costs, not what its processes admit to: their memory with its page tables,
what lies in the box's file systems, open files, and the processor time of all that ever ran in it.
Whatever it cannot look at is a reason to end the box.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from diffusion_lab.instructor.sandbox.bubblewrap import ROOM, Limits
from diffusion_lab.instructor.sandbox.nbval_log import STARTED

GONE = 3.0  # seconds without any process in the box: at its proper end, pytest follows sooner
PATIENCE = 10  # times the seconds of an answer, for a machine that does other things besides
ENDED = "it ended the kernel in which it ran"
LONG_LOOK = 0.5  # seconds for which one look speaks at most, however long the next one has to wait
# processes whose shares of memory one look finds out: where one of them is just forking it has to
# wait, and others would go on
FEW = 8
UNSEEN = 5  # looks in a row that fail: one may, at a process that is just ending
INODE, SOCKET = (
    2000,
    2**19,
)  # bytes of the system's memory for a file with nothing in it, and for a socket that nobody reads
MEMORY = ("VmRSS", "VmSwap", "VmPTE", "HugetlbPages")
TICKS = os.sysconf("SC_CLK_TCK")
VANISHED = (FileNotFoundError, ProcessLookupError)  # it ended while it was looked at


class Process(NamedTuple):
    """What /proc says of a process. Times are in ticks."""

    parent: int
    state: bytes
    own: int  # processor time
    reaped: int  # that of its children that have ended
    threads: int
    born: bytes  # with its number, this tells it from all others


def watch(process: subprocess.Popen, folder: Path, limits: Limits, poll: float = 0.1) -> str | None:
    """Waits for `process`, which starts a box, and ends it if the box takes too much.

    Returns the reason or None.
    """
    watchdog = Watchdog(process.pid, Path(folder, STARTED), limits)
    while process.poll() is None:
        reason = watchdog.look()
        if reason:
            end(process)
            return reason
        time.sleep(poll)
    return None


def end(process: subprocess.Popen) -> None:
    """Kills a process and all that it has started.

    With the first process of a box the system ends all others in it at once, however many they have
    become. Outside of boxes processes are stopped before they are killed, so that they cannot start
    any more meanwhile.
    """
    _send(signal.SIGKILL, first_of(family(process.pid), process.pid))
    for _ in range(20):
        moving = [
            pid for pid, member in family(process.pid).items() if member.state not in (b"T", b"Z")
        ]
        _send(signal.SIGSTOP, moving)
        if not moving:
            break
    _send(signal.SIGKILL, [*family(process.pid), process.pid])
    process.wait()


def _send(number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, number)


class Watchdog:
    """What is known about one box: each look adds to it."""

    def __init__(self, pid: int, started: Path, limits: Limits) -> None:
        self.pid, self.started, self.limits = pid, started, limits
        self.cells, self.seconds, self.at_begin, self.idle = 0, 0.0, 0.0, 0.0
        self.seen: dict[tuple[int, bytes], int] = {}  # {(pid, born): processor time}
        self.last_look = self.begun = time.monotonic()
        self.last_seen: float | None = None
        self.failures = 0
        self.shares: dict[int, tuple[float, int]] = {}  # {pid: (when, bytes)}

    def look(self) -> str | None:
        """Returns why the box has to be ended, or None."""
        try:
            boxed = family(self.pid)
            reason = self._time(boxed) or self._excess(boxed)
            self.failures = 0
        except Exception as error:
            self.failures += 1
            reason = (
                f"it could not be watched ({type(error).__name__})"
                if self.failures == UNSEEN
                else None
            )
        return reason

    def _time(self, boxed: dict[int, Process]) -> str | None:
        now = time.monotonic()
        passed, self.last_look = min(now - self.last_look, LONG_LOOK), now
        before, self.seconds = self.seconds, max(self.seconds, self._processor_time(boxed))
        cells = self.started.stat().st_size if self.started.exists() else 0
        if cells != self.cells:  # another cell has begun
            self.cells, self.at_begin, self.begun, self.idle = cells, self.seconds, now, 0.0
        alive = [pid for pid, process in boxed.items() if process.state != b"Z"]
        if alive or self.last_seen and busy([self.pid]):  # which may be at its own end, and slow
            self.last_seen = now
        if self.last_seen and now - self.last_seen > GONE:  # nbval would wait for a dead kernel
            return ENDED
        allowed = self.limits.seconds if cells > 1 else self.limits.startup_seconds
        if self.seconds - self.at_begin > allowed:
            return (
                f"it used more than {allowed:g} seconds of processor time (is there a loop without"
                " an end?)"
            )
        if alive and not busy([self.pid, *alive]):
            self.idle += max(
                0.0, passed - PATIENCE * (self.seconds - before)
            )  # processes that end at once are never seen at work
            if self.idle > allowed:
                return (
                    f"it waited for {allowed:g} seconds and computed nothing (does it sleep, or ask"
                    " for input?)"
                )
        if now - self.begun > PATIENCE * allowed:
            return f"it did not come to its end within {PATIENCE * allowed:g} seconds"
        return None

    def _processor_time(self, boxed: dict[int, Process]) -> float:
        """Returns the seconds of all that ever ran here.

        It is the larger of two sums. One misses what was never seen, the other what nobody has
        waited for.
        """
        self.seen |= {(pid, process.born): process.own for pid, process in boxed.items()}
        return (
            max(
                sum(self.seen.values()),
                sum(process.own + process.reaped for process in boxed.values()),
            )
            / TICKS
        )

    def _excess(self, boxed: dict[int, Process]) -> str | None:
        limits = self.limits
        if (
            len(boxed) > limits.processes
            or sum(process.threads for process in boxed.values()) > limits.threads
        ):
            return "it started too many processes"
        files, stored = self._stored(boxed)
        if files > limits.files:
            return "it wrote too many files"
        if (
            stored + sum(map(_memory, boxed)) > limits.memory
            and stored + self._shares(boxed) > limits.memory
        ):
            return f"it took more than {limits.memory / 1e9:g} GB of memory"
        if _memory(self.pid) > limits.listener_memory:
            return "it printed without end"
        return None

    def _shares(self, boxed: dict[int, Process]) -> int:
        """Returns the sum of `_share_of_memory`, of which each look finds out a few anew, in
        turn.
        """
        for pid in sorted(boxed, key=lambda pid: self.shares.get(pid, (0, 0)))[:FEW]:
            self.shares[pid] = time.monotonic(), _share_of_memory(pid)
        return sum(self.shares[pid][1] for pid in boxed if pid in self.shares)

    def _stored(self, boxed: dict[int, Process]) -> tuple[int, int]:
        """Returns (number of files, bytes) outside of processes.

        They are in file systems that the box may write, and in its sockets, also those that nobody
        holds. Its first process, which is no student's, shows them.
        """
        first = first_of(boxed, self.pid)
        if not any(
            process.parent in first for process in boxed.values()
        ):  # it is still being built, or there is none
            return 0, 0
        files, size = 0, SOCKET * Path(f"/proc/{first[0]}/net/unix").read_bytes().count(b"\n")
        for path in ROOM:
            about = os.statvfs(f"/proc/{first[0]}/root{path}")
            files += about.f_files - about.f_ffree
            size += (about.f_blocks - about.f_bfree) * about.f_frsize
        return files, size + files * INODE


def first_of(family: dict[int, Process], pid: int) -> list[int]:
    """Returns the grandchildren of a process: if it has opened a box, the first process in
    there.
    """
    children = [child for child, process in family.items() if process.parent == pid]
    return [child for child, process in family.items() if process.parent in children]


def family(pid: int) -> dict[int, Process]:
    """Returns {pid:

    Process} of all that a process has started, directly or not, the unreaped dead among them.
    """
    processes: dict[int, Process] = {}
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(*VANISHED):
            fields = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()
            own, reaped = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
            process = Process(int(fields[1]), fields[0], own, reaped, int(fields[17]), fields[19])
            processes[int(name)] = process
            children.setdefault(process.parent, []).append(int(name))
    found: dict[int, Process] = {}
    awaiting = list(children.get(pid, ()))
    while awaiting:
        child = awaiting.pop()
        found[child] = processes[child]
        awaiting += children.get(child, ())
    return found


def busy(pids: Iterable[int]) -> bool:
    """True if any thread of these processes computes, waits for a processor, or for a disk."""
    for pid in pids:
        with suppress(*VANISHED):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with suppress(*VANISHED):
                    if Path(f"/proc/{pid}/task/{thread}/stat").read_bytes().rpartition(b")")[
                        2
                    ].split()[0] in (b"R", b"D"):
                        return True
    return False


def _memory(pid: int) -> int:
    """Returns the bytes that a process takes: in memory, swapped out, and in tables about it."""
    with suppress(*VANISHED):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(1024 * int(line.split()[1]) for line in lines if line.split(":")[0] in MEMORY)
    return 0


def _share_of_memory(pid: int) -> int:
    """As `_memory`, but pages that several processes share are divided among them, which takes
    longer to find out.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return _memory(pid)
    about = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines[1:]}
    return _memory(pid) - about["Rss"] + about["Pss"]
