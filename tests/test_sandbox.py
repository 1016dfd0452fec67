"""The sandbox, tried from inside, and the watchdog, tried on plain processes without a sandbox."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox import (
    boxes,
    choice,
    folders,
    guests,
    landlock,
    seccomp,
    user_box,
    visible,
    watchdog,
)
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.sandbox.processes import (
    Process,
    belonging_to,
    descendants,
    grandchildren,
)
from diffusion_lab.instructor.sandbox.watchdog import watch
from tests import sandboxes

ROOT = Path(__file__).parents[1]
SECRET = "a-token-of-the-person-who-grades"
boxed = sandboxes.skipped_without("bubblewrap")

LOOKING_AROUND = """
import ctypes, glob, json, mmap, os, socket, sys

def tried(what):
    try:
        return "done" if eval(what) not in (-1, None) else os.strerror(ctypes.get_errno())
    except OSError as error:
        return error.strerror

def read(path):
    try:
        return os.readlink(path) if os.path.islink(path) else open(path, errors="replace").read()
    except OSError:
        return ""

def call(name, *arguments):
    return getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)

tries = {TRIES}
writable, copies = [], []
for place, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if name != "proc"]
    copies += [f"{place}/{name}" for name in folders + files if name.startswith("diffusion_lab")]
    attempt = f"open({place!r} + '/try', 'w').close() or True"
    if os.access(place, os.W_OK) and tried(attempt) == "done":
        writable.append(place)
processes = {
    path: read(path)
    for name in ("environ", "cmdline", "cwd", "exe", "fd/*")
    for path in glob.glob("/proc/[0-9]*/" + name)
}
found = {
    "tries": {what: tried(what) for what in tries},
    "writable": writable,
    "processes": processes,
    "cores": len(os.sched_getaffinity(0)),
    "niceness": os.nice(0),
    "variables": dict(os.environ),
    "copies": copies,
}
open(os.environ["DIFFUSION_LAB_BOX"] + "/results/found.json", "w").write(json.dumps(found))
"""
REFUSED = (  # these would hold uncounted memory, reach other machines, or undo a limit
    "mmap.mmap(-1, 4096)",
    "mmap.mmap(os.open('/dev/zero', os.O_RDWR), 4096)",
    "os.memfd_create('unseen')",
    "call('shmget', 0, 4096, 0o1600)",
    "call('msgget', 0, 0o1600)",
    "call('semget', 0, 1, 0o1600)",
    "call('syscall', 425, 8, 0)",
    "socket.socket()",
    "socket.socket(socket.AF_INET6)",
    "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "socket.socket(40)",
    "call('unshare', 0x10000000)",
    "os.sched_setaffinity(0, range(os.cpu_count())) or True",
    "open('/try', 'w')",
    "open('/dev/try', 'w')",
    "open('/usr/try', 'w')",
    "open(os.environ['DIFFUSION_LAB_BOX'] + '/results/try', 'w')",
    "open('/dev/shm/large', 'w').write('x' * 2**22)",
    "open(os.environ['HOME'] + '/large', 'w').write('x' * 2**27)",
    "os.nice(-1)",
    (
        "call('syscall',"
        f" {seccomp.MACHINES.get(os.uname().machine, (0, {'keyctl': -1}))[1]['keyctl']}, 0, -3, 1)"
    ),
)
ALLOWED = (
    "mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)",
    "socket.socketpair()",
    "open(os.environ['HOME'] + '/try', 'w')",
    "os.posix_spawn('/bin/true', ['true'], {})",
)


# In a box without namespaces, these would hide a file or a socket from those who count them, or
# reach other programs.
REFUSED_WITHOUT_NAMESPACES = (
    "socket.socket(socket.AF_UNIX)",
    "socket.socketpair(type=socket.SOCK_DGRAM)",
    "(lambda near, far: near.sendmsg([b'x']))(*socket.socketpair())",
    "os.open(os.environ['HOME'], os.O_TMPFILE | os.O_RDWR)",
    "mmap.mmap(os.open(sys.executable, os.O_RDONLY), 1, prot=mmap.PROT_READ)",
    "os.rename(sys.argv[0], os.environ['HOME'] + '/renamed') or True",
    "call('inotify_init')",
    "open('/etc/passwd')",
    "os.listdir('/proc')",
    "open(f'/proc/{os.getppid()}/cmdline')",
    "open('/proc/self/root/etc/passwd')",
    "open('/proc/self/mem', 'r+b')",
    "os.kill(os.getppid(), 0) or True",
    "os.setuid(0) or True",
)


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])


@pytest.fixture(scope="module", params=sandboxes.each_box())
def found(request):
    """Returns what code finds when it looks around in a sandbox."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", SECRET)
        tries = repr((*REFUSED, *REFUSED_WITHOUT_NAMESPACES, *ALLOWED))
        looking = LOOKING_AROUND.replace("{TRIES}", tries)
        files, results = {"__init__.py": ""}, ["found.json"]
        run = boxes.run_in_box(notebook("1", looking), files, {}, results, Limits(), request.param)
    assert run.ended is None and run.cells[1] == boxes.CellOutcome(True, ""), run.cells
    return json.loads(run.results["found.json"]) | {"box": request.param}


