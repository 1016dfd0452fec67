"""manual.csv: entries are read from every format that spreadsheets save, and never lost."""

from dataclasses import replace

import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.manual import (
    MANUAL,
    ByHand,
    escape_formula,
    read_manual,
    remarks_on_unclaimed,
    unescape_formula,
    write_manual,
)
from tests.graded import SETTINGS, result

TABLE = "key,points,comment\nMüller|12,2.5,schön – gut\nAda|7,-1,\n"
GIVEN = {"Müller|12": ByHand("2.5", "schön – gut"), "Ada|7": ByHand("-1")}


def read(tmp_path, content):
    (tmp_path / MANUAL).write_bytes(content)
    return read_manual(tmp_path / MANUAL)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_format_of_a_spreadsheet_is_read(encoding, delimiter, end, tmp_path):
    text = TABLE.replace(",", delimiter).replace("\n", end)
    if delimiter != ",":
        text = text.replace("2.5", "2,5")
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    assert read(tmp_path, mark + text.encode(encoding)) == GIVEN


@pytest.mark.parametrize(
    "typed, points",
    [
        ("+3", "3"),
        ("-2", "-2"),
        ("−2", "-2"),
        ("'-2", "-2"),
        ("'+3", "3"),
        (" 2.5 ", "2.5"),
        (".5", ".5"),
        ("2.", "2."),
        ("+0,5", "0.5"),
        ("", ""),
    ],
)
def test_numbers_are_read_as_people_type_them(typed, points, tmp_path):
    assert read(tmp_path, f"Key;Points;Comment;;\nAda;{typed};;;\n".encode()) == {
        "Ada": ByHand(points)
    }


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"key,points,comment\nAda,five,\n", "line 2: 'five' is not a number"),
        (b'key,points,comment\nAda,1,"two\nlines"\nBob,nan,\n', "line 4: 'nan' is not a number"),
        (b"key,points,comment\nAda,1e3,\n", "'1e3' is not a number"),
        (b"key,points,comment\nAda,99999999,\n", "is not a number"),
        (b"key,points,comment\nAda,+-3,\n", "is not a number"),
        (b"Ada,5\n", "must begin with the line key,points,comment"),
        (b"", "is empty"),
        (b"sep=;\nkey;points;comment\nAda;five;\n", "line 3: 'five' is not a number"),
        (b"key,points,points,comment\n", "must begin"),
        (
            b"key,points,comment\nAda,2,5,good\n",
            "line 2 has a cell outside the columns key, points",
        ),
        (b"key,points,comment,grader\nAda,2,good,me\n", "line 2 has a cell outside the columns"),
        (b"key,points,comment,7.2,\nAda,2,good,1,5\n", "line 2 has a cell outside the columns"),
        (b"key,points,comment,7.2\nAda,2,good,one\n", "line 2: 'one' is not a number"),
        (b"key,points,comment,7.2,7.2\n", "must begin"),
        (b"key;points;comment;7,2;7.2\n", "must begin"),
        (b"key,points,comment,hold\nAda,,,why\nAda,,,\nAda,2,,\n", "line 4: there is another"),
        (b"key,points,comment\nAda,2,\nAda,3,\n", "line 3: there is another line for 'Ada'"),
        (b"key,points,comment\nAda,2,\nBob,1,\x81\n", "line 3: some characters cannot be read"),
        (
            "key,points,comment\n".encode("utf-16") + b"\x00",
            "line [12]: some characters cannot be read",
        ),
        (b"key,points,comment\nAda,2," + b"x" * 200_000, "line 2 cannot be read"),
    ],
)
def test_an_error_names_its_line_and_the_file_stays(content, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        read(tmp_path, content)
    assert (tmp_path / MANUAL).read_bytes() == content


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path):
    (tmp_path / MANUAL).mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        read_manual(tmp_path / MANUAL)


def test_an_empty_line_for_the_same_student_loses_nothing(tmp_path):
    assert read(tmp_path, b"key,points,comment\nAda,2,good\nAda,,\n") == {
        "Ada": ByHand("2", "good")
    }


NAMES = [
    "Ada",
    "'Ada",
    "''Ada",
    "=Ada",
    "'=Ada",
    "''=Ada",
    "'-2",
    "-2",
    "+3",
    " =1",
    "\t=1",
    "＝1",
    "'",
    "",
    "-2+3",
]


def test_escaping_formulas_is_reversible():
    assert [unescape_formula(escape_formula(name)) for name in NAMES] == NAMES
    assert len({escape_formula(name) for name in NAMES}) == len(NAMES)
    assert all(
        escape_formula(name)[:1] == "'"
        for name in NAMES
        if name.strip()[:1] in ("=", "＝") or name == "-2+3"
    )
    assert escape_formula("-2") == "-2", "a number is not a formula"


