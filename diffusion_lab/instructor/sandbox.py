"""A box for other people's code: bubblewrap around a kernel, an allowlist of what it sees, and a watchdog outside.

bubblewrap gives the kernel a file system of its own (the system's libraries, the Python environment, a slice of the
package, and nothing else), no network and no view of other processes. It limits neither memory nor processor time, and
limits of the operating system do not bind an administrator; so `watch` polls from outside and closes the box.
"""

import json
import os
import resource
import shutil
import site
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from jupyter_client.provisioning import LocalProvisioner

from diffusion_lab.errors import UserError

KERNEL_NAME = "diffusion-lab-box"  # also the name of the provisioner's entry point in pyproject.toml
GONE = 3.0  # seconds without any process in the box: at its proper end, pytest follows sooner
ENDED = "it ended the kernel in which it ran"
SPECIFICATION = "DIFFUSION_LAB_BOX_SPECIFICATION"
INSTALL = ("The sandbox needs bubblewrap (Linux has it), and it is not here. Debian, Ubuntu, WSL2: apt install bubblewrap. To "
           "grade without a sandbox, only code that you trust: --sandbox none.")


@dataclass(frozen=True)
class Limits:
    """What one submission may use. `seconds` are for one answer; memory and processor time for all of it."""

    seconds: float = 60
    startup_seconds: float = 120  # importing TensorFlow takes four on a good day
    memory: int = 3 * 10**9  # bytes, resident, of all its processes
    processes: int = 32  # threads are free: TensorFlow has dozens
    files: int = 64  # in the folder of the kernel's sockets, the only one that is not in the box
    file_size: int = 16 * 10**6
    listener_memory: int = 10**9  # of pytest, which reads all that the kernel prints


def require_bubblewrap():
    """Raises UserError unless a box can be opened here."""
    if shutil.which("bwrap") is None:
        raise UserError(INSTALL)
    trial = subprocess.run([*box_command(Path("/nowhere"), [], trial=True), "true"], capture_output=True, text=True)
    if trial.returncode:
        raise UserError(f"bubblewrap is here but cannot open a box ({trial.stderr.strip()[:200]}): allow user namespaces, "
                        "or grade without a sandbox: --sandbox none.")


def box_command(folder, results, trial=False):
    """The bubblewrap command line in front of a kernel's own. `folder` holds package/, inputs/, results/, sockets/.

    The files `results` exist already; each is bound by itself, so that nothing else can be written there.
    """
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL",
               "--hostname", "box", "--proc", "/proc", "--dev", "/dev", "--size", str(2**28), "--tmpfs", "/tmp"]
    for path in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            command += ["--ro-bind", path, path]
    for path in ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"):
        command += ["--ro-bind-try", path, path]
    if trial:
        return command
    for path in _python_folders():
        command += ["--ro-bind", path, path]
    for path in _installed_package():  # it holds the answers
        command += ["--tmpfs", path]
    command += ["--ro-bind", f"{folder}/package", "/box/package", "--ro-bind", f"{folder}/inputs", "/box/inputs"]
    for path in results:
        command += ["--bind", str(path), f"/box/results/{Path(path).name}"]
    command += ["--bind", f"{folder}/sockets", f"{folder}/sockets", "--chdir", "/tmp"]
    for name, value in _environment("/box").items():
        command += ["--setenv", name, value]
    return command


def _python_folders():
    """Where this Python and its packages live, unless under /usr; no folder that lies in another."""
    wanted = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *site.getsitepackages()}
    folders = sorted({os.path.realpath(path) for path in wanted} | set(wanted))
    folders = [path for path in folders if os.path.isdir(path) and not path.startswith("/usr/") and path != "/usr"]
    return [path for path in folders if not any(path.startswith(other + "/") for other in folders)]


def _installed_package():
    folders = [Path(path, "diffusion_lab") for path in site.getsitepackages()]
    return [str(folder) for folder in folders if folder.is_dir()]


def _environment(box):
    return {"PATH": f"{os.path.dirname(sys.executable)}:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8",
            "PYTHONPATH": f"{box}/package", "DIFFUSION_LAB_BOX": box, "PYTHONDONTWRITEBYTECODE": "1",
            "IPYTHONDIR": "/tmp/ipython", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1",
            "JPY_PARENT_PID": "0"}  # else ipykernel looks for its parent, sees none in here, and exits


class BoxProvisioner(LocalProvisioner):
    """Starts a Jupyter kernel in the box that the file named by the environment variable describes."""

    async def pre_launch(self, **kwargs):
        specification = json.loads(Path(os.environ[SPECIFICATION]).read_text(encoding="utf-8"))
        sockets = Path(specification["folder"], "sockets")
        self.parent.transport, self.parent.ip = "ipc", str(sockets / "kernel")
        self.parent.connection_file = str(sockets / "kernel.json")
        kwargs = await super().pre_launch(**kwargs)
        kwargs["cmd"] = [*specification["command"], *kwargs["cmd"]]
        kwargs["env"] = {**os.environ, **specification["environment"]}
        return kwargs


def write_specification(folder, results, boxed):
    """Describes the box for the provisioner; returns the environment that tells it where to look."""
    kernel = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python",
              "display_name": "box", "metadata": {"kernel_provisioner": {"provisioner_name": KERNEL_NAME}}}
    place = Path(folder, "jupyter", "kernels", KERNEL_NAME)
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")
    specification = {"folder": str(folder), "command": box_command(folder, results) if boxed else [],
                     "environment": {} if boxed else _environment(str(folder)) | {"HOME": str(folder)}}
    path = Path(folder, "box.json")
    path.write_text(json.dumps(specification), encoding="utf-8")
    return {SPECIFICATION: str(path), "JUPYTER_PATH": str(Path(folder, "jupyter"))}


def limit_resources(limits):
    """For `preexec_fn`: what the operating system can enforce by itself."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_size, limits.file_size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def watch(process, folder, limits, seconds, poll=0.1):
    """Waits for `process`, which started the box, and ends it if the box takes too much. Returns the reason or None."""
    deadline, last_seen = time.monotonic() + seconds, None
    while process.poll() is None:
        now, boxed = time.monotonic(), _descendants(process.pid)
        last_seen = now if boxed else last_seen
        reason = _excess(process.pid, boxed, Path(folder, "sockets"), limits)
        if last_seen is not None and now - last_seen > GONE:  # nbval would wait for a dead kernel until the time is up
            reason = ENDED
        if now > deadline:
            reason = "it did not come to an end"
        if reason:
            _end(process)
            return reason
        time.sleep(poll)
    return None


def _descendants(pid):
    """The living processes that a process has started, directly or not."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    except psutil.Error:
        return []


def _excess(pid, boxed, sockets, limits):
    try:
        if len(boxed) > limits.processes:
            return "it started too many processes"
        memory = sum(_memory(process) for process in boxed)
        if memory > limits.memory:
            return f"it took more than {limits.memory / 1e9:.0f} GB of memory"
        if _memory(psutil.Process(pid)) > limits.listener_memory:
            return "it printed without end"
        with os.scandir(sockets) as entries:
            if sum(1 for _, _ in zip(entries, range(limits.files + 1))) > limits.files:
                return "it wrote too many files"
    except (psutil.Error, FileNotFoundError):
        pass  # ended meanwhile
    return None


def _memory(process):
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def _end(process):
    """Kills the box, whose first process takes all others with it, and whoever waits for it."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.Error:
        family = []
    for member in family:
        try:
            member.kill()
        except psutil.Error:
            pass
    process.wait()
