"""The speed and accuracy of grading a class: `python -m benchmarks.grading [--students 500]`.

The class handed in lab 07 on five platforms. Its answers contain every mistake in the exercises'
tables, and twelve students are hostile. The benchmark prints how long grading took, how much memory
it used, and every wrong score in the grade books and in the files that Canvas and Moodle import.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from benchmarks.cluster import local_cluster
from benchmarks.made_up_class import FIRST_ID, ROOT, WORTH, write_class
from benchmarks.report import machine


def grade(command, kept, kill=None, victim=None):
    """Runs the command; after `kill` graded submissions, kills `victim`, or the grader itself.

    Returns:
        Its exit status, and the peak memory of all its processes together, in GB.
    """
    process, memory = subprocess.Popen(command, stdout=subprocess.DEVNULL), 0.0
    while process.poll() is None:
        memory = max(memory, _memory(process.pid))
        if kill is not None and len(list(kept.glob("*.json"))) >= kill:
            (victim or process).kill()
            kill = None
        time.sleep(0.5)
    return process.returncode, memory


def _memory(pid):
    """Returns the proportional set size of a process and its descendants, in GB."""
    total = 0
    with suppress(psutil.Error):
        grader = psutil.Process(pid)
        for process in (grader, *grader.children(recursive=True)):
            with suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total / 1e9


def grade_killed(command, kept, kill):
    """Runs the command, kills the grader after `kill` submissions, and runs the command again."""
    grade(command, kept, kill)
    before = {path.name: path.stat().st_mtime_ns for path in kept.glob("*.json")}
    finished = grade(command, kept)
    twice = [
        name for name, changed in before.items() if (kept / name).stat().st_mtime_ns != changed
    ]
    print(f"killed after {len(before)} submissions; graded twice: {len(twice)}")
    return finished


def wrong_scores(out, scores):
    """Returns {(file, column, student's number): (points, those expected)} of all that differ.

    Args:
        out: the folder of the grade book, and of the files for platforms.
        scores: {student's number: {exercise: points}}.
    """
    totals = {number: sum(points.values()) for number, points in scores.items()}
    columns = [
        ("grades.csv", "ID", "Lab 07", totals),
        ("upload-canvas.csv", "ID", "Lab 07 (811)", totals),
        ("upload-moodle.csv", "Identifier", "Grade", totals),
    ]
    for place, exercise in enumerate(WORTH, 1):
        expected = {number: points[exercise] for number, points in scores.items()}
        columns.append(("grades.csv", "ID", f"7.{place} {exercise}", expected))
    wrong = {}
    for name, id_column, column, expected in columns:
        if name != "grades.csv" and not (out / name).exists():
            continue
        with (out / name).open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.DictReader(file) if line[id_column]]
        found = {int(line[id_column].split()[-1]) - FIRST_ID: float(line[column]) for line in lines}
        wrong |= {
            (name, column, number): (found.get(number), expected.get(number))
            for number in found | expected
            if found.get(number) != expected.get(number)
        }
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=200, help="80 to 500")
    parser.add_argument("--out", type=Path, default=Path("out/grading-benchmark"))
    parser.add_argument(
        "--kill",
        choices=("nothing", "grader", "worker"),
        default="nothing",
        help="what to kill in each grading: the grader, which is then started again, or one of two"
        " Dask workers",
    )
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    begin, peak, wrong, failed = time.monotonic(), 0.0, {}, False
    with tempfile.TemporaryDirectory() as folder:
        for export, scores in write_class(Path(folder), arguments.students).items():
            out, start = arguments.out / export.stem, time.monotonic()
            status, memory = _grade_export(export, len(scores) // 2, out, arguments.kill)
            minutes = (time.monotonic() - start) / 60
            print(f"{export.stem}: {len(scores)} submissions in {minutes:.1f} minutes", flush=True)
            peak, failed = max(peak, memory), failed or bool(status)
            wrong |= wrong_scores(out, scores)
    minutes = (time.monotonic() - begin) / 60
    about = machine()
    print(f"{about['machine']}, {about['date']}")
    print(f"{arguments.students} submissions in {minutes:.1f} minutes")
    print(f"peak memory of all processes together: {peak:.2f} GB")
    print(f"wrong scores (got, expected): {wrong or 'none'}")
    sys.exit(failed or bool(wrong))


def _grade_export(export, half, out, kill):
    """Grades one platform's zip; returns the exit status and the peak memory in GB."""
    command = [sys.executable, "-m", "diffusion_lab", "grade", export, "--lab", "07", "--out", out]
    command += ["--roster", export.with_suffix(".csv"), "--seconds", "15", "--root", ROOT]
    with ExitStack() as stack:
        if kill == "grader":
            return grade_killed(command, out / "results", half)
        if kill == "nothing":
            return grade(command, out / "results")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address, (victim, _) = stack.enter_context(local_cluster(folder))
        return grade([*command, "--scheduler", address], out / "results", half, victim)


if __name__ == "__main__":
    main()
