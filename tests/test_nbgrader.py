"""nbgrader itself makes the assignment from our solution notebook, and grades it."""

import json
import os
import re
import shutil
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
    scores = {}
    for submission in book.assignment_submissions("lab07"):
        grades = submission.notebooks[0].grades
        scores[submission.student.id] = {grade.name: grade.auto_score for grade in grades}
    print(json.dumps(scores))
"""


COMMANDS = re.findall(
    r"```\n(.*?)```",
    (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8").split("## With nbgrader")[1],
    re.S,
)


def bash(folder, commands):
    """Runs commands as typed by somebody with this environment activated, and no other settings."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DIFFUSION_LAB_PROFILE")
    }
    result = subprocess.run(
        ["bash", "-ec", commands],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT), "PATH": path},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The course after the first commands of INSTRUCTORS.md, run in a copy of the repository."""
    folder = tmp_path_factory.mktemp("instructor")
    shutil.copytree(ROOT / "solutions", folder / "diffusion-lab" / "solutions")
    bash(folder / "diffusion-lab", COMMANDS[0])
    return folder / "course"


def test_it_releases_without_answers_and_without_explanations(course):
    released = nbformat.read(course / "release" / "lab07" / "07_ddim.ipynb", as_version=4)
    ours = nbformat.read(ROOT / "notebooks" / "07_ddim.ipynb", as_version=4)
    texts, known = (
        {line.strip() for cell in notebook.cells for line in cell.source.splitlines()}
        for notebook in (released, ours)
    )
    stubs = {"# YOUR CODE HERE", "raise NotImplementedError()", "YOUR ANSWER HERE", ""}
    assert texts - known <= stubs, "students read nothing that is not in their notebook"


@pytest.mark.parametrize("path", sources(ROOT), ids=lambda path: path.stem)
def test_every_explanation_is_a_mark_scheme_that_nbgrader_takes_out(path):
    from nbgrader.nbgraderformat import MetadataValidator
    from nbgrader.preprocessors import ClearMarkScheme

    solution = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    MetadataValidator().validate_nb(solution)
    explanations = [cell for cell in solution.cells if "answer" in cell.metadata.get("tags", [])]
    cleared, _ = ClearMarkScheme().preprocess(solution, {})
    assert bool(explanations) == bool(exercises(solution)) and all(
        not cell.source.strip()
        for cell in cleared.cells
        if "answer" in cell.metadata.get("tags", [])
    )


@pytest.mark.slow
def test_it_grades_each_exercise_by_its_points(course):
    right = {
        name: cell.source for _, name, cell in exercises(read_source(sources(ROOT, ["07"])[0]))
    }
    swapped = right | {"denoise": right["denoise"].replace("noise_rates**2", "noise_rates")}
    for student, answers in {"ada": right, "bob": swapped}.items():
        notebook = nbformat.read(course / "release" / "lab07" / "07_ddim.ipynb", as_version=4)
        for cell in notebook.cells:
            name = cell.metadata.get("diffusion_lab", {}).get("exercise")
            cell.source = answers.get(name, cell.source)
        folder = course / "submitted" / student / "lab07"
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / "07_ddim.ipynb")
    bash(course, COMMANDS[1])
    scores = json.loads(bash(course, f"python -c '{SCORES}'"))
    points = {
        "07-diffusion_schedule-check": 4,
        "07-denoise-check": 6,
        "07-reverse_diffusion-check": 8,
        "07-remix-check": 6,
    }
    assert {name: scores["ada"][name] for name in points} == points
    assert {name: scores["bob"][name] for name in points} == points | {"07-denoise-check": 0}
