"""The made-up class as Canvas and Moodle would export it."""

import csv
from functools import partial

import pytest

from diffusion_lab.instructor.sample_class import MISTAKES
from tests.graded import SETTINGS, result


@pytest.mark.parametrize(
    "platform, points", [("canvas", "Lab 07: DDIM (4711)"), ("moodle", "Grade")]
)
def test_a_new_instructor_sees_what_a_platform_imports(
    run, tmp_path, monkeypatch, platform, points
):
    results = [result(name, id="") for name in MISTAKES]
    monkeypatch.setattr(
        "diffusion_lab.commands.grade.grade_class", lambda *_, **__: (SETTINGS, results)
    )
    grade = partial(run, "grade", "--sample", "--out", tmp_path)
    status, said, error = grade()
    roster = tmp_path / f"made-up-{platform}.csv"
    assert status == 0 and str(roster) in said.replace("\n", ""), error
    status, said, error = grade("--roster", roster)
    assert status == 0 and "1 student on the roster has not handed in anything" in said, error
    with open(tmp_path / f"upload-{platform}.csv", encoding="utf-8", newline="") as file:
        given = [row[points] for row in csv.DictReader(file)]
    assert given.count("50") == len(MISTAKES)  # 4 of 8 points, converted to 100
