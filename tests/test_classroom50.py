"""Feedback for Classroom 50: the files that its runner reads."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import nbformat
import pytest

from diffusion_lab.instructor.autograders.writing import write_classroom50
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.sample_class import hand_in
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.submission import classroom50
from diffusion_lab.submission.handout import handouts
from diffusion_lab.submission.precheck import Finding

ROOT = Path(__file__).parents[1]
LAB = next(handout for handout in handouts() if handout.lab == "02")
SOLUTION = read_source(sources(ROOT, ["02"])[0])
RIGHT = {name: cell.source for _, name, cell in exercises(SOLUTION)}
FIELDS = {
    *("schema", "classroom", "assignment", "submission", "commit", "release", "review"),
    *("datetime", "score", "max-score", "tests"),
}


def findings(*good):
    return list(zip(LAB.tasks, (Finding(each, "So it is.") for each in good)))


def test_the_result_has_the_fields_of_the_schema():
    now = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
    content = classroom50.result(findings(True, False), {"CLASSROOM": "cs", "REVIEW_URL": "r"}, now)
    assert set(content) == FIELDS and content["schema"] == "classroom50/result/v1"
    assert (content["classroom"], content["review"], content["commit"]) == ("cs", "r", "")
    assert content["datetime"] == "2026-11-30T12:00:00Z"
    first, second = content["tests"]
    assert first["passed"] and first["score"] == first["max-score"] == LAB.tasks[0].points
    assert not second["passed"] and second["score"] == 0 < second["max-score"]
    assert content["score"] == first["score"]
    assert content["max-score"] == first["max-score"] + second["max-score"]


def test_fractions_of_points_are_counted_in_hundredths():
    now = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
    tasks = [replace(LAB.tasks[0], points=points) for points in (0.5, 2.5, 2)]
    good = [Finding(good, "So it is.") for good in (True, True, False)]
    content = classroom50.result(list(zip(tasks, good)), {}, now)
    assert [test["score"] for test in content["tests"]] == [50, 250, 0]
    assert [test["max-score"] for test in content["tests"]] == [50, 250, 200]
    assert (content["score"], content["max-score"]) == (300, 500)


def test_an_unknown_lab_is_one_sentence():
    with pytest.raises(SystemExit, match="There is no lab 99"):
        classroom50.main("99")


def test_copies_of_jupyter_and_files_that_are_too_large_are_left_out(tmp_path, monkeypatch):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    nbformat.write(hand_in(SOLUTION, RIGHT, {}), tmp_path / ".ipynb_checkpoints" / "old.ipynb")
    assert classroom50.answers_in(tmp_path, LAB)[1] == ""
    nbformat.write(hand_in(SOLUTION, RIGHT, {}), tmp_path / "my work.ipynb")
    assert classroom50.answers_in(tmp_path, LAB)[1] == "my work.ipynb"
    monkeypatch.setattr(classroom50, "LARGEST", 1000)
    assert classroom50.answers_in(tmp_path, LAB)[1] == ""


def test_the_page_says_that_it_is_no_grade():
    page = classroom50.release_body(findings(True, False), "lab/02.ipynb")
    assert re.findall(r"^\* (.)", page, re.M) == ["✓", "✗"] and "not your grade" in page
    assert "No notebook of this lab" in classroom50.release_body(findings(False), "")


@pytest.mark.slow
def test_the_folder_for_classroom50_grades_a_repository(tmp_path):
    """As its runner does: the script beside its files, the working directory a repository."""
    folder = write_classroom50(ROOT, tmp_path, "02")
    assert {path.name for path in folder.iterdir()} == {
        *("autograder.py", "constraints.txt", "diffusion-lab.zip", "diffusion-lab.zip.sha256"),
    }
    repository = tmp_path / "repository"
    (repository / "lab").mkdir(parents=True)
    wrong = RIGHT | {LAB.tasks[0].name: f"def {LAB.tasks[0].name}(*arguments):\n    return 0"}
    nbformat.write(hand_in(SOLUTION, wrong, {}), repository / "lab" / "my work.ipynb")
    (repository / "broken.ipynb").write_text("{")
    # everything is installed here already, so pip has nothing to do
    fake = tmp_path / "pip.py"
    fake.write_text("import sys; print(sys.argv)")
    run = subprocess.run(
        [sys.executable, folder / "autograder.py"],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "CLASSROOM": "cs-50"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "constraints.txt" in run.stdout and "diffusion-lab.zip" in run.stdout
    content = json.loads((repository / "result.json").read_text())
    passed = {test["test-name"].split()[1]: test["passed"] for test in content["tests"]}
    assert passed == {name: name != LAB.tasks[0].name for name in RIGHT}
    assert content["classroom"] == "cs-50" and content["score"] < content["max-score"]
    assert "my work.ipynb" in (repository / "release-body.md").read_text(encoding="utf-8")
