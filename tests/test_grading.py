"""Grading a class: in a sandbox, after a kill, and only what has changed."""

import csv
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import nbformat
import numpy as np
import pytest

from diffusion_lab.commands.grade import run_grade
from diffusion_lab.errors import UserError
from diffusion_lab.instructor import grading, quality, results, rows, running
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.grading import grade_class
from diffusion_lab.instructor.master import Master, Task
from diffusion_lab.instructor.platforms.roster import Person
from diffusion_lab.instructor.sample_class import MISTAKES, write_sample_class
from diffusion_lab.instructor.sample_class import hand_in as write_notebook
from diffusion_lab.instructor.sandbox.bubblewrap import INSTALL, Limits
from diffusion_lab.instructor.selection import Only
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.instructor.submissions import Submission
from diffusion_lab.instructor.verdicts import Quality, Result, Verdict
from diffusion_lab.labs import checks
from diffusion_lab.labs.exercise import CheckFailed
from diffusion_lab.storage import only_one

ROOT = Path(__file__).parents[1]
SOURCE = sources(ROOT, ["07"])[0]
POINTS = dict(zip(MISTAKES, [24, 20, 10, 12, 16, 10, 20, 16, 18, 24]))

boxed = pytest.mark.skipif(
    shutil.which("bwrap") is None and os.environ.get("DIFFUSION_LAB_SANDBOX") != "required",
    reason=INSTALL,
)


@pytest.fixture
def pretended(monkeypatch):
    """Replaces the grading of a submission, and returns the list of graded students.

    A submission may raise an error.
    """
    graded = []

    def pretend(submission, settings):
        if submission.content == b"crash":
            raise UserError("the disk is full")
        graded.append(submission.student)
        answers = {} if submission.content == b"nothing" else {"a": "b"}
        return Result(
            submission.student,
            submission.id,
            submission.place,
            digest=f"{len(submission.content)} bytes",
            problem="of lab 07",
            answers=answers,
        )

    monkeypatch.setattr(grading, "grade_submission", pretend)
    monkeypatch.setattr(grading, "choose_box", lambda *arguments: "bubblewrap")
    return graded


def hand_in(folder, **contents):
    folder.mkdir(exist_ok=True)
    for student, content in contents.items():
        (folder / f"{student}.ipynb").write_bytes(content)


def test_only_what_changed_is_graded_again(tmp_path, pretended):
    hand_in(tmp_path / "in", ada=b"1", bob=b"22", cem=b"333")
    settings, results = grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    assert [result.student for result in results] == ["ada", "bob", "cem"] and sorted(
        pretended
    ) == ["ada", "bob", "cem"]
    pretended.clear()
    hand_in(tmp_path / "in", bob=b"4444", dan=b"5")
    again, results = grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    assert sorted(pretended) == ["bob", "dan"] and again.seed == settings.seed
    assert [result.digest for result in results] == ["1 bytes", "4 bytes", "3 bytes", "1 bytes"]


def test_results_from_before_an_error_are_kept(tmp_path, pretended):
    hand_in(tmp_path / "in", ada=b"1", bob=b"crash")
    with pytest.raises(UserError, match="disk is full"):
        grade_class(tmp_path / "in", SOURCE, tmp_path / "out", jobs=1)
    hand_in(tmp_path / "in", bob=b"2")
    grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    assert pretended == ["ada", "bob"]


def test_another_seed_is_refused_and_other_limits_grade_again(tmp_path, pretended):
    hand_in(tmp_path / "in", ada=b"1")
    grade_class(tmp_path / "in", SOURCE, tmp_path / "out", seed=7)
    with pytest.raises(UserError, match="a grading with another seed"):
        grade_class(tmp_path / "in", SOURCE, tmp_path / "out", seed=8)
    grade_class(tmp_path / "in", SOURCE, tmp_path / "out", limits=Limits(seconds=1))
    assert pretended == ["ada", "ada"]


CODE = {
    "a check": "labs/lab07/checks.py",
    "what a check imports": "labs/exercise.py",
    "the reference": "schedules.py",
    "what runs in the box": "submission/measuring.py",
    "a new file": "labs/new.py",
}


