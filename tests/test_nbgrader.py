"""nbgrader itself makes the assignment out of our solution notebook, and grades it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.source import exercises, read_source

ROOT = Path(__file__).parents[1]
SCORES = """
import json
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    scores = {submission.student.id: {grade.name: grade.auto_score for grade in submission.notebooks[0].grades}
              for submission in book.assignment_submissions("lab07")}
    print(json.dumps(scores))
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    root = tmp_path_factory.mktemp("course")
    nbformat.write(read_source(sources(ROOT, ["07"])[0]), _made(root / "source" / "lab07" / "07_ddim.ipynb"))
    nbgrader(root, "generate_assignment", "lab07", "--create")
    return root


def _made(path):
    path.parent.mkdir(parents=True)
    return path


def run(root, *arguments):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader calls `alembic` by its name
    environment = os.environ | {"DIFFUSION_LAB_PROFILE": "smoke", "PYTHONPATH": str(ROOT), "PATH": path}
    return subprocess.run([sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True)


def nbgrader(root, *arguments):
    result = run(root, "-m", "nbgrader", *arguments)
    assert result.returncode == 0, result.stderr[-3000:]


def test_it_releases_without_answers(course):
    released = nbformat.read(course / "release" / "lab07" / "07_ddim.ipynb", as_version=4)
    answers = [cell.source for cell in released.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "07-denoise"]
    assert len(answers) == 1 and "BEGIN SOLUTION" not in answers[0] and "noise_rates**2" not in answers[0]


@pytest.mark.slow
def test_it_grades_each_exercise_by_its_points(course):
    right = {name: cell.source for _, name, cell in exercises(read_source(sources(ROOT, ["07"])[0]))}
    swapped = right | {"denoise": right["denoise"].replace("noise_rates**2", "noise_rates")}
    for student, answers in {"ada": right, "bob": swapped}.items():
        notebook = nbformat.read(course / "release" / "lab07" / "07_ddim.ipynb", as_version=4)
        for cell in notebook.cells:
            name = cell.metadata.get("diffusion_lab", {}).get("exercise")
            cell.source = answers.get(name, cell.source)
        nbformat.write(notebook, _made(course / "submitted" / student / "lab07" / "07_ddim.ipynb"))
    nbgrader(course, "autograde", "lab07", "--create")
    result = run(course, "-c", SCORES)
    points = {"07-diffusion_schedule-check": 4, "07-denoise-check": 6, "07-reverse_diffusion-check": 8}
    scores = json.loads(result.stdout)
    assert {name: scores["ada"][name] for name in points} == points
    assert {name: scores["bob"][name] for name in points} == points | {"07-denoise-check": 0}
