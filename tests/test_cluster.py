"""Grading on a Dask cluster with a real scheduler and two worker processes, one of which dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cluster import local_cluster, wait_for
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.sample_class import MISTAKES, write_sample_class
from diffusion_lab.instructor.sandbox.bubblewrap import INSTALL

ROOT = Path(__file__).parents[1]
POINTS = dict(zip(MISTAKES, [24, 20, 10, 12, 16, 10, 20, 16, 18, 24]))
CLASS = [*MISTAKES][:6]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("bwrap") is None and os.environ.get("DIFFUSION_LAB_SANDBOX") != "required",
        reason=INSTALL,
    ),
]


@pytest.fixture
def cluster(tmp_path):
    with local_cluster(tmp_path) as cluster:
        yield cluster


def test_a_worker_that_dies_costs_no_points(tmp_path, cluster):
    address, (doomed, _) = cluster
    write_sample_class(sources(ROOT, ["07"])[0], tmp_path / "in")
    for student in set(POINTS) - set(CLASS):
        shutil.rmtree(tmp_path / "in" / student)
    command = [
        sys.executable,
        "-m",
        "diffusion_lab",
        "grade",
        tmp_path / "in",
        "--out",
        tmp_path / "out",
        "--root",
        ROOT,
        "--seconds",
        "10",
        "--scheduler",
        address,
    ]
    grader = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    kept = tmp_path / "out" / "results"
    wait_for(lambda: grader.poll() is not None or len(list(kept.glob("*.json"))) >= 2)
    doomed.send_signal(signal.SIGKILL)
    assert grader.wait() == 0, grader.stderr.read()[-2000:]
    students = json.loads((tmp_path / "out" / "grades.json").read_text())["students"]
    assert {student["student"]: student["points"] for student in students} == {
        student: POINTS[student] for student in CLASS
    }


def test_a_missing_scheduler_is_one_sentence(tmp_path):
    write_sample_class(sources(ROOT, ["07"])[0], tmp_path / "in")
    command = [
        sys.executable,
        "-m",
        "diffusion_lab",
        "grade",
        tmp_path / "in",
        "--out",
        tmp_path / "out",
        "--root",
        ROOT,
        "--scheduler",
        "tcp://127.0.0.1:9",
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (
        result.returncode == 2 and "no Dask scheduler answers at tcp://127.0.0.1:9" in result.stderr
    )
