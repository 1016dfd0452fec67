"""`diffusion-lab forget` removes a student from the folder of a grading."""

import json
import zipfile
from dataclasses import replace

import pytest

from diffusion_lab.commands.reports import Reporting, write_reports
from diffusion_lab.errors import UserError
from diffusion_lab.instructor.forget import NOBODY, forget
from diffusion_lab.instructor.platforms.rosters import read_roster
from tests.graded import SETTINGS, result

MOODLE = """Identifier,Full name,ID number,Email address,Status,Grade,Maximum Grade,\
Last modified (grade)
Participant 1,Ada Lovelace,23456780,ada@a.edu,Submitted,,8.00,-
Participant 2,Ben Adeyemi,23456781,ben@a.edu,Submitted,,8.00,-
Participant 3,Cy Clark,23456782,cy@a.edu,No submission,,8.00,-
"""


@pytest.fixture
def graded(tmp_path):
    """Returns the folder of a grading of Ada and Ben, twice, with files for Moodle."""
    out = tmp_path / "out"
    (out / "results").mkdir(parents=True)
    (tmp_path / "roster.csv").write_text(MOODLE, encoding="utf-8")
    roster = read_roster(tmp_path / "roster.csv", "07", None)
    ada = result(
        "Ada Lovelace", id="23456780", place="Ada Lovelace_1_assignsubmission_file/a.ipynb"
    )
    ben = result(
        "Ben Adeyemi",
        id="23456781",
        place="Ben Adeyemi_2_assignsubmission_file/a.ipynb",
        remarks=["the same weights as Ada Lovelace"],
    )
    for name, each in {"1": ada, "2": replace(ben, remarks=[])}.items():
        (out / "results" / f"{name}.json").write_text(each.to_json(), encoding="utf-8")
    write_reports(out, "07", SETTINGS, [ada, ben], roster, Reporting())
    better = result("Ada Lovelace", (4.0, 4.0), id="23456780", place=ada.place, digest="2")
    (out / "results" / "3.json").write_text(better.to_json(), encoding="utf-8")
    write_reports(out, "07", SETTINGS, [better, ben], roster, Reporting())
    return out


def content(path):
    """Returns a file's content, or that of all files in a zip, with their names."""
    if path.suffix != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return b"".join(name.encode() + archive.read(name) for name in archive.namelist())


def files_with(out, *texts):
    return [
        path.name
        for path in out.rglob("*")
        if path.is_file()
        and any(each.encode() in content(path) + path.name.encode() for each in texts)
    ]


@pytest.mark.parametrize("text", ["Ada Lovelace", "lovelace, ada", "23456780"])
def test_no_file_contains_the_student_afterwards(run, graded, text):
    traces = "Ada", "Lovelace", "23456780"
    (page,) = [path.name for path in (graded / "feedback").glob("Ada*")]
    before = {"changes.csv", "feedback-moodle.zip", "grades.csv", "grades.json", "manual.csv"}
    before |= {"oral.html", "summary.html", "upload-moodle.csv", "1.json", "3.json", page}
    assert before == {*files_with(graded, *traces)}
    status, said, error = run("forget", *text.split(), "--out", graded)  # with or without quotes
    assert status == 0 and "still contain" not in said, error
    assert said.startswith("Ada Lovelace is removed")
    assert not files_with(graded, *traces)
    (ben,) = json.loads((graded / "grades.json").read_text(encoding="utf-8"))["students"]
    assert ben["points"] == 4 and f"the same weights as {NOBODY}" in ben["remarks"]
    kept = {"grades.csv", "grades.json", "manual.csv", "2.json", ben["page"]}
    assert kept == {*files_with(graded, "Ben")}


def test_a_student_who_handed_in_nothing_can_be_removed(graded):
    assert files_with(graded, "Cy Clark")
    assert forget("Cy Clark", graded) == ("Cy Clark", [])
    assert not files_with(graded, "Cy Clark")


def test_files_with_the_name_in_the_words_of_others_are_named(graded):
    page = next((graded / "feedback").glob("Ben*"))
    page.write_text("I thank Ada Lovelace.", encoding="utf-8")
    assert forget("Ada Lovelace", graded) == ("Ada Lovelace", [page])


