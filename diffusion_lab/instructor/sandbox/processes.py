"""Reads from /proc what a process and its descendants use."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

MEMORY_FIELDS = ("VmRSS", "VmSwap", "VmPTE", "HugetlbPages")
VANISHED = (FileNotFoundError, ProcessLookupError)  # the process ended while we read about it


class Process(NamedTuple):
    """What /proc says about a process. Times are in ticks."""

    parent: int
    state: bytes
    own_time: int  # CPU time
    reaped_time: int  # that of its children that ended and were waited for
    threads: int
    born: bytes  # a process number may be used again, but not with the same time of birth

    @property
    def ended(self) -> bool:
        """True for a zombie, unless only its first thread has ended."""
        return self.state == b"Z" and self.threads <= 1


def descendants(pid: int, user: int | None = None) -> dict[int, Process]:
    """Returns {pid: Process} of all that a process has started, directly or not.

    Zombies are among them. So are all processes of `user`, whoever has started them.
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
    if user is not None:
        awaiting += processes.keys() & set(belonging_to(user))
    while awaiting:
        child = awaiting.pop()
        if child not in found:
            found[child] = processes[child]
            awaiting += children.get(child, ())
    return found


def belonging_to(user: int) -> list[int]:
    """Returns the numbers of all processes with this user id: real, effective or saved.

    Those that have ended are not among them. (A process whose first thread has ended looks like a
    zombie, but its other threads run on.)
    """
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(*VANISHED):
            lines = Path("/proc", name, "status").read_text(errors="replace").splitlines()
            fields = {line.split(":")[0]: line.split()[1:] for line in lines}
            ended = fields["State"][0] in "ZX" and fields.get("Threads", ["1"]) == ["1"]
            if str(user) in fields["Uid"] and not ended:
                found.append(int(name))
    return found


def grandchildren(processes: dict[int, Process], pid: int) -> list[int]:
    """Returns the children of the children of `pid`.

    If `pid` has opened a box, this is the first process in the box.
    """
    children = [child for child, process in processes.items() if process.parent == pid]
    return [child for child, process in processes.items() if process.parent in children]


def busy(pids: Iterable[int]) -> bool:
    """True if any thread of these processes computes, waits for a processor, or for a disk."""
    for pid in pids:
        with suppress(*VANISHED):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with suppress(*VANISHED):
                    stat = Path(f"/proc/{pid}/task/{thread}/stat").read_bytes()
                    if stat.rpartition(b")")[2].split()[0] in (b"R", b"D"):
                        return True
    return False


def open_files(pid: int) -> int:
    """Returns how many descriptors a process has."""
    for place in _places(pid):
        with suppress(*VANISHED):
            if count := len(os.listdir(f"{place}/fd")):
                return count
    return 0


def memory(pid: int) -> int:
    """Returns the bytes that a process takes: in memory, swapped out, and in page tables."""
    for place in _places(pid):
        with suppress(*VANISHED):
            lines = Path(place, "status").read_text().splitlines()
            sizes = [line.split()[1] for line in lines if line.split(":")[0] in MEMORY_FIELDS]
            if sizes:
                return 1024 * sum(map(int, sizes))
    return 0


def _places(pid: int) -> Iterator[str]:
    """Yields where /proc may describe what the threads of a process share.

    If its first thread has ended, only the others still have it.
    """
    yield f"/proc/{pid}"
    with suppress(*VANISHED):
        yield from (f"/proc/{pid}/task/{thread}" for thread in os.listdir(f"/proc/{pid}/task"))


def share_of_memory(pid: int) -> int:
    """Returns `memory`, but divides pages that several processes share among these processes.

    This takes longer.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return memory(pid)
    sizes = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines[1:]}
    return memory(pid) - sizes["Rss"] + sizes["Pss"]