@pytest.mark.parametrize("name", CODE.values(), ids=CODE)
def test_after_a_change_of_the_code_all_are_graded_again_with_the_same_seed(
    tmp_path, pretended, monkeypatch, name
):
    package = tmp_path / "diffusion_lab"
    shutil.copytree(
        results.PACKAGE,
        package,
        ignore=shutil.ignore_patterns("__pycache__", "*.h5", "*.html", "*.png"),
    )
    monkeypatch.setattr(results, "PACKAGE", package)
    hand_in(tmp_path / "in", ada=b"1")
    settings, _ = grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    assert pretended == ["ada"]
    with open(package / name, "a") as file:
        file.write("# fixed\n")
    again, _ = grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    assert pretended == ["ada", "ada"] and again.seed == settings.seed


def test_other_libraries_grade_again(monkeypatch):
    before = results.code_fingerprint()
    assert before == results.code_fingerprint()
    monkeypatch.setattr(results, "version", lambda name: "99")
    assert results.code_fingerprint() != before


def test_a_worker_with_another_version_of_the_package_refuses():
    settings = results.Settings("", SOURCE.name, 1, Limits(), code="of another version")
    with pytest.raises(UserError, match="not the version with which this grading began"):
        grading.grade_submission(None, settings)


@pytest.fixture
def quick(monkeypatch):
    """Judges every answer as right, without running it.

    The returned object names the student whose submission is being graded.
    """
    current, honest = SimpleNamespace(student=None), results.grade_submission

    def grade(submission, settings):
        current.student = submission.student
        return honest(submission, settings)

    monkeypatch.setattr(grading, "grade_submission", grade)
    monkeypatch.setattr(
        running, "_run", lambda master, answers, *more: (dict.fromkeys(answers, b"{}"), {}, None)
    )
    monkeypatch.setattr(Task, "judge", lambda task, seed, result: ("right", "As it should be."))
    monkeypatch.setattr(
        quality,
        "grade_quality",
        lambda *more: quality.QualityResult(Verdict(*results.KID, "right", 4, 4, "Fine flowers.")),
    )
    monkeypatch.setattr(quality, "require_data", lambda data: None)
    return current


