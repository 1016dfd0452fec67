"""The reports of a grading: correct numbers, and no hostile text or pictures."""

import base64
import io
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from diffusion_lab.commands import grade as command
from diffusion_lab.commands.reports import Reporting, write_reports
from diffusion_lab.errors import UserError
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.manual import MANUAL
from diffusion_lab.instructor.pages import class_of, mark_of
from diffusion_lab.instructor.similar import hashes_of, read_earlier_class
from diffusion_lab.instructor.verdicts import Verdict
from diffusion_lab.submission.handout import handouts
from tests.graded import LONG, SETTINGS, result, table, with_verdict


def png(size=(4, 4), colour="red"):
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "PNG", pnginfo=None)
    return base64.b64encode(content.getvalue()).decode()


def test_the_grade_book_has_a_row_for_each_student(tmp_path):
    write_gradebook(
        tmp_path,
        "07",
        SETTINGS,
        [result("Ada"), result("Bob", (4.0, 4.0), remarks=["found by its id"])],
    )
    header, ada, bob = table(tmp_path)
    assert header[:6] == ["Student", "ID", "Lab 07", "of", "7.1 first", "7.2 second"]
    assert (
        ada[:6] == ["Ada", "12", "4", "8", "4", "0"]
        and bob[2] == "8"
        and bob[-1] == "found by its id"
    )
    facts = json.loads((tmp_path / "grades.json").read_text())
    assert (
        facts["seed"] == 5
        and facts["sandbox"] == "bubblewrap"
        and [row["points"] for row in facts["students"]] == [4, 8]
    )
    page = (tmp_path / ada[-2]).read_text()
    assert "<b>4</b> of 8 points" in page and "So it is." in page


@pytest.mark.parametrize(
    "name", ["=cmd|'/C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", " =1", "\r=1"]
)
def test_text_that_looks_like_a_formula_is_escaped(name, tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, [result(name, problem="=HYPERLINK(1)")])
    _, row = table(tmp_path)
    assert (
        row[0].startswith("'")
        and row[0][1:].strip() == name.strip()
        and row[-1] == "'=HYPERLINK(1)"
    )


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 12345 * 67890 }}{% raw %}&lt;"


def test_pages_show_markup_as_text(tmp_path):
    row = result(
        HOSTILE, remarks=[HOSTILE], problem=HOSTILE, texts={"summary": HOSTILE}, picture=png()
    )
    with_verdict(row, 0, sentence=HOSTILE, details=HOSTILE)
    write_gradebook(tmp_path, "07", SETTINGS, [row, result("Ada", answers={"first": HOSTILE})])
    for page in [*(tmp_path / "feedback").glob("*.html"), tmp_path / "summary.html"]:
        text = page.read_text()
        assert (
            "<script>alert" not in text
            and "<img src=x" not in text
            and "838102050" not in text.split("</style>")[1]
        )
    feedback = next(page for page in (tmp_path / "feedback").glob("script*.html")).read_text()
    assert (
        "&lt;script&gt;alert(1)" in feedback
        and "default-src 'none'" in feedback
        and "script-src" not in feedback
    )


def test_the_names_of_pages_are_safe_and_short(tmp_path):
    rows = write_gradebook(
        tmp_path,
        "07",
        SETTINGS,
        [result("../../etc/passwd"), result("花子"), result("a" * 300), result("花美")],
    )
    pages = [row.page for row in rows]
    assert pages[1].startswith("etc-passwd-") and len(set(pages)) == 4 and max(map(len, pages)) < 60
    assert sorted(path.name for path in (tmp_path / "feedback").iterdir()) == sorted(pages)


@pytest.mark.parametrize(
    "picture",
    [
        "",
        "no base64 %%",
        base64.b64encode(b"GIF89a").decode(),
        base64.b64encode(b"\x89PNG\r\n").decode(),
    ],
)
def test_a_file_that_is_not_a_picture_is_left_out(picture, tmp_path):
    (row,) = write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", picture=picture)])
    assert row.picture is None


def test_a_picture_is_encoded_again_and_a_huge_one_is_left_out(tmp_path):
    with_text = png() + base64.b64encode(b"<script>hidden behind the picture</script>").decode()
    small, huge = write_gradebook(
        tmp_path,
        "07",
        SETTINGS,
        [result("Ada", picture=with_text), result("Bob", picture=png((9000, 9000)))],
    )
    assert b"hidden" not in base64.b64decode(small.picture or "") and huge.picture is None


