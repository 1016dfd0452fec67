"""Which system calls a box refuses: a program for the kernel's seccomp filter.

It refuses the ways around the limits: memory that counts for no process (System V, memory files,
shared pages without a file), all sockets but those within one machine, new namespaces, keys, other
cores. It allows everything that an answer needs to compute.

A box without namespaces of its own (`alone=False`) shares its network and its file systems with
other programs. There the filter also refuses all sockets but connected pairs, and everything that
could hide a file or a socket from the watchdog: files without a name, and passing descriptors on.
So no file is removed before the box ends.
"""

import errno
import platform
import socket
import struct

from diffusion_lab.errors import UserError

# System calls of Linux 4.17 and later have the same number on every machine.
EVERYWHERE = {"io_uring_setup": 425, "clone3": 435, "memfd_secret": 447}
# {machine: (its number in audit.h, {system call: number})}
MACHINES = {
    "x86_64": (
        0xC000003E,
        {
            "mmap": 9,
            "shmget": 29,
            "socket": 41,
            "socketpair": 53,
            "clone": 56,
            "semget": 64,
            "msgget": 68,
            "sched_setaffinity": 203,
            "io_setup": 206,
            "mq_open": 240,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "unshare": 272,
            "vmsplice": 278,
            "perf_event_open": 298,
            "setns": 308,
            "memfd_create": 319,
            "bpf": 321,
            "userfaultfd": 323,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "mmap": 222,
            "shmget": 194,
            "socket": 198,
            "socketpair": 199,
            "clone": 220,
            "semget": 190,
            "msgget": 186,
            "sched_setaffinity": 122,
            "io_setup": 0,
            "mq_open": 180,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "unshare": 97,
            "vmsplice": 75,
            "perf_event_open": 241,
            "setns": 268,
            "memfd_create": 279,
            "bpf": 280,
            "userfaultfd": 282,
        },
    ),
}
# What a box without namespaces may not call either.
SHARING_EVERYWHERE = {"openat2": 437}
SHARING = {
    "x86_64": {
        "open": 2,
        "sendmsg": 46,
        "rename": 82,
        "rmdir": 84,
        "unlink": 87,
        "inotify_init": 253,
        "openat": 257,
        "unlinkat": 263,
        "renameat": 264,
        "inotify_init1": 294,
        "fanotify_init": 300,
        "sendmmsg": 307,
        "renameat2": 316,
    },
    "aarch64": {
        "inotify_init1": 26,
        "unlinkat": 35,
        "renameat": 38,
        "openat": 56,
        "sendmsg": 211,
        "fanotify_init": 262,
        "sendmmsg": 269,
        "renameat2": 276,
    },
}
NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW… flag
SHARED_WITHOUT_FILE = 0x21  # MAP_SHARED | MAP_ANONYMOUS
FILE_WITHOUT_NAME = 0o20000000  # O_TMPFILE without O_DIRECTORY
SHARED, KIND_OF_SOCKET = 0x1, 0xF
LOCAL = (0, 0xFFFFFFFF, socket.AF_UNIX, False, errno.EOPNOTSUPP)
# {system call: [(which argument, mask, value, True to refuse if they are equal, error)]}. All other
# calls in the tables above are always refused.
Conditions = dict[str, list[tuple[int, int, int, bool, int]]]
CONDITIONS: Conditions = {
    "socket": [LOCAL],
    "socketpair": [LOCAL],
    "clone": [(0, NEW_NAMESPACES, 0, False, errno.EPERM)],
    "mmap": [(3, SHARED_WITHOUT_FILE, SHARED_WITHOUT_FILE, True, errno.EPERM)],
}
CONDITIONS_OF_SHARING: Conditions = {
    "socketpair": [LOCAL, (1, KIND_OF_SOCKET, socket.SOCK_STREAM, False, errno.EOPNOTSUPP)],
    "clone": CONDITIONS["clone"],
    "mmap": [(3, SHARED, SHARED, True, errno.EPERM)],
    "open": [(1, FILE_WITHOUT_NAME, FILE_WITHOUT_NAME, True, errno.EPERM)],
    "openat": [(2, FILE_WITHOUT_NAME, FILE_WITHOUT_NAME, True, errno.EPERM)],
}
# What the other refused calls return: with ENOSYS, the C library uses clone and openat instead,
# whose flags the filter can read. With 0, programs believe that their file is removed.
ERRORS = {"clone3": errno.ENOSYS, "openat2": errno.ENOSYS, "unlink": 0, "unlinkat": 0, "rmdir": 0}
LOAD, AND, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
NUMBER, MACHINE, ARGUMENTS = 0, 4, 16  # offsets in the data that the filter reads
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000


def program(alone: bool = True) -> bytes:
    """Returns the filter for this machine, as bytes.

    Args:
        alone: False for a box that shares its network and its file systems with other programs.

    Raises:
        UserError: on a processor that is not in `MACHINES`.
    """
    if platform.machine() not in MACHINES:
        raise UserError(
            f"The sandbox runs on {' and '.join(MACHINES)}, and this is {platform.machine()}. Grade"
            " on another machine."
        )
    machine, calls = MACHINES[platform.machine()]
    calls, conditions = calls | EVERYWHERE, CONDITIONS
    if not alone:
        calls |= SHARING[platform.machine()] | SHARING_EVERYWHERE
        conditions = CONDITIONS_OF_SHARING
    steps = [
        (LOAD, 0, 0, MACHINE),
        (EQUAL, 1, 0, machine),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, 0x40000000),  # from here on, the same calls have a second number
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
    ]
    for name, number in calls.items():
        block = _conditional(conditions[name]) if name in conditions else _refused(name)
        steps += [(EQUAL, 0, len(block), number), *block]
    steps.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _refused(name: str) -> list[tuple[int, int, int, int]]:
    return [(RETURN, 0, 0, REFUSE | ERRORS.get(name, errno.EPERM))]


def _conditional(
    conditions: list[tuple[int, int, int, bool, int]],
) -> list[tuple[int, int, int, int]]:
    """Returns the steps that refuse a call if any of its conditions says so."""
    steps = []
    for argument, mask, value, refuse_equal, error in conditions:
        steps += [
            (LOAD, 0, 0, ARGUMENTS + 8 * argument),
            (AND, 0, 0, mask),
            (EQUAL, 0 if refuse_equal else 1, 1 if refuse_equal else 0, value),
            (RETURN, 0, 0, REFUSE | error),
        ]
    return [*steps, (RETURN, 0, 0, ALLOW)]
