"""Gradescope's autograder: its zip, and what it writes for a submission in its container."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.autograders import gradescope
from diffusion_lab.instructor.autograders.gradescope import limits
from diffusion_lab.instructor.autograders.writing import write_gradescope
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.manual import ByHand
from diffusion_lab.instructor.rows import row_of
from diffusion_lab.instructor.running import PATIENCE
from diffusion_lab.instructor.sample_class import hand_in
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.instructor.verdicts import Result, Verdict

ROOT = Path(__file__).parents[1]
SOLUTION = read_source(sources(ROOT, ["02"])[0])
RIGHT = {name: cell.source for _, name, cell in exercises(SOLUTION)}
POINTS = {"forward_step": 4, "q_sample": 6}
# the documented fields: gradescope-autograders.readthedocs.io, "Specifications"
FIELDS = {
    *("score", "execution_time", "output", "output_format", "test_output_format"),
    *("test_name_format", "visibility", "stdout_visibility", "extra_data", "tests", "leaderboard"),
}
TEST_FIELDS = {
    *("score", "max_score", "status", "name", "name_format", "number", "output"),
    *("output_format", "tags", "visibility", "extra_data"),
}
VISIBILITIES = {"hidden", "after_due_date", "after_published", "visible"}
METADATA = {
    "id": 123456,
    "created_at": "2026-11-30T12:00:00.000000-08:00",
    "assignment": {"due_date": "2026-12-01T12:00:00.000000-08:00", "title": "Lab 02"},
    "submission_method": "upload",
    "users": [{"email": "ada@uni.edu", "id": 7, "name": "Ada Lovelace", "sid": "s1"}],
    "previous_submissions": [],
}


@pytest.fixture
def container(tmp_path):
    """Gradescope's folders, with the autograder of lab 02."""
    with zipfile.ZipFile(write_gradescope(ROOT, tmp_path, "02")) as archive:
        archive.extractall(tmp_path / "source")
    (tmp_path / "submission").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "submission_metadata.json").write_text(json.dumps(METADATA))
    return tmp_path


def submit(container, answers=RIGHT, name="07 (final).ipynb"):
    nbformat.write(hand_in(SOLUTION, answers, {}), container / "submission" / name)


def graded(container):
    results = gradescope.grade_in_container(container)
    check_fields(json.loads(json.dumps(results)))
    *tests, _ = results["tests"]
    return results, {test["name"]: test for test in tests}


def check_fields(results):
    """Raises AssertionError unless Gradescope would accept the results."""
    assert set(results) <= FIELDS and "tests" in results
    assert results["output_format"] in {"text", "html", "simple_format", "md", "ansi"}
    assert {results["visibility"], results["stdout_visibility"]} <= VISIBILITIES
    for test in results["tests"]:
        assert set(test) <= TEST_FIELDS and test["visibility"] in VISIBILITIES
        assert test.get("status", "passed") in {"passed", "failed"}
        assert isinstance(test.get("score", 0.0), (int, float))
    for entry in results["leaderboard"]:
        assert set(entry) <= {"name", "value", "order"}


def test_the_zip_has_what_the_container_needs_and_nothing_of_other_labs(tmp_path):
    with zipfile.ZipFile(write_gradescope(ROOT, tmp_path, "02")) as archive:
        names = set(archive.namelist())
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
        setup = archive.read("setup.sh").decode()
    assert {"setup.sh", "run_autograder", "pyproject.toml", "constraints.txt"} <= names
    assert "diffusion_lab/instructor/autograders/gradescope.py" in names
    assert [name for name in names if name.startswith("solutions")] == [
        "solutions/02_forward_process.py"
    ]
    assert modes["run_autograder"] & 0o111 == modes["setup.sh"] & 0o111 == 0o111
    assert "chmod 700 /autograder/source" in setup
    assert not [name for name in names if name.startswith(("notebooks", "docs", "tests"))]


def test_a_lab_without_exercises_has_no_autograder(tmp_path):
    with pytest.raises(UserError, match="Lab 00 has no exercises"):
        write_gradescope(ROOT, tmp_path, "00")


def test_right_and_wrong_answers(container):
    wrong = "def q_sample(images, noises, noise_rates, signal_rates):\n    return images + noises"
    submit(container, RIGHT | {"q_sample": wrong})
    results, tests = graded(container)
    assert {name: test["max_score"] for name, test in tests.items()} == POINTS
    assert tests["forward_step"]["score"] == 4 and tests["forward_step"]["status"] == "passed"
    assert tests["q_sample"]["score"] == 0 and tests["q_sample"]["status"] == "failed"
    assert tests["q_sample"]["output"] and tests["q_sample"]["number"] == "2.2"
    assert results["tests"][-1]["visibility"] == "hidden"
    assert "sandbox: " in results["tests"][-1]["output"]


def test_a_submission_without_a_notebook_gets_a_sentence(container):
    (container / "submission" / "notes.txt").write_text("I forgot.")
    results, tests = graded(container)
    assert "No notebook (.ipynb) was handed in" in results["output"]
    assert sum(test["score"] for test in tests.values()) == 0