def test_points_by_hand_are_kept_and_count(tmp_path):
    results = [result("Ada"), result("=Bob")]
    write_gradebook(tmp_path, "07", SETTINGS, results)
    text = (tmp_path / MANUAL).read_text(encoding="utf-8-sig")
    assert "'=Bob|12,," in text
    (tmp_path / MANUAL).write_text(
        text.replace("'=Bob|12,,", '\'=Bob|12,2.5,"Good, but short"'), encoding="utf-8"
    )
    for _ in range(2):
        ada, bob = write_gradebook(tmp_path, "07", SETTINGS, results)
        assert (ada.points, bob.points, bob.comment) == (4, 6.5, "Good, but short")
    assert "Good, but short" in (tmp_path / "feedback" / bob.page).read_text()


def test_negative_points_are_a_number_in_the_grade_book_and_an_apostrophe_is_part_of_a_name(
    tmp_path,
):
    results = [result("'Ada"), result("Bob")]
    (tmp_path / MANUAL).write_text(
        "key,points,comment\n'Ada|12,-2,\nBob|12,+3,\n", encoding="utf-8"
    )
    for _ in range(2):
        ada, bob = write_gradebook(tmp_path, "07", SETTINGS, results)
        assert (ada.points, bob.points) == (2, 7)
    assert [row[6] for row in table(tmp_path)] == ["manual", "-2", "3"]


def test_entries_by_hand_are_never_lost(tmp_path):
    """A student may be missing from one grading and present in the next."""
    (tmp_path / MANUAL).write_text(
        "key;points;comment\nAda|12;2,5;gut\nBob;3;\nCem|12;-1;late\n", encoding="utf-8"
    )
    (ada,) = write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", remarks=["Canvas: late"])])
    assert (ada.points, ada.comment) == (6.5, "gut") and ada.remarks == ["Canvas: late"]
    bob, cem = write_gradebook(tmp_path, "07", SETTINGS, [result("Bob"), result("Cem")])
    assert (bob.points, cem.points) == (7, 3)
    ada, bob = write_gradebook(tmp_path, "07", SETTINGS, [result("Ada"), result("Bob")])
    assert (ada.points, bob.points) == (6.5, 7)


@pytest.mark.parametrize(
    "content, sentence",
    [
        ("key,points,comment\nAda|12,five,\n", "line 2: 'five' is not a number"),
        ("Ada,5\n", "must begin with the line key,points,comment"),
        ("", "is empty"),
    ],
)
def test_points_that_are_not_a_number_are_named_and_the_file_stays(content, sentence, tmp_path):
    (tmp_path / MANUAL).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        write_gradebook(tmp_path, "07", SETTINGS, [result("Ada")])
    assert (tmp_path / MANUAL).read_text(encoding="utf-8") == content


