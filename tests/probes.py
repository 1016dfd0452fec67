"""What an answer may try against its sandbox, for the table in INSTRUCTORS.md.

Each entry of `PROBES` is an expression that is True if the attempt succeeds. It may use `planted`,
what `plant` put outside of the sandbox. Each entry of `EXCESSES` is code that never ends by itself.
Each entry of `TRACES` is code whose traces are looked for after the sandbox has ended.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from diffusion_lab.instructor.sandbox import guests

LOOKING = """
import ctypes, json, mmap, os, signal, socket, subprocess, sys, time

BOX = os.environ["DIFFUSION_LAB_BOX"]
planted = json.load(open(BOX + "/inputs/planted.json"))
libc = ctypes.CDLL(None, use_errno=True)

def read(path):
    return open(path, "rb").read(10**6)

def connected(family, address):
    socket.socket(family).connect(address)
    return True

def succeeds(what):
    try:
        return bool(eval(what))
    except (OSError, subprocess.SubprocessError):
        return False

found = {title: any(map(succeeds, tries)) for title, tries in PROBES.items()}
"""
PROBES = {  # {what an answer tries: ways to do it}
    "read the solutions or another submission": [
        "read(planted['closed'] + '/solution.py')",
        "read('/proc/self/root' + planted['closed'] + '/solution.py')",
        "os.listdir(planted['closed'])",
    ],
    "read a file that every user may read, such as `/etc/passwd`": [
        "read('/etc/passwd')",
        "read(planted['open'] + '/readable')",
    ],
    "find out whether a file exists": ["os.path.exists(planted['open'] + '/readable')"],
    "reach a network port": ["connected(socket.AF_INET, ('127.0.0.1', planted['port']))"],
    "reach another program's Unix socket": [
        "connected(socket.AF_UNIX, planted['abstract'])",
        "connected(socket.AF_UNIX, planted['open'] + '/socket')",
    ],
    "see the command lines of other processes": ["read(f'/proc/{planted[\"pid\"]}/cmdline')"],
    "read the memory or the environment of another process": [
        "read(f'/proc/{planted[\"pid\"]}/environ')",
        "read(f'/proc/{os.getppid()}/environ') and os.getppid() != 1",
        "read(f'/proc/{planted[\"pid\"]}/fd/0')",
        "libc.ptrace(16, planted['pid'], None, None) == 0",
    ],
    "send a signal to another process": [
        "os.kill(planted['pid'], signal.SIGCONT) or True",
        "os.kill(planted['nobodys pid'], signal.SIGCONT) or True",
    ],
    "become root, or make namespaces": [
        "os.setuid(0) or os.setgroups([]) or True",
        "b'euid=0' in subprocess.check_output([planted['open'] + '/id'])",
        "libc.unshare(0x10000000) == 0 or libc.unshare(0x20000) == 0",
    ],
    "write where every user may write, such as `/tmp`": [
        "open(planted['open'] + '/writable/left', 'w')",
        "open(planted['open'] + '/writable/file', 'a')",
    ],
    "change the package, the inputs, or a place for results": [
        "open(BOX + '/package/sitecustomize.py', 'w')",
        "open(BOX + '/inputs/planted.json', 'a')",
        "os.symlink('/etc/passwd', BOX + '/results/link') or True",
        "os.mkdir(BOX + '/results/folder') or True",
    ],
    "put a link in place of its result": [
        "os.unlink(BOX + '/results/found.json') or os.symlink('x', BOX + '/results/found.json') or"
        " os.path.islink(BOX + '/results/found.json')"
    ],
    "hold memory that belongs to no process": [
        "os.memfd_create('hidden')",
        "mmap.mmap(-1, 4096)",
        "mmap.mmap(os.open('/dev/zero', os.O_RDWR), 4096)",
        "libc.shmget(0, 4096, 0o1600) >= 0",
        "libc.msgget(0, 0o1600) >= 0",
    ],
    "use another core, or a higher priority": [
        "os.sched_setaffinity(0, range(os.cpu_count())) or True",
        "os.nice(-1) or True",
    ],
    "remove its own files": [
        "[os.close(os.open(os.environ['HOME'] + '/own', os.O_CREAT)), os.unlink(os.environ['HOME']"
        " + '/own')] and not os.path.exists(os.environ['HOME'] + '/own')"
    ],
}
STAY = """
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    command = [sys.executable, "-c", planted["endless"], planted["name"]]
    os.execv(sys.executable, command)
