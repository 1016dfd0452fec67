"""The reports of a grading: right figures, and nothing in them that a student could have planted."""

import base64
import csv
import io
import json
import re

import pytest
from PIL import Image

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.gradebook import mark_of, write_gradebook
from diffusion_lab.instructor.grading import Settings
from diffusion_lab.instructor.manual import MANUAL
from diffusion_lab.instructor.sandbox import Limits

SETTINGS = Settings("", "07_toy.py", 5, Limits())
LONG = "\n".join(f"value_{number} = compute_{number}(first, second, {number})" for number in range(20))


def png(size=(4, 4), colour="red"):
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "PNG", pnginfo=None)
    return base64.b64encode(content.getvalue()).decode()


def result(student, points=(4.0, 0.0), **more):
    verdicts = [{"number": f"7.{place}", "name": name, "outcome": "right" if earned else "wrong", "points": earned, "possible": 4.0, "sentence": "So it is.", "details": ""}
                for place, (name, earned) in enumerate(zip(("first", "second"), points), start=1)]
    return {"student": student, "id": "12", "place": f"{student}.ipynb", "digest": "", "problem": "", "remarks": [],
            "verdicts": verdicts, "answers": {"first": "return 1"}, "texts": {"summary": "I did."}, "picture": None,
            "written": 0} | more


def table(out):
    return list(csv.reader(io.StringIO((out / "grades.csv").read_bytes().decode("utf-8-sig"), newline="")))


def test_the_grade_book_has_a_row_for_each_student(tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada"), result("Bob", (4.0, 4.0), remarks=["found by its id"])])
    header, ada, bob = table(tmp_path)
    assert header[:6] == ["Student", "ID", "Lab 07", "of", "7.1 first", "7.2 second"]
    assert ada[:6] == ["Ada", "12", "4", "8", "4", "0"] and bob[2] == "8" and bob[-1] == "found by its id"
    facts = json.loads((tmp_path / "grades.json").read_text())
    assert facts["seed"] == 5 and facts["sandbox"] == "bubblewrap" and [row["points"] for row in facts["students"]] == [4, 8]
    page = (tmp_path / ada[-2]).read_text()
    assert "<b>4</b> of 8 points" in page and "So it is." in page


@pytest.mark.parametrize("name", ["=cmd|'/C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", " =1", "\r=1"])
def test_a_table_program_sees_no_formula(name, tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, [result(name, problem="=HYPERLINK(1)")])
    _, row = table(tmp_path)
    assert row[0].startswith("'") and row[0][1:] == name and row[-1] == "'=HYPERLINK(1)"


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 12345 * 67890 }}{% raw %}&lt;"


def test_pages_show_markup_as_text(tmp_path):
    row = result(HOSTILE, remarks=[HOSTILE], problem=HOSTILE, texts={"summary": HOSTILE}, picture=png())
    row["verdicts"][0] |= {"sentence": HOSTILE, "details": HOSTILE}
    write_gradebook(tmp_path, "07", SETTINGS, [row, result("Ada", answers={"first": HOSTILE})])
    for page in [*(tmp_path / "feedback").glob("*.html"), tmp_path / "summary.html"]:
        text = page.read_text()
        assert "<script>alert" not in text and "<img src=x" not in text and "838102050" not in text.split("</style>")[1]
    feedback = next(page for page in (tmp_path / "feedback").glob("script*.html")).read_text()
    assert "&lt;script&gt;alert(1)" in feedback and "default-src 'none'" in feedback and "script-src" not in feedback


def test_a_page_is_named_by_us(tmp_path):
    rows = write_gradebook(tmp_path, "07", SETTINGS, [result("../../etc/passwd"), result("花子"), result("a" * 300), result("花美")])
    pages = [row["page"] for row in rows]
    assert pages[0].startswith("etc-passwd-") and len(set(pages)) == 4 and max(map(len, pages)) < 60
    assert sorted(path.name for path in (tmp_path / "feedback").iterdir()) == sorted(pages)