def test_it_must_be_clear_who_is_meant(graded, tmp_path):
    before = files_with(graded, "")
    with pytest.raises(
        UserError, match="no student .* 'Ada Lovelac'. Did you mean 'Ada Lovelace'?"
    ):
        forget("Ada Lovelac", graded)
    twin = result("Ada Lovelace", id="9")
    (graded / "results" / "4.json").write_text(twin.to_json(), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"2 students .* 'Ada Lovelace\|23456780', 'Ada Lovelace\|9'"
    ):
        forget("Ada Lovelace", graded)
    with pytest.raises(UserError, match="There is no grades.json"):
        forget("Ada Lovelace", tmp_path)
    assert {*before, "4.json", ".grading.lock"} == {*files_with(graded, ""), ".grading.lock"}


CANVAS = """Student,ID,Section,Lab 07 (1)
"Goto, Goro",10,A,
"Müller, Jörg",11,A,
"""


@pytest.mark.parametrize("text", ["Goro Goto", "goto, goro", "10"])
@pytest.mark.parametrize("key", ["gotogoro|10", "Goro Goto|"])
@pytest.mark.parametrize("spelling", ["Goro Goto", "Goto, Goro", "goro  goto"])
def test_every_spelling_of_a_name_is_found(text, key, spelling, tmp_path):
    """Canvas's roster has "Goto, Goro", and people write "Goro Goto"."""
    (tmp_path / "roster.csv").write_text(CANVAS, encoding="utf-8")
    roster, out = read_roster(tmp_path / "roster.csv", "07", None), tmp_path / "out"
    goro = result(key.split("|")[0], id="10", key=key)
    ben = result("mullerjorg", id="11", key="mullerjorg|11", remarks=[f"as {spelling}"])
    write_reports(out, "07", SETTINGS, [goro, ben], roster, Reporting())
    (out / "made-up-moodle.csv").write_text(f"Name\n{spelling}\n", encoding="utf-8")
    comment = f'mullerjorg|11,5,"Cites\n{spelling}. Gorogoto."\n'
    (out / "manual.csv").write_text(f"key,points,comment\n{comment}", encoding="utf-8")
    write_reports(out, "07", SETTINGS, [goro, ben], roster, Reporting())
    name, left = forget(text, out)
    assert name == "Goto, Goro"
    (page,) = (path.name for path in (out / "feedback").iterdir())
    assert {path.name for path in left} == {"made-up-moodle.csv", "manual.csv", "grades.json", page}
    (row,) = json.loads((out / "grades.json").read_text(encoding="utf-8"))["students"]
    assert row["remarks"] == [f"as {NOBODY}"]
    assert f"as {NOBODY}" in (out / "grades.csv").read_text(encoding="utf-8-sig")


def test_names_are_found_where_json_and_html_escape_them(tmp_path):
    (tmp_path / "roster.csv").write_text(CANVAS.replace("Jörg", "Jörg d'O"), encoding="utf-8")
    roster, out = read_roster(tmp_path / "roster.csv", "07", None), tmp_path / "out"
    goro, jorg = result("x", id="10"), result("Müller, Jörg d'O", id="11")
    out.mkdir()
    (out / "manual.csv").write_text(
        "key,points,comment\nx|10,5,See Jörg d'O Müller.\n", encoding="utf-8"
    )
    write_reports(out, "07", SETTINGS, [goro, jorg], roster, Reporting())
    _, left = forget("11", out)
    (page,) = (path.name for path in (out / "feedback").iterdir())
    assert {path.name for path in left} == {"manual.csv", "grades.json", page}


def test_an_ordinary_word_is_no_name(graded):
    will = result("Will", id="77")
    (graded / "results" / "4.json").write_text(will.to_json(), encoding="utf-8")
    (graded / "manual.csv").write_text(
        "key,points,comment\nBen Adeyemi|23456781,,It will do.\n", encoding="utf-8"
    )
    assert forget("Will", graded) == ("Will", [])
