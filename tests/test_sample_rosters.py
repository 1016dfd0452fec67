"""The made-up class as Canvas and Moodle would export it."""

import csv
import zipfile
from functools import partial

import pytest

from diffusion_lab.instructor.sample_class import MISTAKES
from diffusion_lab.instructor.submissions import find_submissions
from tests.graded import SETTINGS, result


@pytest.mark.parametrize(
    "platform, points", [("canvas", "Lab 07: DDIM (4711)"), ("moodle", "Grade")]
)
def test_a_new_instructor_sees_what_a_platform_imports(
    run, tmp_path, monkeypatch, platform, points
):
    def grade_class(submissions, *_, **__):
        found = find_submissions(submissions)
        return SETTINGS, [
            result(each.student, id=each.id, key=each.key, place=each.place) for each in found
        ]

    monkeypatch.setattr("diffusion_lab.commands.grade.grade_class", grade_class)
    grade = partial(run, "grade", "--sample", "--out", tmp_path)
    status, said, error = grade()
    roster = tmp_path / f"made-up-{platform}.csv"
    assert status == 0 and str(roster) in said.replace("\n", ""), error
    assert "Ada Alvarez" in said
    status, said, error = grade("--roster", roster)
    assert status == 0 and "1 student on the roster has not handed in anything" in said, error
    assert "no feedback" not in said and "roster is from" not in said
    with zipfile.ZipFile(tmp_path / f"feedback-{platform}.zip") as archive:
        assert len(archive.namelist()) == len(MISTAKES)
    with open(tmp_path / f"upload-{platform}.csv", encoding="utf-8", newline="") as file:
        given = [row[points] for row in csv.DictReader(file)]
    assert given.count("50") == len(MISTAKES)  # 4 of 8 points, converted to 100
