"""Rosters, and the files that Canvas and Moodle import: as their own importers read them."""

import csv
import html
import io
import json
import re
import zipfile
from dataclasses import replace

import pytest

from diffusion_lab.commands.reports import Reporting, write_reports
from diffusion_lab.errors import UserError
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.lateness import read_policy
from diffusion_lab.instructor.names import spellings
from diffusion_lab.instructor.platforms.roster import agree
from diffusion_lab.instructor.platforms.rosters import match, read_roster
from diffusion_lab.instructor.platforms.uploads import (
    remarks_on_platform,
    remove_uploads,
    write_uploads,
)
from diffusion_lab.instructor.results import Settings
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.tables import number
from diffusion_lab.instructor.verdicts import Result, Verdict

SETTINGS = Settings("", "07_toy.py", 5, Limits())
CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,Notes,Lab 06 (810),Lab 07: DDIM (811),Final Score
,,,,,,,Manual Posting,
    Points Possible,,,,,,10,8,(read only)
"Lovelace, Ada",101,s1,ada@uni.edu,"A and B",,9,,90
"Müller, Jörg",102,s2,joerg,A,late,8,3,70
"Hopper, Grace",103,s3,grace,A,,,,
"Student, Test",104,,,A,,,,
"""
MOODLE = """\
Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,\
Last modified (submission),Last modified (grade),Feedback comments
Participant 501,Ada Lovelace,ada@uni.edu,Submitted for grading,,100.00,Yes,"Monday, 1 June 2026",-,
Participant 502,Jörg Müller,joerg@uni.edu,Submitted for grading,3.00,100.00,Yes,-,-,Come and see me.
Participant 503,Grace Hopper,grace@uni.edu,No submission,,100.00,Yes,-,-,
"""


def result(student, number="", earned=6.0, place="", **more):
    verdict = Verdict("7.1", "first", "wrong", earned, 8.0, "You *divided* by <2>.")
    return Result(student, number, place or f"{student}.ipynb", verdicts=[verdict], **more)


def roster_of(tmp_path, text, assignment=None, encoding="utf-8"):
    path = tmp_path / "roster.csv"
    path.write_bytes(text.encode(encoding))
    return read_roster(path, "07", assignment)


def graded(tmp_path, roster, results):
    """Returns what the instructor is told, after writing all files into tmp_path / "out"."""
    matches = match(results, roster)
    rows = write_gradebook(tmp_path / "out", "07", SETTINGS, matches.results, matches.absent)
    return write_uploads(tmp_path / "out", "07", rows, roster, matches)


def upload(tmp_path, platform):
    text = (tmp_path / "out" / f"upload-{platform}.csv").read_text(encoding="utf-8")
    return list(csv.reader(io.StringIO(text, newline="")))


def imported_by_canvas(rows):
    """Returns ({ID of a student: {assignment: grade}}, {assignment: points}), by the rules of
    gradebook_importer.rb.
    """
    header, *lines = rows
    names = 2 if header[:2] == ["LastName", "FirstName"] else 1
    assert "Student" in header[0] or names == 2
    assert "ID" in header[names]
    place = names + 1
    if header[place] == "SIS User ID":
        place += 1
    if header[place] == "SIS Login ID":
        place += 1
    place += header[place] == "Integration ID"
    place += header[place] == "Root Account"
    assert "Section" in header[place], "otherwise Canvas says: Invalid header row"
    titles = header[place + 1 :]
    grades, possible = {}, {}
    for line in lines:
        cells = dict(zip(titles, line[place + 1 :]))
        if "Points Possible" in line[0]:
            possible = cells
        else:
            grades[line[names]] = cells
    return grades, possible


def imported_by_moodle(rows):
    """Returns {number of a participant: (grade, comment)}, by the rules of importgradeslib.php."""
    header, *lines = rows
    places = [header.index(name) for name in ("Identifier", "Grade", "Last modified (grade)")]
    found = {}
    for line in lines:
        grade = float(line[places[1]])
        assert 0 <= grade <= float(line[header.index("Maximum Grade")]), "Moodle would skip it"
        participant = line[places[0]][len("Participant ") :]
        found[participant] = grade, line[header.index("Feedback comments")]
    return found


def test_canvas_imports_the_points_of_one_assignment(tmp_path):
    roster = roster_of(tmp_path, CANVAS)
    said = graded(
        tmp_path, roster, [result("lovelaceada", "101"), result("mullerjorg", "102", 4.5)]
    )
    grades, possible = imported_by_canvas(upload(tmp_path, "canvas"))
    title = "Lab 07: DDIM (811)"
    assert grades == {"101": {title: "6"}, "102": {title: "4.5"}}, "Grace keeps her empty cell"
    assert possible == {title: "8"} and not [text for text in said if "convert" in text]
    facts = json.loads((tmp_path / "out" / "grades.json").read_text())
    assert facts["absent"] == ["Hopper, Grace"]
    assert [student["student"] for student in facts["students"]] == [
        "Lovelace, Ada",
        "Müller, Jörg",
    ]
    assert "Hopper, Grace" in (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")


def test_a_grade_book_with_separate_names_and_without_student_numbers(tmp_path):
    text = (
        "LastName,FirstName,ID,SIS Login ID,Section,Lab 7 (811)\n"
        "    Points Possible,,,,,8\nLovelace,Ada,101,ada,A,\n"
    )
    roster = roster_of(tmp_path, text)
    graded(tmp_path, roster, [result("lovelaceada", "101")])
    assert imported_by_canvas(upload(tmp_path, "canvas"))[0] == {"101": {"Lab 7 (811)": "6"}}
    assert roster.people[1].name == "Lovelace Ada"


def test_the_assignment_can_be_named(tmp_path):
    for name in ("Lab 06", "810", "Lab 06 (810)"):
        roster = roster_of(tmp_path, CANVAS, name)
        assert roster.header[roster.grade] == "Lab 06 (810)" and roster.possible == "10"
    with pytest.raises(UserError, match=r"no assignment 'Lab 9'.*'Lab 06 \(810\)'.*--assignment"):
        roster_of(tmp_path, CANVAS, "Lab 9")


@pytest.mark.parametrize("titles", [["Quiz 7"], ["Quiz 7", "Homework 07"], ["Prelab 7: DDIM"]])
def test_an_assignment_with_only_the_number_of_the_lab_is_never_chosen(titles, tmp_path):
    """The import would overwrite the grades of the quiz."""
    text = CANVAS.replace("Lab 07: DDIM (811)", ",".join(f"{title} (811)" for title in titles))
    named = ", ".join(re.escape(repr(f"{title} (811)")) for title in titles)
    with pytest.raises(UserError, match=f"called Lab 07, .*: {named}. Choose .*--assignment"):
        roster_of(tmp_path, text)
    roster = roster_of(tmp_path, text, titles[-1])
    assert roster.header[roster.grade] == f"{titles[-1]} (811)"


def test_several_assignments_that_begin_alike_are_named(tmp_path):
    text = CANVAS.replace("Lab 06 (810)", "Lab 7 (810)").replace("Lab 07: DDIM", "Lab 07")
    with pytest.raises(UserError, match=r"several.*'Lab 7 \(810\)', 'Lab 07 \(811\)'"):
        roster_of(tmp_path, text)


@pytest.mark.parametrize(
    "titles",
    [
        ["Lab 07", "Lab 07: DDIM"],
        ["lab 7", "Prelab 07", "Lab 7 (again)"],
        ["Lab 07: DDIM", "Quiz 7", "Lab 70", "Lab 7.5"],
        ["Lab07 - DDIM", "Reading for lab 07"],
    ],
)
def test_the_title_that_names_the_lab_best_is_chosen(titles, tmp_path):
    for order in (titles, titles[::-1]):
        columns = ",".join(f"{title} ({800 + len(title)})" for title in order)
        header = CANVAS.split("\n")[0].replace("Lab 06 (810),Lab 07: DDIM (811)", columns)
        roster = roster_of(tmp_path, f'{header}\n"Lovelace, Ada",101,s1,ada,A,\n')
        assert roster.header[roster.grade].startswith(f"{titles[0]} (")


def test_the_beginning_of_a_title_is_enough(tmp_path):
    roster = roster_of(tmp_path, CANVAS, "lab 07")
    assert roster.header[roster.grade] == "Lab 07: DDIM (811)"
    with pytest.raises(UserError, match="no assignment 'Lab 0'"):
        roster_of(tmp_path, CANVAS, "Lab 0")


def test_an_assignment_that_canvas_does_not_have_yet(tmp_path):
    roster = roster_of(tmp_path, CANVAS.replace("Lab 07: DDIM (811)", "Essay (811)"))
    said, *_ = graded(tmp_path, roster, [result("lovelaceada", "101")])
    grades, possible = imported_by_canvas(upload(tmp_path, "canvas"))
    assert grades == {"101": {"Lab 07": "6"}} and possible == {"Lab 07": "8"}
    assert "Canvas will offer to create one" in said


def test_points_are_converted_to_those_of_the_platform(tmp_path):
    roster = roster_of(tmp_path, MOODLE)
    said, *_ = graded(
        tmp_path,
        roster,
        [result("Ada Lovelace", "501"), result("Jörg Müller", "502", 8 / 3)],
    )
    found = imported_by_moodle(upload(tmp_path, "moodle"))
    assert {key: grade for key, (grade, _) in found.items()} == {"501": 75, "502": 33.33}
    assert "100 points in Moodle, and the lab has 8" in said


@pytest.mark.parametrize("possible", ["100.00", "100", '"100,00"'])
@pytest.mark.parametrize("header", ["Maximum grade", "Maximum Grade", "maximum grade"])
def test_moodles_points_are_converted_however_it_spells_its_columns(header, possible, tmp_path):
    text = MOODLE.replace("Maximum Grade", header).replace("100.00", possible)
    text = text.replace("Feedback comments", "Feedback Comments").replace("Full name", "Full Name")
    said = " ".join(graded(tmp_path, roster_of(tmp_path, text), [result("Ada Lovelace", "")]))
    assert "has 100 points in Moodle, and the lab has 8. The points in the upload are conv" in said
    head, line = upload(tmp_path, "moodle")
    assert {header, "Feedback Comments", "Full Name"} < {*head}, "as exported"
    assert line[head.index("Grade")] == "75"
    assert line[head.index("Feedback Comments")].startswith("<ul>")


def test_moodle_gets_comments_where_there_are_none(tmp_path):
    graded(
        tmp_path,
        roster_of(tmp_path, MOODLE),
        [result("Ada Lovelace", "501"), result("Jörg Müller", "502")],
    )
    found = imported_by_moodle(upload(tmp_path, "moodle"))
    assert "7.1 first: 6 of 8. You <em>divided</em> by &lt;2&gt;." in found["501"][1]
    assert found["502"][1] == "Come and see me."
    exported = list(csv.reader(io.StringIO(MOODLE)))
    changed = {4, 9}  # the columns with the grade and the comment
    for before, after in zip(exported, upload(tmp_path, "moodle")):
        kept = [(a, b) for place, (a, b) in enumerate(zip(before, after)) if place not in changed]
        assert all(a == b for a, b in kept), "all other cells stay as exported"


@pytest.mark.parametrize("manual, said", [("", True), ("5", False)])
def test_feedback_on_the_platforms_says_that_the_written_part_is_not_graded_yet(
    manual, said, tmp_path
):
    sentence = "The written part (up to 6 points) is not graded yet."
    ada = result("Ada Lovelace", "101", place="lovelaceada_101_9001_07.ipynb", written=6.0)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manual.csv").write_text(f"key,points,comment\nAda Lovelace,{manual},\n")
    graded(tmp_path, roster_of(tmp_path, MOODLE), [ada])
    header, line = upload(tmp_path, "moodle")
    assert (sentence in line[header.index("Feedback comments")]) == said
    graded(tmp_path, roster_of(tmp_path, CANVAS), [ada])
    with zipfile.ZipFile(tmp_path / "out" / "feedback-canvas.zip") as archive:
        (cell,) = json.loads(archive.read(archive.namelist()[0]))["cells"]
    assert (f"points\n\n{sentence}" in "".join(cell["source"])) == said


@pytest.mark.parametrize("platform, text", [("canvas", CANVAS), ("moodle", MOODLE)])
def test_a_problem_with_the_whole_notebook_is_said_once(platform, text, tmp_path):
    sentence = "This notebook has no answer cells."
    verdicts = [Verdict(f"7.{place}", "f", "missing", 0, 4, sentence) for place in range(1, 5)]
    place = "lovelaceada_101_9001_07.ipynb"
    ada = replace(result("Ada Lovelace", place=place, problem=sentence), verdicts=verdicts)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manual.csv").write_text("key,points,comment,7.4\nAda Lovelace,,,3\n")
    graded(tmp_path, roster_of(tmp_path, text), [ada])
    if platform == "moodle":
        header, line = upload(tmp_path, "moodle")
        comment = line[header.index("Feedback comments")]
    else:
        with zipfile.ZipFile(tmp_path / "out" / "feedback-canvas.zip") as archive:
            (cell,) = json.loads(archive.read(archive.namelist()[0]))["cells"]
        comment = "".join(cell["source"])
    assert comment.count(sentence) == 2, "once, and with the points that a person gave"
    assert [f"7.{place}" in comment for place in range(1, 5)] == [True] * 4
    assert "The grader gave 0" in comment


def test_moodle_gets_no_grade_that_it_would_skip(tmp_path):
    text = MOODLE.replace("100.00", "8,00")  # as a Moodle with decimal commas exports it
    roster = roster_of(tmp_path, text.replace("8,00", '"8,00"'))
    rows = [result("Ada Lovelace", "501", 9.0), result("Jörg Müller", "502", -1.0)]
    graded(tmp_path, roster, rows)
    lines = upload(tmp_path, "moodle")[1:]
    assert [line[4] for line in lines] == ["8", "0"]


def test_feedback_for_moodle_has_the_names_that_its_importer_reads(tmp_path):
    roster = roster_of(tmp_path, MOODLE.replace("Ada Lovelace", "Ada_King / Lovelace"))
    graded(tmp_path, roster, [result("Ada King Lovelace", "501"), result("Jörg Müller", "502")])
    with zipfile.ZipFile(tmp_path / "out" / "feedback-moodle.zip") as archive:
        for place, participant in zip(archive.namelist(), ("501", "502")):
            folder, name = place.split("/")
            pieces = folder.split("_", 4)  # as importziplib.php splits it
            assert pieces[1:] == [participant, "assignsubmission", "file"]
            assert name == "feedback.html" and b"You <em>divided</em>" in archive.read(place)


def test_feedback_for_canvas_is_a_file_of_the_kind_that_was_handed_in(tmp_path):
    roster = roster_of(tmp_path, CANVAS)
    results = [
        result("lovelaceada", "101", place="lovelaceada_101_9001_07_ddim-1.ipynb"),
        result("mullerjorg", "102", place="mullerjorg_LATE_102_9002_work.zip/lab/07_ddim.ipynb"),
        result("hoppergrace", "103", place="hoppergrace_103_9003_report.pdf"),
    ]
    said = " ".join(graded(tmp_path, roster, results))
    who = "Hopper, Grace (hoppergrace_103_9003_report.pdf)"
    assert (
        f"gets no feedback for {who}: Canvas can attach it only" in said and "come from" not in said
    )
    with zipfile.ZipFile(tmp_path / "out" / "feedback-canvas.zip") as archive:
        notebook, zipped = archive.namelist()
        numbers = [re.findall(r"(?<=_)\d+(?=_)", name)[:2] for name in (notebook, zipped)]
        assert numbers == [["101", "9001"], ["102", "9002"]], (
            "abstract_assignment.rb looks for them"
        )
        (cell,) = json.loads(archive.read(notebook))["cells"]
        with zipfile.ZipFile(io.BytesIO(archive.read(zipped))) as inner:
            assert b"<em>divided</em>" in inner.read("feedback.html")
    text = "".join(cell["source"])
    assert "# 6 of 8 points" in text and "You <em>divided</em> by &lt;2&gt;." in text


def test_files_that_do_not_come_from_canvas_are_counted_and_long_lists_cut(tmp_path):
    lines = "".join(f'"S{number}, A",{number},,,A,,,,\n' for number in range(200, 208))
    roster = roster_of(tmp_path, CANVAS + lines)
    results = [result("hoppergrace", "103", place="grace/07_ddim.ipynb")] + [
        result(f"s{number}a", str(number), place=f"s{number}a_{number}_9{number}_report.pdf")
        for number in range(200, 208)
    ]
    said = " ".join(graded(tmp_path, roster, results))
    assert "no feedback for 1 of 9 students, because their files do not come from Canvas" in said
    assert "S204, A (s204a_204_9204_report.pdf); and 3 more: Canvas" in said


def test_the_reason_why_there_is_no_feedback_is_the_right_one(tmp_path):
    """Ada's number is not on the roster, and Grace is in Jörg's group."""
    results = [
        result("lovelaceada", "555", place="lovelaceada_555_9001_07_ddim.ipynb"),
        result("Müller, Jörg, Hopper, Grace", "s2, s3", place="mullerjorg_102_9002_07.ipynb"),
    ]
    said = " ".join(graded(tmp_path, roster_of(tmp_path, CANVAS), results))
    assert "no feedback for 2 of 3 students, because the IDs in the names of their files" in said
    assert "only to a notebook" not in said and "do not come from" not in said
    results = [result("lovelaceada", "101", place="ada/07_ddim.ipynb")]
    (tmp_path / "out" / "feedback-canvas.zip").unlink()
    said = " ".join(graded(tmp_path, roster_of(tmp_path, CANVAS), results))
    assert "feedback-canvas.zip" not in said and "do not come from Canvas" in said


def test_files_of_an_earlier_grading_do_not_stay(tmp_path):
    graded(tmp_path, roster_of(tmp_path, MOODLE), [result("Ada Lovelace", "501")])
    remove_uploads(tmp_path / "out")
    assert not list((tmp_path / "out").glob("*moodle*"))


@pytest.mark.parametrize(
    "student, number, expected",
    [
        ("Ada Lovelace", "", "Lovelace, Ada"),
        ("ada-lovelace", "", "Lovelace, Ada"),
        ("lovelaceada", "", "Lovelace, Ada"),
        ("Jorg Muller", "", "Müller, Jörg"),
        ("grace", "", "Hopper, Grace"),  # her login
        ("ADA@uni.edu", "", "Lovelace, Ada"),
        ("Jorg", "s2", "Müller, Jörg"),
        ("Grace", "103", "Hopper, Grace"),
    ],
)
def test_a_student_is_found_by_id_name_or_login(tmp_path, student, number, expected):
    matches = match([result(student, number)], roster_of(tmp_path, CANVAS))
    assert matches.results[0].student == expected and not matches.results[0].remarks


def test_numbers_of_another_platform_count_for_nothing(tmp_path):
    """Moodle's participant 102 is not Canvas's student 102."""
    roster = roster_of(tmp_path, CANVAS)
    matches = match([result("Grace Hopper", "101"), result("Ada Lovelace", "102")], roster)
    assert [each.id for each in matches.results] == ["103", "101"]


def test_doubtful_submissions_are_left_out_and_named(tmp_path):
    text = CANVAS + '"Ada, Lovelace",105,s5,other,A,,,,\n'
    roster = roster_of(tmp_path, text)
    results = [
        result("Ada Lovelace"),  # fits two
        result("Nobody Known"),
        result("hoppergrace", "103", place="a.ipynb"),
        result("Grace Hopper", "s3", place="b.ipynb"),
        result("mullerjorg", "102"),
    ]
    matches = match(results, roster)
    remarks = [each.remarks[:1] for each in matches.results]
    twice = ["another submission belongs to the same student on the roster"]
    assert remarks[0] == ["may be Lovelace, Ada or Ada, Lovelace on the roster"]
    assert remarks[1:] == [["not on the roster"], twice, twice, []]
    said, *_ = graded(tmp_path, roster, results)
    assert list(imported_by_canvas(upload(tmp_path, "canvas"))[0]) == ["102"]
    assert "leaves out 4 of 5 submissions" in said


def test_a_group_gets_its_points_for_each_member(tmp_path):
    roster = roster_of(tmp_path, CANVAS)
    graded(tmp_path, roster, [result("Ada Lovelace, Grace Hopper", "s1, s3")])
    assert list(imported_by_canvas(upload(tmp_path, "canvas"))[0]) == ["101", "103"]


def test_a_submission_that_could_not_be_graded_is_left_out(tmp_path):
    roster = roster_of(tmp_path, CANVAS)
    failed = replace(result("Grace Hopper"), failed=True, problem="It could not be graded.")
    graded(tmp_path, roster, [result("Ada Lovelace"), failed])
    assert list(imported_by_canvas(upload(tmp_path, "canvas"))[0]) == ["101"]


@pytest.mark.parametrize("platform, text", [("canvas", CANVAS), ("moodle", MOODLE)])
def test_nothing_of_a_student_on_hold_is_uploaded(tmp_path, platform, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manual.csv").write_text(
        "key,points,comment,hold\nAda Lovelace|,,,x\n", encoding="utf-8"
    )
    results = [
        result("Ada Lovelace", place="ada_101_9001_07.ipynb"),
        result("Jörg Müller", place="joerg_102_9002_07.ipynb"),
    ]
    said = graded(tmp_path, roster_of(tmp_path, text), results)
    content = (tmp_path / "out" / f"upload-{platform}.csv").read_text(encoding="utf-8")
    assert "Jörg" in content and "Ada" not in content
    with zipfile.ZipFile(tmp_path / "out" / f"feedback-{platform}.zip") as archive:
        (name,) = archive.namelist()
    assert "102" in name or "502" in name
    assert (
        sum("leave out 1 of 2 submissions, because these are on hold" in each for each in said) == 1
    )
    assert not [each for each in said if "not clear who" in each]


def test_an_anonymous_worksheet(tmp_path):
    text = "Identifier,Status,Grade,Maximum Grade,Last modified (grade)\nParticipant 7,,,8.00,-\n"
    roster = roster_of(tmp_path, text)
    matches = match([result("Participant", "7")], roster)
    graded(tmp_path, roster, [result("Participant", "7")])
    assert matches.people and upload(tmp_path, "moodle")[1][2] == "6"


@pytest.mark.parametrize(
    "text, names",
    [
        ("Name;ID\nAda Lovelace;7\n", ["Ada Lovelace"]),
        ("First Name,Last Name,SID,Email\nAda,Lovelace,7,a@b.c\n", ["Ada Lovelace"]),
        ("sep=;\nName;ID\nAda Lovelace;7\n", ["Ada Lovelace"]),
        ("sep=|\r\nName|ID\r\nAda Lovelace|7\r\n", ["Ada Lovelace"]),
        ("id\tstudent\n7\tAda Lovelace\n\n8\tGrace Hopper\n", ["Ada Lovelace", "Grace Hopper"]),
    ],
)
def test_any_table_with_names_is_a_roster(tmp_path, text, names):
    roster = roster_of(tmp_path, text, encoding="utf-16")
    assert [person.name for person in roster.people.values()] == names
    assert roster.people[0].id == "7" and roster.platform == ""
    assert graded(tmp_path, roster, [result("Ada Lovelace")]) == [], "no platform, no upload"


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("Teilnehmer,Bewertung\nTeilnehmer/in 5,\n", "not a roster.*switch it to English"),
        ("Name,ID\n", "no students"),
        ("", "is empty"),
        (", ,\n,\n", "is empty"),
        ("sep=;\n", "is empty"),
        (CANVAS.replace(",ID,", ",Number,"), "Canvas's grade book, but it has no column ID. Exp"),
        (CANVAS.replace("Section", "Group"), "Canvas's grade book, but it has no column Section"),
        (CANVAS.replace("Student,ID", "Pupil,ID"), "grade book, but it begins with other columns"),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path, text, sentence):
    with pytest.raises(UserError, match=sentence):
        roster_of(tmp_path, text)


@pytest.mark.parametrize("begins", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"])
def test_a_workbook_is_no_roster(tmp_path, begins):
    (tmp_path / "roster.csv").write_bytes(begins + b"\x00,Name,ID\n")
    with pytest.raises(UserError, match="is an Excel workbook.*Export a CSV file"):
        read_roster(tmp_path / "roster.csv", "07")
    with pytest.raises(UserError, match="There is no .*missing.csv. Give the table"):
        read_roster(tmp_path / "missing.csv", "07")


@pytest.mark.parametrize("text", [CANVAS, MOODLE, "Name,ID\nAda,101\nJörg,102\n"])
@pytest.mark.parametrize("written", ["1E+02", '"1,E+02"', "1.02E+11", '"1,2e+04"'])
def test_ids_that_a_spreadsheet_has_rounded_are_refused(tmp_path, text, written):
    for exact in ("102", "joerg@uni.edu"):
        if exact in text:
            with pytest.raises(UserError, match=f"rounded, such as .{written.strip(chr(34))[:2]}"):
                roster_of(tmp_path, text.replace(exact, written))


@pytest.mark.parametrize("text, last", [(CANVAS, "10"), (MOODLE, "50")])
def test_an_id_of_two_students_is_refused(tmp_path, text, last):
    with pytest.raises(UserError, match=f"rounded, such as '{last}1'"):
        roster_of(tmp_path, text.replace(f"{last}2", f"{last}1"))
    names = roster_of(tmp_path, "Name,ID\nAda,1\nAda,1\nBo,2e4\n").people.values()
    assert [person.id for person in names] == ["1", "1", "2e4"], "a list may name a student twice"


@pytest.mark.parametrize(
    "text, upload",
    [(CANVAS, "upload-canvas.csv"), (MOODLE, "upload-moodle.csv"), ("Name,ID\nBo,1\n", "")],
)
def test_the_roster_of_another_class_is_noticed(tmp_path, text, upload):
    roster, strangers = roster_of(tmp_path, text), [result("Zoe Zuse"), result("Ying Yu", "8")]
    _, said = write_reports(tmp_path / "out", "07", SETTINGS, strangers, roster, Reporting())
    sentence = (
        f"None of the 2 submissions is on this roster{upload and ', so there is no '}{upload}."
    )
    assert sum(each.startswith(sentence) for each in said) == 1
    assert sentence in (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    assert not list((tmp_path / "out").glob("upload*"))
    known = [*strangers, result("Ada Lovelace"), result("Bo")]
    _, said = write_reports(tmp_path / "out", "07", SETTINGS, known, roster, Reporting())
    assert "None of" not in " ".join(said)


def test_the_terminal_says_why_nothing_is_uploaded(tmp_path):
    failed = replace(result("Grace Hopper"), failed=True, problem="It could not be graded.")
    (said,) = graded(tmp_path, roster_of(tmp_path, CANVAS), [failed])
    assert said.startswith("There is no upload-canvas.csv: the submissions of all")


def test_spellings_of_names():
    assert spellings("Lovelace, Ada") & spellings("ada lovelace")
    assert spellings("van der Berg, Jan") & spellings("Jan van der Berg")
    assert not spellings("Ada Lovelace") & spellings("Ada Byron")
    assert agree("lovelaceada", "Lovelace, Ada") or agree("Lovelace, Ada", "lovelaceada")
    assert not agree("Grace Hopper", "Lovelace, Ada")
    assert number(12345.678) == "12345.68" and number(3.0) == "3"


def test_an_identifier_of_two_students_is_decided_by_the_name_or_by_a_person(tmp_path):
    """Ada's Canvas ID is Bob's SIS ID, and smith@y.org is not John Smith."""
    text = (
        "Student,ID,SIS User ID,SIS Login ID,Section,Lab 07 (811)\n"
        '"Lovelace, Ada",4312,1,ada,A,\n"Ross, Bob",77,4312,bob,A,\n'
    )
    roster = roster_of(tmp_path, text)
    matches = match([result("lovelaceada", "4312"), result("Somebody", "4312")], roster)
    assert [each.student for each in matches.results] == ["Lovelace, Ada", "Somebody"]
    text = "Name,Username,Email\nJohn Smith,smith,js@x.org\nAnn Miller,annm,smith@y.org\n"
    matches = match([result("smith", "smith")], roster_of(tmp_path, text))
    assert matches.results[0].student == "John Smith"


def test_a_member_of_a_group_who_is_not_on_the_roster_is_not_forgotten(tmp_path):
    matches = match([result("Ada Lovelace, Bob Ross", "s1, x9")], roster_of(tmp_path, CANVAS))
    assert "only 1 of 2 members of the group" in matches.results[0].remarks[0]


def test_an_id_that_is_not_on_the_roster_leaves_a_remark(tmp_path):
    results = [result("lovelaceada", "999"), result("mullerjorg", "102")]
    first, second = match(results, roster_of(tmp_path, CANVAS)).results
    assert (
        first.student == "Lovelace, Ada" and "the ID 999 is not on the roster" in first.remarks[0]
    )
    assert second.remarks == []


def test_lines_without_a_student_are_nobody(tmp_path):
    text = "Name,ID,Github_username\nAda Lovelace,7,@ada\n,,\nTotal points,,@\n"
    roster = roster_of(tmp_path, text)
    assert [person.name for person in roster.people.values()] == ["Ada Lovelace", "Total points"]
    assert match([result("Zoe Zuse")], roster).people == {}
    text = "LastName,FirstName,ID,Section\nLovelace,Ada,101,A\nStudent,Test,104,A\n"
    assert [person.id for person in roster_of(tmp_path, text).people.values()] == ["101"]


def test_short_names_agree():
    assert agree("王明", "王明") and agree("Li Wu", "Wu, Li") and not agree("Li Wu", "Bo Xu")


def test_a_regrading_replaces_our_own_comment_in_moodle(tmp_path):
    graded(tmp_path, roster_of(tmp_path, MOODLE), [result("Ada Lovelace", "501", 2.0)])
    before = upload(tmp_path, "moodle")
    text = io.StringIO(newline="")
    csv.writer(text).writerows(before)
    roster = roster_of(tmp_path, text.getvalue())
    graded(tmp_path, roster, [result("Ada Lovelace", "501", 6.0)])
    assert "first: 6 of 8" in upload(tmp_path, "moodle")[1][9]


def test_columns_of_one_name_stay_apart(tmp_path):
    text = MOODLE.replace("Status,Grade", "Status,Status,Grade").replace("Yes,", "Yes,", 1)
    lines = text.splitlines()
    lines[1:] = [line.replace(",100.00", ",x,100.00").replace(",,x,", ",x,,") for line in lines[1:]]
    roster = roster_of(tmp_path, "\n".join(lines))
    graded(tmp_path, roster, [result("Ada Lovelace", "501")])
    header, ada = upload(tmp_path, "moodle")
    assert len(ada) == len(header) and ada[header.index("Grade")] == "75"


def test_outdated_and_hand_graded_rows(tmp_path):
    """Left out by --only after handing in again; and all points by hand for a failed one."""
    roster = roster_of(tmp_path, CANVAS)
    rows = [
        result("Ada Lovelace", outdated=True),
        result("Jörg Müller", failed=True, problem="It could not be graded."),
    ]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manual.csv").write_text("key,points,comment,7.1\nJörg Müller|,,,5\n")
    graded(tmp_path, roster, rows)
    assert imported_by_canvas(upload(tmp_path, "canvas"))[0] == {"102": {"Lab 07: DDIM (811)": "5"}}


def test_a_roster_of_another_platform_is_named(tmp_path):
    canvas = [result("ada", place=f"x/lovelaceada_LATE_10{n}_90{n}_07.ipynb") for n in range(9)]
    moodle = [result("ada", place=f"Ada L_50{n}_assignsubmission_file_/07.ipynb") for n in range(9)]
    gradescope = [result("ada", place=f"submission_{n}/07.ipynb") for n in range(9)]
    of_canvas, of_moodle = roster_of(tmp_path, CANVAS), roster_of(tmp_path, MOODLE)
    (said,) = remarks_on_platform(of_moodle, [*canvas, *moodle[:3]])
    assert said.startswith("The roster is from Moodle, but the submissions come from Canvas")
    (said,) = remarks_on_platform(of_canvas, moodle)
    assert said.startswith("The roster is from Canvas, but the submissions come from Moodle")
    plain = roster_of(tmp_path, "Name,ID\nAda,1\n")
    folder = [result("ada", place="ada/07.ipynb")]
    for roster, results in (
        (of_canvas, canvas),
        (of_moodle, moodle),
        (of_canvas, gradescope),  # some schools collect there and keep grades in Canvas
        (plain, canvas),
        (of_moodle, folder),
    ):
        assert remarks_on_platform(roster, results) == []


def test_the_summary_repeats_warnings_of_the_terminal(tmp_path):
    results = [result("ada", place=f"lovelaceada_10{n}_90{n}_07.ipynb") for n in range(3)]
    reporting = Reporting(read_policy("2026-11-30T23:59"))
    roster = roster_of(tmp_path, MOODLE)
    _, said = write_reports(tmp_path, "07", SETTINGS, results, roster, reporting)
    page = (tmp_path / "summary.html").read_text(encoding="utf-8")
    warnings = [html.unescape(text) for text in re.findall(r'<p class="warn">(.*)</p>', page)]
    assert len(warnings) == 2 and warnings == said[:2]
