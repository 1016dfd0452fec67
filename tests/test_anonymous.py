"""Anonymous grading: no name in the summary and the terminal until the points are in."""

import re
from pathlib import Path

import pytest

from diffusion_lab.commands import grade as command
from diffusion_lab.commands.reports import Reporting
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.manual import MANUAL
from tests.graded import LONG, SETTINGS, result, table

NAMES = [f"{name}son" for name in ("Ada", "Bob", "Cem", "Dan", "Eve", "Fay", "Gil", "Hal")]
ALL = "key,points,comment\n" + "".join(f"{name}|{name.lower()}7,5,\n" for name in NAMES)


def a_class(**more):
    return [
        result(
            name,
            id=f"{name.lower()}7",
            key=f"{name}|{name.lower()}7",
            written=6.0,
            remarks=[f"perhaps a copy of what {name} handed in"],
            problem=f"Only {name}.pdf was handed in." * (name == "Evason"),
            answers={"first": LONG},
            **more,
        )
        for name in NAMES
    ]


def visible(out):
    """Returns the summary without the keys that the form saves, which are not shown."""
    text = (out / "summary.html").read_text(encoding="utf-8")
    return re.sub(r' data-key="[^"]*"', "", text)


def shown(text):
    return [name for name in NAMES if name.lower() in text.lower()]


def test_no_name_is_shown_until_every_written_part_has_points(tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, a_class(), anonymous=True)
    text = visible(tmp_path)
    assert not shown(text) and "Names are hidden until" in text and 'href="feedback' not in text
    assert text.count("Student 8") == 3, "in the table, with the written part, and as similar"
    (tmp_path / MANUAL).write_text(ALL.replace("Bobson|bobson7,5", "Bobson|bobson7,"))
    write_gradebook(tmp_path, "07", SETTINGS, a_class(), anonymous=True)
    assert not shown(visible(tmp_path))
    (tmp_path / MANUAL).write_text(ALL)
    write_gradebook(tmp_path, "07", SETTINGS, a_class(), anonymous=True)
    assert shown(visible(tmp_path)) == NAMES and "Names are hidden" not in visible(tmp_path)


def test_without_the_flag_names_are_shown(tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, a_class())
    assert shown(visible(tmp_path)) == NAMES


def test_a_student_who_wrote_nothing_needs_no_points(tmp_path):
    (tmp_path / MANUAL).write_text(ALL.replace("Bobson|bobson7,5", "Bobson|bobson7,"))
    class_ = a_class()
    class_[1].texts["summary"] = ""
    write_gradebook(tmp_path, "07", SETTINGS, class_, anonymous=True)
    assert shown(visible(tmp_path)) == NAMES


def test_the_order_is_random_and_stays(tmp_path):
    def order():
        write_gradebook(tmp_path, "07", SETTINGS, a_class(), anonymous=True)
        text = (tmp_path / "summary.html").read_text(encoding="utf-8")
        return re.findall(r'<div class="work" data-key="(\w+)\|', text)

    first = order()
    assert sorted(first) == NAMES and first != NAMES and order() == first


def test_other_reports_are_as_before(tmp_path):
    rows = write_gradebook(tmp_path / "a", "07", SETTINGS, a_class(), anonymous=True)
    write_gradebook(tmp_path / "b", "07", SETTINGS, a_class())
    assert [row.student for row in rows] == NAMES and table(tmp_path / "a") == table(tmp_path / "b")
    for row in rows:
        pages = [(tmp_path / out / "feedback" / row.page).read_bytes() for out in "ab"]
        assert pages[0] == pages[1]


@pytest.mark.parametrize("points", ["", ALL])
def test_the_table_in_the_terminal_is_anonymous_too(points, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "grade_class", lambda *more, **options: (SETTINGS, a_class()))
    (tmp_path / "out").mkdir()
    if points:
        (tmp_path / "out" / MANUAL).write_text(points)
    root = Path(__file__).parents[1]
    command.run_grade(
        tmp_path,
        "07",
        tmp_path / "out",
        root,
        seconds=1,
        memory=1,
        reporting=Reporting(anonymous=True),
    )
    said = capsys.readouterr().out
    assert shown(said) == (NAMES if points else [])
    assert ("so the reports show names" in said) == bool(points)
