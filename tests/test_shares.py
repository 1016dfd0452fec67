"""Partial credit: a known mistake may be worth a share of the points, and nothing else is."""

import base64
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from diffusion_lab import checks
from diffusion_lab.errors import UserError
from diffusion_lab.instructor import running
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.master import DRAWS, FIRST, Master, Task
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.labs.outputs import encode_sentence
from tests.graded import SETTINGS, result, table, with_verdict

ANSWER = "def forward_step(images, noises, beta):\n    return 1"
SOURCE = sources(Path(__file__).parents[1], ["02"])[0]
WORTH = 3  # the number of the mistake that earns half of the points


@pytest.fixture
def task(monkeypatch):
    """The exercise `forward_step` of lab 02, in which one mistake is worth half of the points."""
    check = checks.exercises()["forward_step"]
    table = [
        mistake._replace(share=0.5 * (number == WORTH))
        for number, mistake in enumerate(check.mistakes)
    ]
    monkeypatch.setattr(type(check), "mistakes", table)
    (task,) = (task for task in Master(SOURCE).tasks if task.name == "forward_step")
    return task


def results_file(task, function, seed=5, stops="", last=None):
    """Returns the file that the sandbox leaves for an answer: `last` answers the last draw."""
    outputs = {}
    draws = {}
    for key, values in task.inputs(seed).items():
        draw, name = key.split("/", 1)
        draws.setdefault(draw, {})[name] = values
    for draw, inputs in draws.items():
        answer = last if last and draw == str(DRAWS - 1) else function
        found = task.check.measured(answer, inputs)
        if draw == FIRST:
            found |= {"stops": encode_sentence(stops), "rehearsed": task.expected["rehearsed"]}
        outputs |= {f"{draw}/{name}": values for name, values in found.items()}
    packed = {
        key: {
            "shape": np.shape(values),
            "float64": base64.b64encode(np.asarray(values, "float64").tobytes()).decode(),
        }
        for key, values in outputs.items()
    }
    return json.dumps({"outputs": packed}).encode()


def verdict_on(task, content, source=ANSWER, seed=5, monkeypatch=None):
    monkeypatch.setattr(
        running, "_run", lambda master, answers, *more: ({task.name: content}, {}, None)
    )
    master = SimpleNamespace(tasks=[task], recorded={"flags"}, taken=set())
    return running.grade_answers(master, {task.name: source}, seed, Limits())[0]


def test_a_mistake_that_is_worth_a_share_earns_it(task, monkeypatch):
    check = task.check
    for number, mistake in enumerate(check.mistakes):
        content = results_file(task, mistake.function(check.right))
        verdict = verdict_on(task, content, monkeypatch=monkeypatch)
        assert verdict.points == (task.points / 2 if number == WORTH else 0)
        assert verdict.outcome == "wrong" and verdict.sentence == mistake.hint
    right = verdict_on(task, results_file(task, check.right), monkeypatch=monkeypatch)
    assert (right.outcome, right.points) == ("right", task.points)


def test_numbers_must_be_those_of_the_mistake_on_every_draw(task, monkeypatch):
    check = task.check
    wrong, other = (check.mistakes[number].function(check.right) for number in (WORTH, 0))
    for content in (
        results_file(task, wrong, last=other),
        results_file(task, wrong, last=check.right),
        results_file(task, wrong, seed=6),
        results_file(task, wrong, stops="It stops in the lab."),
        b"no JSON",
        json.dumps({"failed": check.mistakes[WORTH].hint}).encode(),
    ):
        verdict = verdict_on(task, content, monkeypatch=monkeypatch)
        assert (verdict.outcome, verdict.points) == ("wrong", 0)


def test_tampering_earns_no_share(task, monkeypatch):
    content = results_file(task, task.check.mistakes[WORTH].function(task.check.right))
    forgery = ANSWER.replace("return 1", "self.flags = 1\n    return 1")
    verdict = verdict_on(task, content, forgery, monkeypatch=monkeypatch)
    assert (verdict.outcome, verdict.points) == ("stopped", 0)
    assert verdict.sentence.startswith("The answer would earn part of the points, but it uses")


def test_no_mistake_of_the_course_is_worth_anything():
    assert not [
        mistake
        for exercise in checks.exercises().values()
        for mistake in exercise.mistakes
        if mistake.share
    ]


@pytest.mark.parametrize("share", [5, -0.1, float("nan")])
def test_a_share_is_from_0_to_1(share, monkeypatch):
    check = checks.exercises()["forward_step"]
    monkeypatch.setattr(type(check), "mistakes", [check.mistakes[0]._replace(share=share)])
    with pytest.raises(UserError, match="forward_step, a mistake has share=.*from 0 to 1"):
        Master(SOURCE)


def test_reports_show_a_partly_solved_exercise(tmp_path):
    ada = with_verdict(result("Ada"), 1, points=2.0, sentence="You are one step behind.")
    rows = [ada, result("Bob", (4.0, 4.0)), result("Cem")]
    write_gradebook(tmp_path, "07", SETTINGS, rows)
    assert table(tmp_path)[1][2:6] == ["6", "8", "4", "2"]
    text = " ".join((tmp_path / "summary.html").read_text(encoding="utf-8").split())
    solved = re.findall(r'<td class="n">(\d of 3[^<]*)</td>', text)
    assert solved == ["3 of 3", "1 of 3, 1 partly"]
    assert "1 × You are one step behind." in text and '<td class="partly"' in text
    page = next((tmp_path / "feedback").glob("Ada*")).read_text(encoding="utf-8")
    assert '<section class="partly">' in page and "◐" in page and "2 of 4</h2>" in page
    assert "<b>6</b> of 8 points" in page


def test_a_task_without_shares_measures_no_mistake(monkeypatch):
    monkeypatch.setattr("diffusion_lab.instructor.master.share_of", lambda *more: 1 / 0)
    assert Task("2.1", "forward_step", 4).share(1, b"{}") == 0
