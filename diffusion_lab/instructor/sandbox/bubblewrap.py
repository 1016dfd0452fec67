"""Starts a Jupyter kernel in a box: bubblewrap, with a list of what the kernel may see.

Bubblewrap gives the kernel its own file system (the system's libraries, the Python environment, a
slice of the package, and nothing else), no network, and no view of other processes. `seccomp`
refuses the system calls that would get around this. Neither limits memory or processor time, and
the operating system's own limits do not bind an administrator. So `watchdog` polls from outside.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox import seccomp
from diffusion_lab.instructor.sandbox.visible import bind_arguments, hidden

KERNEL_NAME = "diffusion-lab-box"  # also the provisioner's entry point in pyproject.toml
SPECIFICATION = "DIFFUSION_LAB_BOX_SPECIFICATION"
INSTALL = (
    "The sandbox needs bubblewrap, which is not installed here. On Debian, Ubuntu or WSL2: apt"
    " install bubblewrap. To grade without a sandbox, which is safe only for code that you trust:"
    " --sandbox none."
)
ROOM = {"/tmp": 2**26, "/dev/shm": 2**20}  # bytes that a box may write, all of them in memory
ISOLATION = (
    *("--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"),
    *("--hostname", "box", "--proc", "/proc", "--dev", "/dev"),
    *("--ro-bind", "/dev/null", "/dev/zero"),  # pages of /dev/zero can be shared unseen
)
LIBRARY_SETTINGS = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
)


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    `seconds` is the processor time of one cell, and also the time that it may wait. All other
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
        raise UserError(
            f"bubblewrap is installed but cannot open a box ({trial.stderr.strip()[:200]}). Allow"
            " user namespaces, or grade without a sandbox: --sandbox none."
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
    for name, value in environment("/box").items():
        command += ["--setenv", name, value]
    return command


def environment(box: str) -> dict[str, str]:
    """Returns a kernel's environment variables; `box` holds its package, inputs and results."""
    return {
        "PATH": f"{os.path.dirname(sys.executable)}:/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{box}/package",
        "DIFFUSION_LAB_BOX": box,
        "PYTHONDONTWRITEBYTECODE": "1",
        "IPYTHONDIR": "/tmp/ipython",
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        # without it, ipykernel looks for its parent process, finds none in the box, and exits
        "JPY_PARENT_PID": "0",
    }


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


class BoxProvisioner(LocalProvisioner):
    """Starts a Jupyter kernel in a box, which a file describes: `write_specification` writes it."""

    parent: Any  # the kernel manager
    connection_info: dict[str, Any]

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        self.box = json.loads(Path(os.environ[SPECIFICATION]).read_text(encoding="utf-8"))
        self.parent.transport, self.parent.ip = "ipc", str(Path(self.box["folder"], "kernel"))
        self.parent.connection_file = self.parent.ip + ".json"
        names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
        for number, name in enumerate(names, start=1):
            setattr(self.parent, name, number)
        kwargs = await super().pre_launch(**kwargs)
        self.sockets = [
            _listening(f"{self.parent.ip}-{number}") for number, _ in enumerate(names, start=1)
        ]
        return kwargs

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Starts the kernel, which inherits the listening sockets.

        A box also inherits the descriptors that describe it, and nothing else.
        """
        cores, descriptors = os.sched_getaffinity(0), [each.fileno() for each in self.sockets]
        module, numbers = "diffusion_lab.instructor.inside.kernel", ",".join(map(str, descriptors))
        kernel = [sys.executable, "-m", module, numbers]
        kwargs |= dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        try:
            os.sched_setaffinity(0, self.box["cores"])
            if not self.box["arguments"]:
                kwargs |= {"env": os.environ | self.box["environment"], "pass_fds": descriptors}
                return await super().launch_kernel([*kernel, self.parent.connection_file], **kwargs)
            connection = json.dumps(
                self.connection_info | {"ip": "kernel", "key": self.connection_info["key"].decode()}
            )
            with Launch(self.box["arguments"], {"/tmp/kernel.json": connection.encode()}) as launch:
                kwargs |= {
                    "env": {},
                    "cwd": "/",
                    "independent": True,
                    "pass_fds": [*descriptors, *launch.descriptors],
                }
                return await super().launch_kernel(
                    [*launch.command, *kernel, "/tmp/kernel.json"], **kwargs
                )
        finally:
            os.sched_setaffinity(0, cores)
            for listener in self.sockets:
                listener.close()


def _listening(path: str) -> socket.socket:
    with suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    listener.setblocking(False)
    return listener


def write_specification(
    folder: Path, results: Iterable[Path], boxed: bool, cores: list[int]
) -> dict[str, str]:
    """Writes the description of a box that `BoxProvisioner` reads.

    Returns:
        The environment variables that tell Jupyter where the description is.
    """
    kernel = {
        "argv": ["{connection_file}"],
        "language": "python",
        "display_name": "box",
        "metadata": {"kernel_provisioner": {"provisioner_name": KERNEL_NAME}},
    }
    place = Path(folder, "jupyter", "kernels", KERNEL_NAME)
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")
    specification = {
        "folder": str(folder),
        "arguments": box_command(folder, results) if boxed else [],
        "cores": cores,
        "environment": {} if boxed else environment(str(folder)) | {"HOME": str(folder)},
    }
    path = Path(folder, "box.json")
    path.write_text(json.dumps(specification), encoding="utf-8")
    return {SPECIFICATION: str(path), "JUPYTER_PATH": str(Path(folder, "jupyter"))}
