"""The record of solved exercises, which checks write and a student can look at."""

import os

import pytest
from typer.testing import CliRunner

from diffusion_lab import checks
from diffusion_lab.commands.cli import app
from diffusion_lab.labs import exercise, progress, start
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.progress import RECORD


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder of notebooks in which a student works."""
    monkeypatch.delenv("DIFFUSION_LAB_PROFILE", raising=False)
    monkeypatch.setattr(exercise, "on_solved", [])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def show(folder):
    result = CliRunner().invoke(app, ["progress", "--folder", str(folder)], env={"COLUMNS": "200"})
    return result.output


def test_a_passed_check_is_remembered_in_the_next_session(notebooks, capsys):
    start.start()
    assert "solved" not in capsys.readouterr().out
    os.chdir("/")  # a cell may do that
    checks.forward_step(type(checks.forward_step).right)
    with pytest.raises(CheckFailed):
        checks.q_sample(lambda *arguments: 0)
    os.chdir(notebooks)
    assert progress.solved(notebooks / RECORD) == {checks.forward_step.number}
    start.start()
    said = capsys.readouterr().out
    assert f"Exercises solved so far: 1 of {count_of('2.')} in lab 02." in said
    table = show(notebooks)
    assert {"✓forward_step", "q_sample"} <= set(table.split())
    assert f"1 of {len(checks.exercises())} exercises." in table


def count_of(lab):
    return sum(each.number.startswith(lab) for each in checks.exercises().values())


def test_a_test_or_a_build_records_nothing(notebooks, monkeypatch):
    monkeypatch.setenv("DIFFUSION_LAB_PROFILE", "cpu")
    start.start()
    checks.forward_step(type(checks.forward_step).right)
    assert not (notebooks / RECORD).exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"solved": 3}', b"\xff\xfe", b'{"other": []}'])
def test_a_damaged_record_counts_as_empty_and_is_replaced(notebooks, content):
    record = notebooks / RECORD
    record.parent.mkdir()
    record.write_bytes(content)
    assert progress.solved(record) == set()
    for number in ("2.10", "2.9", "2.9"):
        progress.remember(record, number)
    assert record.read_text() == '{"solved": ["2.9", "2.10"]}'


def test_a_record_that_cannot_be_written_stops_nobody(notebooks):
    (notebooks / "out").write_text("a file where the folder should be")
    progress.remember(notebooks / RECORD, "2.1")
    assert progress.solved(notebooks / RECORD) == set()


def test_a_new_student_and_a_wrong_folder_are_told_what_to_do(notebooks):
    assert "A check that passes in a notebook adds its exercise" in show(notebooks)
    assert "There is no folder" in str(
        CliRunner().invoke(app, ["progress", "--folder", "elsewhere"]).exception
    )


def test_numbers_of_other_versions_are_not_counted():
    line = progress.summary({"2.1", "7.1", "99.1"}, {"2.1", "2.2", "7.1"})
    assert line == "Exercises solved so far: 1 of 2 in lab 02, 1 of 1 in lab 07."
