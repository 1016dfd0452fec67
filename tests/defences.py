"""Boxes with one defence removed, in which each hostile answer succeeds.

If it did not succeed, the test of the answer could not fail. Nothing here can harm the machine: an
attack can destroy only a scratch folder, and take only a few GB of memory.
"""

import importlib.metadata
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np

from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.master import Master
from diffusion_lab.instructor.running import _npz
from diffusion_lab.instructor.sandbox import boxes
from diffusion_lab.instructor.sandbox.bubblewrap import Limits, box_command
from diffusion_lab.instructor.sandbox.staging import PACKAGE

ROOT = Path(__file__).parents[1]
SECRET = "GRADERS_TOKEN=what-no-student-may-see"
IMPORTS = (
    "import math\nimport keras\nimport numpy as np\nfrom keras import ops\nfrom"
    " diffusion_lab.samplers import ddim"
)


def hostile(name):
    """Returns (exercise, source) of a file in tests/hostile."""
    first, source = (
        (ROOT / "tests" / "hostile" / f"{name}.py").read_text(encoding="utf-8").split("\n", 1)
    )
    return first.removeprefix("# answer: "), source


def passes_the_notebooks_check(name, folder):
    """True if the check cell of a student's own notebook passes.

    There the whole package is available, and the answer is judged where it runs.
    """
    exercise, source = hostile(name)
    cells = [IMPORTS, source, f"from diffusion_lab import checks\nchecks.{exercise}({exercise})"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    package = {
        path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
    }
    return boxes.run_in_box(notebook, package, {}, [], Limits(), "bubblewrap").cells[2].passed


class Weakened:
    """Runs one answer in a box without the filter of system calls and without a watchdog.

    Afterwards `right` is True if the numbers are right, `said` says why not, and `content` is the
    content of the results file.

    Args:
        change: a function from bubblewrap's arguments to others, which weakens the box further.
        variables: bubblewrap's environment.
    """

    def __init__(
        self,
        name,
        folder,
        change=lambda arguments: arguments,
        variables=None,
        around=(),
        wait=0,
        **options,
    ):
        exercise, source = hostile(name)
        master = Master(sources(ROOT, ["07"])[0])
        task = next(task for task in master.tasks if task.name == exercise)
        inputs = {f"{exercise}.npz": _npz(task.inputs(1))}
        (path,) = boxes._prepare(
            folder, nbformat.v4.new_notebook(), master.files, inputs, [f"{exercise}.json"]
        ).values()
        script = (
            "\n\n".join(cell.source for cell in master.notebook({exercise: source}).cells)
            + f"\n__import__('time').sleep({wait})"
        )
        command = [
            *around,
            shutil.which("bwrap"),
            *change(box_command(folder, [path])),
            sys.executable,
            "-c",
            script,
        ]
        self.output = subprocess.run(
            command, env=dict(variables or {}), cwd="/", capture_output=True, text=True, **options
        ).stdout
        self.content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        outcome, self.said = task.judge(1, self.content[: boxes.MAX_RESULT])
        self.right = outcome == "right"


def showing(*paths):
    """Returns a change that lets the box see these places of the disk."""
    return lambda arguments: [
        *arguments,
        *(part for path in paths for part in ("--ro-bind", str(path), str(path))),
    ]


def writable(folder, *places):
    """Returns a change that lets the box write in places that it otherwise only reads."""
    return lambda arguments: [
        *arguments,
        *(part for place in places for part in ("--bind", f"{folder}/{place}", f"/box/{place}")),
    ]


def with_large_file_systems(arguments):
    """Changes the size of the box's file systems to 4 GB."""
    return [
        str(2**32) if arguments[place - 1] == "--size" else argument
        for place, argument in enumerate(arguments)
    ]


def installed_from():
    """Returns the folder from which the package is installed, or where it is."""
    about = json.loads(
        importlib.metadata.distribution("diffusion-lab").read_text("direct_url.json") or "{}"
    )
    return about.get("url", "").removeprefix("file://") or str(PACKAGE.parent)


def connects(name, folder):
    with socket.create_server(("127.0.0.1", 0)):
        return (
            "a connection was accepted"
            in Weakened(name, folder, lambda arguments: [*arguments, "--share-net"]).said
        )


def sees_another_process(name, folder):
    exercise, source = hostile(name)
    other = subprocess.Popen(["sleep", "1000"], env=dict([SECRET.split("=")]))
    try:
        call = f"{source}\n{exercise}(None, 0.5)"
        return (
            SECRET
            in subprocess.run([sys.executable, "-c", call], capture_output=True, text=True).stderr
        )
    finally:
        other.kill()
        other.wait()


def replaces_a_socket(name, folder):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket"))
    Weakened(
        name,
        folder,
        lambda arguments: [*arguments, "--bind", str(folder), str(folder)],
        pass_fds=[listener.fileno()],
    )
    return (folder / "socket").is_symlink()


def locks_a_folder(name, folder):
    Weakened(name, folder, writable(folder, "results"))
    locked = (folder / "results").stat().st_mode & 0o777 == 0
    os.chmod(folder / "results", 0o700)
    # Python's rmtree fails at so deep a nesting
    subprocess.run(["rm", "-rf", str(folder / "results")], check=True)
    return locked


def writes_a_large_file(name, folder):
    limit = 4 * boxes.MAX_RESULT
    small = Weakened(
        name, folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    return len(small.content) > boxes.MAX_RESULT


def disables_pytest_in_its_process(name, folder):
    _, source = hostile(name)
    call = f"{source}\nimport pytest\npytest.fail('the answer is wrong')"
    return subprocess.run([sys.executable, "-c", call], capture_output=True).returncode == 0


def equals_anything(name, folder):
    exercise, source = hostile(name)
    space = {"np": np}
    exec(source, space)
    return all(part == 0.3 for part in space[exercise](None, 0.5))


def right_with(change):
    return lambda name, folder: Weakened(name, folder, change).right


def leaves(sign, *places):
    """True if the attack leaves the trace `sign` in places that it can write."""
    return lambda name, folder: (Weakened(name, folder, writable(folder, *places)), sign(folder))[1]


def claims(name, folder):
    return b'"passed": true' in Weakened(name, folder, wait=1).content


# {hostile answer: function that is True if it succeeds without its defence, in a scratch folder}
SUCCEEDS = {
    # stopped because answers are judged outside, in another process
    **dict.fromkeys(
        [
            "16-calls-the-packages-sampler",
            "20-calls-the-packages-schedule",
            "20-patches-numpy",
            "20-patches-the-check",
            "20-replaces-showtraceback",
            "20-replays-the-public-check",
            "20-searches-the-memory",
            "20-sets-custom-exc",
            "20-transforms-all-input",
        ],
        passes_the_notebooks_check,
    ),
    "20-always-equal": equals_anything,
    "20-patches-pytest": disables_pytest_in_its_process,
    "20-patches-json": claims,
    "20-writes-its-own-result": claims,
    # stopped by the list of what the box sees
    "20-imports-the-installed-package": lambda name, folder: (
        Weakened(name, folder, showing(installed_from())).right
    ),
    "20-reads-solutions-off-the-disk": lambda name, folder: (
        Weakened(name, folder, showing(ROOT)).right
    ),
    "20-calls-home": connects,
    "20-reads-other-processes": sees_another_process,
    "20-reads-the-environment-of-its-box": lambda name, folder: (
        SECRET in Weakened(name, folder, variables=dict([SECRET.split("=")])).said
    ),
    # stopped because a box can write only one file outside, and little inside
    "20-a-link-in-place-of-its-socket": replaces_a_socket,
    "20-locks-and-nests-folders": locks_a_folder,
    "20-puts-a-link-in-place-of-its-result": leaves(
        lambda folder: any(path.is_symlink() for path in (folder / "results").iterdir()), "results"
    ),
    "20-removes-everything": leaves(
        lambda folder: not list((folder / "package").iterdir()), "package"
    ),
    "20-writes-into-the-package": leaves(
        lambda folder: (folder / "package" / "sitecustomize.py").exists(), "package"
    ),
    "20-fills-whatever-it-can-write": right_with(with_large_file_systems),
    "20-a-huge-file": writes_a_large_file,
    # stopped by the filter of system calls
    "20-hides-memory": right_with(lambda arguments: arguments),
    "20-leaves-a-key": right_with(lambda arguments: arguments),
}