def test_the_box_shows_nothing_of_the_person_who_grades(found):
    # the environment may lie in the repository
    seen = json.dumps([found["processes"], found["variables"]]).replace(sys.prefix, "")
    if found["box"] == "bubblewrap":
        assert "bwrap" in seen, "the box sees at least its own first process"
        assert folders.PREFIX not in seen
    for foreign in (SECRET, "pytest", "GRADER", str(ROOT), str(Path.cwd()), "solutions"):
        assert foreign not in seen
    open_files = {
        target.split(":")[0] for path, target in found["processes"].items() if "/fd/" in path
    }
    assert open_files <= {
        "socket",
        "pipe",
        "anon_inode",
        "/dev/null",
        "",
        "/tmp/ipython/profile_default/history.sqlite",
    } | {target for target in open_files if target.startswith("/proc/")}


def test_the_box_can_write_in_two_small_places_and_sees_no_copy_of_the_package(found):
    if found["box"] == "bubblewrap":
        assert sorted(place for place in found["writable"] if not place.startswith("/tmp/")) == [
            "/dev/shm",
            "/tmp",
        ]
    else:  # it cannot list the folders above its own
        assert found["writable"] == []
    own = found["variables"]["PYTHONPATH"]
    copies = [path for path in found["copies"] if not path.startswith(("/proc/", own))]
    assert set(copies) <= set(visible.hidden()), "these names remain, but they are empty"


@pytest.mark.parametrize("what", REFUSED_WITHOUT_NAMESPACES)
def test_a_box_without_namespaces_refuses_more(found, what):
    assert found["box"] == "bubblewrap" or found["tries"][what] != "done"


@pytest.mark.parametrize("what", REFUSED)
def test_ways_around_the_limits_are_refused(found, what):
    assert found["tries"][what] != "done"


@pytest.mark.parametrize("what", ALLOWED)
def test_calls_that_honest_answers_need_are_allowed(found, what):
    assert found["tries"][what] == "done"


def test_the_box_stays_on_one_core_at_low_priority(found):
    assert found["cores"] == 1 and found["niceness"] >= 10


@boxed
def test_the_refused_calls_succeed_outside_the_box(tmp_path):
    """Otherwise a mistake in the calls could let the test above pass."""
    looking = LOOKING_AROUND.replace(
        "{TRIES}", repr((*REFUSED[:9], *REFUSED_WITHOUT_NAMESPACES))
    ).replace('os.walk("/")', "()")
    (tmp_path / "results").mkdir()
    (tmp_path / "script").write_text(looking)
    subprocess.run(
        [sys.executable, tmp_path / "script"],
        env=os.environ | {"DIFFUSION_LAB_BOX": str(tmp_path), "HOME": str(tmp_path)},
        check=True,
    )
    tries = json.loads((tmp_path / "results" / "found.json").read_text())["tries"]
    assert {what for what, result in tries.items() if result != "done"} <= {
        "call('syscall', 425, 8, 0)"
    }


