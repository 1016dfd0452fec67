"""The speed and accuracy of grading a class: `python -m benchmarks.grading [--kill grader]`.

There are sixty submissions of lab 07: 48 honest ones, which together contain every mistake in the
exercises' tables that is a pair of texts, and 12 hostile ones. It prints how many submissions were
graded per minute, the grader's peak memory, and every wrong score.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

import psutil

from benchmarks.cluster import local_cluster
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.sample_class import hand_in, with_mistake, with_slip
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.labs import checks

ROOT = Path(__file__).parents[1]

WORTH = {"diffusion_schedule": 4, "denoise": 6, "reverse_diffusion": 8, "remix": 6}
BOTH = "return ops.sin(angles), ops.cos(angles)"
CALL = "network([noisy_images, noise_rates**2], training=training)"
SLIPS = {  # exercise: [(text in the right answer, what a student writes instead)]
    "diffusion_schedule": [
        (BOTH, "return np.sin(angles), np.cos(angles)"),
        (BOTH, "return ops.sin(angles)"),
        (BOTH, "pass"),
        ("(self, diffusion_times)", "(diffusion_times)"),
        ("ops.sin(angles)", "math.sin(angles)"),
    ],
    "denoise": [
        (CALL, CALL.replace("[", "").replace("]", "")),
        (CALL, CALL.replace("network(", "network.predict(")),
        (CALL, CALL + ".numpy()"),
    ],
    "reverse_diffusion": [
        ("self.diffusion_schedule(ones * time)", "diffusion_schedule(ones * time)"),
        ("(initial_noise.shape[0], 1, 1, 1)", "(1,)"),
        ("    return pred_images", "    pass"),
    ],
    "remix": [
        ("noise_rates, signal_rates = rates", "signal_rates, noise_rates = rates"),
        ("rates, next_rates, eta)", "rates, next_rates)"),
        ("    return next_signal_rates", "    next_signal_rates"),
    ],
}
HOSTILE = (
    "fork-bomb",
    "memory-bomb",
    "endless-loop",
    "os-exit",
    "reads-solutions-off-the-disk",
    "patches-the-check",
    "ten-gigabytes-of-output",
    "kills-its-parent",
    "writes-its-own-result",
    "calls-the-packages-schedule",
    "segmentation-fault",
    "a-million-files",
)


def wrong_answers(right):
    """Returns {exercise: [source of a wrong answer]}.

    These are the mistakes in the exercise's table that are pairs of texts, and the `SLIPS`.
    """
    wrong = {}
    for name in WORTH:
        exercise = checks.exercises()[name]
        wrong[name] = [
            with_mistake(exercise, mistake)
            for mistake in exercise.mistakes
            if not callable(mistake.wrong)
        ]
        wrong[name] += [with_slip(right[name], *slip) for slip in SLIPS[name]]
    return wrong


def write_class(folder):
    """Writes the sixty notebooks; returns {student: points}."""
    solution, points = read_source(sources(ROOT, ["07"])[0]), {}
    right = {name: cell.source for _, name, cell in exercises(solution)}
    wrong = wrong_answers(right)
    longest = list(zip_longest(*wrong.values()))  # each row: one student's, one in each exercise
    for number in range(48):
        mistaken = dict(zip(WORTH, longest[number])) if number < len(longest) else {}
        if len(longest) <= number < 2 * len(longest):  # again, with one mistake only
            name = list(WORTH)[number % len(WORTH)]
            mistaken = {name: wrong[name][number % len(wrong[name])]}
        mistaken = {name: answer for name, answer in mistaken.items() if answer}
        _write(
            folder,
            f"honest-{number:02}",
            hand_in(solution, right | mistaken),
            points,
            24 - sum(WORTH[name] for name in mistaken),
        )
    for name in HOSTILE:
        first, answer = (
            (ROOT / "tests" / "hostile" / f"20-{name}.py")
            .read_text(encoding="utf-8")
            .split("\n", 1)
        )
        _write(
            folder,
            f"hostile-{name}",
            hand_in(solution, right | {first.removeprefix("# answer: "): answer}),
            points,
            20,
        )
    return points


def _write(folder, student, notebook, points, expected):
    points[student] = expected
    (folder / f"{student}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


def grade(command, kept, kill=None, victim=None):
    """Runs the command; after `kill` graded submissions, kills `victim`, or the grader itself.

    Returns:
        Its exit status and the peak memory of the grader itself, in GB.
    """
    process, memory = subprocess.Popen(command, stdout=subprocess.DEVNULL), 0.0
    while process.poll() is None:
        memory = max(memory, _memory(process.pid))
        if kill is not None and len(list(kept.glob("*.json"))) >= kill:
            (victim or process).kill()
            kill = None
        time.sleep(0.1)
    return process.returncode, memory


def _memory(pid):
    try:
        return psutil.Process(pid).memory_info().rss / 1e9
    except psutil.Error:
        return 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/grading-benchmark"))
    parser.add_argument(
        "--kill",
        choices=("nothing", "grader", "worker"),
        default="nothing",
        help=(
            "what to kill halfway: the grader, which is then restarted, or one of two Dask workers"
        ),
    )
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        submissions = Path(folder, "class")
        submissions.mkdir()
        points = write_class(submissions)
        kept, victim = arguments.out / "results", None
        command = [
            sys.executable,
            "-m",
            "diffusion_lab",
            "grade",
            submissions,
            "--lab",
            "07",
            "--out",
            arguments.out,
            "--seconds",
            "15",
            "--root",
            ROOT,
        ]
        if arguments.kill == "worker":
            address, (victim, _) = stack.enter_context(local_cluster(Path(folder)))
            command += ["--scheduler", address]
        begin = time.monotonic()
        status, memory = grade(
            command, kept, None if arguments.kill == "nothing" else len(points) // 2, victim
        )
        if arguments.kill == "grader":
            before = {path.name: path.stat().st_mtime_ns for path in kept.glob("*.json")}
            status, memory = grade(command, kept)
            twice = [
                name
                for name, changed in before.items()
                if (kept / name).stat().st_mtime_ns != changed
            ]
            print(f"killed after {len(before)} submissions; graded twice: {len(twice)}")
        minutes = (time.monotonic() - begin) / 60
    students = json.loads((arguments.out / "grades.json").read_text())["students"]
    wrong = {
        row["student"]: (row["points"], points[row["student"]])
        for row in students
        if row["points"] != points[row["student"]]
    }
    print(
        f"{len(students)} submissions in {minutes:.1f} minutes: {len(students) / minutes:.1f} per"
        " minute"
    )
    print(f"peak memory of the grader itself: {memory:.2f} GB")
    print(f"wrong scores (got, expected): {wrong or 'none'}")
    sys.exit(status or len(students) != len(points) or bool(wrong))


if __name__ == "__main__":
    main()
