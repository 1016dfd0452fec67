"""manual.csv: entries are read from every form that a spreadsheet saves, and never lost."""

import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.manual import (
    MANUAL,
    ByHand,
    harmless,
    original,
    read_manual,
    unclaimed,
    write_manual,
)

TABLE = "key,points,comment\nMüller|12,2.5,schön – gut\nAda|7,-1,\n"
GIVEN = {"Müller|12": ("2.5", "schön – gut"), "Ada|7": ("-1", "")}


def read(tmp_path, content):
    (tmp_path / MANUAL).write_bytes(content)
    return read_manual(tmp_path / MANUAL)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_a_table_program_saves_is_read(encoding, delimiter, end, tmp_path):
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
def test_a_number_is_read_as_people_type_it(typed, points, tmp_path):
    assert read(tmp_path, f"Key;Points;Comment;;\nAda;{typed};;;\n".encode()) == {
        "Ada": (points, "")
    }


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"key,points,comment\nAda,five,\n", "line 2: 'five' is not a number"),
        (b'key,points,comment\nAda,1,"two\nlines"\nBob,nan,\n', "line 4: 'nan' is not a number"),
        (b"key,points,comment\nAda,1e3,\n", "'1e3' is not a number"),
        (b"key,points,comment\nAda,99999999,\n", "is not a number"),
        (b"key,points,comment\nAda,+-3,\n", "is not a number"),
        (b"Ada,5\n", "must begin with a line key,points,comment"),
        (b"", "must begin"),
        (b"key,points,points,comment\n", "must begin"),
        (b"key,points,comment\nAda,2,5,good\n", "line 2 has more than the three cells"),
        (b"key,points,comment,grader\nAda,2,good,me\n", "line 2 has more than the three cells"),
        (b"key,points,comment\nAda,2,\nAda,3,\n", "line 3: there is another line for 'Ada'"),
        (b"key,points,comment\nAda,2,\nBob,1,\x81\n", "line 3: some letters cannot be read"),
        (
            "key,points,comment\n".encode("utf-16") + b"\x00",
            "line [12]: some letters cannot be read",
        ),
        (b"key,points,comment\nAda,2," + b"x" * 200_000, "line 2 cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_its_line(content, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        read(tmp_path, content)
    assert (tmp_path / MANUAL).read_bytes() == content


def test_what_is_no_readable_file_is_one_sentence(tmp_path):
    (tmp_path / MANUAL).mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        read_manual(tmp_path / MANUAL)


def test_an_empty_line_for_the_same_student_loses_nothing(tmp_path):
    assert read(tmp_path, b"key,points,comment\nAda,2,good\nAda,,\n") == {"Ada": ("2", "good")}


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


def test_no_two_texts_are_written_alike():
    assert [original(harmless(name)) for name in NAMES] == NAMES
    assert len({harmless(name) for name in NAMES}) == len(NAMES)
    assert all(
        harmless(name)[:1] == "'"
        for name in NAMES
        if name.strip()[:1] in ("=", "＝") or name == "-2+3"
    )
    assert harmless("-2") == "-2", "a number is not a formula"


def test_what_is_written_is_read_again_whatever_the_names(tmp_path):
    given = {name + "|1": ByHand("-2", name) for name in NAMES}
    write_manual(tmp_path / MANUAL, given, {"gone": ByHand("1"), "nothing given": ByHand()})
    assert read_manual(tmp_path / MANUAL) == given | {"gone": ByHand("1")}


def test_an_entry_that_counts_for_nobody_is_named():
    manual = {
        "Mueller|12": ByHand("3"),
        "Zoe|9": ByHand("", "see me"),
        "Ada|7": ByHand("1"),
        "empty": ByHand(),
    }
    misspelt, missing = unclaimed(manual, ["Müller|12", "Ada|7"])
    assert "'Mueller|12'" in misspelt and "did you mean 'Müller|12'?" in misspelt
    assert "'Zoe|9'" in missing and "only missing today" in missing