def write_notebooks(folder, *students, **changes):
    folder.mkdir()
    solution = read_source(SOURCE)
    answers = {name: cell.source for _, name, cell in exercises(solution)}
    for student in students:
        notebook = write_notebook(solution, answers | changes, changes)
        (folder / f"{student}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


STEPS = {
    "reading": (results, "read_answers"),
    "running": (running, "_run"),
    "judging": (Task, "judge"),
    "quality": (quality, "grade_quality"),
    "a worker": (grading, "grade_submission"),
}
ERRORS = [
    RuntimeError("can't start new thread"),
    UserError("No kernel starts."),
    MemoryError(),
    RecursionError("too deep"),
    UnicodeEncodeError("utf-8", "\udc80", 0, 1, "surrogates not allowed"),
    OSError(24, "Too many open files"),
    KeyError("\udc80"),
]


@pytest.mark.parametrize(
    "step, error",
    [
        pytest.param(step, error, id=f"{step}, {type(error).__name__}")
        for step in STEPS
        for error in ERRORS
        if (step, type(error)) != ("a worker", UserError)
    ],
)  # a UserError of a worker concerns the whole class
def test_an_error_in_one_submission_affects_only_its_row(tmp_path, quick, monkeypatch, step, error):
    place, name = STEPS[step]
    honest, broken = getattr(place, name), True

    def fail(*arguments, **keywords):
        submission = next((thing for thing in arguments if isinstance(thing, Submission)), quick)
        if broken and submission.student == "bob":
            raise error
        return honest(*arguments, **keywords)

    write_notebooks(tmp_path / "in", "ada", "bob", "cem")
    monkeypatch.setattr(place, name, fail)

    def grade():
        settings, found = grade_class(
            tmp_path / "in",
            SOURCE,
            tmp_path / "out",
            sandbox="none",
            jobs=1,
            quality=Quality(3),
        )
        rows = write_gradebook(tmp_path / "out", "07", settings, found)
        assert all((tmp_path / "out" / "feedback" / row.page).exists() for row in rows)
        return {row.student: row for row in rows}

    rows = grade()
    assert rows["ada"].points == rows["cem"].points == 28 and not rows["ada"].problem
    assert rows["bob"].points == (24 if step == "quality" else 0) and len(rows["bob"].verdicts) == 5
    assert (
        rows["bob"].problem.startswith("It could not be graded (")
        and "A person must look at it" in rows["bob"].problem
    )
    broken = False
    assert grade()["bob"].points == 28, "the same command grades it again"


@pytest.mark.parametrize("step", ["presentable", "remarks_on_answers", "safe_picture"])
def test_a_result_that_cannot_be_shown_keeps_its_points(tmp_path, quick, monkeypatch, step):
    honest = getattr(rows, step)

    def fail(thing):
        if (
            isinstance(thing, Result)
            and thing.student == "bob"
            and thing.answers
            or thing == "a picture"
        ):
            raise UnicodeEncodeError("utf-8", "\udc80", 0, 1, "surrogates not allowed")
        return honest(thing)

    write_notebooks(tmp_path / "in", "ada", "bob", "cem")
    settings, found = grade_class(tmp_path / "in", SOURCE, tmp_path / "out", sandbox="none")
    found[1] = replace(found[1], picture="a picture")
    monkeypatch.setattr(rows, step, fail)
    ada, bob, cem = write_gradebook(tmp_path / "out", "07", settings, found)
    assert (
        [row.points for row in (ada, bob, cem)] == [24, 24, 24]
        and not ada.problem
        and not cem.problem
    )
    assert bob.problem == "It could not be shown (UnicodeEncodeError). A person must look at it."
    assert bob.problem in (tmp_path / "out" / "feedback" / bob.page).read_text(encoding="utf-8")


def test_each_submission_and_each_attempt_has_different_inputs():
    settings = results.Settings("", SOURCE.name, 1, Limits())
    ada = Submission("ada", "1", "ada.ipynb", b"1")
    others = [
        replace(ada, **change)
        for change in (
            {"student": "bob"},
            {"id": "2"},
            {"place": "ada/07.ipynb"},
            {"content": b"2"},
        )
    ]
    seeds = [settings.seed_of(submission) for submission in [ada, *others]] + [
        replace(settings, seed=2).seed_of(ada)
    ]
    assert len(set(seeds)) == len(seeds) and settings.seed_of(ada) == seeds[0]
    one, other = (Task("1.2", "contrastive_divergence_loss", 4).inputs(seed) for seed in seeds[:2])
    assert one.keys() == other.keys() and all(
        not np.array_equal(one[name], other[name]) for name in one
    )


def test_the_grade_book_has_the_seed_of_the_inputs_of_each_submission(tmp_path, quick, monkeypatch):
    used = set()
    monkeypatch.setattr(Task, "judge", lambda _, seed, __: used.add(seed) or ("right", "well done"))
    write_notebooks(tmp_path / "in", "ada", "bob")
    settings, found = grade_class(tmp_path / "in", SOURCE, tmp_path / "out", sandbox="none")
    write_gradebook(tmp_path / "out", "07", settings, found)
    students = json.loads((tmp_path / "out" / "grades.json").read_text())["students"]
    assert len(used) == 2 and {student["seed"] for student in students} == used


def test_if_no_submission_can_be_graded_that_is_an_error(tmp_path, quick, monkeypatch):
    write_notebooks(tmp_path / "in", "ada", "bob")
    monkeypatch.setattr(running, "_run", lambda *more: 1 / 0)
    with pytest.raises(UserError, match="No submission .*ZeroDivisionError"):
        grade_class(tmp_path / "in", SOURCE, tmp_path / "out", sandbox="none")


def test_lone_surrogates_do_not_stop_the_grading(tmp_path, quick, monkeypatch):
    """They are in an answer, in the written part, and in a check's message."""
    write_notebooks(
        tmp_path / "in",
        "ada",
        denoise="def denoise(self):\n    return '\udc80'",
        summary="a lone \ud800 surrogate",
    )
    monkeypatch.setattr(Task, "judge", lambda task, seed, result: ("wrong", "\udfff, it says."))
    settings, found = grade_class(tmp_path / "in", SOURCE, tmp_path / "out", sandbox="none")
    (row,) = write_gradebook(tmp_path / "out", "07", settings, found)
    assert (
        row.verdicts[0].sentence == "\\udfff, it says." and "return '?'" in row.answers["denoise"]
    )


@pytest.mark.parametrize(
    "content",
    [
        '{"cut o',
        "{}",
        "[]",
        "null",
        '{"student": "ada", "verdicts": []}',
        '{"verdicts": [{"number": "7.1"}]}',
    ],
)
def test_an_unreadable_result_is_graded_again(tmp_path, pretended, content):
    hand_in(tmp_path / "in", ada=b"1")
    grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    next((tmp_path / "out" / "results").glob("*.json")).write_text(content)
    grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    assert pretended == ["ada", "ada"]


def test_only_some_are_graded_and_the_others_keep_their_results(tmp_path, quick, monkeypatch):
    write_notebooks(tmp_path / "in", "ada", "bob", "cem")
    monkeypatch.setattr(Task, "judge", lambda task, seed, result: ("wrong", "Not yet."))
    grade_class(tmp_path / "in", SOURCE, tmp_path / "out", sandbox="none")
    monkeypatch.setattr(Task, "judge", lambda task, seed, result: ("right", "Well done."))
    monkeypatch.setattr(results, "code_fingerprint", lambda: "fixed")
    with open(tmp_path / "in" / "cem.ipynb", "a") as file:
        file.write("\n")
    shutil.copy(tmp_path / "in" / "bob.ipynb", tmp_path / "in" / "dan.ipynb")
    settings, found = grade_class(
        tmp_path / "in", SOURCE, tmp_path / "out", sandbox="none", only=Only("AD")
    )
    rows = write_gradebook(tmp_path / "out", "07", settings, found)
    assert [row.points for row in rows] == [24, 0, 0, 0]
    assert not [remark for remark in rows[0].remarks if "--only" in remark]
    assert rows[1].remarks[0] == "graded before the latest changes, and left out by --only"
    assert rows[2].remarks[0].startswith("handed in again after this was graded, and left out")
    assert rows[1].verdicts[0].sentence == "Not yet."
    assert rows[3].problem == "It has not been graded yet, because --only left it out."
    found = grade_class(tmp_path / "in", SOURCE, tmp_path / "out", sandbox="none")[1]
    assert [len([v for v in each.verdicts if v.points]) for each in found] == [4, 4, 4, 4]


def test_earlier_results_for_other_exercises_are_not_kept(tmp_path, quick):
    write_notebooks(tmp_path / "in", "ada", "bob")
    grade_class(tmp_path / "in", SOURCE, tmp_path / "out", sandbox="none")
    settings, found = grade_class(
        tmp_path / "in",
        SOURCE,
        tmp_path / "out",
        sandbox="none",
        quality=Quality(3),
        only=Only("ada"),
    )
    ada, bob = write_gradebook(tmp_path / "out", "07", settings, found)
    assert ada.points == 28 and "left it out" in bob.problem and len(bob.verdicts) == 5


def test_if_only_names_nobody_that_is_an_error(tmp_path, quick):
    write_notebooks(tmp_path / "in", "ada")
    with pytest.raises(UserError, match="--only: no student's name or ID contains 'zoe'"):
        grade_class(tmp_path / "in", SOURCE, tmp_path / "out", sandbox="none", only=Only("zoe"))
    ada = Person("Lovelace, Ada", "101")
    with pytest.raises(UserError, match="contains 'lovelase'. Did you mean 'Lovelace'?"):
        only = Only("lovelase", [ada])
        grade_class(tmp_path / "in", SOURCE, tmp_path / "out", sandbox="none", only=only)


def test_only_knows_the_names_on_the_roster():
    ada = Person("Lovelace, Ada", "101", frozenset({"ada@uni.edu"}))
    bob = Person("Babbage, Bob", "102")
    submissions = [
        Submission("lovelaceada", "101", "a.ipynb"),
        Submission("babbagebob", "102", "b.ipynb"),
    ]
    for text, expected in {
        "lovelace, a": [True, False],
        "ADA@": [True, False],
        "102": [False, True],
        "bob": [False, True],
        "10": [True, True],
        "zoe": [False, False],
    }.items():
        assert [*map(Only(text, [ada, bob]), submissions)] == expected


RIGHT = "a right answer"
MACHINES = {  # ({answer: (result of the first run, of a run alone)}, stopped answers)
    "calm": (
        {
            "diffusion_schedule": (RIGHT, None),
            "denoise": (RIGHT, None),
            "reverse_diffusion": (RIGHT, None),
        },
        set(),
    ),
    "busy": (
        {
            "diffusion_schedule": (None, RIGHT),
            "denoise": (RIGHT, None),
            "reverse_diffusion": (RIGHT, None),
        },
        set(),
    ),
    "very busy": (
        {
            "diffusion_schedule": (None, RIGHT),
            "denoise": (None, RIGHT),
            "reverse_diffusion": (None, RIGHT),
        },
        set(),
    ),
    "one hangs": (
        {
            "diffusion_schedule": (RIGHT, None),
            "denoise": (None, None),
            "reverse_diffusion": (RIGHT, None),
        },
        {"denoise"},
    ),
    "the last hangs": (
        {
            "diffusion_schedule": (None, RIGHT),
            "denoise": (RIGHT, None),
            "reverse_diffusion": (None, None),
        },
        {"reverse_diffusion"},
    ),
}


@pytest.mark.parametrize("runs, stopped", MACHINES.values(), ids=MACHINES)
def test_an_answer_runs_again_alone_and_with_more_time_before_it_counts_as_stopped(
    monkeypatch, runs, stopped
):
    """When a kernel ends, the results of the later answers are lost as well."""
    calls = []

    def pretend(master, answers, seed, limits, box):
        calls.append((list(answers), limits.seconds))
        results = {}
        for name in answers:
            left = runs[name][limits.seconds > 10]
            if left is None:
                return results, {name: "Timeout of 10 seconds"}, None
            results[name] = left
        return results, {}, None

    monkeypatch.setattr(running, "_run", pretend)
    monkeypatch.setattr(Task, "judge", lambda task, seed, result: ("right", result))
    master = SimpleNamespace(
        tasks=[Task(str(number), name, 4) for number, name in enumerate(runs)],
        recorded=(),
        taken=(),
    )
    verdicts = running.grade_answers(master, dict.fromkeys(runs, "source"), 1, Limits(seconds=10))
    assert {verdict.name for verdict in verdicts if verdict.outcome == "stopped"} == stopped
    assert all(
        verdict.outcome == "right" and not verdict.details
        for verdict in verdicts
        if verdict.name not in stopped
    )
    assert all(len(names) == 1 for names, seconds in calls if seconds > 10)
    assert {name for names, seconds in calls if seconds > 10 for name in names} == {
        name for name in runs if runs[name][0] is None
    }


def test_a_wrong_answer_that_breaks_the_kernel_affects_no_other(monkeypatch):
    """The first of three answers is wrong and breaks its kernel for the others.

    The second is right, and the third is wrong for its own reason.
    """

    def pretend(master, answers, seed, limits, box):
        spoiled = "first" in answers
        return (
            {
                name: RIGHT if name == "second" and not spoiled else "a wrong answer"
                for name in answers
            },
            {},
            None,
        )

    monkeypatch.setattr(running, "_run", pretend)
    monkeypatch.setattr(
        Task, "judge", lambda task, seed, result: ("right" if result == RIGHT else "wrong", result)
    )
    monkeypatch.setattr(Task, "share", lambda task, seed, result: 0.0)
    master = SimpleNamespace(
        tasks=[Task(name, name, 4) for name in ("first", "second", "third")], recorded=(), taken=()
    )
    verdicts = running.grade_answers(
        master, dict.fromkeys(("first", "second", "third"), "source"), 1, Limits()
    )
    assert [verdict.outcome for verdict in verdicts] == ["wrong", "right", "wrong"]


def test_the_instructions_for_repeating_a_verdict_work(monkeypatch, capsys):
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.partition("## Report a wrong verdict")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    monkeypatch.chdir(ROOT)
    answer = "def forward_step(images, noises, beta):\n    return images + beta * noises"
    exec(code, {"answer": answer, "seed": 7})
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("forward_step wrong ") and said[1].startswith("q_sample missing ")


@pytest.mark.parametrize("lab", sources(ROOT), ids=lambda path: path.stem)
def test_the_first_cell_imports_everything(lab):
    cells = Master(lab).notebook({}).cells
    assert (
        len(cells) == 1
        and f"_start('diffusion_lab.labs.lab{lab.name[:2]}.checks')" in cells[0].source
    )


def test_a_lab_without_exercises_cannot_be_graded(tmp_path):
    with pytest.raises(UserError, match="Lab 00 has no exercises"):
        run_grade(None, "0", tmp_path, ROOT, seconds=1, memory=1)


def test_if_no_notebook_has_answers_to_the_lab_that_is_an_error(tmp_path, pretended):
    hand_in(tmp_path / "in", ada=b"nothing", bob=b"nothing")
    with pytest.raises(UserError, match="No notebook .* lab 07. Is --lab correct.* of lab 07"):
        grade_class(tmp_path / "in", SOURCE, tmp_path / "out")


def test_a_folder_with_the_grading_of_another_lab_is_refused(tmp_path, pretended):
    hand_in(tmp_path / "in", ada=b"1")
    grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    with pytest.raises(UserError, match=r"contains the grading of another lab \(07\)"):
        grade_class(tmp_path / "in", sources(ROOT, ["02"])[0], tmp_path / "out")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"lab": "07_ddim.py", "seed": "new"}'])