def test_the_written_part_counts_towards_the_possible_points(tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", written=6.0)])
    page = next((tmp_path / "feedback").iterdir()).read_text()
    assert "<b>4</b> of 14 points</p>" in page
    assert "The written part (up to 6 points) is not graded yet." in page
    (tmp_path / MANUAL).write_text("key,points,comment\nAda|12,5,\n")
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", written=6.0)])
    page = next((tmp_path / "feedback").iterdir()).read_text()
    assert "<b>9</b> of 14 points</p>" in page and "5 of 6 points for the written part" in page


def test_points_by_hand_for_an_exercise_replace_those_of_the_grader(tmp_path):
    (tmp_path / MANUAL).write_text(
        "key,points,comment,7.1,7.2\nAda|12,1,,2,\nBob|12,,,0,4\n", encoding="utf-8"
    )
    for _ in range(2):
        ada, bob = write_gradebook(tmp_path, "07", SETTINGS, [result("Ada"), result("Bob")])
        assert (ada.points, bob.points) == (3, 4)
    assert [line[4:6] for line in table(tmp_path)[1:]] == [["2", "0"], ["0", "4"]]
    page = (tmp_path / "feedback" / ada.page).read_text(encoding="utf-8")
    assert page.count("Your instructor gave these points. The grader gave 4.") == 1
    assert '<section class="partly">' in page and "2 of 4</h2>" in page
    text = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert "0 of 2, 1 partly</td>" in text and "1 of 2</td>" in text


def test_points_by_hand_for_an_unknown_exercise_are_an_error(tmp_path):
    content = "key,points,comment,7.9\nAda|12,,,2\nGone,,,3\n"
    (tmp_path / MANUAL).write_text(content, encoding="utf-8")
    with pytest.raises(
        UserError, match=r"points for 'Ada\|12' in 7.9, but .* only 7.1, 7.2. Correct"
    ):
        write_gradebook(tmp_path, "07", SETTINGS, [result("Ada")])
    assert (tmp_path / MANUAL).read_text(encoding="utf-8") == content
    write_gradebook(tmp_path, "07", SETTINGS, [result("Bob")])
    assert "Gone,,,,,,3" in (tmp_path / MANUAL).read_text(encoding="utf-8-sig")


def test_the_page_of_a_student_on_hold_says_only_that_points_come_later(tmp_path):
    (tmp_path / MANUAL).write_text("key,points,comment,hold\nAda|12,1,Hm,a hearing\n")
    ada, bob = write_gradebook(tmp_path, "07", SETTINGS, [result("Ada"), result("Bob")])
    page = (tmp_path / "feedback" / ada.page).read_text(encoding="utf-8")
    assert "Your points for this lab will be published later." in page
    for secret in ("of 8 points", "So it is", "Hm", "hearing", "I did", "7.1"):
        assert secret not in page
    assert "So it is" in (tmp_path / "feedback" / bob.page).read_text(encoding="utf-8")
    assert table(tmp_path)[1][-1] == "on hold: a hearing" and ada.points == 5
    summary = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert summary.count("(on hold)</b>") == 1 and "<td>on hold: a hearing</td>" in summary


def test_a_problem_with_the_notebook_hides_no_remark(tmp_path):
    (tmp_path / MANUAL).write_text("key,points,comment,hold\nAda|12,,,a hearing\n")
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", problem="No notebook.")])
    assert table(tmp_path)[1][-1] == "No notebook; on hold: a hearing"
    assert "No notebook; on hold: a hearing" in (tmp_path / "summary.html").read_text()


def test_outdated_pages_are_removed_and_code_in_sentences_is_marked_up(tmp_path):
    sentence = "Return `pred_images`, the *variance*, noise_rates**2 <b>, or `2*x*y`."
    ada = with_verdict(result("Ada"), 0, sentence=sentence)
    write_gradebook(tmp_path, "07", SETTINGS, [ada, result("Bob")])
    write_gradebook(tmp_path, "07", SETTINGS, [ada])
    (page,) = (tmp_path / "feedback").iterdir()
    assert (
        "Return <code>pred_images</code>, the <em>variance</em>, noise_rates**2 &lt;b&gt;, or"
        " <code>2*x*y</code>." in page.read_text()
    )


def test_the_summary_shows_the_hardest_exercise_and_common_mistakes(tmp_path):
    rows = [result(f"S{number}", (4.0, 4.0 * (number > 7))) for number in range(10)]
    with_verdict(rows[3], 1, sentence="The rates are swapped.")
    for number in range(7):
        with_verdict(rows[number], 0, points=0.0, sentence=f"Wrong in way {number}.")
    write_gradebook(tmp_path, "07", SETTINGS, rows)
    text = " ".join((tmp_path / "summary.html").read_text().split())
    assert '<code>second</code> <b>(the hardest)</b></td> <td class="n">2 of 10</td>' in text
    assert "1 × The rates are swapped." in text and "7 × So it is." in text
    assert "1 × Wrong in way 4." in text and "2 × something else" in text, (
        "five sentences, and the number of the others"
    )


def test_stopped_answers_and_suspicious_imports_are_named(tmp_path):
    stopped, reaching = (
        result("Ada"),
        result(
            "Bob",
            answers={
                "first": "import numpy as np, os\nfrom subprocess import run",
                "second": "os = 3",
            },
            remarks=["another remark"],
        ),
    )
    with_verdict(
        stopped,
        1,
        outcome="stopped",
        sentence="The answer was stopped: the kernel in which it ran has ended.",
    )
    rows = write_gradebook(
        tmp_path,
        "07",
        SETTINGS,
        [
            stopped,
            with_verdict(reaching, 1, outcome="stopped", sentence="it stopped"),
            result("Cem", answers={"first": "import numpy as np\nos = 3"}),
        ],
    )
    assert [row.remarks for row in rows] == [
        ["7.2: The answer was stopped: the kernel in which it ran has ended"],
        ["uses os, subprocess", "7.2: it stopped", "another remark"],
        [],
    ]


def test_reports_are_in_the_order_of_the_names(tmp_path):
    names = ["Zoe", "émile", "Student 10", "Student 9", "=Ada"]
    rows = write_gradebook(tmp_path, "07", SETTINGS, [result(name) for name in names])
    assert [row.student for row in rows] == ["=Ada", "émile", "Student 9", "Student 10", "Zoe"]
    page = (tmp_path / "summary.html").read_text(encoding="utf-8").split("<h2>Students</h2>")[1]
    places = [page.index(f">{row.student}</a>") for row in rows]
    assert places == sorted(places)


def test_the_summary_explains_every_mark(tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada")])
    (legend,) = re.findall("Students</h2>(.*?)</p>", (tmp_path / "summary.html").read_text(), re.S)
    kinds = [("right", 4), ("missing", 0), ("wrong", 0), ("wrong", 2)]
    for outcome, points in kinds:
        verdict = Verdict("7.1", "first", outcome, points, 4, "")
        assert f'<span class="{class_of(verdict)}">{mark_of(verdict)} ' in legend


def test_each_kind_of_verdict_has_its_own_mark():
    kinds = [("right", 4), ("missing", 0), ("wrong", 0), ("stopped", 0), ("wrong", 2), ("right", 0)]
    marks = [mark_of(Verdict("7.1", "first", outcome, points, 4, "")) for outcome, points in kinds]
    assert marks == list("✓–✗✗◐✗"), "a person may give part of the points, or take them all"
    assert mark_of(Verdict("7.1", "first", "right", 0, 0, "")) == "✓"


def test_the_summary_says_for_whom_the_written_part_is_not_graded(tmp_path):
    (tmp_path / MANUAL).write_text("key,points,comment\nAda|12,5,\n")
    write_gradebook(
        tmp_path, "07", SETTINGS, [result("Ada", written=6.0), result("Bob", written=6.0)]
    )
    text = " ".join((tmp_path / "summary.html").read_text().split())
    assert (
        "On average 6.5 of 14 points. Up to 6 of the 14 points are for the written part, which is"
        " not graded yet for 1 of 2 students." in text
    )


def test_a_problem_with_the_whole_notebook_is_said_once(tmp_path):
    write_gradebook(
        tmp_path, "07", SETTINGS, [result("Ada", problem="This file is not a notebook.")]
    )
    page = next((tmp_path / "feedback").iterdir()).read_text()
    assert "This file is not a notebook." in page and "So it is." not in page
    assert "Each answer was run" not in page


def test_nearly_identical_submissions_are_listed_together(tmp_path):
    other = LONG.replace("value", "other")
    rows = [
        result("Ada", answers={"first": LONG}),
        result("Cem", answers={"first": other}),
        result("Bob", answers={"first": "# mine\n" + LONG}),
        result("Dan"),
        result("Eve"),
        result("Fay", answers={"first": other + "\n# my own work"}),
        result("Gil", answers={"first": LONG + "\n# at last"}),
    ]
    write_gradebook(tmp_path, "07", SETTINGS, rows)
    text = (
        (tmp_path / "summary.html")
        .read_text()
        .split("Nearly identical submissions")[1]
        .split("<h2>")[0]
    )
    groups = [re.findall(r">(\w+)</a>", line) for line in text.splitlines() if "<li>" in line]
    assert groups == [["Ada", "Bob", "Gil"], ["Cem", "Fay"]]


def earlier_class(folder, results, lab="07", seed=6):
    write_gradebook(folder, lab, replace(SETTINGS, seed=seed), results)
    return folder / "grades.json"


def test_submissions_are_compared_with_those_of_earlier_years_by_fingerprints_alone(tmp_path):
    old = [result("Old", id="7", answers={"first": LONG}), result("Other")]
    path = earlier_class(tmp_path / "2025", old)
    grades = json.loads(path.read_text())
    for student in grades["students"]:
        student["answers"] = student["texts"] = {}
        assert "value" not in student["fingerprint"]
    path.write_text(json.dumps(grades))
    rows = [
        result("Ada", answers={"first": "# mine\n" + LONG}),
        result("Bob", answers={"first": LONG.replace("value", "other")}),
        result("Cem"),
    ]
    for given in (path, path.parent):
        earlier = [read_earlier_class(given, "07")]
        write_gradebook(tmp_path / "2026", "07", SETTINGS, rows, earlier=earlier)
        looks = [line[-1] for line in table(tmp_path / "2026")[1:]]
        remark = f"nearly identical to Old (7) in {tmp_path / '2025'}"
        assert looks == [f"{remark} (answers)", "", ""]
        text = (tmp_path / "2026" / "summary.html").read_text(encoding="utf-8")
        assert text.count(remark) == 1
    for page in (tmp_path / "2026" / "feedback").iterdir():
        assert "nearly identical" not in page.read_text(encoding="utf-8")


def test_fingerprints_of_two_gradings_have_nothing_in_common():
    first, second = hashes_of([LONG], 5), hashes_of([LONG], 6)
    assert first and not first & second and first == hashes_of([LONG], 5)


def test_headings_of_written_parts_are_no_raw_markdown(tmp_path):
    texts = {"experiment": "### Your <b>experiment</b>\n\nI *did*.\n# No heading", "summary": "So."}
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", texts=texts)])
    page = next((tmp_path / "feedback").iterdir()).read_text(encoding="utf-8")
    assert "<h3>Your &lt;b&gt;experiment&lt;/b&gt;</h3>" in page
    assert '<pre class="text">I *did*.\n# No heading</pre>' in page
    assert page.count("<h3>") == 1 and '<pre class="text">So.</pre>' in page
    summary = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert "<b>Your &lt;b&gt;experiment&lt;/b&gt;</b>" in summary and "###" not in summary


def similar(out):
    """Returns [(what, names)] of the groups in the summary."""
    text = (out / "summary.html").read_text(encoding="utf-8")
    part = text.partition("Nearly identical submissions")[2].partition("<h2>")[0]
    lines = [line for line in part.splitlines() if "<li>" in line]
    return [(re.search(r"<li>(\w+):", line)[1], re.findall(r">(\w+)</a>", line)) for line in lines]


def test_what_students_were_given_makes_nobody_similar(tmp_path):
    """Two notebooks in which only the stubs are left, and two texts below the same instructions."""
    task = next(cell.source for cell in handouts()[7].cells if "summary" in cell.mark)
    rows = [result(name, answers={"first": LONG, "second": "return 1"}) for name in ("Ada", "Bob")]
    rows = [with_verdict(row, 0, outcome="missing") for row in rows]
    texts = [f"{task}\nMy own words: {name}." for name in ("Ada", "Bob")]
    rows = [replace(row, texts={"experiment": text}) for row, text in zip(rows, texts)]
    write_gradebook(tmp_path, "07", SETTINGS, rows)
    assert len(task.split()) > 50 and similar(tmp_path) == []


def test_a_copied_text_is_found_whatever_the_answers_are(tmp_path):
    words = [f"word{number}" for number in range(100)]
    changed = [*words[:50], "another", *words[51:]]
    own = [*words[:80], *(f"other{number}" for number in range(20))]
    rows = [
        result("Ada", answers={"first": LONG}, texts={"experiment": " ".join(words)}),
        result("Bob", texts={"experiment": " ".join(changed), "summary": LONG}),
        result("Cem", texts={"experiment": " ".join(own), "summary": "I did."}),
    ]
    write_gradebook(tmp_path / "a", "07", SETTINGS, rows[:1])
    write_gradebook(tmp_path / "all", "07", SETTINGS, rows)
    assert similar(tmp_path / "all") == [("Experiment", ["Ada", "Bob"])]
    text = (tmp_path / "all" / "summary.html").read_text(encoding="utf-8")
    assert "more than 97 %" in text and "more than 80 %" in text
    earlier = [read_earlier_class(tmp_path / "a", "07")]
    write_gradebook(tmp_path / "b", "07", SETTINGS, rows[1:], earlier=earlier)
    remark = f"nearly identical to Ada (12) in {tmp_path / 'a'} (experiment)"
    assert [line[-1] for line in table(tmp_path / "b")[1:]] == [remark, ""]


@pytest.mark.parametrize(
    "content, sentence",
    [
        (None, "there is no .*grades.json"),
        ("[]", "is not a grades.json with fingerprints"),
        (
            '{"lab": "07", "seed": 1, "students": [{"student": "Ada", "id": ""}]}',
            "grade that class",
        ),
        ('{"lab": "02", "seed": 1, "students": []}', "is of lab 02, not of lab 07"),
    ],
)
def test_a_file_that_cannot_be_compared_is_an_error(content, sentence, tmp_path):
    if content is not None:
        (tmp_path / "grades.json").write_text(content)
    with pytest.raises(UserError, match=f"--compare-with: .*{sentence}"):
        read_earlier_class(tmp_path / "grades.json", "07")


@pytest.mark.parametrize(
    "name, number", [("x|555", ""), ("x|555|", ""), ("x%7C555", ""), ("x\u202e|555", "")]
)
def test_no_student_gets_the_points_by_hand_of_another(name, number, tmp_path):
    (tmp_path / MANUAL).write_text("key,points,comment\nx|555,5,good\n", encoding="utf-8")
    for results in (
        [result(name, id=number), result("x", id="555")],
        [result("x", id="555"), result(name, id=number)],
    ):
        rows = {row.student: row for row in write_gradebook(tmp_path, "07", SETTINGS, results)}
        assert rows.pop("x").points == 9 and [row.points for row in rows.values()] == [4]


def test_a_name_alone_is_enough_for_one_student_and_not_for_two(tmp_path):
    (tmp_path / MANUAL).write_text("key,points,comment\nAda,5,\nBob,3,\n", encoding="utf-8")
    results = [result("Ada", id="1"), result("Bob", id="2"), result("Bob", id="3")]
    assert [row.points for row in write_gradebook(tmp_path, "07", SETTINGS, results)] == [9, 4, 4]
    assert "Bob,3," in (tmp_path / MANUAL).read_text(encoding="utf-8-sig"), (
        "it is kept for a person to correct"
    )


@pytest.mark.parametrize(
    "code",
    [
        "\x1b[31m",
        "\x1b]0;title\x07",
        "\x9b2J",
        "\u202e",
        "\u2066",
        "\u200f",
        "\x00",
        "\x7f",
        "\udc80",
        "\ud83d",
        "\r",
        "\u2028",
    ],
)
def test_no_control_code_reaches_a_report(code, tmp_path):
    row = result(
        f"A{code}da",
        place=f"a{code}.ipynb",
        problem="",
        remarks=[f"it{code} is"],
        texts={"summary": f"one{code}two\nthree"},
        answers={"first": f"x = '{code}'"},
    )
    with_verdict(row, 0, sentence=f"So{code} it is.", details=f"line{code}\n\tline")
    (written,) = write_gradebook(tmp_path, "07", SETTINGS, [row])
    pages = [
        path.read_text(encoding="utf-8")
        for path in (
            *(tmp_path / "feedback").iterdir(),
            tmp_path / "summary.html",
            tmp_path / "grades.csv",
        )
    ]
    for text in [
        *pages,
        written.student,
        written.place,
        written.verdicts[0].sentence,
        *written.remarks,
    ]:
        assert code not in (text if code != "\r" else text.replace("\r\n", "\n"))
    assert "\n\tline" in pages[0] and json.loads((tmp_path / "grades.json").read_text())


HUGE = "\"'<&" * 10**6


def test_a_class_of_five_hundred_is_one_small_page(tmp_path):
    picture = io.BytesIO()
    Image.frombytes("RGB", (90, 90), random.Random(0).randbytes(3 * 90 * 90)).save(picture, "PNG")
    many = [
        result(
            f"S{number}",
            picture=base64.b64encode(picture.getvalue()).decode(),
            texts={"summary": "word " * 500},
            written=6.0,
        )
        for number in range(500)
    ]
    many[7] = replace(
        many[7], texts={"summary": HUGE}, remarks=[HUGE], problem=HUGE, answers={"first": HUGE}
    )
    with_verdict(many[8], 1, sentence=HUGE, details=HUGE)
    rows = write_gradebook(tmp_path, "07", SETTINGS, many)
    assert (tmp_path / "summary.html").stat().st_size < 3_000_000
    assert sum(path.stat().st_size for path in (tmp_path / "feedback").iterdir()) < 500 * 200_000
    page = (tmp_path / "feedback" / rows[3].page).read_text()
    assert ("word " * 500).strip() in page and "data:image/png" in page, (
        "the student's own page shows everything"
    )
    assert "The whole text" in (tmp_path / "summary.html").read_text()


@pytest.mark.parametrize(
    "points, written, sentence",
    [
        ("5", 6.0, "<b>5 of 6 points for the written part.</b>"),
        ("0", 6.0, "<b>0 of 6 points for the written part.</b>"),
        ("-2", 6.0, "<b>−2 points.</b>"),
        ("-2", 0, "<b>−2 points.</b>"),
        ("+1", 0, "<b>+1 point.</b>"),
        ("1.5", 0, "<b>+1.5 points.</b>"),
    ],
)
def test_points_by_hand_are_for_the_written_part_or_in_addition(
    points, written, sentence, tmp_path
):
    (tmp_path / MANUAL).write_text(f"key,points,comment\nAda|12,{points},\n", encoding="utf-8")
    (row,) = write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", written=written)])
    page = (tmp_path / "feedback" / row.page).read_text()
    assert sentence in page and ("written part" in sentence) == ("written part" in page)


def test_a_picture_of_the_lab_is_not_called_the_students(tmp_path):
    (row,) = write_gradebook(tmp_path, "02", SETTINGS, [result("Ada", picture=png())])
    page = (tmp_path / "feedback" / row.page).read_text()
    assert "A picture from this lab" in page and "Your picture" not in page


def contrast(colour):
    """Returns the contrast ratio of a colour such as #1a6e2e to white, as defined by WCAG 2."""
    light = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    light = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in light]
    return 1.05 / (0.05 + sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), light)))


