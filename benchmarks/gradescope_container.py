"""A rehearsal of Gradescope's container: `sudo python -m benchmarks.gradescope_container SYSTEM`.

SYSTEM is the folder of a Debian or Ubuntu system; if there is none, debootstrap makes a Debian
there. The zip's own `setup.sh` and `run_autograder` run in it, as root and without bubblewrap, on
submissions of lab 02 that are right, wrong, late, empty or hostile.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import nbformat

from benchmarks.report import machine
from diffusion_lab.instructor.autograders.writing import write_gradescope
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.sample_class import hand_in
from diffusion_lab.instructor.source import exercises, read_source

ROOT = Path(__file__).parents[1]
SOLUTION = read_source(sources(ROOT, ["02"])[0])
RIGHT = {name: cell.source for _, name, cell in exercises(SOLUTION)}
LOOP = "    while True:\n        pass"
READS = """\
    import os
    for folder, _, names in os.walk("/autograder"):
        for name in names:
            if name.endswith(".py") and "solutions" in folder or name == "results.json":
                raise ValueError("FOUND " + open(os.path.join(folder, name)).read()[:1000])
    return images"""
DUE, EARLY, LATE = (
    "2026-12-01T12:00:00+00:00",
    "2026-11-30T12:00:00+00:00",
    "2026-12-02T13:00:00+00:00",
)


def q_sample(body):
    return {"q_sample": f"def q_sample(images, noises, noise_rates, signal_rates):\n{body}"}


SUBMISSIONS = {  # name: (answers or None, time, points)
    "right": (RIGHT, EARLY, 10),
    "wrong": (RIGHT | q_sample("    return images + noises"), EARLY, 4),
    "late": (RIGHT, LATE, 8),
    "empty": (None, EARLY, 0),
    "ends its kernel": (RIGHT | q_sample("    import os\n    os._exit(0)"), EARLY, 4),
    "infinite loops in all answers": (
        {"forward_step": f"def forward_step(*arguments):\n{LOOP}"} | q_sample(LOOP),
        EARLY,
        0,
    ),
    "takes all memory": (
        RIGHT | q_sample("    return [bytearray(10**8) for _ in range(500)]"),
        EARLY,
        4,
    ),
    "looks for answers": (RIGHT | q_sample(READS), EARLY, 4),
}


def run(system, command):
    """Runs a shell command inside the system; returns its output."""
    mounts = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev"'
    script = f'{mounts} && exec chroot "$0" bash -c "$1"'
    inside = ["unshare", "--mount", "--fork", "bash", "-c", script, str(system), command]
    result = subprocess.run(inside, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise SystemExit(f"{command} ended with {result.returncode}:\n{result.stdout[-3000:]}")
    return result.stdout


def prepare(system):
    """Makes the system, unpacks the zip into it, and runs the zip's setup.sh."""
    if not (system / "bin").exists():
        subprocess.run(["debootstrap", "--variant=minbase", "stable", system], check=True)
    autograder = system / "autograder"
    shutil.rmtree(autograder, ignore_errors=True)
    for name in ("source", "submission", "results"):
        (autograder / name).mkdir(parents=True)
    path = write_gradescope(ROOT, system / "tmp", "02", late="10%/day")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(autograder / "source")
    shutil.copy("/etc/resolv.conf", system / "etc")
    # Gradescope copies this file
    shutil.copy(autograder / "source" / "run_autograder", autograder)
    run(system, "chmod +x /autograder/run_autograder && bash /autograder/source/setup.sh")
    (system / "usr" / "bin" / "bwrap").unlink(missing_ok=True)  # so the second sandbox is tried


def grade(system, answers, handed_in):
    """Returns (results, seconds) of one submission."""
    autograder = system / "autograder"
    for name in ("submission", "results"):
        shutil.rmtree(autograder / name)
        (autograder / name).mkdir()
    if answers is not None:
        nbformat.write(hand_in(SOLUTION, answers, {}), autograder / "submission" / "02.ipynb")
    metadata = {
        "id": 1,
        "created_at": handed_in,
        "assignment": {"due_date": DUE, "title": "Lab 02"},
        "users": [{"email": "ada@uni.edu", "id": 7, "name": "Ada Lovelace", "sid": "s1"}],
        "previous_submissions": [],
    }
    (autograder / "submission_metadata.json").write_text(json.dumps(metadata))
    begin = time.monotonic()
    run(system, "cd /autograder && ./run_autograder")
    seconds = time.monotonic() - begin
    return json.loads((autograder / "results" / "results.json").read_text()), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", type=Path)
    system, wrong = parser.parse_args().system.resolve(), 0
    prepare(system)
    version = run(system, ". /etc/os-release; echo $PRETTY_NAME; python3 --version").split("\n")
    about = machine()
    print(f"{about['machine']}, {about['date']}: {version[0]}, {version[1]}")
    for name, (answers, handed_in, points) in SUBMISSIONS.items():
        results, seconds = grade(system, answers, handed_in)
        found = any("FOUND" in test["output"] for test in results["tests"])
        fault = " WRONG" if results["score"] != points or found else ""
        sandbox = results["tests"][-1]["output"].split("sandbox: ")[-1]
        print(
            f"{name}: {results['score']:g} of 10 points, {seconds:.0f} s, {sandbox}{fault}",
            flush=True,
        )
        wrong += bool(fault)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
