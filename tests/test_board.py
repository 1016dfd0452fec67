"""The board of lab 11: the KID of students' tuned models in 1, 2 and 4 steps."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_quality import BOXED

from diffusion_lab.commands.grade import run_grade
from diffusion_lab.errors import UserError
from diffusion_lab.instructor import board, pages
from diffusion_lab.instructor.board import with_board
from diffusion_lab.instructor.manual import ByHand
from diffusion_lab.instructor.rows import row_of
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.verdicts import Result, Verdict
from diffusion_lab.models.weights import read_arrays, shipped_file, write_arrays

ROOT = Path(__file__).parents[1]
HANDED_IN = "my_few_steps.weights.h5"


def write_noisy(name, share, path):
    """Writes shipped weights with noise, as `share` of each array's standard deviation."""
    groups, about = read_arrays(shipped_file(name))
    rng = np.random.default_rng(0)
    groups["network"] = [
        array + rng.normal(0, share * np.std(array), array.shape).astype(array.dtype)
        for array in groups["network"]
    ]
    write_arrays(path, groups, about)


@BOXED
@pytest.mark.slow
def test_a_class_is_ranked_by_the_images_of_its_models(tmp_path):
    students = tmp_path / "class"
    for name in ("ada", "bob", "cem", "dan"):
        (students / name).mkdir(parents=True)
        shutil.copy(ROOT / "solutions" / "11_one_step.ipynb", students / name)
    write_noisy("flowers32_fewstep", 0.03, students / "bob" / HANDED_IN)
    write_noisy("flowers32", 0.03, students / "ada" / HANDED_IN)  # not tuned: poor in one step
    shutil.copy(shipped_file("flowers32_fewstep"), students / "cem" / HANDED_IN)
    run_grade(
        students, "11", tmp_path / "out", ROOT, seconds=30, memory=3 * 10**9, board=True, seed=1
    )
    page = (tmp_path / "out" / "summary.html").read_text()
    ranks = board_of(page)
    assert re.findall(r'">(ada|bob|cem|dan)<', ranks) == ["bob", "ada"]
    graded = json.loads((tmp_path / "out" / "grades.json").read_text())["students"]
    kids = {row["student"]: [kid for kid, error in row["board"]] for row in graded}
    one, two, four = kids["bob"]
    assert kids["ada"][0] > 2 * one > 2 * two
    assert all(row["points"] == graded[0]["points"] for row in graded)  # the board earns nothing
    remarks = {row["student"]: "; ".join(row["remarks"]) for row in graded}
    assert "shipped ones, flowers32_fewstep" in remarks["cem"]
    assert "no weights were handed in" in remarks["dan"]


def board_of(page):
    return page[page.index("Leaderboard") :].split("</table>")[0]


def result(name, **more):
    return Result(
        name, "", "11.ipynb", name, verdicts=[Verdict("11.1", "f", "right", 5, 5, "")], **more
    )


def test_weights_that_cannot_be_used_get_a_remark_and_cost_nothing(monkeypatch):
    monkeypatch.setattr(board, "generated_by_us", lambda *arguments: ({}, "an error"))
    known = result("ada", remarks=["late"])
    for weights, problem, reason in [
        (b"", "", "no weights were handed in"),
        (b"", "The weights cannot be used: a.h5 is a link.", "The weights cannot be used"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "", "no images can be generated"),
    ]:
        found = with_board(known, weights, problem, seed=1, limits=Limits(), box="bubblewrap")
        late, remark = found.remarks
        assert remark.startswith("not on the leaderboard: ") and reason in remark
        assert found == replace(known, remarks=[late, remark])


def test_pages_show_the_board_only_if_there_is_one():
    facts = {"lab": "11", "seed": 1, "sandbox": "bubblewrap", "time": "now"}
    kids = {"ada": 0.75, "bob": 0.5, "cem": None}
    rows = [
        row_of(result(name, board=[[kid, 0.1]] * 3 if kid else []), ByHand())
        for name, kid in kids.items()
    ]
    page = pages.summary_page(facts, rows, {}).decode()
    ranks = board_of(page)
    assert re.findall(r'">(ada|bob|cem)<', ranks) == ["bob", "ada"] and "0.50 ± 0.10" in ranks
    assert "0.75 ± 0.10 in 1 step, 0.75 ± 0.10 in 2 steps" in " ".join(
        pages.feedback_page("11", rows[0]).decode().split()
    )
    assert "KID" not in pages.feedback_page("11", rows[2]).decode()
    assert "Leaderboard" not in pages.summary_page(facts, rows[2:], {}).decode()


def test_only_lab_11_has_a_board(tmp_path):
    with pytest.raises(UserError, match="Only lab 11 has a leaderboard"):
        run_grade(tmp_path, "07", tmp_path / "out", ROOT, seconds=1, memory=1, board=True)
