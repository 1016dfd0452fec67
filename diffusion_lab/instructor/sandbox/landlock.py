"""Landlock: a process gives up all files but those on a list, for itself and its descendants.

Linux has it since version 5.13, but not every system turns it on. Every access that the running
kernel knows is given up. See https://docs.kernel.org/userspace-api/landlock.html.
"""

import ctypes
import os
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls, the same on every machine
VERSION, PATH_BENEATH = 1, 1
SET_NO_NEW_PRIVILEGES = 38  # a command of prctl
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
MAKE_DIR, MAKE_FILE, MAKE_PIPE, MAKE_LINK = 1 << 7, 1 << 8, 1 << 10, 1 << 12
TRUNCATE = 1 << 14
# {version of Landlock: number of kinds of access that it knows}
KINDS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
SCOPES = 0b11  # since version 6: abstract Unix sockets, and signals, of processes outside

LIST = READ_DIR  # the names in a folder
READ = EXECUTE | READ_FILE | READ_DIR
USE = READ_FILE | WRITE_FILE | TRUNCATE  # of a file that exists
# A file that is removed while it is open would no longer be seen by those who count files.
OWN = USE | READ_DIR | MAKE_DIR | MAKE_FILE | MAKE_PIPE | MAKE_LINK
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scoped")]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Returns the version of Landlock, or 0 if there is none or it is turned off."""
    return max(0, _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION)))


def ruleset(rules: Iterable[tuple[str, int]]) -> int:
    """Returns the descriptor of a list of files, for `restrict`.

    Args:
        rules: (path, access) pairs. A rule holds for everything in a folder. Paths that do not
            exist are skipped.

    Raises:
        OSError: if the kernel refuses.
    """
    known = (1 << KINDS[min(version(), max(KINDS))]) - 1
    attributes = _Ruleset(known, 0, SCOPES if version() >= 6 else 0)
    size = ctypes.c_size_t(24 if version() >= 6 else 8)
    descriptor = _called(CREATE_RULESET, ctypes.byref(attributes), size, ctypes.c_uint32(0))
    for path, access in rules:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            continue
        allowed = known & (access if os.path.isdir(path) else access & OF_FILES)
        rule = _PathBeneath(allowed, opened)
        _called(ADD_RULE, descriptor, PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0))
        os.close(opened)
    return descriptor


def restrict(descriptor: int) -> None:
    """Gives up all access to files but that in a `ruleset`, and new privileges.

    Raises:
        OSError: if the kernel refuses.
    """
    forbid_new_privileges()
    _called(RESTRICT_SELF, descriptor, ctypes.c_uint32(0))
    os.close(descriptor)


def forbid_new_privileges() -> None:
    """Makes setuid programs run as ordinary ones, for this process and its descendants."""
    if _libc.prctl(SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _called(number: int, *arguments: object) -> int:
    result = _libc.syscall(number, *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return result