@pytest.mark.parametrize("picture", ["", "no base64 %%", base64.b64encode(b"GIF89a").decode(), base64.b64encode(b"\x89PNG\r\n").decode()])
def test_a_picture_that_is_none_is_left_out(picture, tmp_path):
    (row,) = write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", picture=picture)])
    assert row["picture"] is None


def test_a_picture_is_drawn_anew_and_a_huge_one_is_not_drawn(tmp_path):
    with_text = png() + base64.b64encode(b"<script>hidden behind the picture</script>").decode()
    small, huge = write_gradebook(tmp_path, "07", SETTINGS, [
        result("Ada", picture=with_text), result("Bob", picture=png((9000, 9000)))])
    assert b"hidden" not in base64.b64decode(small["picture"] or "") and huge["picture"] is None


def test_points_that_a_person_gave_are_kept_and_count(tmp_path):
    results = [result("Ada"), result("=Bob")]
    write_gradebook(tmp_path, "07", SETTINGS, results)
    text = (tmp_path / MANUAL).read_text(encoding="utf-8-sig")
    assert "'=Bob|12,," in text
    (tmp_path / MANUAL).write_text(text.replace("'=Bob|12,,", "'=Bob|12,2.5,\"Good, but short\""), encoding="utf-8")
    for _ in range(2):
        ada, bob = write_gradebook(tmp_path, "07", SETTINGS, results)
        assert (ada["points"], bob["points"], bob["comment"]) == (4, 6.5, "Good, but short")
    assert "Good, but short" in (tmp_path / "feedback" / bob["page"]).read_text()


def test_negative_points_are_a_number_in_the_grade_book_and_an_apostrophe_is_part_of_a_name(tmp_path):
    results = [result("'Ada"), result("Bob")]
    (tmp_path / MANUAL).write_text("key,points,comment\n'Ada|12,-2,\nBob|12,+3,\n", encoding="utf-8")
    for _ in range(2):
        ada, bob = write_gradebook(tmp_path, "07", SETTINGS, results)
        assert (ada["points"], bob["points"]) == (2, 7)
    assert [row[6] for row in table(tmp_path)] == ["manual", "-2", "3"]


def test_what_a_person_gave_is_never_dropped(tmp_path):
    """Neither by a class in which somebody is missing, nor by a second version of a file, nor by a table program."""
    (tmp_path / MANUAL).write_text("key;points;comment\nAda|12;2,5;gut\nBob;3;\nCem|12;-1;late\n", encoding="utf-8")
    ada, = write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", place="ada_LATE_1_2_x.ipynb")])
    assert (ada["points"], ada["comment"]) == (6.5, "gut") and "handed in late" in ada["remarks"]
    bob, cem = write_gradebook(tmp_path, "07", SETTINGS, [result("Bob"), result("Cem")])
    assert (bob["points"], cem["points"]) == (7, 3)
    ada, bob = write_gradebook(tmp_path, "07", SETTINGS, [result("Ada"), result("Bob")])
    assert (ada["points"], bob["points"]) == (6.5, 7)


@pytest.mark.parametrize("content, sentence", [
    ("key,points,comment\nAda|12,five,\n", "line 2: 'five' is not a number"), ("Ada,5\n", "must begin with a line key,points,comment"), ("", "must begin"),
])
def test_points_that_are_none_are_named_and_the_file_stays(content, sentence, tmp_path):
    (tmp_path / MANUAL).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        write_gradebook(tmp_path, "07", SETTINGS, [result("Ada")])
    assert (tmp_path / MANUAL).read_text(encoding="utf-8") == content


