"""The late policy: what a late submission loses, and that an unknown time costs nothing."""

import csv
import io
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.lateness import UNKNOWN, judge_lateness, read_policy
from diffusion_lab.instructor.platforms.rosters import Matches, match, read_roster
from diffusion_lab.instructor.platforms.uploads import write_uploads
from diffusion_lab.instructor.submissions import find_submissions
from diffusion_lab.instructor.time_tables import Entry
from diffusion_lab.instructor.times import read_deadline, read_time
from tests.graded import SETTINGS, result, table

DUE = "2026-11-30T23:59 UTC"


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    """The machine is in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text, utc",
    [
        ("2026-11-30T23:59", "2026-11-30 22:59"),
        ("2026-06-30 23:59", "2026-06-30 21:59"),  # summer
        ("2026-11-30T23:59Z", "2026-11-30 23:59"),
        ("2026-11-30T23:59:00+01:00", "2026-11-30 22:59"),
        ("2026-11-28 10:11:12.123456789 Z", "2026-11-28 10:11"),  # Gradescope
        ("2026-11-28 10:11:12.123456789 -08:00", "2026-11-28 18:11"),
        ("2026-11-28 10:11:12.948203 America/Los_Angeles", "2026-11-28 18:11"),  # nbgrader
        ("2026-11-30T23:59 America/Port-au-Prince", "2026-12-01 04:59"),
        ("2026-11-30 23:59 Etc/GMT+1", "2026-12-01 00:59"),
        ("2026-11-30 23:59 EST5EDT", "2026-12-01 04:59"),
        ("2026-11-28-10-11-12", "2026-11-28 09:11"),  # Blackboard
        ("Monday, 1 June 2026, 11:59 PM", "2026-06-01 21:59"),  # Moodle
        ("Monday, 01 Jun 2026, 12:05 AM", "2026-05-31 22:05"),
        ("28 November, 2026 1011", "2026-11-28 09:11"),  # Brightspace
        ("Nov 28, 2026 1011 PM", "2026-11-28 21:11"),
    ],
)
def test_times_of_all_platforms_are_read(text, utc):
    found = read_time(text)
    assert found.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M") == utc


@pytest.mark.parametrize(
    "text",
    ["", "-", "tomorrow", "2026-11-30", "2026-02-30T10:00", "2026-11-30T25:00", "Montag, 1 Juni"]
    + ["2026-11-30T10:00 Middle/Earth", "2026-11-30T10:00 ../etc", "12", "30.11.2026 23:59"],
)
def test_other_texts_are_no_times(text):
    assert read_time(text) is None


def test_the_minute_of_a_due_time_counts():
    assert read_deadline("2026-11-30T23:59Z") > read_time("2026-11-30T23:59:59Z")
    assert read_deadline("2026-11-30T23:59:00Z") == read_time("2026-11-30T23:59:00Z")


@pytest.mark.parametrize(
    "rate, grace, delay, sentence, points",
    [
        ("10%/day", None, timedelta(0), "", 8),
        ("10%/day", None, timedelta(minutes=1), "1 day late: −10 % (−0.8 points)", 7.2),
        ("10%/day", None, timedelta(hours=24), "1 day late: −10 % (−0.8 points)", 7.2),
        ("10%/day", None, timedelta(hours=25), "2 days late: −20 % (−1.6 points)", 6.4),
        ("10%/day", None, timedelta(days=99), "99 days late: −100 % (−8 points)", 0),
        ("5%/hour", None, timedelta(minutes=61), "2 hours late: −10 % (−0.8 points)", 7.2),
        ("2/day", None, timedelta(hours=25), "2 days late: −4 points", 4),
        ("1 / hour", None, timedelta(minutes=5), "1 hour late: −1 point", 7),
        ("2.5/day", None, timedelta(days=9), "9 days late: −22.5 points (−8 points)", 0),
        ("10%/day", "15m", timedelta(minutes=15), "", 8),
        ("10%/day", "15m", timedelta(hours=24, minutes=15), "1 day late: −10 % (−0.8 points)", 7.2),
        (None, "2h", timedelta(hours=3), "1 day late", 8),
    ],
)
def test_each_started_unit_is_deducted(rate, grace, delay, sentence, points, tmp_path):
    policy = read_policy("2026-11-30T23:59:00Z", rate, grace)
    handed_in = (datetime(2026, 11, 30, 23, 59, tzinfo=timezone.utc) + delay).isoformat()
    ada = result("Ada", (4.0, 4.0), handed_in=handed_in.replace("+00:00", "Z"), key="Ada|12")
    results, late, said = judge_lateness(Matches([ada], {}, []), None, policy)
    (row,) = write_gradebook(tmp_path, "07", SETTINGS, results, late=late)
    assert (row.points, row.late) == (pytest.approx(points), sentence) and not said
    page = (tmp_path / "feedback" / row.page).read_text(encoding="utf-8")
    assert sentence in page and f"<b>{points:g}</b> of 8 points" in page
    header, line = table(tmp_path)
    lost = f"{points - 8:.3g}" if points < 8 else ""
    assert line[header.index("late")] == lost and line[2] == f"{points:g}"


def test_points_by_hand_count_before_the_deduction_and_none_is_taken_below_zero(tmp_path):
    policy = read_policy(DUE, "50%/day")
    rows = [
        result(name, (4.0, 0.0), handed_in="2026-12-01T10:00Z", key=f"{name}|12")
        for name in ("Ada", "Bob")
    ]
    (tmp_path / "manual.csv").write_text("key,points,comment\nAda|12,6,\nBob|12,-5,\n")
    results, late, _ = judge_lateness(Matches(rows, {}, []), None, policy)
    ada, bob = write_gradebook(tmp_path, "07", SETTINGS, results, late=late)
    assert (ada.points, ada.deduction) == (5, 5) and (bob.points, bob.deduction) == (-1, 0)


def test_an_unknown_time_costs_nothing_and_a_remark_says_so(tmp_path):
    known = result("Ada", handed_in="2026-11-01T10:00Z", key="Ada|12")
    strange = result("Bob", handed_in="Montag, 1. Juni 2026", key="Bob|12")
    results, late, (said,) = judge_lateness(
        Matches([known, strange], {}, []), None, read_policy(DUE, "10%/day")
    )
    assert [each.remarks for each in results] == [[], [UNKNOWN]]
    assert "1 of 2 submissions" in said and "--times" in said
    rows = write_gradebook(tmp_path, "07", SETTINGS, results, late=late)
    assert [row.points for row in rows] == [4, 4]


def test_what_holds_for_the_whole_class_is_said_once(tmp_path):
    """Files from Canvas have no times. They say only who was late."""
    names = ("adaada_11_101_07.ipynb", "bobbob_LATE_12_102_07.ipynb", "cemcem_13_103_07.ipynb")
    for name in names:
        (tmp_path / name).write_text("{}")
    class_ = [
        result(each.student, key=each.key, remarks=[*each.remarks], handed_in=each.handed_in)
        for each in find_submissions(tmp_path)
    ]
    policy = read_policy(DUE, "10%/day")
    results, late, said = judge_lateness(Matches(class_, {}, []), None, policy)
    rows = write_gradebook(tmp_path / "out", "07", SETTINGS, results, late=late, warnings=said)
    assert [row.remarks for row in rows] == [[], ["Canvas: late"], []]
    page = (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    assert page.count("The submission time is unknown for all submissions") == 1


def with_tables(tmp_path, extensions=None, times=None):
    paths = {}
    for name, text in {"extensions": extensions, "times": times}.items():
        if text is not None:
            paths[name] = tmp_path / f"{name}.csv"
            paths[name].write_text(text, encoding="utf-8")
    return read_policy(DUE, "10%/day", **paths)


def rules(results, policy, roster=None):
    matches = match(results, roster) if roster else Matches(results, {}, [])
    found, late, said = judge_lateness(matches, roster, policy)
    return [late[each.key].rule if each.key in late else None for each in found], said


def student(name, number, handed_in="2026-12-02T10:00Z"):
    return result(name, id=number, key=f"{name}|{number}", handed_in=handed_in)


def test_extensions_and_times_by_name_or_id(tmp_path):
    policy = with_tables(
        tmp_path,
        "Student;ID;Due\nLovelace, Ada;;2026-12-05T12:00Z\n;8;2026-12-01T12:00Z\n"
        "Zoe;;2026-12-09T12:00\n",
        "id,time\n9,2026-11-29 10:00\n7,-\n",
    )
    class_ = [student("Ada Lovelace", "7"), student("Bob", "8"), student("Cem", "9")]
    class_.append(student("Dan", "10"))
    found, (said,) = rules(class_, policy)
    assert found == [
        "on time (extension until 5 December 2026, 12:00)",
        "1 day late (extension until 1 December 2026, 12:00): −10 %",
        "",
        "2 days late: −20 %",
    ]
    assert said.endswith("line 4: 'Zoe' is not in this grading.")


def test_the_student_and_the_instructor_see_an_extension(tmp_path):
    policy = with_tables(tmp_path, "id,due\n7,2026-12-05T23:59Z\n8,2026-12-05T23:59Z\n")
    class_ = [student("Ada", "7"), student("Bob", "8", handed_in="")]
    results, late, said = judge_lateness(Matches(class_, {}, []), None, policy)
    rows = write_gradebook(tmp_path / "out", "07", SETTINGS, results, late=late, warnings=said)
    until = "extension until 5 December 2026, 23:59"
    assert [row.remarks for row in rows] == [[f"on time ({until})"], [until, UNKNOWN]]
    for row, text in zip(rows, (f"On time ({until})", f"E{until[1:]}")):
        assert f"<p>{text}</p>" in (tmp_path / "out/feedback" / row.page).read_text("utf-8")


def test_what_canvas_calls_late_may_be_within_the_grace_or_an_extension():
    def remarks(handed_in, due, grace="15m"):
        ada = result("Ada", key="Ada|12", handed_in=handed_in, remarks=["Canvas: late"])
        policy = read_policy(DUE, "10%/day", grace)
        policy = replace(policy, extensions=[Entry("e.csv", ["12"], [], read_deadline(due))])
        (judged,), late, _ = judge_lateness(Matches([ada], {}, []), None, policy)
        return "; ".join(judged.remarks), late["Ada|12"].rule

    minutes = remarks("2026-12-01T00:10:30Z", DUE)
    assert minutes == ("Canvas: late; 11 minutes late, within the grace period", "")
    until = "on time (extension until 3 December 2026, 23:59)"
    assert remarks("2026-12-01T00:10:30Z", "2026-12-03T23:59Z") == (f"Canvas: late; {until}", until)
    assert remarks("2026-11-30T23:59Z", DUE) == ("Canvas: late", "")


def test_students_who_are_not_in_the_table_of_times_are_named(tmp_path):
    class_ = [student(name, name, "") for name in ("Ada", "Bob", *map("S{}".format, range(12)))]
    _, said = rules(class_, with_tables(tmp_path, times="student,time\nAda,2026-11-30T10:00\n"))
    assert said[0].endswith(
        "the table of --times: Bob; S0; S1; S2; S3; S4; S5; S6; S7; S8; and 3 more."
    )
    assert "unknown for 13 of 14 submissions" in said[0]


@pytest.mark.parametrize("spelt", ["Ada Lovelase", "lovelase, ada", "Adah Lovelace"])
def test_a_misspelt_name_in_a_table_is_answered_with_the_nearest(spelt, tmp_path):
    policy = with_tables(tmp_path, f'student,due\n"{spelt}",2026-12-05T12:00Z\n')
    class_ = [student("Bob Babbage", "8"), student("Ada Lovelace", "7")]
    (said,) = rules(class_, policy)[1]
    assert f"{spelt!r} is not in this grading. Did you mean 'Ada Lovelace'?" in said
    page = tmp_path / "out" / "summary.html"
    write_gradebook(page.parent, "07", SETTINGS, class_, warnings=[said])
    assert "Did you mean &#39;Ada Lovelace&#39;?" in page.read_text(encoding="utf-8")


def test_a_wrong_id_and_a_line_without_a_student_are_named(tmp_path):
    policy = with_tables(
        tmp_path, "student,id,due\n,23456871,2026-12-05T12:00Z\n,,2026-12-05T12:00Z"
    )
    wrong, empty = rules([student("Ada", "23456781")], policy)[1]
    assert "Did you mean '23456781'?" in wrong and empty.endswith(
        "line 3: '' is not in this grading."
    )


def test_the_members_of_a_group_have_the_latest_extension(tmp_path):
    policy = with_tables(tmp_path, "id,due\n7,2026-12-01T12:00Z\n8,2026-12-05T12:00Z\n")
    (rule,) = rules([student("Ada, Bob", "7, 8")], policy)[0]
    assert rule == "on time (extension until 5 December 2026, 12:00)"


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("student,due\nAda,soon\n", "line 2: 'soon' is not a time. Write it as"),
        ("student,when\nAda,2026-12-01T12:00\n", "must begin with a line such as student,id,due"),
        ("who,due\nAda,2026-12-01T12:00\n", "must begin with a line"),
        ("", "is empty"),
        (
            "student,due\nAda,2026-12-01T12:00\nAda,2026-12-02T12:00\n",
            "line 3: there is another line for 'Ada'",
        ),
        ("student,due\nAda,2026-12-01T12:00\n", "line 2: 'Ada' fits several students. Give an ID"),
    ],
)
def test_errors_in_a_table_name_the_line(text, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        rules([student("Ada", "7"), student("Ada", "8")], with_tables(tmp_path, text))


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"due": "2026-11-30"}, "--due: '2026-11-30' is not a time. Write it as 2026-11-30T23:59."),
        ({"due": DUE, "late": "ten"}, "--late: 'ten' must look like 10%/day, 5%/hour or 2/day."),
        ({"due": DUE, "late": "-5%/day"}, "--late"),
        ({"due": DUE, "late": "10%/week"}, "--late"),
        ({"due": DUE, "grace": "15"}, "--grace: '15' must look like 15m, 2h or 1d."),
        ({"due": None, "late": "10%/day"}, "--late needs .* --due as well"),
        ({"due": None, "times": "t.csv"}, "--times needs"),
    ],
)
def test_errors_in_the_options_are_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        read_policy(**options)


def test_a_table_that_does_not_exist(tmp_path):
    with pytest.raises(UserError, match="There is no .*gone.csv"):
        read_policy(DUE, None, None, tmp_path / "gone.csv")
    assert read_policy(None) is None


MOODLE = """\
Identifier,Full name,Grade,Maximum Grade,Last modified (submission),Last modified (grade)
Participant 501,Ada Lovelace,,8.00,"Wednesday, 2 December 2026, 9:30 AM",-
Participant 502,Bob Babbage,,8.00,"Monday, 30 November 2026, 11:00 PM",-
Participant 503,Cem Celik,,8.00,-,-
"""


def test_moodles_worksheet_tells_the_times_and_gets_the_points(tmp_path):
    (tmp_path / "roster.csv").write_text(MOODLE, encoding="utf-8")
    roster = read_roster(tmp_path / "roster.csv", "07")
    policy = read_policy("2026-11-30T23:59", "25%/day")
    class_ = [
        student(name, number, "")
        for name, number in (("Ada Lovelace", "501"), ("Bob Babbage", "502"), ("Cem Celik", "503"))
    ]
    assert rules(class_, policy, roster)[0] == ["2 days late: −50 %", "", None]
    matches = match(class_, roster)
    results, late, _ = judge_lateness(matches, roster, policy)
    rows = write_gradebook(tmp_path / "out", "07", SETTINGS, results, late=late)
    write_uploads(tmp_path / "out", "07", rows, roster, matches)
    text = (tmp_path / "out" / "upload-moodle.csv").read_text(encoding="utf-8")
    header, *lines = csv.reader(io.StringIO(text))
    assert [line[header.index("Grade")] for line in lines] == ["2", "4", "4"]


def test_an_extension_for_an_absent_student_is_no_mistake(tmp_path):
    (tmp_path / "roster.csv").write_text(MOODLE, encoding="utf-8")
    roster = read_roster(tmp_path / "roster.csv", "07")
    policy = with_tables(tmp_path, "student,due\nCem Celik,2026-12-05T12:00\n")
    assert rules([student("Ada Lovelace", "501", "")], policy, roster)[1] == []


def handed_in(tmp_path, *places, **contents):
    for place in places:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents.get(path.name.replace(".", "_"), b"{}"))
    return {each.student: each.handed_in for each in find_submissions(tmp_path)}


def test_gradescope_blackboard_and_brightspace_tell_the_time(tmp_path):
    names = (
        b"submission_1:\n  :submitters:\n  - {':name': Ada}\n  :created_at: 2026-11-28 10:11:12 Z\n"
    )
    found = handed_in(
        tmp_path / "gradescope",
        "submission_1/07.ipynb",
        "submission_metadata.yml",
        submission_metadata_yml=names,
    )
    assert found == {"Ada": "2026-11-28 10:11:12 Z"}
    found = handed_in(tmp_path / "b", "Lab 07_ada_attempt_2026-11-28-10-11-12_07_ddim.ipynb")
    assert found == {"ada": "2026-11-28-10-11-12"}
    found = handed_in(
        tmp_path / "d2l",
        "12345-67890 - Ada Lovelace - 28 November, 2026 1011 PM - 07_ddim.ipynb",
        "12346-67890 - Bob - 28 November, 2026 1012/07_ddim.ipynb",
    )
    assert found["Ada Lovelace"] == "28 November, 2026 1011 PM"
    assert found["Bob"] == "28 November, 2026 1012"


def test_nbgraders_time_is_that_of_the_graded_lab(tmp_path):
    for lab, day in (("lab06", 10), ("lab07", 28)):
        for name in ("ada", "bob"):
            folder = tmp_path / "submitted" / name / lab
            folder.mkdir(parents=True)
            (folder / f"{lab}.ipynb").write_text("{}")
            (folder / "timestamp.txt").write_text(f"2026-11-{day} 10:11:12.123456")
    found = list(find_submissions(tmp_path, lambda content: 2))
    for each in found:
        day = "10" if "lab06" in each.place else "28"
        assert each.handed_in == f"2026-11-{day} 10:11:12.123456 UTC"
    assert len(found) == 2


def test_a_timestamp_that_a_student_made_does_not_count(tmp_path):
    found = handed_in(
        tmp_path,
        "Ada/07.ipynb",
        "Ada/timestamp.txt",
        "Bob/07.ipynb",
        timestamp_txt=b"2026-01-01 10:00:00 UTC",
    )
    assert found == {"Ada": "", "Bob": ""}


def test_a_student_cannot_choose_the_time_that_nbgrader_writes(tmp_path):
    """The topmost timestamp counts, also for a notebook in a folder of the student's own."""
    for name in ("ada", "bob"):
        folder = tmp_path / "submitted" / name / "lab07" / "x"
        folder.mkdir(parents=True)
        (folder / "07_ddim.ipynb").write_text("{}")
        (folder.parent / "timestamp.txt").write_text("2026-12-03 10:00:00 UTC")
    (folder / "timestamp.txt").write_text("2026-01-01 00:00:00 UTC")
    found = [each.handed_in for each in find_submissions(tmp_path, lambda content: 2)]
    assert found == 2 * ["2026-12-03 10:00:00 UTC"]


