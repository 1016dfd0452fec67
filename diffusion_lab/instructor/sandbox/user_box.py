"""The second box, for where bubblewrap cannot open one: another user id instead of namespaces.

It needs root, as programs in a container often have. Landlock takes the place of bubblewrap's list
of what a box sees. Where Linux has no Landlock, the box opens only if the answers are closed to
other users. `seccomp` takes the place of the network of its own, and the watchdog counts by user
id. INSTRUCTORS.md compares the two boxes.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox import landlock, seccomp
from diffusion_lab.instructor.sandbox.folders import box_folder
from diffusion_lab.instructor.sandbox.guests import SHARED, Guest, guest
from diffusion_lab.instructor.sandbox.staging import PACKAGE
from diffusion_lab.instructor.sandbox.visible import LIBRARY_SETTINGS, hidden, layout, variables

HOME = "home"  # in the box's folder: where it may write
DEVICES = {
    "/dev/null": landlock.USE,
    "/dev/urandom": landlock.READ,
    "/dev/random": landlock.READ,
}
FACTS = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu")
REPOSITORY = PACKAGE.parent


def require_user_box(private: Iterable[str | Path] = ()) -> None:
    """Raises UserError unless a box can be opened here.

    Args:
        private: files and folders that the box must not be able to read, besides the package.
    """
    try:
        with box_folder() as folder, guest() as user:
            prepare(folder, [], user)
            box = describe(folder, [], user)
            box["private"] += [os.path.abspath(path) for path in private]
            specification = folder / "box.json"
            specification.write_text(json.dumps(box), encoding="utf-8")
            trial = subprocess.run(
                [*command(specification, []), sys.executable, "-c", "import zmq"],
                pass_fds=[user.lock],
                env=environment(),
                cwd="/",
                capture_output=True,
                text=True,
            )
    except OSError as error:
        raise UserError(f"The sandbox 'user' does not work on this machine: {error}.") from None
    if trial.returncode:
        said = (trial.stderr.strip().splitlines() or ["it stopped without a message"])[-1]
        raise UserError(f"The sandbox 'user' does not work on this machine. {_advice(said)}")


def _advice(said: str) -> str:
    if "chmod" in said:
        return (
            "This Linux has no Landlock, and other users can read what students' code must not"
            f" see. Make these files private: {said}"
        )
    python, temporary = os.path.realpath(sys.executable), tempfile.gettempdir()
    return (
        f"It says: {said[:200]}. Other users must be able to run {python}, to read its packages,"
        f" and to pass through {temporary}: keep all three outside of /root."
    )


def environment() -> dict[str, str]:
    """Returns the environment of `enter`, which needs nothing but the package."""
    # NumPy, which the package imports, need not start threads
    return {"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "OPENBLAS_NUM_THREADS": "1"}


def command(specification: Path, descriptors: Iterable[int]) -> list[str]:
    """Returns what goes in front of a command that runs in the box.

    The box ends with the process that called this.
    """
    numbers = ",".join(map(str, descriptors))
    module = "diffusion_lab.instructor.sandbox.enter"
    return [sys.executable, "-m", module, str(specification), str(os.getpid()), numbers]


def prepare(folder: Path, results: Iterable[Path], user: Guest) -> None:
    """Lets the user into the folder of its box.

    Args:
        folder: holds package/ and inputs/, which the user can read.
        results: files that the user can write.
        user: whose box it is.
    """
    (folder / HOME).mkdir(mode=0o700)
    for path in (folder / HOME, *results):
        os.chown(path, user.number, user.number)
    os.chown(folder, 0, user.number)
    os.chmod(folder, 0o710)


def write(box: dict[str, Any], name: str, content: bytes) -> str:
    """Writes a file that only the user of a box can read; returns its path."""
    path = Path(box["home"], name)
    path.touch(mode=0o600)
    path.write_bytes(content)
    os.chown(path, box["user"], box["user"])
    return str(path)


def describe(folder: Path, results: Iterable[Path], user: Guest) -> dict[str, Any]:
    """Returns what `enter` needs to know about a box."""
    return {
        "user": user.number,
        "lock": user.lock,
        "home": str(folder / HOME),
        "environment": variables(str(folder), str(folder / HOME)),
        "filter": seccomp.program(alone=False).hex(),
        "rules": _rules(folder, results) if landlock.version() else None,
        "private": [*map(str, private())],
    }


def private() -> list[str | Path]:
    """Returns where answers may be on this machine."""
    repository = REPOSITORY.iterdir() if (REPOSITORY / "solutions").is_dir() else ()
    environment = Path(sys.prefix)  # which the box uses, and which is often in the repository
    parts = [path for path in repository if path != environment]
    return [*parts, PACKAGE, *(path for path in hidden() if not path.endswith("-info"))]


def places(folder: Path) -> list[str]:
    """Returns the folders in which a box can write files."""
    return [str(folder / HOME), *(() if landlock.version() else SHARED)]


def _rules(folder: Path, results: Iterable[Path]) -> list[tuple[str, int]]:
    """Returns the rules for Landlock: what bubblewrap's box sees, and where it can write.

    A rule holds for a whole folder. So a folder that contains a copy of the package is divided, and
    all that Landlock shows of the copy is the names of its files.
    """
    copies, rules = hidden(), []
    awaiting = [os.path.realpath(path) for path, shown in layout().items() if shown]
    while awaiting:
        path = awaiting.pop()
        if path in copies:
            continue
        if any(copy.startswith(f"{path}/") for copy in copies):
            rules.append((path, landlock.LIST))
            # what a link leads to is visible if it is in a visible folder itself
            awaiting += [entry.path for entry in os.scandir(path) if not entry.is_symlink()]
        else:
            rules.append((path, landlock.READ))
    for path in (*LIBRARY_SETTINGS, *FACTS, folder / "package", folder / "inputs"):
        rules.append((str(path), landlock.READ))
    rules += DEVICES.items()
    rules += [(str(path), landlock.USE) for path in results]
    return [*rules, (str(folder / HOME), landlock.OWN)]