def test_all_names_survive_writing_and_reading(tmp_path):
    given = {name + "|1": ByHand("-2", name) for name in NAMES}
    write_manual(tmp_path / MANUAL, given, {"gone": ByHand("1"), "nothing given": ByHand()})
    assert read_manual(tmp_path / MANUAL) == given | {"gone": ByHand("1")}


def test_hold_and_points_for_exercises_are_read_and_written(tmp_path):
    found = read(
        tmp_path, "Key;Hold;Points;7,2;Comment;KID\nAda;=hearing;2;−1,5;;\nBob;no;;;;4\n".encode()
    )
    assert found == {
        "Ada": ByHand("2", "", "=hearing", {"7.2": "-1.5"}),
        "Bob": ByHand(exercises={"KID": "4"}),
    }
    write_manual(tmp_path / MANUAL, {"Ada": found["Ada"]}, {"Bob": found["Bob"]}, ["7.1", "7.2"])
    text = (tmp_path / MANUAL).read_text(encoding="utf-8-sig")
    assert text.splitlines()[:2] == [
        "key,points,comment,hold,7.1,7.2,KID",
        "Ada,2,,'=hearing,,-1.5,",
    ]
    assert read_manual(tmp_path / MANUAL) == found


@pytest.mark.parametrize(
    "typed, hold", [("x", "x"), ("", ""), (" No ", ""), ("0", ""), ("false", ""), ("yes", "yes")]
)
def test_any_text_puts_a_student_on_hold(typed, hold, tmp_path):
    (given,) = read(tmp_path, f"key,points,comment,hold\nAda,,,{typed}\n".encode()).values()
    assert given.hold == hold


def test_an_entry_for_nobody_in_this_grading_is_named():
    manual = {
        "Mueller|12": ByHand("3"),
        "Zoe|9": ByHand("", "see me"),
        "Ada|7": ByHand("1"),
        "empty": ByHand(),
        "Lovelase, Ada|8": ByHand("2"),
    }
    names = {"Müller|12": "Müller", "Ada|7": "Ada", "lovelaceada|10001": "Lovelace, Ada"}
    misspelt, missing, other = remarks_on_unclaimed(manual, names)
    assert "'Mueller|12'" in misspelt and "Did you mean 'Müller|12'?" in misspelt
    assert "Did you mean 'Lovelace, Ada'?" in other, "the key has the name of the file"
    assert "'Zoe|9'" in missing and "did not hand in this time" in missing


def test_the_summary_names_an_entry_for_nobody(tmp_path):
    (tmp_path / MANUAL).write_text("key,points,comment,hold\nAda Lovelase,,,hearing\n")
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada Lovelace")])
    page = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert "Did you mean &#39;Ada Lovelace|12&#39;?" in page


@pytest.mark.parametrize(
    "key, points",
    [
        ("lovelaceada|10001", 9),
        ("Lovelace, Ada", 9),
        ("Ada Lovelace", 9),
        ("Lovelace, Ada|10001", 9),
        ("ada lovelace|10001", 9),
        ("Lovelace, Ada|10002", 4),
        ("Hopper, Grace", 4),  # two students have this name
    ],
)
def test_the_spellings_of_the_grade_book_are_keys_as_well(key, points, tmp_path):
    (tmp_path / MANUAL).write_text(f'key,points,comment\n"{key}",5,\n', encoding="utf-8")
    graces = [result("Hopper, Grace", id=number, key=f"hoppergrace|{number}") for number in "12"]
    ada = result("Lovelace, Ada", id="10001", key="lovelaceada|10001")
    rows = write_gradebook(tmp_path, "07", SETTINGS, [*graces, ada])
    assert [row.points for row in rows] == [4, 4, points]
    kept = read_manual(tmp_path / MANUAL)
    assert kept["lovelaceada|10001" if points == 9 else key].points == "5"


@pytest.mark.parametrize("key", ["Hopper, Grace", "Ada Lovelace"])
def test_a_hold_is_never_lost(key, tmp_path):
    """Two students have the first name, and the second student has another line."""
    (tmp_path / MANUAL).write_text(
        f'key,points,comment,hold\nlovelaceada|3,5,,\n"{key}",,,hearing\n', encoding="utf-8"
    )
    students = [("Hopper, Grace", "1"), ("Hopper, Grace", "2"), ("Lovelace, Ada", "3")]
    results = [result(name, id=number) for name, number in students]
    results[2] = replace(results[2], key="lovelaceada|3")
    with pytest.raises(UserError, match=f"puts '{key}' on hold, but it is not clear who"):
        write_gradebook(tmp_path, "07", SETTINGS, results)
