"""Runs as root around the second box: starts a command as a guest, and ends the guest with it.

    python -m diffusion_lab.instructor.sandbox.enter BOX PARENT DESCRIPTORS COMMAND...

BOX is the file that `user_box.describe` made, PARENT is the process without which the box ends, and
DESCRIPTORS are those that the command inherits, separated by commas.

The guest may do nothing to this process, because it is another user's. All processes that the guest
leaves behind become its children, so that it knows their CPU time.
"""

import ctypes
import json
import os
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from diffusion_lab.instructor.sandbox import landlock
from diffusion_lab.instructor.sandbox.guests import Guest

SET_PARENT_DEATH_SIGNAL, SET_SECCOMP, SET_CHILD_SUBREAPER = 1, 22, 36  # commands of prctl
FILTER = 2  # a mode of seccomp
SECONDS = 0.5  # between two looks for the parent
ENDING = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT}
# What a process may know about itself. TensorFlow does not start without it.
ITSELF = ("cmdline", "maps", "stat", "statm", "status")
STEP = 8  # bytes of the filter for one step

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def main(box: dict[str, Any], parent: int, descriptors: list[int], command: list[str]) -> int:
    """Runs the command in the box; returns its exit status, or 1 if it was killed."""
    _libc.prctl(SET_CHILD_SUBREAPER, 1)
    _libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, {*ENDING, signal.SIGCHLD})
    guest = Guest(box["user"], box["lock"])
    child = os.fork()
    if not child:
        _become_the_guest(box, descriptors, command)
    # Linux makes other files for /proc when these are not in use, for which no rule holds.
    itself = [os.open(f"/proc/{child}/{name}", os.O_PATH) for name in ITSELF]
    for descriptor in descriptors:
        os.close(descriptor)
    try:
        while os.getppid() == parent:
            ended = signal.sigtimedwait({*ENDING, signal.SIGCHLD}, SECONDS)
            if ended and ended.si_signo == signal.SIGTERM:
                break
            with suppress(ChildProcessError):
                while pid_status := os.waitpid(-1, os.WNOHANG):
                    if pid_status[0] == child:
                        status = os.waitstatus_to_exitcode(pid_status[1])
                        return status if status >= 0 else 1
                    if not pid_status[0]:
                        break
        return 1
    finally:
        guest.clear()
        for descriptor in itself:
            os.close(descriptor)


def _become_the_guest(box: dict[str, Any], descriptors: list[int], command: list[str]) -> None:
    """Gives up everything but the box, and runs the command. Never returns."""
    try:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number in {signal.SIGPIPE, signal.SIGXFSZ}:
            signal.signal(number, signal.SIG_DFL)
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in {0, 1, 2, *descriptors}:
                with suppress(OSError):  # of this list itself
                    os.close(int(name))
        os.umask(0o077)
        os.setgroups([])
        os.setresgid(box["user"], box["user"], box["user"])
        # still as root, who may open everything that a rule names
        rules = None if box["rules"] is None else landlock.ruleset(_with_itself(box["rules"]))
        os.setresuid(box["user"], box["user"], box["user"])
        _require_powerless()
        os.chdir(box["home"])
        if rules is None:
            _require_closed(box["private"])
            landlock.forbid_new_privileges()
        else:
            landlock.restrict(rules)
        steps = bytes.fromhex(box["filter"])
        program = _Program(len(steps) // STEP, steps)
        if _libc.prctl(SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0):
            raise OSError(ctypes.get_errno(), "the filter of system calls is refused")
        os.execve(command[0], command, box["environment"])
    except BaseException as error:
        os.write(2, f"{error}\n".encode())
    os._exit(126)


def _with_itself(rules: list[list[Any]]) -> list[tuple[str, int]]:
    itself = [(f"/proc/self/{name}", landlock.READ) for name in ITSELF]
    return [*itself, *((path, access) for path, access in rules)]


def _require_closed(private: list[str]) -> None:
    """Raises PermissionError if the guest can look into one of these files or folders."""
    opened = [
        shlex.quote(path)
        for path in dict.fromkeys(private)
        if os.access(path, os.R_OK) or os.path.isdir(path) and os.access(path, os.X_OK)
    ]
    if opened:
        raise PermissionError(f"chmod -R go= {' '.join(opened)}")


def _require_powerless() -> None:
    """Raises PermissionError if the guest still has powers of the administrator."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    if any(int(fields[f"Cap{name}"], 16) for name in ("Prm", "Eff", "Amb")) or os.getgroups():
        raise PermissionError("the powers of the administrator cannot be given up")
    with suppress(PermissionError):
        os.setuid(0)
        raise ChildProcessError("the user id can be changed back")


if __name__ == "__main__":
    sys.exit(
        main(
            json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")),
            int(sys.argv[2]),
            [int(number) for number in sys.argv[3].split(",") if number],
            sys.argv[4:],
        )
    )