def test_a_damaged_grading_is_one_sentence_and_grades_nothing(tmp_path, pretended, content):
    hand_in(tmp_path / "in", ada=b"1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "grading.json").write_text(content)
    with pytest.raises(UserError, match="grading.json is damaged: choose another folder"):
        grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    assert pretended == [] and (tmp_path / "out" / "grading.json").read_text() == content


def test_a_second_grading_in_the_same_folder_is_refused(tmp_path, pretended):
    hand_in(tmp_path / "in", ada=b"1")
    with (
        only_one(tmp_path / "out", "grading"),
        pytest.raises(UserError, match="Another grading is running"),
    ):
        grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    assert pretended == ["ada"]


def test_if_the_folder_disappears_results_are_kept(tmp_path, pretended, monkeypatch):
    hand_in(tmp_path / "in", ada=b"1", bob=b"2")
    honest = grading.find_submissions

    def find(*arguments):
        for submission in honest(*arguments):
            yield submission
            if broken:
                raise FileNotFoundError(2, "No such file or directory")

    broken = True
    monkeypatch.setattr(grading, "find_submissions", find)
    with pytest.raises(UserError, match="can no longer be read .* All results so far are saved"):
        grade_class(tmp_path / "in", SOURCE, tmp_path / "out")
    broken = False
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert len(grade_class(tmp_path / "in", SOURCE, tmp_path / "out")[1]) == 2


def test_the_students_whom_the_grader_waits_for_are_named(tmp_path, pretended, monkeypatch):
    named, release = [], threading.Event()

    def wait_for(names):
        named.append(names)
        release.set()

    def slow(submission, settings):
        if submission.student == "bob":
            release.wait(60)  # a broken grader names nobody
        return quickly(submission, settings)

    quickly = grading.grade_submission
    monkeypatch.setattr(grading, "grade_submission", slow)
    monkeypatch.setattr(grading, "PATIENCE", 0.01)
    hand_in(tmp_path / "in", ada=b"1", bob=b"2")
    grading.grade_class(tmp_path / "in", SOURCE, tmp_path / "out", waiting=wait_for)
    assert ["bob"] in named or ["ada", "bob"] in named


def test_a_mistake_in_the_request_is_reported_before_tensorflow_is_imported(tmp_path):
    code = (
        "import sys\n"
        "from diffusion_lab.commands.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print('slow:', sorted({'keras', 'tensorflow'} & {*sys.modules}))"
    )
    grade = [sys.executable, "-c", code, "grade", "--root", str(SOURCE.parents[1])]
    for mistake in (
        ["nowhere", "--sandbox", "none"],
        ["in", "--roster", "no.csv"],
        ["in", "--late", "1"],
    ):
        ended = subprocess.run(
            [*grade, *mistake],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(SOURCE.parents[1])},
        )
        assert ended.returncode == 2 and "slow: []" in ended.stdout, (mistake, ended)