def test_an_unknown_processor_is_refused(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(UserError, match="x86_64 and aarch64, and this is riscv64"):
        seccomp.program()


def test_every_machine_refuses_the_same_calls():
    calls = [set(calls) for _, calls in seccomp.MACHINES.values()]
    assert calls[0] == calls[1] >= set(seccomp.CONDITIONS)


@pytest.fixture
def short_folder():
    """Yields a folder like tmp_path, but with a path that is short enough for a box."""
    with tempfile.TemporaryDirectory(prefix="boxes-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)  # another user id must get through
        yield Path(folder)


@pytest.mark.parametrize("box", sandboxes.each_box())
def test_all_copies_of_the_package_are_hidden(box, short_folder, monkeypatch):
    for path in (
        "share/course/solutions/07.py",
        "share/course/diffusion_lab/checks.py",
        "share/course/.venv/lib/python3/diffusion_lab/a.py",
        "share/course/.venv/lib/python3/numpy.py",
        "lib/python3/dist-packages/diffusion_lab/a.py",
        "src/diffusion-lab-1.zip",
        "src/unpacked/diffusion_lab/a.py",
        "src/unpacked/other.py",
        "src/diffusion-lab/README.md",
    ):
        (short_folder / path).parent.mkdir(parents=True, exist_ok=True)
        (short_folder / path).write_text("secret")
    short_folder.chmod(0o755)  # so that the file's permissions are not what hides them
    added = (str(short_folder), str(short_folder / "share/course/.venv"))
    monkeypatch.setattr(visible, "SYSTEM", (*visible.SYSTEM, *added))
    visible.layout.cache_clear()
    look = f"cd {short_folder} && grep -r secret ."
    try:
        shown = sandboxes.output_in(box, ["/bin/sh", "-c", look])
        hidden = {path for path in visible.hidden() if path.startswith(str(short_folder))}
    finally:
        visible.layout.cache_clear()
    files = {"./share/course/.venv/lib/python3/numpy.py", "./src/unpacked/other.py"}
    assert {line.split(":")[0] for line in shown.splitlines()} == files
    assert {os.path.relpath(path, short_folder) for path in hidden} == {
        "share/course",
        "share/course/.venv/lib/python3/diffusion_lab",
        "lib/python3/dist-packages/diffusion_lab",
        "src/diffusion-lab-1.zip",
        "src/unpacked/diffusion_lab",
        "src/diffusion-lab",
    }


def test_a_folder_with_a_long_path_is_not_used_for_sockets(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 30)))
    with folders.box_folder() as folder:
        assert len(f"{folder}/grader/kernel-1") < 107 and folder.is_dir()


