"""Starts a Jupyter kernel in a box, or without one, as the description in a file says."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from diffusion_lab.instructor.sandbox import user_box
from diffusion_lab.instructor.sandbox.bubblewrap import Launch, box_command
from diffusion_lab.instructor.sandbox.guests import Guest
from diffusion_lab.instructor.sandbox.visible import variables

KERNEL_NAME = "diffusion-lab-box"  # also the provisioner's entry point in pyproject.toml
SPECIFICATION = "DIFFUSION_LAB_BOX_SPECIFICATION"
Start = tuple[list[str], dict[str, Any]]  # a command, and what `launch_kernel` needs besides


class BoxProvisioner(LocalProvisioner):
    """Starts a Jupyter kernel in a box, which a file describes: `write_specification` writes it."""

    parent: Any  # the kernel manager
    connection_info: dict[str, Any]

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        self.specification = Path(os.environ[SPECIFICATION])
        self.box = json.loads(self.specification.read_text(encoding="utf-8"))
        self.parent.transport = "ipc"
        self.parent.ip = str(self.specification.with_name("kernel"))
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
            start = {"bubblewrap": self._bubblewrap, "user": self._user, "none": self._none}
            with start[self.box["box"]](kernel, descriptors) as (command, options):
                return await super().launch_kernel(command, **kwargs | options)
        finally:
            os.sched_setaffinity(0, cores)
            for listener in self.sockets:
                listener.close()

    @contextmanager
    def _bubblewrap(self, kernel: list[str], descriptors: list[int]) -> Iterator[Start]:
        place = "/tmp/kernel.json"
        with Launch(self.box["arguments"], {place: self._connection()}) as launch:
            yield (
                [*launch.command, *kernel, place],
                _options({}, [*descriptors, *launch.descriptors]),
            )

    @contextmanager
    def _user(self, kernel: list[str], descriptors: list[int]) -> Iterator[Start]:
        place = user_box.write(self.box, "kernel.json", self._connection())
        yield (
            [*user_box.command(self.specification, descriptors), *kernel, place],
            _options(user_box.environment(), [*descriptors, self.box["lock"]]),
        )

    @contextmanager
    def _none(self, kernel: list[str], descriptors: list[int]) -> Iterator[Start]:
        environment = {"env": os.environ | self.box["environment"], "pass_fds": descriptors}
        yield [*kernel, self.parent.connection_file], environment

    def _connection(self) -> bytes:
        """Returns the connection file for a kernel that has its sockets already."""
        key = self.connection_info["key"].decode()
        return json.dumps(self.connection_info | {"ip": "kernel", "key": key}).encode()


def _options(environment: dict[str, str], descriptors: list[int]) -> dict[str, Any]:
    return {"env": environment, "cwd": "/", "independent": True, "pass_fds": descriptors}


def _listening(path: str) -> socket.socket:
    with suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    listener.setblocking(False)
    return listener


def write_specification(
    folder: Path, results: Iterable[Path], box: str, cores: list[int], guest: Guest | None = None
) -> dict[str, str]:
    """Writes the description of a box that `BoxProvisioner` reads.

    Args:
        folder: of the box.
        results: the files that it may write.
        box: "bubblewrap", "user" or "none".
        cores: on which it runs.
        guest: whose user id it has, for "user".

    Returns:
        The environment variables that tell Jupyter where the description is.
    """
    kernel = {
        "argv": ["{connection_file}"],
        "language": "python",
        "display_name": "box",
        "metadata": {"kernel_provisioner": {"provisioner_name": KERNEL_NAME}},
    }
    place = private_folder(folder) / "jupyter" / "kernels" / KERNEL_NAME
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")
    specification: dict[str, Any] = {"box": box, "cores": cores}
    if box == "bubblewrap":
        specification |= {"arguments": box_command(folder, results)}
    elif guest:
        specification |= user_box.describe(folder, results, guest)
    else:
        specification |= {"environment": variables(str(folder), str(folder), boxed=False)}
    path = private_folder(folder) / "box.json"
    path.write_text(json.dumps(specification), encoding="utf-8")
    return {SPECIFICATION: str(path), "JUPYTER_PATH": str(private_folder(folder) / "jupyter")}


def private_folder(folder: Path) -> Path:
    """Returns the part of a box's folder that only the grader sees."""
    private = folder / "grader"
    private.mkdir(mode=0o700, exist_ok=True)
    return private