def test_the_written_part_counts_into_what_is_possible(tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", written=6.0)])
    page = next((tmp_path / "feedback").iterdir()).read_text()
    assert "<b>4</b> of 14 points; the written part (up to 6) is not graded yet" in page
    (tmp_path / MANUAL).write_text("key,points,comment\nAda|12,5,\n")
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", written=6.0)])
    page = next((tmp_path / "feedback").iterdir()).read_text()
    assert "<b>9</b> of 14 points</p>" in page and "5 of 6 points for the written part" in page


def test_pages_of_people_who_are_gone_are_gone_and_marks_of_code_are_drawn(tmp_path):
    ada = result("Ada")
    ada["verdicts"][0]["sentence"] = "Return `pred_images`, the *variance*, noise_rates**2 <b>."
    write_gradebook(tmp_path, "07", SETTINGS, [ada, result("Bob")])
    write_gradebook(tmp_path, "07", SETTINGS, [ada])
    page, = (tmp_path / "feedback").iterdir()
    assert "Return <code>pred_images</code>, the <em>variance</em>, noise_rates**2 &lt;b&gt;." in page.read_text()


def test_a_class_is_summed_up(tmp_path):
    rows = [result(f"S{number}", (4.0, 4.0 * (number > 7))) for number in range(10)]
    rows[3]["verdicts"][1]["sentence"] = "The rates are swapped."
    for number in range(7):
        rows[number]["verdicts"][0] |= {"points": 0.0, "sentence": f"Wrong in way {number}."}
    write_gradebook(tmp_path, "07", SETTINGS, rows)
    text = " ".join((tmp_path / "summary.html").read_text().split())
    assert "<code>second</code> <b>(the hardest)</b></td> <td class=\"n\">2 of 10</td>" in text
    assert "1 × The rates are swapped." in text and "7 × So it is." in text
    assert "1 × Wrong in way 4." in text and "2 × something else" in text, "five sentences, and how many there are besides"


def test_whoever_needs_a_look_is_named(tmp_path):
    stopped, reaching = result("Ada"), result("Bob", answers={"first": "import numpy as np, os\nfrom subprocess import run", "second": "os = 3"})
    stopped["verdicts"][1] |= {"outcome": "stopped", "sentence": "The answer was stopped: it ended the kernel in which it ran."}
    rows = write_gradebook(tmp_path, "07", SETTINGS, [stopped, reaching, result("Cem", answers={"first": "import numpy as np\nos = 3"})])
    assert [row["remarks"] for row in rows] == [["7.2: The answer was stopped: it ended the kernel in which it ran"], ["uses os, subprocess"], []]


def test_marks_tell_what_is_wrong_from_what_is_missing():
    assert [mark_of({"outcome": outcome}) for outcome in ("right", "missing", "wrong", "stopped")] == list("✓–✗✗")


def test_points_that_nobody_could_have_yet_are_not_held_against_the_class(tmp_path):
    (tmp_path / MANUAL).write_text("key,points,comment\nAda|12,5,\n")
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", written=6.0), result("Bob", written=6.0)])
    text = " ".join((tmp_path / "summary.html").read_text().split())
    assert "On average 6.5 of 14 points; 6 of them are for the written part, which is not graded yet for 1 of 2." in text


def test_what_is_no_notebook_is_told_so_once(tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", problem="This file is not a notebook.")])
    page = next((tmp_path / "feedback").iterdir()).read_text()
    assert "This file is not a notebook." in page and "So it is." not in page


def test_what_is_nearly_the_same_is_shown_side_by_side(tmp_path):
    other = LONG.replace("value", "other")
    rows = [result("Ada", answers={"first": LONG}), result("Cem", answers={"first": other}),
            result("Bob", answers={"first": "# mine\n" + LONG}), result("Dan"), result("Eve"),
            result("Fay", answers={"first": other + "\n# my own work"}), result("Gil", answers={"first": LONG + "\n# at last"})]
    write_gradebook(tmp_path, "07", SETTINGS, rows)
    text = (tmp_path / "summary.html").read_text().split("Nearly the same")[1].split("<h2>")[0]
    groups = [re.findall(r">(\w+)</a>", line) for line in text.splitlines() if "<li>" in line]
    assert groups == [["Ada", "Bob", "Gil"], ["Cem", "Fay"]]