"""
# a process whose first thread has ended looks like a zombie
STAY_WITHOUT_FIRST_THREAD = """
if not os.fork():
    os.setsid()
    code = "import ctypes, platform, threading, time; "
    code += "threading.Thread(target=time.sleep, args=(600,)).start(); "
    code += "ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)"
    command = [sys.executable, "-c", code, planted["name"]]
    os.execv(sys.executable, command)
"""
LEAVE_FILES = """
for place in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock"):
    try:
        os.makedirs(f"{place}/{planted['name']}-left/deep")
        os.chmod(f"{place}/{planted['name']}-left", 0)
    except OSError:
        pass
"""
TRACES = {
    "leave a process behind": STAY + STAY_WITHOUT_FIRST_THREAD,
    "leave a file behind": LEAVE_FILES,
}
FILL_SOCKETS = """
import os, socket, time
for _ in range(20):
    if not os.fork():
        break
kept = []
while len(kept) < 460:
    pair = socket.socketpair()
    kept += pair
    for end in pair:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10**7)
        try:
            while True:
                end.send(b"x" * 30000)
        except OSError:
            pass
time.sleep(1000)
"""
EXCESSES = {
    "allocate memory without limit": "x = []\nwhile True: x.append(b'x' * 10**7)",
    "start processes without limit": "import os\nwhile True: os.fork()",
    "start processes that leave their session": (
        "import os, time\nwhile True:\n if not os.fork():\n  os.setsid()\n  if not os.fork():"
        " time.sleep(1000)\n  os._exit(0)\n os.wait()"
    ),
    "write files without limit": (
        "import os\nfor i in range(10**6): open(os.environ['HOME'] + f'/{i}', 'wb').write(b'x' *"
        " 10**6)"
    ),
    "fill `/dev/shm` without limit": (
        "for i in range(10**6): open(f'/dev/shm/filled-{i}', 'wb').write(b'x' * 10**6)"
    ),
    "fill the buffers of sockets without limit": FILL_SOCKETS,
    "compute forever": "while True: pass",
    "sleep forever": "import time\ntime.sleep(10**6)",
    "print without limit": "while True: print('x' * 10**5)",
}


@contextmanager
def plant(closed):
    """Yields what is outside of a box, {name: fact}.

    Args:
        closed: True to close the folder with the solution to other users, as the box without
            Landlock requires. Otherwise, only the box can be what keeps answers out.
    """
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="planted-", dir="/tmp"))
        )
        folder.chmod(0o755)
        for name, mode in {"closed": 0o700 if closed else 0o755, "open": 0o755}.items():
            (folder / name).mkdir()
            (folder / name).chmod(mode)
        (folder / "open" / "writable").mkdir()
        (folder / "open" / "writable").chmod(0o1777)
        for name in ("closed/solution.py", "open/readable", "open/writable/file"):
            (folder / name).write_text("secret")
        (folder / "open" / "writable" / "file").chmod(0o666)
        shutil.copy(shutil.which("id"), folder / "open" / "id")
        (folder / "open" / "id").chmod(0o4755)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = f"\0{folder.name}"
        for address in (abstract, str(folder / "open" / "socket")):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen()
        (folder / "open" / "socket").chmod(0o777)
        others = [
            stack.enter_context(subprocess.Popen(["sleep", "1000"], **options))
            for options in ({}, {"user": 65534, "group": 65534} if os.geteuid() == 0 else {})
        ]
        try:
            yield {
                "closed": str(folder / "closed"),
                "open": str(folder / "open"),
                "port": server.getsockname()[1],
                "abstract": abstract,
                "pid": others[0].pid,
                "nobodys pid": others[1].pid,
                "name": folder.name,
                "endless": "import time\ntime.sleep(600)",
            }
        finally:
            for other in others:
                other.kill()


def traces(name, left_by_guests):
    """Returns {what an answer tried: True if it left a trace with this name}."""
    processes = [
        process
        for process in psutil.process_iter(["cmdline"])
        if name in (process.info["cmdline"] or ())
    ]
    files = [place for place in guests.SHARED if os.path.lexists(f"{place}/{name}-left")]
    return {
        "leave a process behind": bool(processes or left_by_guests),
        "leave a file behind": bool(files or left_by_guests),
    }