def test_every_text_colour_has_enough_contrast(tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada")])
    for page in (*(tmp_path / "feedback").iterdir(), tmp_path / "summary.html"):
        colours = re.findall(r"[ {]color: (#[0-9a-f]{3,6})", page.read_text())
        assert len(colours) > 3
        for colour in colours:
            assert (
                contrast(
                    colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
                )
                >= 4.5
            )


def test_the_terminal_shows_progress_and_says_which_rows_it_omits(tmp_path, monkeypatch, capsys):
    def grade(submissions, source, out, progress, **options):
        for done in range(1, 101):
            progress(done, 100)
        return SETTINGS, [result(f"S[red]{number}\x1b[2J") for number in range(100)]

    monkeypatch.setattr(command, "grade_class", grade)
    monkeypatch.setattr(command, "QUIET_SECONDS", 0)
    command.run_grade(
        tmp_path, "07", tmp_path / "out", Path(__file__).parents[1], seconds=1, memory=1
    )
    said = capsys.readouterr().out
    assert (
        "graded 1 of 100\n" in said
        and "graded 57 of 100\n" in said
        and "graded 100 of 100\n" in said
    )
    assert (
        "S[red]59" in said
        and "S[red]60" not in said
        and "first 60 of 100 submissions" in said
        and "\x1b[2J" not in said
    )
    monkeypatch.setattr(command, "QUIET_SECONDS", 10**9)
    command.run_grade(
        tmp_path, "07", tmp_path / "out", Path(__file__).parents[1], seconds=1, memory=1
    )
    assert capsys.readouterr().out.count("graded ") == 2


def test_points_by_hand_above_the_maximum_are_named(tmp_path):
    """They may be a slip of the keyboard, or bonus points."""
    (tmp_path / MANUAL).write_text(
        "key,points,comment,7.2\nAda|12,160,,\nBob|13,16,,4\nCem|14,,,40\n", encoding="utf-8"
    )
    ids = {"Ada": "12", "Bob": "13", "Cem": "14"}
    class_of_three = [result(name, id=number, written=16.0) for name, number in ids.items()]
    _, said = write_reports(tmp_path, "07", SETTINGS, class_of_three, None, Reporting())
    sentence = "Ada has 160 of 16 points for the written part; Cem has 40 of 4 points for 7.2. Unl"
    assert [each for each in said if sentence in each]
    assert sentence in (tmp_path / "summary.html").read_text(encoding="utf-8")
    _, said = write_reports(
        tmp_path, "07", SETTINGS, class_of_three, None, Reporting(anonymous=True)
    )
    (hidden,) = [each for each in said if "160 of 16" in each]
    assert "Ada" not in hidden and "Student " in hidden
    bonus = [replace(row, written=0) for row in class_of_three[:2]]
    _, said = write_reports(tmp_path, "07", SETTINGS, bonus, None, Reporting())
    assert not [each for each in said if "160" in each], "all points by hand are in addition"
