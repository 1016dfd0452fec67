"""A box for other people's code: bubblewrap around a kernel, and an allowlist of what it sees.

bubblewrap gives the kernel a file system of its own (the system's libraries, the Python
environment, a slice of the package, and nothing else), no network and no view of other processes;
`seccomp` closes what goes around it. Neither limits memory or processor time, and limits of the
operating system do not bind an administrator; so `watchdog` polls from outside.
"""

import json
import os
import shutil
import site
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox import seccomp

KERNEL_NAME = (  # also the name of the provisioner's entry point in pyproject.toml
    "diffusion-lab-box"
)
SPECIFICATION = "DIFFUSION_LAB_BOX_SPECIFICATION"
INSTALL = (
    "The sandbox needs bubblewrap (Linux has it), and it is not here. Debian, Ubuntu, WSL2: apt"
    " install bubblewrap. To grade without a sandbox, only code that you trust: --sandbox none."
)
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
ROOM = {"/tmp": 2**26, "/dev/shm": 2**20}  # bytes that a box may write, all of them in memory


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    `seconds` of processor time are for one cell, and as many for waiting; the rest is for all of
    it.
    """

    seconds: float = 60
    startup_seconds: float = 120  # importing TensorFlow takes four on a good day
    memory: int = 3 * 10**9  # bytes, of all its processes and files
    processes: int = 32
    threads: int = 1000  # TensorFlow has dozens
    files: int = 4096  # that lie in the box
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
            f"bubblewrap is here but cannot open a box ({trial.stderr.strip()[:200]}): allow user"
            " namespaces, or grade without a sandbox: --sandbox none."
        )


def box_command(folder: Path | None = None, results: Iterable[Path] = ()) -> list[str]:
    """Returns bubblewrap's arguments for a box.

    `folder` holds package/ and inputs/; without one, the box is for a trial. The files `results`
    exist already; each is bound by itself, so that nothing else can be written there.
    """
    command = [
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--cap-drop",
        "ALL",
        "--hostname",
        "box",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--ro-bind",
        "/dev/null",
        "/dev/zero",
    ]  # whose pages can be shared unseen
    for path, size in ROOM.items():
        command += ["--size", str(size), "--tmpfs", path]
    for path, shown in layout().items():
        if os.path.islink(path) and path in SYSTEM:
            command += ["--symlink", os.readlink(path), path]
        elif shown:
            command += ["--ro-bind", path, path]
        elif os.path.isdir(path):
            command += ["--size", "4096", "--tmpfs", path]
        else:
            command += ["--ro-bind", "/dev/null", path]
    for path in ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"):
        command += ["--ro-bind-try", path, path]
    if folder:
        command += [
            "--ro-bind",
            f"{folder}/package",
            "/box/package",
            "--ro-bind",
            f"{folder}/inputs",
            "/box/inputs",
        ]
    for path in results:
        command += ["--bind", str(path), f"/box/results/{Path(path).name}"]
    for path in ("/", "/dev", *hidden()):
        command += ["--remount-ro", path] if os.path.isdir(path) else []
    command += ["--chdir", "/tmp"]
    for name, value in environment("/box").items():
        command += ["--setenv", name, value]
    return command


@lru_cache
def layout() -> dict[str, bool]:
    """Returns {path: whether the box sees it, or something empty in its place}, outer folders
    first.
    """
    wanted = {
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        *sysconfig.get_paths().values(),
        *site.getsitepackages(),
    }
    wanted |= {os.path.realpath(path) for path in wanted}
    shown = {path for path in (*SYSTEM, *wanted) if os.path.isdir(path)}
    return dict(sorted((dict.fromkeys(shown, True) | dict.fromkeys(_copies(shown), False)).items()))


def hidden() -> list[str]:
    """Returns the copies of the package in folders that the box sees.

    The box itself does not see them, since they hold the answers.
    """
    return [path for path, shown in layout().items() if not shown]


def _copies(shown: set[str]) -> Iterator[str]:
    """Yields where the package, its repository or an archive of it lies in folders that the box
    sees.
    """
    seen = set()
    for root in sorted(map(os.path.realpath, shown)):
        for place, folders, files in os.walk(root):
            if place in seen:
                folders.clear()
                continue
            seen.add(place)
            if {"diffusion_lab", "solutions"} <= set(folders) and place not in shown:
                yield place
                folders.clear()
                continue
            found = {
                name
                for name in (*folders, *files)
                if name.replace("-", "_").startswith("diffusion_lab")
            }
            yield from {os.path.join(place, name) for name in found} - shown
            folders[:] = [name for name in folders if name not in found]


def environment(box: str) -> dict[str, str]:
    """Returns the environment variables of a kernel whose package, inputs and results lie in the
    folder `box`.
    """
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
        "JPY_PARENT_PID": "0",
    }  # else ipykernel looks for its parent, sees none in here, and exits


class Launch:
    """What starts a box without saying anything about it: bubblewrap's arguments, and files for the
    box, come through pipes.

    `command` goes in front of what runs in the box; `descriptors` are open while the `with`
    statement lasts.
    """

    def __init__(self, arguments: list[str], files: Mapping[str, bytes] | None = None) -> None:
        """files: {path in the box: content}."""
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
    """Starts a Jupyter kernel in the box that the file named by the environment variable
    describes.
    """

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
        """The kernel inherits the listening sockets, and a box the descriptors that describe it;
        nothing else.
        """
        descriptors = [listener.fileno() for listener in self.sockets]
        kernel = [
            sys.executable,
            "-m",
            "diffusion_lab.instructor.inside.kernel",
            ",".join(map(str, descriptors)),
        ]
        cores, kwargs = (
            os.sched_getaffinity(0),
            kwargs | dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL),
        )
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
    """Describes the box for the provisioner; returns the environment that tells it where to
    look.
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