@pytest.mark.parametrize("box", sandboxes.each_box())
def test_the_boxes_of_a_killed_grader_end_and_the_next_grader_cleans_up(
    box, short_folder, monkeypatch
):
    begun = (
        "import os, time; result = os.environ['DIFFUSION_LAB_BOX'] + '/results/begun';"
        " os.fork() or os.setsid(); os.write(os.open(result, os.O_WRONLY), b'1');"
        " time.sleep(10**6)"
    )
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import"
        f" test_sandbox as test\ntest.boxes.run_in_box(test.notebook('1', {begun!r}),"
        f" {{'__init__.py': ''}}, {{}}, ['begun'], test.Limits(), {box!r})"
    )
    grader = subprocess.Popen(
        [sys.executable, "-c", script, str(Path(__file__).parent)],
        env=os.environ
        | {
            "TMPDIR": str(short_folder),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        },
    )
    while not [path for path in short_folder.glob("*/results/begun") if path.stat().st_size]:
        assert grader.poll() is None
        time.sleep(0.05)
    family = [psutil.Process(pid) for pid in descendants(grader.pid)]
    assert len(family) >= 4, "pytest, what is around the box, and the kernel with its child"
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    psutil.wait_procs(family)
    monkeypatch.setattr(folders, "YOUNG", 0)
    held = short_folder / f"{folders.PREFIX}held"
    held.mkdir()
    descriptor = os.open(held, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    folders._remove_abandoned(str(short_folder))
    os.close(descriptor)
    assert list(short_folder.iterdir()) == [held], "the folder of a running grader stays"


@pytest.fixture
def bwrap_that(tmp_path, monkeypatch):
    """Returns a function that puts a script in place of bubblewrap, or nothing."""

    def replace(script=None):
        if script:
            (tmp_path / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / "bwrap").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return replace


@boxed
def test_bubblewrap_is_chosen_where_it_opens():
    assert choice.choose_box() == choice.choose_box("bubblewrap") == "bubblewrap"


FORBIDDEN = "echo 'bwrap: No permissions to create new namespace' >&2; exit 1"


@sandboxes.skipped_without("user")
@pytest.mark.parametrize("script", [None, FORBIDDEN])
def test_the_second_box_is_chosen_where_bubblewrap_cannot_open(bwrap_that, script):
    bwrap_that(script)
    assert choice.choose_box() == choice.choose_box("user") == "user"


@pytest.mark.parametrize(
    "script, reason",
    [(None, "apt install bubblewrap"), (FORBIDDEN, "No permissions to create new namespace")],
)
def test_where_no_box_opens_the_error_names_both_reasons(bwrap_that, monkeypatch, script, reason):
    bwrap_that(script)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(UserError) as error:
        choice.choose_box()
    assert reason in str(error.value) and "needs root and Linux" in str(error.value)
    assert "--sandbox none" in str(error.value)
    assert choice.choose_box("none") == "none"


def test_a_box_that_was_asked_for_is_not_replaced_by_another(bwrap_that):
    bwrap_that(FORBIDDEN)
    with pytest.raises(UserError, match="No permissions"):
        choice.choose_box("bubblewrap")


@sandboxes.skipped_without("user")
def test_the_second_box_says_what_it_cannot_reach(short_folder, monkeypatch):
    (short_folder / "closed").mkdir(mode=0o700)
    monkeypatch.setattr("tempfile.tempdir", str(short_folder / "closed"))
    with pytest.raises(UserError, match="to pass through .*/closed"):
        user_box.require_user_box()


@sandboxes.skipped_without("user")
def test_two_boxes_have_different_user_ids_and_a_used_one_is_cleared_first(monkeypatch):
    with guests.guest() as first, guests.guest() as second:
        assert first.number != second.number
        number = second.number
    monkeypatch.setattr(guests, "NUMBERS", [number])
    (guests.LOCKS / str(number)).write_text("used")  # by a grader that was killed
    left = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(left, number, number)
    sleeper = subprocess.Popen(["sleep", "1000"], user=number, group=number, extra_groups=[])
    with guests.guest() as user, pytest.raises(UserError, match="in use"):
        assert user.number == number and sleeper.wait() == -signal.SIGKILL and not left.exists()
        with guests.guest():
            pass


@sandboxes.skipped_without("user")
def test_a_user_id_with_a_foreign_process_is_not_taken(monkeypatch):
    with guests.guest() as user:
        number = user.number
    monkeypatch.setattr(guests, "NUMBERS", [number])
    foreign = subprocess.Popen(["sleep", "1000"], user=number, group=number, extra_groups=[])
    try:
        with pytest.raises(UserError, match="in use"), guests.guest():
            pass
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


LANDLOCKED = """
import os, sys
from diffusion_lab.instructor.sandbox import landlock

version = min(int(sys.argv[1]), landlock.version())
landlock.version = lambda: version
rules = [(sys.argv[2] + "/seen", landlock.READ), (sys.argv[2] + "/own", landlock.OWN)]
landlock.restrict(landlock.ruleset(rules))

def works(way):
    try:
        way()
        return True
    except OSError:
        return False

os.chdir(sys.argv[2])
print([
    works(lambda: open("seen/file").read()),
    works(lambda: open("own/new", "w").write("x")),
    works(lambda: open("hidden/file").read()),
    works(lambda: open("seen/file", "a")),
    works(lambda: os.listdir("hidden")),
    works(lambda: os.unlink("own/new")),
])
"""


@sandboxes.skipped_without("user")
@pytest.mark.parametrize("version", range(1, 8))
def test_each_version_of_landlock_hides_all_that_no_rule_shows(version, tmp_path):
    for name in ("seen", "own", "hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("secret")
    command = [sys.executable, "-c", LANDLOCKED, str(version), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    if landlock.version():
        assert json.loads(said.stdout.lower()) == [True, True, False, False, False, False]


@sandboxes.skipped_without("user")
def test_a_guest_that_stops_and_traces_all_that_it_can_is_ended():
    """Its processes also fork and end all the time, so that a list of them is never right."""
    code = (
        "import ctypes, os, signal\n"
        "ptrace = ctypes.CDLL(None).ptrace\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "os.fork()\n"
        "while True:\n"
        "    os.fork() and os._exit(0)\n"
        "    for name in filter(str.isdigit, os.listdir('/proc')):\n"
        "        if abs(int(name) - os.getpid()) > 50: continue\n"
        "        ptrace(16, int(name), None, None)\n"
        "        try: name == str(os.getpid()) or os.kill(int(name), signal.SIGSTOP)\n"
        "        except OSError: pass"
    )
    with guests.guest() as user:
        process = subprocess.Popen(
            [sys.executable, "-c", code], user=user.number, group=user.number, extra_groups=[]
        )
        time.sleep(1)  # until they have forked often
        assert belonging_to(user.number) and user.end() and not belonging_to(user.number)
        process.wait()


@sandboxes.skipped_without("user")
def test_a_process_without_its_first_thread_is_ended_as_well():
    """It looks like a zombie."""
    code = (
        "import ctypes, platform, threading, time\n"
        "threading.Thread(target=time.sleep, args=(1000,)).start()\n"
        "ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)"
    )
    with guests.guest() as user:
        process = subprocess.Popen(
            [sys.executable, "-c", code], user=user.number, group=user.number, extra_groups=[]
        )
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert user.end() and process.wait() == -signal.SIGKILL


COMPUTING = "while True: pass"
EXCESSES = {  # {code: (the watchdog's reason, limits)}
    COMPUTING: ("more than 0.5 seconds of CPU time", {}),
    "time.sleep(1000)": ("waited for 0.5 seconds", {}),
    "while True: time.sleep(0.01)": ("waited for 0.5 seconds", {}),
    (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nfor _ in range(8):\n if not os.fork():\n"
        f"  os.setsid()\n  {COMPUTING}\ntime.sleep(1000)"
    ): ("CPU time", {}),
    "while True:\n if not os.fork(): [i for i in range(10**5)]; os._exit(0)\n os.wait()": (
        "CPU time",
        {},
    ),
    "x = [b'x' * 10**6 for _ in range(500)]; time.sleep(1000)": ("more than 0.2 GB", {}),
    (
        "flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000\n"
        "x = mmap.mmap(-1, 2**39, flags=flags, prot=mmap.PROT_READ)\n"
        "for i in range(0, 2**39, 2**21): x[i]"
    ): ("more than 0.2 GB", {"seconds": 60}),
    (  # a process whose first thread has ended
        "import ctypes, platform\ndef hold():\n"
        " while open('/proc/self/stat').read().split()[2] != 'Z': time.sleep(0.01)\n"
        " x = bytearray(b'x' * 5 * 10**8)\n time.sleep(1000)\n"
        "threading.Thread(target=hold).start()\n"
        "ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)"
    ): ("more than 0.2 GB", {"seconds": 60}),
    "for _ in range(40): os.fork() or time.sleep(1000)\ntime.sleep(1000)": (
        "too many processes",
        {},
    ),
    "for _ in range(100): threading.Thread(target=time.sleep, args=(1000,)).start()": (
        "too many processes",
        {"threads": 50},
    ),
}
HONEST = "sum(range(3 * 10**5)); time.sleep(0.1); subprocess.run(['true']); bytearray(10**7)"
# Whatever happens to these tests, their processes end after ten minutes.
IMPORTS = (
    "import mmap, os, signal, subprocess, sys, threading, time\nsignal.alarm(600)\n"
    "os.register_at_fork(after_in_child=lambda: signal.alarm(600))\n"
)


def start(code):
    """Starts a process whose child runs `code`, as bubblewrap's child runs a kernel."""
    return subprocess.Popen(
        ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", IMPORTS + code]
    )


def begin_an_answer(folder, limits=Limits()):
    """Tells the watchdog that the start-up cell has ended; returns `limits`."""
    (folder / "started").write_text("..")
    return limits


def test_no_look_reads_the_shares_of_many_processes(monkeypatch, tmp_path):
    """It would wait for each process that forks, and nothing would count them meanwhile."""
    asked = []
    monkeypatch.setattr(watchdog, "share_of_memory", lambda pid: asked.append(pid) or 10)
    dog, boxed = watchdog.Watchdog(0, tmp_path / "started", Limits()), dict.fromkeys(range(1, 21))
    assert (
        [dog._shares(boxed) for _ in range(3)] == [80, 160, 200]
        and len(asked) == 24
        and set(asked) == set(boxed)
    )


@boxed
def test_killing_the_first_process_of_a_box_ends_all_others(monkeypatch):
    """It does so even if they fork fast: here no signal reaches the others."""
    code = (
        IMPORTS + "for _ in range(5): os.fork() or time.sleep(1000)\nprint('ready',"
        " flush=True)\ntime.sleep(1000)"
    )
    command = ["bwrap", "--unshare-pid", "--dev-bind", "/", "/", sys.executable, "-c", code]
    process = subprocess.Popen(
        ["sh", "-c", '"$@"; exit $?', "sh", *command], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    members, kill = descendants(process.pid), os.kill
    first = grandchildren(members, process.pid)
    assert len(first) == 1 and len(members) == 8
    monkeypatch.setattr(
        watchdog, "_send", lambda number, pids: [kill(pid, number) for pid in pids if pids == first]
    )
    watchdog.kill_with_descendants(process)
    assert not [pid for pid in members if psutil.pid_exists(pid)]


@pytest.mark.parametrize("code, said, limits", [(code, *rest) for code, rest in EXCESSES.items()])
def test_a_box_that_takes_too_much_is_ended_with_a_reason(
    monkeypatch, tmp_path, code, said, limits
):
    # on a busy machine, time runs out before they have computed too much, and one long pause
    # between two looks would be the whole limit
    monkeypatch.setattr(watchdog, "PATIENCE", 1000)
    monkeypatch.setattr(watchdog, "LONGEST_LOOK", 0.1)
    limits = begin_an_answer(
        tmp_path, Limits(**{"seconds": 0.5, "memory": 2 * 10**8, "processes": 20} | limits)
    )
    process = start(code)
    family = psutil.Process(process.pid).children(recursive=True)
    assert said in watch(process, tmp_path, limits, poll=0.02)
    psutil.wait_procs(family)


def test_honest_work_is_not_ended_on_a_busy_machine(tmp_path):
    """Four other processes have a higher priority on the same core.

    So the work takes longer, but no more CPU time.
    """
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        others = [subprocess.Popen([sys.executable, "-c", COMPUTING]) for _ in range(4)]
        process = start("os.nice(5)\n" + HONEST)
    finally:
        os.sched_setaffinity(0, cores)
    try:
        assert (
            watch(process, tmp_path, begin_an_answer(tmp_path, Limits(seconds=1)), poll=0.02)
            is None
            and process.returncode == 0
        )
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_the_time_of_one_cell_does_not_count_for_the_next(tmp_path):
    begin_an_answer(tmp_path)
    code = (
        "for _ in range(4):\n begun = time.process_time()\n while time.process_time() - begun <"
        f" 0.2: pass\n open({str(tmp_path / 'started')!r}, 'a').write('.')"
    )
    assert watch(start(code), tmp_path, Limits(seconds=0.5), poll=0.02) is None


def test_a_watchdog_that_was_held_up_counts_no_earlier_cell(tmp_path):
    """It read the CPU time, and only then, much later, how many cells had begun."""
    dog = watchdog.Watchdog(0, tmp_path / "started", Limits(seconds=0.5))
    said = []
    for seconds, cells in ((0, 2), (0, 4), (9, 4), (9.4, 4), (9.6, 4)):
        (tmp_path / "started").write_text("." * cells)
        box = {7: Process(1, b"R", round(seconds * watchdog.TICKS), 0, 1, b"8")}
        said.append(dog._time(box))
    assert said[:4] == [None] * 4 and "CPU time" in said[4]


def test_too_much_output_is_ended(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; x = b'x' * 10**8; time.sleep(1000)"]
    )
    assert watch(process, tmp_path, Limits(listener_memory=5 * 10**7)) == "it printed too much"


@pytest.mark.parametrize(
    "error",
    [PermissionError(13, "denied"), ValueError("an unexpected line"), RecursionError()],
)
def test_a_box_that_cannot_be_watched_is_ended(tmp_path, monkeypatch, error):
    process = subprocess.Popen(["sleep", "1000"])

    def fails(boxed):
        raise error

    monkeypatch.setattr(watchdog.Watchdog, "_stored", lambda self, boxed: fails(boxed))
    assert (
        watch(process, tmp_path, Limits(), poll=0.01)
        == f"it could not be watched ({type(error).__name__})"
    )


def test_a_machine_without_room_for_another_process_is_an_error(tmp_path, monkeypatch):
    def fails(*arguments):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(boxes, "_run_nbval", fails)
    monkeypatch.setattr(boxes.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(UserError, match="run the same command again"):
        boxes.run_in_box(notebook("1"), {"__init__.py": ""}, {}, [], Limits(), "bubblewrap")
    assert not list(tmp_path.iterdir())


def test_a_log_that_breaks_off_is_read_up_to_there(tmp_path):
    lines = [json.dumps({"cell": 0, "outcome": "passed", "text": ""}), '{"cell": 1, "outco']
    (tmp_path / "log").write_text("\n".join(lines))
    assert boxes._read_log(tmp_path / "log") == {0: boxes.CellOutcome(True, "")}