def test_an_empty_submission_and_one_of_another_lab(container):
    _, tests = graded(container)
    assert sum(test["score"] for test in tests.values()) == 0
    other = read_source(sources(ROOT, ["03"])[0])
    nbformat.write(hand_in(other, {}, {}), container / "submission" / "03_schedules.ipynb")
    results, tests = graded(container)
    assert results["output"] and sum(test["score"] for test in tests.values()) == 0


def test_all_files_belong_to_one_student(container):
    submit(container, name="ada.ipynb")
    nbformat.write(hand_in(SOLUTION, {}, {}), container / "submission" / "grace.ipynb")
    submission = gradescope.submission_in(container, {"lab": "02", "board": False}, METADATA)
    assert submission.student == "Ada Lovelace" and submission.id == "s1"
    assert submission.place.endswith("ada.ipynb")


def test_the_leaderboard_has_an_entry_for_each_number_of_steps():
    verdicts = [Verdict("11.1", "f", "right", 5, 5, "Good.")]
    ranked = Result("Ada", "", "11.ipynb", verdicts=verdicts, board=[[1.5, 0.2], [0.75, 0.1]])
    results = gradescope.results_of(row_of(ranked, ByHand()), "user")
    check_fields(results)
    assert results["leaderboard"] == [
        {"name": "KID, 1 step", "value": 1.5, "order": "asc"},
        {"name": "KID, 2 steps", "value": 0.75, "order": "asc"},
    ]
    assert (
        gradescope.results_of(row_of(replace(ranked, board=[]), ByHand()), "user")["leaderboard"]
        == []
    )


def test_only_lab_11_has_a_leaderboard(tmp_path):
    with pytest.raises(UserError, match="Only lab 11 has a leaderboard.*grade --kid"):
        write_gradescope(ROOT, tmp_path, "07", board=True)


def test_the_students_words_are_no_markup():
    wrong = Verdict("2.1", "f", "wrong", 0, 5, "No.", details="x = '<b>' # *a* [b](c)")
    results = gradescope.results_of(
        row_of(Result("Ada", "", "", verdicts=[wrong]), ByHand()), "user"
    )
    output = results["tests"][0]["output"]
    assert "<pre>x = &#x27;&lt;b&gt;&#x27; # *a* [b](c)</pre>" in output


def test_late_submissions_lose_points_by_gradescopes_own_times():
    late = METADATA | {"created_at": "2026-12-02T13:00:00.000000-08:00"}  # 25 hours late
    assert gradescope.lateness(METADATA, "10%/day", None).rule == ""
    assert gradescope.lateness(late, "10%/day", None).percent == 20
    assert gradescope.lateness(late, "10%/day", "90m").percent == 10
    assert gradescope.lateness(late, None, None).rule == ""
    extended = {"assignment": {"due_date": "2026-12-03T12:00:00.000000-08:00"}}
    group = late | {"users": [METADATA["users"][0], METADATA["users"][0] | extended]}
    assert gradescope.lateness(group, "10%/day", None).rule == ""
    undated = late | {"assignment": {"due_date": None}}
    assert gradescope.lateness(undated, "10%/day", None).rule == ""


def test_a_late_policy_that_cannot_be_read_is_refused_before_the_upload(tmp_path):
    with pytest.raises(UserError, match="10%/day"):
        write_gradescope(ROOT, tmp_path, "02", late="ten percent")


@pytest.mark.slow
def test_a_late_submission_has_fewer_points(container):
    late = METADATA | {"created_at": "2026-12-02T13:00:00.000000-08:00"}
    (container / "submission_metadata.json").write_text(json.dumps(late))
    options = json.loads((container / "source" / "autograder.json").read_text())
    (container / "source" / "autograder.json").write_text(json.dumps(options | {"late": "10%/day"}))
    submit(container)
    results, tests = graded(container)
    assert sum(test["score"] for test in tests.values()) == 10 and results["score"] == 8
    assert "2 days late: −20 %" in results["output"]


def test_answers_get_no_more_memory_than_the_container_has(tmp_path):
    unlimited, limited, small = (tmp_path / name for name in ("max", "limited", "small"))
    unlimited.write_text("max\n")
    limited.write_text("3221225472\n")
    small.write_text("805306368\n")
    usual = Limits().memory
    assert limits([]).memory == limits([unlimited, tmp_path / "nowhere"]).memory == usual
    assert limits([limited]).memory == 3221225472 - 10**9
    assert limits([small]).memory == 805306368 // 2


def test_endless_loops_in_all_answers_end_before_gradescope_stops():
    starts = 10  # seconds until a kernel is ready, on a slow day
    for source in sources(ROOT):
        count = len(exercises(read_source(source)))
        # each runs until its limit, then again alone, in a new kernel
        seconds = count * ((1 + PATIENCE) * limits([]).seconds + 2 * starts)
        assert seconds < 9 * 60, source.name


@pytest.mark.slow
def test_a_hostile_answer_gains_nothing(container):
    hostile = "def q_sample(*arguments):\n    import os\n    os._exit(0)"
    submit(container, RIGHT | {"q_sample": hostile})
    _, tests = graded(container)
    assert tests["q_sample"]["score"] == 0 and tests["forward_step"]["score"] == 4
