"""How fast and how exact a class is graded: `python -m benchmarks.grading [--kill grader]`.

Sixty submissions of lab 07: 48 honest ones, which together make every known mistake, and 12 hostile ones. Prints how
many were graded in a minute, the grader's peak memory, and every score that is not what it must be.
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
from diffusion_lab.instructor.sample_class import hand_in
from diffusion_lab.instructor.source import exercises, read_source

ROOT = Path(__file__).parents[1]

BOTH = "return ops.sin(angles), ops.cos(angles)"
ANGLES = "angles = start_angle + diffusion_times * (end_angle - start_angle)"
SPLIT = "pred_images = (noisy_images - noise_rates * pred_noises) / signal_rates"
NETWORK = "network = self.network if training else self.ema_network"
REMIX = "noisy_images = next_signal_rates * pred_images + next_noise_rates * pred_noises"
TIME = "time = 1 - step / diffusion_steps"
CALL = "pred_noises = network([noisy_images, noise_rates**2], training=training)"
MISTAKES = {  # exercise: [(what stands in the right answer, what a student writes instead)]
    "diffusion_schedule": [
        (BOTH, "return ops.cos(angles), ops.sin(angles)"), (BOTH, "return ops.sin(angles)**2, ops.cos(angles)**2"),
        ("diffusion_times *", "(1 - diffusion_times) *"), (ANGLES, "angles = diffusion_times * math.pi / 2"),
        (ANGLES, "angles = diffusion_times * end_angle"), (ANGLES, "angles = start_angle + diffusion_times * end_angle"),
        (BOTH, "signal = self.max_signal_rate + diffusion_times * (self.min_signal_rate - self.max_signal_rate)\n"
               "    return ops.sqrt(1 - signal**2), signal"),
        (ANGLES, ANGLES + "\n    angles = angles * 180 / math.pi"), (BOTH, "return 1 - ops.cos(angles), ops.cos(angles)"),
        ("math.acos(self.min_signal_rate)", "math.acos(0.02)"), (BOTH, "return np.sin(angles), np.cos(angles)"), (BOTH, "return ops.sin(angles)"),
        ("(self, diffusion_times)", "(diffusion_times)"), ("ops.sin(angles)", "math.sin(angles)"), (BOTH, "pass"),
    ],
    "denoise": [
        (NETWORK, "network = self.ema_network if training else self.network"), (NETWORK, "network = self.network"),
        (NETWORK, "network = self.ema_network"), ("noise_rates**2]", "noise_rates]"), ("noise_rates**2]", "signal_rates]"),
        ("noise_rates**2]", "signal_rates**2]"), (", training=training)", ")"),
        ("return pred_noises, pred_images", "return pred_images, pred_noises"), (SPLIT, "pred_images = noisy_images"),
        (SPLIT, "pred_images = noisy_images - noise_rates * pred_noises"), (SPLIT, SPLIT.replace("/ signal", "* signal")),
        (SPLIT, "pred_images = (noisy_images - pred_noises) / signal_rates"),
        (SPLIT, "pred_images = (noisy_images - signal_rates * pred_noises) / noise_rates"), (SPLIT, SPLIT.replace(" - ", " + ")),
        (SPLIT, SPLIT.replace("noise_rates *", "noise_rates**2 *")), (SPLIT, SPLIT.replace("(", "").replace(")", "")),
        (SPLIT, SPLIT.replace("/ signal_rates", "/ (1 - noise_rates)")), (SPLIT, SPLIT.replace("/ signal", "/ noise")),
        (CALL, CALL.replace("[", "").replace("]", "")), (CALL, CALL.replace("network(", "network.predict(")),
        (CALL, CALL + ".numpy()"), (SPLIT, SPLIT + "\n    pred_images = ops.clip(pred_images, -1, 1)"),
    ],
    "reverse_diffusion": [
        ("return pred_images", "return noisy_images"), ("return pred_images", "return pred_noises"),
        ("return pred_images", "return initial_noise"), ("range(diffusion_steps)", "range(1, diffusion_steps + 1)"),
        ("range(diffusion_steps)", "range(diffusion_steps + 1)"), ("range(diffusion_steps)", "range(diffusion_steps - 1)"),
        (TIME, "time = (step + 1) / diffusion_steps"), (REMIX, REMIX.replace("pred_images", "them").replace("pred_noises", "pred_images").replace("them", "pred_noises")),
        ("self.denoise(noisy_images,", "self.denoise(initial_noise,"), (REMIX, REMIX.replace("pred_noises", "initial_noise")),
        (REMIX, "noisy_images = next_signal_rates * pred_images"), (REMIX, "noisy_images = pred_images"),
        (TIME, "time = 1 - step / max(1, diffusion_steps - 1)"), ("training=False", "training=True"),
        (REMIX, REMIX.replace(" + ", " - ")), ("pred_noises, pred_images = self", "pred_images, pred_noises = self"),
        ("noise_rates, signal_rates, training=False", "signal_rates, noise_rates, training=False"), ("time - 1 / diffusion_steps", "time - 1 // diffusion_steps"),
        ("next_time = time - 1", "next_time = time + 1"), ("self.diffusion_schedule(ones * time)", "diffusion_schedule(ones * time)"),
        ("(initial_noise.shape[0], 1, 1, 1)", "(1,)"), ("    return pred_images", "    pass"),
    ],
}
HOSTILE = ("fork-bomb", "memory-bomb", "endless-loop", "os-exit", "reads-solutions-off-the-disk", "patches-the-check",
           "ten-gigabytes-of-output", "kills-its-parent", "writes-its-own-result", "calls-the-packages-schedule",
           "segmentation-fault", "a-million-files")


def write_class(folder):
    """Writes the sixty notebooks; returns {student: points}."""
    solution, points = read_source(sources(ROOT, ["07"])[0]), {}
    right = {name: cell.source for _, name, cell in exercises(solution)}
    worth = {"diffusion_schedule": 4, "denoise": 6, "reverse_diffusion": 8}
    wrong = {name: [_replaced(right[name], *mistake) for mistake in mistakes] for name, mistakes in MISTAKES.items()}
    longest = list(zip_longest(*wrong.values()))  # one student for each: up to three mistakes
    for number in range(48):
        mistaken = dict(zip(worth, longest[number])) if number < len(longest) else {}
        if len(longest) <= number < 2 * len(longest):  # again, with one mistake only
            name = list(worth)[number % 3]
            mistaken = {name: wrong[name][number % len(wrong[name])]}
        mistaken = {name: answer for name, answer in mistaken.items() if answer}
        _write(folder, f"honest-{number:02}", hand_in(solution, right | mistaken), points,
               18 - sum(worth[name] for name in mistaken))
    for name in HOSTILE:
        first, answer = (ROOT / "tests" / "hostile" / f"14-{name}.py").read_text(encoding="utf-8").split("\n", 1)
        _write(folder, f"hostile-{name}", hand_in(solution, right | {first.removeprefix("# answer: "): answer}), points, 14)
    return points


def _replaced(answer, old, new):
    if old not in answer:
        raise SystemExit(f"{old!r} does not stand in the answer: this benchmark no longer fits lab 07.")
    return answer.replace(old, new, 1)


def _write(folder, student, notebook, points, expected):
    points[student] = expected
    (folder / f"{student}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


def grade(command, kept, kill=None, victim=None):
    """Runs the command; once `kill` submissions are graded, kills `victim`, or the grader itself.

    Returns its exit status and the most memory that the grader itself took, in GB.
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
    parser.add_argument("--kill", choices=("nobody", "grader", "worker"), default="nobody",
                        help="half-way: the grader, which is started again; or one of two workers of a Dask cluster")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        submissions = Path(folder, "class")
        submissions.mkdir()
        points = write_class(submissions)
        kept, victim = arguments.out / "results", None
        command = [sys.executable, "-m", "diffusion_lab", "grade", submissions, "--lab", "07", "--out", arguments.out,
                   "--seconds", "15", "--root", ROOT]
        if arguments.kill == "worker":
            address, (victim, _) = stack.enter_context(local_cluster(Path(folder)))
            command += ["--scheduler", address]
        begin = time.monotonic()
        status, memory = grade(command, kept, None if arguments.kill == "nobody" else len(points) // 2, victim)
        if arguments.kill == "grader":
            before = {path.name: path.stat().st_mtime_ns for path in kept.glob("*.json")}
            status, memory = grade(command, kept)
            twice = [name for name, changed in before.items() if (kept / name).stat().st_mtime_ns != changed]
            print(f"killed after {len(before)} submissions; graded twice: {len(twice)}")
        minutes = (time.monotonic() - begin) / 60
    students = json.loads((arguments.out / "grades.json").read_text())["students"]
    wrong = {row["student"]: (row["points"], points[row["student"]]) for row in students if row["points"] != points[row["student"]]}
    print(f"{len(students)} submissions in {minutes:.1f} minutes: {len(students) / minutes:.1f} a minute")
    print(f"most memory of the grader itself: {memory:.2f} GB")
    print(f"scores that are wrong (got, expected): {wrong or 'none'}")
    sys.exit(status or len(students) != len(points) or bool(wrong))


if __name__ == "__main__":
    main()