def test_only_a_few_submissions_are_in_memory(tmp_path, pretended):
    hand_in(tmp_path / "in", **{f"s{number}": b"%d" % number for number in range(40)})
    seen = []
    grade_class(
        tmp_path / "in",
        SOURCE,
        tmp_path / "out",
        jobs=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (40, 40) and len(seen) > 10, (
        "results are saved one by one, not all at the end"
    )


def grades(out):
    with open(out / "grades.csv", encoding="utf-8-sig", newline="") as file:
        return {line["Student"]: float(line["Lab 07"]) for line in csv.DictReader(file)}


def command(*arguments):
    return [
        sys.executable,
        "-m",
        "diffusion_lab",
        "grade",
        "--root",
        str(ROOT),
        "--seconds",
        "10",
        *map(str, arguments),
    ]


def test_the_mistakes_of_the_sample_class_are_diagnosed(tmp_path):
    write_sample_class(SOURCE, tmp_path)
    for student, mistakes in MISTAKES.items():
        (path,) = (tmp_path / student).iterdir()
        notebook = nbformat.read(path, 4)
        for _, name, cell in exercises(notebook):
            if isinstance(mistakes.get(name), int):
                exercise, namespace = checks.exercises()[name], {"math": math, "ops": keras.ops}
                exec(cell.source, namespace)
                with pytest.raises(CheckFailed) as failure:
                    exercise.diagnose(namespace[name])
                assert failure.value.hint == exercise.mistakes[mistakes[name]].hint


@pytest.mark.slow
@boxed
def test_the_sample_class_gets_its_points_even_if_the_grader_is_killed_half_way(tmp_path):
    """Uses the command. A second run must finish the first, and a third must do nothing."""
    write_sample_class(SOURCE, (tmp_path / "in"))
    arguments = command(tmp_path / "in", "--out", tmp_path / "out", "--seed", 3)
    kept = tmp_path / "out" / "results"
    first = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while first.poll() is None and (not kept.exists() or len(list(kept.glob("*.json"))) < 3):
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = {path.name: path.stat().st_mtime_ns for path in kept.glob("*.json")}
    assert 3 <= len(before) < 10
    subprocess.run(arguments, check=True, capture_output=True)
    after = {path.name: path.stat().st_mtime_ns for path in kept.glob("*.json")}
    assert len(after) == 10 and {name: after[name] for name in before} == before
    assert grades(tmp_path / "out") == POINTS
    third = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert {
        path.name: path.stat().st_mtime_ns for path in kept.glob("*.json")
    } == after and "10 submissions" in third.stdout


@pytest.mark.slow
@boxed
def test_without_a_sandbox_the_verdicts_are_the_same_and_the_report_says_so(tmp_path):
    write_sample_class(SOURCE, (tmp_path / "in"))
    for path in (tmp_path / "in").iterdir():
        if path.name not in ("Ada Alvarez", "Bela Bartos"):
            shutil.rmtree(path)
    (tmp_path / "without").mkdir()
    # most people do not have JAX
    (tmp_path / "without" / "jax.py").write_text("raise ModuleNotFoundError('No module named jax')")
    said = subprocess.run(
        command(tmp_path / "in", "--out", tmp_path / "out", "--sandbox", "none"),
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "without")},
    )
    assert grades(tmp_path / "out") == {"Ada Alvarez": 24, "Bela Bartos": 20}
    assert "sandbox: none" in said.stdout
    assert "Without a sandbox" in (tmp_path / "out" / "summary.html").read_text()


def test_without_bubblewrap_the_grader_refuses_and_says_what_to_install(run, tmp_path, monkeypatch):
    hand_in(tmp_path / "in", ada=b"{}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    status, _, err = run(*command(tmp_path / "in")[3:])
    assert status == 2 and "apt install bubblewrap" in err and err.count("\n") == 1
    assert "needs root and Linux" in err and "--sandbox none" in err


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ([], "or --sample"),
        (["--sample", "--out", "file"], "Could not write"),
        (["nowhere"], "There is no nowhere"),
        (["--sample", "--lab", "03"], "did lab 07"),
        (["--sample", "--lab", "77"], "There is no lab 77"),
        (["--sample", "--late", "10%/day"], "give --due as well"),
        (["--sample", "--due", "tomorrow"], "is not a time"),
        (["--sample", "--compare-with", "nowhere"], "--compare-with: there is no nowhere"),
    ],
)
def test_errors_that_a_person_can_fix_are_one_sentence(
    run, arguments, sentence, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    status, _, err = run(*command(*arguments)[3:])
    assert status == 2 and sentence in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "nothing is left behind"