def test_a_day_is_one_on_the_calendar():
    """Clocks go back on 25 October 2026, a day of 25 hours."""
    policy = read_policy("2026-10-24T23:59", "10%/day")
    assert policy.late(policy.due, read_time("2026-10-25T23:30")).percent == 10
    assert policy.late(policy.due, read_time("2026-10-25T22:30Z")).percent == 10
    assert policy.late(policy.due, read_time("2026-10-26T00:30")).percent == 20


def test_times_without_a_zone_are_in_that_of_the_due_time():
    policy = read_policy("2026-11-30T23:59-08:00", "10%/day")
    matches = Matches([result("Ada", key="a", handed_in="2026-11-30 23:50")], {}, [])
    assert judge_lateness(matches, None, policy)[1]["a"].rule == ""
    matches = Matches([result("Ada", key="a", handed_in="2026-12-01 00:10")], {}, [])
    assert judge_lateness(matches, None, policy)[1]["a"].percent == 10


def test_an_extension_by_id_holds_for_all_submissions_of_the_student(tmp_path):
    extensions = tmp_path / "extensions.csv"
    extensions.write_text("id,due\n101,2026-12-05T10:00\n")
    results = [
        result("Ada", id="101", key="a", handed_in="2026-12-04 10:00 UTC"),
        result("Ada L", id="101", key="b", handed_in="2026-12-04 11:00 UTC"),
    ]
    policy = read_policy(DUE, "10%/day", extensions=extensions)
    late = judge_lateness(Matches(results, {}, []), None, policy)[1]
    assert late["a"].rule == late["b"].rule == "on time (extension until 5 December 2026, 10:00)"


def test_an_extension_by_name_reaches_a_member_of_a_group(tmp_path):
    extensions = tmp_path / "extensions.csv"
    extensions.write_text("student,due\nBob Ross,2026-12-05T10:00\n")
    results = [result("Ada Lovelace, Bob Ross", key="g", handed_in="2026-12-04 10:00 UTC")]
    policy = read_policy(DUE, "10%/day", extensions=extensions)
    assert judge_lateness(Matches(results, {}, []), None, policy)[1]["g"].percent == 0
