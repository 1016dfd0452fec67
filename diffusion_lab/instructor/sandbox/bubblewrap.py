"""The first box: bubblewrap, with a list of what a kernel may see.

Bubblewrap gives the kernel its own file system (the system's libraries, the Python environment, a
slice of the package, and nothing else), no network, and no view of other processes. `seccomp`
refuses the system calls that would get around this. Neither limits memory or CPU time, and
the operating system's own limits do not bind an administrator. So `watchdog` polls from outside.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox import seccomp
from diffusion_lab.instructor.sandbox.visible import (
    LIBRARY_SETTINGS,
    bind_arguments,
    hidden,
    variables,
)

INSTALL = (
    "The sandbox needs bubblewrap, which is not installed here. On Debian, Ubuntu or WSL2: apt"
    " install bubblewrap."
)
ROOM = {"/tmp": 2**26, "/dev/shm": 2**20}  # bytes that a box may write, all of them in memory
ISOLATION = (
    *("--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"),
    *("--hostname", "box", "--proc", "/proc", "--dev", "/dev"),
    *("--ro-bind", "/dev/null", "/dev/zero"),  # pages of /dev/zero can be shared unseen
)


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    `seconds` is the CPU time of one cell, and also the time that it may wait. All other
    limits are for the whole submission.
    """

    seconds: float = 60
    startup_seconds: float = 120  # importing TensorFlow takes four on a good day
    memory: int = 3 * 10**9  # bytes, of all its processes and files
    processes: int = 32
    threads: int = 1000  # TensorFlow has dozens
    files: int = 4096  # in the box
    file_size: int = 16 * 10**6
    listener_memory: int = 10**9  # of pytest, which reads all that the kernel prints


def require_bubblewrap() -> None:
    """Raises UserError unless a box can be opened here."""
    if shutil.which("bwrap") is None:
        raise UserError(INSTALL)
    with Launch(box_command()) as launch:
        trial = subprocess.run(
            [*launch.command, "true"],
            pass_fds=launch.descriptors,
            env={},
            cwd="/",
            capture_output=True,
            text=True,
        )
    if trial.returncode:
        usage = subprocess.run(["bwrap", "--help"], capture_output=True, text=True).stdout
        advice = (
            "Allow unprivileged user namespaces (Ubuntu: sudo sysctl -w"
            " kernel.apparmor_restrict_unprivileged_userns=0)."
            if "--size" in usage
            else "Its version is too old: install bubblewrap 0.7 or later."
        )
        raise UserError(
            f"bubblewrap is installed but cannot open a sandbox ({trial.stderr.strip()[:200]})."
            f" {advice}"
        )


def box_command(folder: Path | None = None, results: Iterable[Path] = ()) -> list[str]:
    """Returns bubblewrap's arguments for a box.

    Args:
        folder: holds package/ and inputs/. Without it, the box is only for a trial.
        results: files that exist already. Each has its own bind mount, so that the box can write
            nothing next to it.
    """
    command = [*ISOLATION]
    for path, size in ROOM.items():
        command += ["--size", str(size), "--tmpfs", path]
    command += bind_arguments()
    for path in LIBRARY_SETTINGS:
        command += ["--ro-bind-try", path, path]
    for name in ("package", "inputs") if folder else ():
        command += ["--ro-bind", f"{folder}/{name}", f"/box/{name}"]
    for path in results:
        command += ["--bind", str(path), f"/box/results/{Path(path).name}"]
    for path in ("/", "/dev", *hidden()):
        command += ["--remount-ro", path] if os.path.isdir(path) else []
    command += ["--chdir", "/tmp"]
    for name, value in variables("/box", "/tmp").items():
        command += ["--setenv", name, value]
    return command


class Launch:
    """Passes bubblewrap its arguments and files through pipes, so that no process list shows them.

    `command` goes in front of what runs in the box; `descriptors` are open while the `with`
    statement lasts.
    """

    def __init__(self, arguments: list[str], files: Mapping[str, bytes] | None = None) -> None:
        """Takes bubblewrap's arguments and `files`, {path in the box: content}."""
        self.descriptors = [_pipe(seccomp.program())]
        arguments = [*arguments, "--seccomp", str(self.descriptors[0])]
        for path, content in (files or {}).items():
            self.descriptors.append(_pipe(content))
            arguments += ["--file", str(self.descriptors[-1]), path]
        self.descriptors.append(_pipe("\0".join(arguments).encode() + b"\0"))
        self.command = [shutil.which("bwrap") or "bwrap", "--args", str(self.descriptors[-1])]

    def __enter__(self) -> "Launch":
        return self

    def __exit__(self, *exception: object) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


def _pipe(content: bytes) -> int:
    """Returns a descriptor from which `content` can be read, once."""
    reading, writing = os.pipe()
    with open(writing, "wb") as file:
        file.write(content)  # less than a pipe holds
    return reading


def __getattr__(name: str) -> object:
    """Returns `BoxProvisioner`, which environments from before 2027 look for in this module."""
    if name == "BoxProvisioner":
        return import_module("diffusion_lab.instructor.sandbox.provisioner").BoxProvisioner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
