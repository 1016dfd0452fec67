"""changes.csv: whose points a regrading has changed, in which exercise, and why."""

import csv
import json
from dataclasses import replace

import pytest

from diffusion_lab.commands.reports import Reporting, write_reports
from diffusion_lab.instructor.changes import CHANGES, HEADER
from diffusion_lab.instructor.gradebook import GRADES, write_gradebook
from diffusion_lab.instructor.manual import MANUAL
from diffusion_lab.instructor.rows import Late
from tests.graded import SETTINGS, result, with_verdict


def ada(points=(4.0, 0.0), **more):
    return result("Ada", points, **{"digest": "1", "key": "Ada|12"} | more)


def regraded(out, first, second, settings=SETTINGS, late=({}, {}), manual=("", "")):
    """Returns the lines of changes.csv after two gradings."""
    for each, text, results, rules in zip((SETTINGS, settings), manual, (first, second), late):
        if text:
            (out / MANUAL).write_text(text, encoding="utf-8")
        write_gradebook(out, "07", each, results, late=rules)
    return written(out)


def written(out):
    """Returns the lines of changes.csv."""
    path = out / CHANGES
    if not path.exists():
        return []
    header, *lines = csv.reader(path.read_text(encoding="utf-8-sig").splitlines())
    assert tuple(header) == HEADER
    return lines


@pytest.mark.parametrize(
    "more, settings, why",
    [
        ({}, replace(SETTINGS, code="fixed"), "check or grader changed"),
        ({"digest": "2"}, replace(SETTINGS, code="fixed"), "new submission"),
        ({}, replace(SETTINGS, source="another", code="fixed"), "lab changed"),
        ({}, SETTINGS, "graded again"),
    ],
)
def test_a_change_has_a_reason(more, settings, why, tmp_path):
    lines = regraded(
        tmp_path, [ada(), result("Bob")], [ada((4.0, 4.0), **more), result("Bob")], settings
    )
    assert [line[:8] for line in lines] == [["Ada", "12", "7.2 second", "0", "4", why, "4", "8"]]


def test_a_change_shows_which_mistake_was_found_before_and_after(tmp_path):
    before = with_verdict(ada(), 1, sentence="You divided the rates.")
    after = with_verdict(ada((4.0, 4.0)), 1, sentence="right")
    (line,) = regraded(tmp_path, [before], [after], replace(SETTINGS, code="fixed"))
    assert line[8:] == ["You divided the rates.", "right"]


def test_a_grading_that_failed_before_is_not_a_changed_check(tmp_path):
    failed = ada((0.0, 0.0), failed=True, problem="It could not be graded.")
    lines = regraded(tmp_path, [failed], [ada()], replace(SETTINGS, code="fixed"))
    assert [line[2:6] for line in lines] == [["7.1 first", "0", "4", "graded again"]]


def test_points_by_hand_and_lateness(tmp_path):
    lines = regraded(
        tmp_path,
        [ada()],
        [ada()],
        late=({}, {"Ada|12": Late("1 day late: −10 %", percent=10)}),
        manual=("", "key,points,comment,7.2\nAda|12,3,,2\n"),
    )
    assert [line[2:8] for line in lines] == [
        ["7.2 second", "0", "2", "points by hand", "4", "8.1"],
        ["manual", "0", "3", "points by hand", "4", "8.1"],
        ["late", "0", "-0.9", "late policy", "4", "8.1"],
    ]
    rule = {"Ada|12": Late("1 day late: −10 %", percent=10)}
    lines = regraded(tmp_path, [ada()], [ada((0.0, 0.0))], late=(rule, rule))
    assert [line[2:6] for line in lines] == [
        ["7.1 first", "4", "0", "graded again"],
        ["late", "-0.9", "-0.5", "follows from the other points"],
    ]


def test_an_exercise_that_was_added(tmp_path):
    longer = ada()
    longer.verdicts.append(replace(longer.verdicts[0], number="7.3", name="third"))
    lines = regraded(tmp_path, [ada()], [longer], replace(SETTINGS, source="another"))
    assert [line[2:6] for line in lines] == [["7.3 third", "", "4", "lab changed"]]


def test_without_a_change_there_is_no_file(tmp_path):
    changed = with_verdict(ada(), 1, sentence="Another sentence.")
    second = [changed, result("Bob")]  # who is new
    assert regraded(tmp_path, [ada()], second, replace(SETTINGS, code="fixed")) == []
    assert not (tmp_path / CHANGES).exists()


@pytest.mark.parametrize(
    "content",
    ["{}", "[]", "no JSON", '{"students": []}', '{"students": [{"student": "Ada"}]}']
    + ['{"students": {"Ada": 4}}', '{"students": [{"key": "Ada|12", "verdicts": []}]}'],
)
def test_a_grade_book_that_cannot_be_compared(content, tmp_path):
    (tmp_path / GRADES).write_text(content)
    assert regraded(tmp_path, [ada()], [ada()]) == []


def test_an_older_grade_book_is_compared(tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, [ada()])
    old = json.loads((tmp_path / GRADES).read_text())
    for name in ("source", "code"):
        del old[name]
    for name in ("late", "deduction", "overrides", "hold", "handed_in"):
        del old["students"][0][name]
    (tmp_path / GRADES).write_text(json.dumps(old))
    write_gradebook(tmp_path, "07", SETTINGS, [ada((0.0, 0.0))])
    lines = written(tmp_path)
    assert [line[2:5] for line in lines] == [["7.1 first", "4", "0"]]
    assert lines[0][5] == "check or grader changed"


def test_options_of_the_last_grading_that_are_left_out_are_named(tmp_path):
    def said(options):
        reporting = Reporting(options=options)
        return write_reports(tmp_path, "07", SETTINGS, [ada()], None, reporting)[1]

    first = {"--late": "10%/day", "--board": "", "--grace": "15m"}
    assert said(first) == said(first) == []
    (sentence,) = said({"--grace": "1h"})
    assert sentence.startswith("Last time you also gave --late 10%/day, --board. If")
    assert sentence in (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert said({}) and said({}) == []


def test_the_terminal_says_without_a_roster_that_written_parts_are_not_graded(tmp_path):
    results = [replace(ada(), written=6.0)]
    _, (said,) = write_reports(tmp_path, "07", SETTINGS, results, None, Reporting())
    assert said.startswith("1 of 1 students has no points for the written part yet")


def test_points_are_compared_with_the_last_complete_grading(tmp_path, monkeypatch):
    write_gradebook(tmp_path, "07", SETTINGS, [ada()])
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("diffusion_lab.instructor.gradebook.summary_page", lambda *more: 1 / 0)
        write_gradebook(tmp_path, "07", SETTINGS, [ada((0.0, 0.0))])
    write_gradebook(tmp_path, "07", SETTINGS, [ada((4.0, 4.0))])
    assert [line[2:5] for line in written(tmp_path)] == [["7.2 second", "0", "4"]]
    write_gradebook(tmp_path, "07", SETTINGS, [ada((4.0, 4.0))])
    assert written(tmp_path) == [], "the file is about the last grading"
