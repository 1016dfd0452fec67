"""Finding the submissions in a folder or a zip, and the student of each."""

import io
import json
import os
import re
import sys
import zipfile
from pathlib import Path

import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.submissions import count_submissions, find_submissions, relevance_to
from diffusion_lab.submission.handout import handouts
from diffusion_lab.submission.reading import LARGEST, Unreadable, cells_of

EMPTY = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def notebook(*answers, lab="07"):
    """Returns a notebook with these answers, pairs (exercise, source), marked as those of a lab."""
    cells = [
        {
            "cell_type": "code",
            "id": f"{lab}-{name}",
            "source": source,
            "metadata": {"diffusion_lab": {"exercise": name}},
        }
        for name, source in answers
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


DDIM = notebook(
    ("denoise", "def denoise(): return 7"),
    ("reverse_diffusion", "def reverse_diffusion(): return 7"),
)
DDPM = notebook(("p_sample", "def p_sample(): return 6"), lab="06")
HANDED_OUT = notebook(
    ("denoise", 'def denoise():\n    raise NotImplementedError("Exercise 7.2: write denoise")')
)
EXPLORING = notebook(
    ("slerp", "def slerp(): return 8"),
    ("invert", "def invert(): return 8"),
    ("denoise", "def denoise(): return 8"),
    lab="08",
)


def hand_in(folder, contents):
    """Writes {place: content} into a folder, each file one minute later, and returns the folder."""
    for minute, (place, content) in enumerate(dict(contents).items()):
        path = Path(folder, place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (10**9 + 60 * minute,) * 2)
    return folder


def zipped(contents, kind=zipfile.ZIP_DEFLATED):
    """Returns the bytes of a zip with {place: content}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for minute, (place, content) in enumerate(contents.items()):
            archive.writestr(
                zipfile.ZipInfo(place, (2026, 11, 28, 12, minute % 60, 0)), content, kind
            )
    return file.getvalue()


def students(*places, folder, contents=None):
    """Returns {place: (student, id)} of notebooks at these places.

    A folder and a zip must give the same.
    """
    contents = {place: EMPTY for place in places} | (contents or {})
    hand_in(folder / "in", contents)
    (folder / "all.zip").write_bytes(zipped(contents))
    found = list(find_submissions(folder / "in"))
    assert [one.key for one in found] == [
        one.key for one in find_submissions(folder / "all.zip")
    ] and len(set(one.key for one in found)) == len(found)
    assert count_submissions(folder / "in") == len(found)
    return {one.place: (one.student, one.id) for one in found}


@pytest.mark.parametrize(
    "place, student, number",
    [
        ("ada.ipynb", "ada", ""),
        ("Ada Lovelace/lab 07 (final).ipynb", "Ada Lovelace", ""),
        ("lovelaceada_12345_678901_07_ddim-2.ipynb", "lovelaceada", "12345"),  # Canvas
        ("lovelaceada_LATE_12345_678901_07_ddim.ipynb", "lovelaceada", "12345"),
        (
            "Ada Lovelace_12345_assignsubmission_file_/07_ddim.ipynb",
            "Ada Lovelace",
            "12345",
        ),  # Moodle
        (
            "Ada Lovelace_12345_assignsubmission_file_07_ddim_x_555_assignsubmission_file_.ipynb",
            "Ada Lovelace",
            "12345",
        ),
        # Gradescope
        ("assignment_7_export/submission_98765/07_ddim.ipynb", "submission_98765", "98765"),
        # Blackboard
        ("Lab 07_alovelace_attempt_2026-11-28-10-11-12_07_ddim.ipynb", "alovelace", "alovelace"),
        # Brightspace
        (
            "12345-67890 - Ada Lovelace - 28 November, 2026 1011/07_ddim.ipynb",
            "Ada Lovelace",
            "12345",
        ),
        ("submitted/ada/lab07/07_ddim.ipynb", "ada", ""),  # nbgrader
        ("lab07-submissions/lab07-ada/notebooks/07_ddim.ipynb", "ada", ""),  # Classroom 50
        ("lab07/ada/07.ipynb", "ada", ""),
        ('花子, "H".ipynb', '花子, "H"', ""),
        ("=cmd.ipynb", "=cmd", ""),
    ],
)
def test_the_students_name_and_id_are_found_in_every_layout(place, student, number, tmp_path):
    assert students(place, folder=tmp_path) == {place: (student, number)}


@pytest.mark.parametrize(
    "places",
    [
        ("{}/07.ipynb",),
        ("lab07/{}/07.ipynb",),
        ("a/b/{}/07.ipynb",),
        ("submitted/{}/lab07/07.ipynb",),
        ("x-submissions/x-{}/07.ipynb",),
        ("Lab 07/{} - 07.ipynb",),
        ("lab07/{}.ipynb",),
        ("{}/my work/lab07/07.ipynb",),
        ("lab07-{}/notebooks/07_ddim.ipynb", "lab07-{}/README.md"),
        ("CS 236/Lab 07/{}/07.ipynb", "readme.txt"),
        ("Lab 07 - {}.ipynb",),
        ("{} - 07_ddim.ipynb", "{} - report.pdf"),
        ("lab07/{}/07.ipynb", "lab06/{}/06.ipynb"),
        ("CS236/07_{}.ipynb",),
        (
            "submitted/{}/lab07/07.ipynb",
            "submitted/{}/lab06/06.ipynb",
            "source/lab07/07.ipynb",
            "autograded/{}/lab07/07.ipynb",
            "gradebook.db",
            "nbgrader_config.py",
        ),
    ],
)
def test_the_students_name_is_the_part_that_differs(places, tmp_path):
    """Tries layouts with more and fewer levels of folders."""
    named = students(
        *[place.format(name) for place in places for name in ("first", "second", "third")],
        folder=tmp_path,
    ).values()
    assert [name.replace("07_", "") for name, _ in named] == ["first", "second", "third"]


@pytest.mark.parametrize(
    "places, expected",
    [
        (
            ["lab07/first/07.ipynb", "lab07/second/07.ipynb", "late/07.ipynb"],
            ["first", "second", "late"],
        ),
        (
            [
                "Group A/Ada/07.ipynb",
                "Group A/Bea/07.ipynb",
                "Group B/Cem/07.ipynb",
                "Group B/Dan/07.ipynb",
            ],
            ["Ada", "Bea", "Cem", "Dan"],
        ),
        # Google Classroom
        (
            ["07_ddim.ipynb", "07_ddim (1).ipynb", "07_ddim (2).ipynb"],
            ["07_ddim", "07_ddim (1)", "07_ddim (2)"],
        ),
        (["1/07.ipynb", "2/07.ipynb"], ["1", "2"]),
        (["01/my project/07.ipynb", "02/my project/07.ipynb"], ["01", "02"]),
        (
            ["06/ada/06.ipynb", "07/ada/07.ipynb", "06/bob/06.ipynb", "07/bob/07.ipynb"],
            ["ada", "bob"],
        ),
        (
            [
                "Lab 07/Ada/07.ipynb",
                "Lab 07/Bob/07.ipynb",
                "Lab 07/Instructions.pdf",
                "Lab 07/Cem.pdf",
                "Lab 07/lab07.docx",
            ],
            ["Ada", "Bob", "Cem"],
        ),
        (["lab06/ada/06.ipynb", "lab07/ada/07.ipynb", "lab07/bob/07.ipynb"], ["ada", "bob"]),
        (["2026001/07.ipynb", "2026002/07.ipynb"], ["2026001", "2026002"]),
        (
            [
                f"x-submissions/x-{name}/notebooks/0{lab}.ipynb"
                for name in ("ada", "bob", "cem")
                for lab in range(1, 10)
            ],
            ["ada", "bob", "cem"],
        ),
    ],
)
def test_other_layouts_of_a_class(places, expected, tmp_path):
    assert sorted(name for name, _ in students(*places, folder=tmp_path).values()) == sorted(
        expected
    )


@pytest.mark.parametrize(
    "places, expected",
    [
        (
            ["müllerjörg_12_345_x.ipynb", "花子_13_346_y.ipynb", "o'neill_13_a_14_347_z.ipynb"],
            {("müllerjörg", "12"), ("花子", "13"), ("o'neill_13_a", "14")},
        ),
        (
            ["team_3_14_345_07_08_x.ipynb", "müller_15_346_x.ipynb"],
            {("team_3", "14"), ("müller", "15")},
        ),
        (
            ["anonymous_7hx2q_345_x.ipynb", "anonymous_LATE_8hx2q_346_x.ipynb"],
            {("anonymous", "7hx2q"), ("anonymous", "8hx2q")},
        ),
        (
            ["ada_12_345_x.ipynb", "bob_13_text.html", "cem_14_link.html"],
            {("ada", "12"), ("bob", "13"), ("cem", "14")},
        ),
        (
            [
                "Ada_12_assignsubmission_file_/x.ipynb",
                "Ada_12_assignsubmission_onlinetext_/onlinetext.html",
                "Bob_13_assignsubmission_onlinetext_/onlinetext.html",
                "Cem_14_assignfeedback_file_/x.ipynb",
            ],
            {("Ada", "12"), ("Bob", "13")},
        ),
        (
            ["mayer_555_12_x.ipynb", "x_555_assignsubmission_file_.ipynb"],
            {("mayer", "555"), ("x_555_assignsubmission_file_", "")},
        ),
        (
            ["ada_12_345_x.ipynb", "bob_13_346_y_12_assignsubmission_file_.ipynb"],
            {("ada", "12"), ("bob", "13")},
        ),
        (
            ["ada.ipynb", "x_555_assignsubmission_file_.ipynb", "mayer_5_6_x.ipynb"],
            {("ada", ""), ("x_555_assignsubmission_file_", ""), ("mayer_5_6_x", "")},
        ),
        # files and folders are handled separately
        (["ada/07.ipynb", "readme.txt", "bob_13_346_photo.jpg"], {("ada", ""), ("bob", "13")}),
        # a date is no ID
        (
            ["Ada_2026_11_x.ipynb", "Bob_2026_11_x.ipynb"],
            {("Ada_2026_11_x", ""), ("Bob_2026_11_x", "")},
        ),
    ],
)
def test_a_platform_is_recognised_by_most_names(places, expected, tmp_path):
    assert set(students(*places, folder=tmp_path).values()) == expected


def test_names_come_from_gradescopes_metadata(tmp_path):
    names = b"""---
submission_1: !ruby/hash:ActiveSupport::HashWithIndifferentAccess
  :submitters:
  - :name: Ada Lovelace
    :sid: '12345'
  :created_at: 2026-11-28 10:11:12.123456789 Z
submission_2:
  :submitters:
  - {':name': Bob, ':sid': '7'}
  - {':name': "Cem \\u202e", ':sid': '8'}
submission_3:
  :submitters:
  - :name: Ada Lovelace
    :sid: '12345'
submission_4:
  :submitters:
  - :name: Dan
submission_5:
  :submitters:
  - :name: Eve
    :email: eve@uni.edu
"""
    places = [f"assignment_7_export/submission_{number}/07.ipynb" for number in range(1, 6)]
    found = students(
        *places, folder=tmp_path, contents={"assignment_7_export/submission_metadata.yml": names}
    )
    assert list(found.values()) == [
        ("submission_1", "1"),
        ("Bob, Cem", "7, 8"),
        ("submission_3", "3"),
        ("Dan", "4"),
        ("Eve", "eve@uni.edu"),
    ], "two submissions with the same name and ID keep their numbers"


def test_with_damaged_metadata_students_keep_their_numbers(tmp_path):
    found = students(
        "submission_1/07.ipynb", folder=tmp_path, contents={"submission_metadata.yml": b"\xff: ["}
    )
    assert list(found.values()) == [("submission_1", "1")]


@pytest.mark.parametrize(
    "names",
    [
        ["x", "x|555"],
        ["ab", "a\u202eb"],
        ["ab", "a\x1b[2Jb"],
        ["m\u00fcller", "mu\u0308ller"],
        ["n" * 90, "n" * 91],
        ["x%7C5", "x|5"],
        ["x|", "x"],
        ["\u200b", "\u200c"],
    ],
)
def test_different_names_have_different_keys(names, tmp_path):
    found = list(find_submissions(hand_in(tmp_path, {f"{name}.ipynb": EMPTY for name in names})))
    assert len({one.key for one in found}) == len(names) and all(
        (one.key + one.student + one.place).isprintable() for one in found
    )
    for name, alone in zip(names, "ab"):  # and a key does not depend on the other students
        (one,) = find_submissions(hand_in(tmp_path / alone, {f"{name}.ipynb": EMPTY}))
        assert one.key in {other.key for other in found}


@pytest.mark.parametrize(
    "layout",
    [
        "{}.ipynb",
        "{}/07.ipynb",
        "lab07/{}/07.ipynb",
        "{}_1_2_x.ipynb",
        "lab07-{}/notebooks/07.ipynb",
    ],
)
def test_a_late_submission_changes_no_key(layout, tmp_path):
    before = {
        one.place: one.key
        for one in find_submissions(
            hand_in(tmp_path, {layout.format(name): EMPTY for name in ("cem", "dan")})
        )
    }
    hand_in(tmp_path, {layout.format(name): EMPTY for name in ("ada", "cemil", "zoe")})
    after = {one.place: one.key for one in find_submissions(tmp_path)}
    assert len(after) == 5 and {place: after[place] for place in before} == before


@pytest.mark.parametrize(
    "contents, place, remark",
    [
        (
            {"07_ddim.ipynb": DDIM, "08_exploring.ipynb": EXPLORING, "06_ddpm.ipynb": DDPM},
            "07_ddim.ipynb",
            "",
        ),
        ({"a.ipynb": DDIM, "old/07-Copy1.ipynb": HANDED_OUT}, "a.ipynb", ""),
        # the last one saved
        (
            {"07-Copy1.ipynb": DDIM, "07.ipynb": DDIM + b" "},
            "07.ipynb",
            "2 notebooks contain answers",
        ),
        ({"z.ipynb": DDIM, "a.ipynb": DDIM + b" "}, "a.ipynb", "2 notebooks contain answers"),
        ({"06.ipynb": DDPM, "08.ipynb": EXPLORING}, "08.ipynb", ""),
        ({"07.ipynb": DDIM, "cut off.ipynb": DDIM[:-9]}, "07.ipynb", ""),
        (
            {"07.ipynb": DDIM, "large.ipynb": b" " * (LARGEST + 1)},
            "07.ipynb",
            "large.ipynb cannot be read",
        ),
        (
            {"06.ipynb": DDPM, "hand-in.zip": zipped({"x/07.ipynb": DDIM})},
            "hand-in.zip/x/07.ipynb",
            "",
        ),
        (
            {
                "all labs.ipynb": notebook(
                    *[
                        (name, f"def {name}(): return 1")
                        for lab in handouts()
                        for name in [task.name for task in lab.tasks if lab.lab in ("04", "07")]
                    ]
                ),
                "06.ipynb": DDPM,
            },
            "all labs.ipynb",
            "",
        ),
        (
            {"old.zip": zipped({"07.ipynb": DDIM}), "new.zip": zipped({"07.ipynb": DDIM})},
            "new.zip/07.ipynb",
            "2 zips were handed in; only ada/new.zip was opened",
        ),
        (
            {"hand-in.zip": zipped({"07.ipynb": DDIM, "x/08.ipynb": EXPLORING})},
            "hand-in.zip/07.ipynb",
            "",
        ),
        ({"notes.txt": EMPTY, "07_ddim.json": DDIM, "photo": b"\x00"}, "07_ddim.json", ""),
    ],
)
def test_the_notebook_with_answers_to_the_lab_is_chosen(contents, place, remark, tmp_path):
    contents = {f"ada/{name}": content for name, content in contents.items()} | {
        "bob/07.ipynb": DDIM
    }
    for source in (hand_in(tmp_path / "in", contents), tmp_path / "all.zip"):
        (tmp_path / "all.zip").write_bytes(zipped(contents))
        ada, bob = find_submissions(source, relevance_to("07"))
        assert (ada.student, ada.place, ada.problem) == (
            "ada",
            f"ada/{place}",
            "",
        ) and bob.remarks == ()
        assert remark in " ".join(ada.remarks) and bool(ada.remarks) == bool(remark)


def test_notebooks_of_all_labs_are_told_apart():
    """Tries the students' notebooks and the solutions, with and without metadata."""
    root = Path(__file__).parents[1]
    for path in sorted(root.glob("solutions/*.ipynb")):
        content, without = path.read_bytes(), json.loads(path.read_bytes())
        without["cells"] = [
            {"cell_type": cell["cell_type"], "source": cell["source"], "metadata": {}}
            for cell in without["cells"]
        ]
        for each in (content, json.dumps(without).encode()):
            found = [lab.lab for lab in handouts() if relevance_to(lab.lab)(each)]
            assert found == [lab for lab in (path.name[:2],) if lab != "00"]  # has no exercises
        if found:
            (lab,), student = found, (root / "notebooks" / path.name).read_bytes()
            assert relevance_to(lab)(content) == 2 and relevance_to(lab)(student) == 1


@pytest.mark.parametrize(
    "names, last",
    [
        (["07.ipynb", "07-Copy1.ipynb"], "07-Copy1.ipynb"),
        (["07.ipynb", "07 (2).ipynb", "07 (10).ipynb"], "07 (10).ipynb"),
        (["07-1.ipynb", "07.ipynb"], "07-1.ipynb"),
        (["07.ipynb-1", "07.ipynb"], "07.ipynb-1"),
    ],
)
def test_of_files_with_the_same_time_the_name_tells_the_latest(names, last, tmp_path):
    hand_in(tmp_path, {f"{student}/{name}": DDIM for student in ("ada", "bob") for name in names})
    for path in tmp_path.rglob("*.*"):
        os.utime(path, (10**9,) * 2)
    assert [one.place for one in find_submissions(tmp_path, relevance_to("07"))] == [
        f"ada/{last}",
        f"bob/{last}",
    ]


def test_the_later_attempt_of_a_platform_counts(tmp_path):
    hand_in(
        tmp_path,
        {"ada_1_900_07-1.ipynb": DDIM, "ada_1_800_07.ipynb": DDIM, "bob_LATE_2_700_07.ipynb": DDIM},
    )
    ada, bob = find_submissions(tmp_path, relevance_to("07"))
    assert ada.place == "ada_1_900_07-1.ipynb" and bob.remarks == ("Canvas: late",)


@pytest.mark.parametrize(
    "name",
    [
        "x.ipynb.txt",
        "x.IPYNB",
        "x (1).ipynb",
        "x.ipynb-1",
        "x-1.ipynb",
        "x.ipynb.json",
        "x.Ipynb.TXT",
        "x.zip",
        "X.ZIP",
    ],
)
def test_a_name_that_a_browser_has_changed_is_recognised(name, tmp_path):
    content = zipped({"07.ipynb": DDIM}) if name.lower().endswith("zip") else DDIM
    for source in (
        hand_in(tmp_path / "flat", {name: content, "other.ipynb": DDIM}),
        hand_in(tmp_path / "folders", {f"x/{name}": content, "y/07.ipynb": DDIM}),
    ):
        found = list(find_submissions(source, relevance_to("07")))
        assert len(found) == 2 and all((one.content, one.problem) == (DDIM, "") for one in found)


@pytest.mark.parametrize(
    "names, sentence",
    [
        (["answers.docx"], "No notebook (.ipynb) was handed in, only answers.docx."),
        (
            ["a.pdf", "b.pdf", "c.pdf", "d.pdf", "e.pdf"],
            "was handed in, only e.pdf, d.pdf, c.pdf and 2 more.",
        ),
        (["a\x1b[2J\u202e.pdf"], "only a[2J.pdf."),
        (["work.zip"], "only work.zip."),
        (["07.html"], "only 07.html."),
    ],
)
def test_a_student_without_a_notebook_gets_a_row(names, sentence, tmp_path):
    (tmp_path / "in").mkdir()
    hand_in(
        tmp_path / "in",
        {f"ada/{name}": b"" for name in names}
        | {"bob/07.ipynb": EMPTY, "readme.txt": b"", "bob/notes.txt": b""},
    )
    ada, bob = find_submissions(tmp_path / "in", relevance_to("07"))
    assert ada.student == "ada" and ada.problem.endswith(sentence) and not bob.problem


@pytest.mark.parametrize(
    "content, kind",
    [
        (b"%PDF-1.7\n", "a PDF"),
        (zipped({"[Content_Types].xml": b"", "word/document.xml": b""}), "a Word document"),
        (zipped({"07.py": b""}), "a zip"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "a web page (HTML)"),
        (b"#!/usr/bin/env python\n# coding: utf-8\n", "a Python script"),
        (b"\x89PNG\r\n", "a picture (PNG)"),
    ],
)
def test_a_file_of_another_kind_is_named(content, kind, tmp_path):
    files = {"ada/lab.bin": content, "bob/07.ipynb": content, "cem/07.ipynb": EMPTY}
    hand_in(tmp_path, files | {"dan/x.zip": zipped({"lab.bin": content})})
    ada, bob, _, dan = find_submissions(tmp_path, relevance_to("07"))
    sentence = f"This file is {kind}, not a notebook. Hand in the .ipynb file."
    assert ada.problem == dan.problem == sentence
    with pytest.raises(Unreadable, match=re.escape(sentence)):
        cells_of(bob.content)


def test_in_a_flat_folder_each_file_belongs_to_a_student(tmp_path):
    hand_in(
        tmp_path,
        {
            "ada.ipynb": DDIM,
            "bob.pdf": b"",
            "cem.zip": zipped({"07.ipynb": DDIM}),
            "dan.ipynb.txt": DDIM,
            "grades.csv": b"",
            "README.md": b"",
            "Thumbs.db": b"",
            ".DS_Store": b"",
            "~$bob.docx": b"",
        },
    )
    found = list(find_submissions(tmp_path, relevance_to("07")))
    assert {one.student: bool(one.content) for one in found} == {
        "ada": True,
        "bob": False,
        "cem": True,
        "dan": True,
    }


def test_a_copy_of_a_file_gets_a_row_with_a_remark(tmp_path):
    """In a flat folder students choose their file names, so no file may replace another's."""
    hand_in(
        tmp_path,
        {
            name: DDIM
            for name in (
                "ada.ipynb",
                "ada (1).ipynb",
                "bob-Copy1.ipynb",
                "07_ddim.ipynb",
                "07_ddim (1).ipynb",
            )
        },
    )
    assert {one.student: one.remarks for one in find_submissions(tmp_path, relevance_to("07"))} == {
        "ada": (),
        "ada (1)": ("perhaps a copy of what ada handed in",),
        "bob-Copy1": (),
        "07_ddim": (),
        "07_ddim (1)": (),
    }


@pytest.mark.parametrize(
    "name",
    [
        "desktop.ini",
        "Desktop.ini",
        ".DS_Store",
        "Thumbs.db",
        "__MACOSX/._x",
        ".ipynb_checkpoints/07-checkpoint.ipynb",
    ],
)
def test_files_of_an_operating_system_are_ignored(name, tmp_path):
    assert list(
        students("ada/07.ipynb", "bob/07.ipynb", f"cem/{name}", folder=tmp_path).values()
    ) == [("ada", ""), ("bob", "")]


def test_the_latest_weights_are_chosen_and_their_problem_is_named(tmp_path):
    hand_in(
        tmp_path,
        {
            "ada/07.ipynb": DDIM,
            "ada/my_flowers.weights.h5": b"1",
            "ada/my_flowers.weights-1.h5": b"2",
            "ada/out/best.weights.h5": b"3",
            "bob/07.ipynb": DDIM,
            "bob/my_flowers.weights.h5": b"",
            "cem/07.ipynb": DDIM,
            "cem/diffusion_lab/pretrained/flowers32.weights.h5": b"4",
            "dan/hand-in.zip": zipped({"07.ipynb": DDIM, "my_flowers.weights.h5": b"5"}),
            "eve/07.ipynb": DDIM,
            "eve/MY.H5": b"6",
        },
    )
    with open(tmp_path / "bob" / "my_flowers.weights.h5", "wb") as file:
        file.truncate(200_000_000)
    (tmp_path / "fay").mkdir()
    (tmp_path / "fay" / "07.ipynb").write_bytes(DDIM)
    (tmp_path / "fay" / "my.weights.h5").symlink_to("/etc/passwd")
    ada, bob, cem, dan, eve, fay = find_submissions(
        tmp_path, relevance_to("07"), "my_flowers.weights.h5"
    )
    assert [one.weights for one in (ada, bob, cem, dan, eve, fay)] == [
        b"2",
        b"",
        b"",
        b"5",
        b"6",
        b"",
    ]
    assert "3 files with weights were handed in; ada/my_flowers.weights-1.h5 is used" in ada.remarks
    assert (
        "bob/my_flowers.weights.h5 has more than 60 MB (200 MB)" in bob.weights_problem
        and "is a link" in fay.weights_problem
    )
    assert not any(one.weights_problem for one in (ada, cem, dan, eve))


def test_a_zip_writes_no_files_and_files_of_no_student_are_ignored(tmp_path):
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / "all.zip"
    archive.write_bytes(
        zipped(
            {
                name: EMPTY
                for name in (
                    "../../escaped.ipynb",
                    "/root.ipynb",
                    "__MACOSX/._ada.ipynb",
                    "notes.txt",
                    ".hidden.ipynb",
                )
            }
        )
    )
    assert [found.student for found in find_submissions(archive)] == ["escaped", "root"]
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "all.zip"]


def test_a_folder_with_the_zip_of_a_class_is_read_as_the_class(tmp_path):
    hand_in(
        tmp_path,
        {
            "submissions.zip": zipped(
                {
                    f"{name}_{name}_assignsubmission_file_/07.ipynb".replace("_1", "_1"): EMPTY
                    for name in ("1", "2")
                }
            )
        },
    )
    assert [one.id for one in find_submissions(tmp_path)] == ["1", "2"]


def exported(*students):
    return zipped({f"{name}_{name}_assignsubmission_file_/07.ipynb": EMPTY for name in students})


def test_the_zips_of_two_classes_in_one_folder_are_refused(tmp_path):
    canvas = zipped({f"ada{number}_10{number}_900_07.ipynb": EMPTY for number in (1, 2)})
    hand_in(tmp_path / "both", {"canvas.zip": canvas, "moodle.zip": exported("1", "2")})
    for read in (count_submissions, lambda path: list(find_submissions(path))):
        with pytest.raises(UserError, match="several classes: canvas.zip, moodle.zip. Grade each"):
            read(tmp_path / "both")


@pytest.mark.parametrize(
    "files, students",
    [
        # next to the zip, the instructor keeps the roster
        ({"class.zip": exported("1", "2"), "roster.csv": b"Name"}, ["1", "2"]),
        # students' own zips, one of which pretends to be a class
        (
            {
                "ada.zip": zipped({"07.ipynb": EMPTY, "06.ipynb": DDPM}),
                "bob.zip": exported("1", "2"),
            },
            ["ada", "bob"],
        ),
        (
            {
                "ada.zip": zipped({"07.ipynb": EMPTY})[:-9] + b"damaged..",
                "bob.zip": exported("1", "2"),
            },
            ["ada", "bob"],
        ),
    ],
)
def test_a_zip_is_a_class_or_a_students(files, students, tmp_path):
    hand_in(tmp_path, files)
    assert [one.id or one.student for one in find_submissions(tmp_path)] == students


BOMB = zipped({"07.ipynb": b" " * (LARGEST + 5_000_000)})


@pytest.mark.parametrize(
    "content, sentence",
    [
        (BOMB, "This notebook has more than 12 MB (17 MB). Clear its outputs"),
        (zipped({"deep.zip": BOMB}), "No notebook"),  # one level only
        (
            zipped({f"{number:0240}.ipynb": DDIM for number in range(8000)}, zipfile.ZIP_STORED),
            "No notebook",
        ),
        (zipped({"/".join("a" * 2000) + "/07.ipynb": DDIM}), "No notebook"),
        (zipped({"a" * 250 + ".ipynb": DDIM}), "No notebook"),
        (zipped({"-" * 60_000 + f"{number}.ipynb": DDIM for number in range(30)}), "No notebook"),
        (b"PK\3\4", "No notebook"),
        (zipped({"07.ipynb": DDIM})[:-5], "No notebook"),
        (b" " * 90_000_000, "No notebook"),
    ],
)
def test_a_hostile_zip_in_a_submission_does_no_harm(content, sentence, tmp_path):
    hand_in(tmp_path, {"ada/x.zip": content, "bob/07.ipynb": DDIM})
    ada, bob = find_submissions(tmp_path, relevance_to("07"))
    assert sentence in ada.problem and ada.content == b"" and not bob.problem


@pytest.mark.parametrize("added", ["-copy (1)", " copy", "-1", "(1)", " (1)", "- -copy1"])
def test_a_name_that_looks_like_many_copies_is_read(added, tmp_path):
    """With two ways to match each of them, this would take hours."""
    place = f"ada/x.ipynb{added * (240 // len(added))}!.ipynb"
    files = {place: DDIM, "bob/07.ipynb": DDIM}
    (tmp_path / "all.zip").write_bytes(zipped(files))
    for source in (hand_in(tmp_path / "in", files), tmp_path / "all.zip"):
        assert next(find_submissions(source, relevance_to("07"))).content == DDIM


@pytest.mark.parametrize("damage", ["content", "method", "encrypted", "header", "time"])
def test_a_damaged_entry_affects_only_its_student(damage, tmp_path):
    content = bytearray(
        zipped({f"{name}.ipynb": EMPTY * 9 + name.encode() for name in ("ada", "bob", "cem")})
    )
    local, listed = content.index(b"bob.ipynb") - 30, content.rindex(b"bob.ipynb") - 46
    if damage == "content":
        content[local + 45 : local + 60] = bytes(15)
    elif damage == "method":
        content[listed + 10] = 14  # LZMA
    elif damage == "encrypted":
        content[local + 6] |= 1
        content[listed + 8] |= 1
    elif damage == "header":
        content[local : local + 4] = b"????"
    else:
        content[listed + 12 : listed + 16] = b"\xff" * 4
    (tmp_path / "all.zip").write_bytes(content)
    ada, bob, cem = find_submissions(tmp_path / "all.zip")
    assert (
        not ada.problem
        and not cem.problem
        and bob.problem
        == ("" if damage == "time" else "This file is damaged or encrypted. Hand it in again.")
    )


def test_names_that_are_not_utf_8_are_read(tmp_path):
    named = {b"m\xfcller.ipynb": "müller", "花子.ipynb".encode(): "花子", b"ada.ipynb": "ada"}
    content = zipped(
        {
            f"{place * 9}.ipynb"[: len(name) - 6] + ".ipynb": EMPTY
            for place, name in zip("abc", named)
        }
    )
    for place, name in zip("abc", named):
        content = content.replace(f"{place * 9}.ipynb"[: len(name) - 6].encode() + b".ipynb", name)
    marked = bytearray(content)
    for start in range(len(marked)):
        if marked[start : start + 4] in (b"PK\1\2", b"PK\3\4"):
            marked[start + (9 if marked[start + 2] == 1 else 7)] |= 8  # the flag for UTF-8
    for each in (content, bytes(marked)):
        (tmp_path / "all.zip").write_bytes(each)
        found = list(find_submissions(tmp_path / "all.zip"))
        assert (
            all(one.content == EMPTY for one in found)
            and {"花子", "ada"} <= {one.student for one in found}
            and len(found) == 3
        )
    for name in named:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/")).mkdir(exist_ok=True)
        with open(os.fsencode(tmp_path) + b"/in/" + name, "wb") as file:
            file.write(EMPTY)
    found = list(find_submissions(tmp_path / "in"))
    assert sorted(one.student for one in found) == sorted(named.values()) and all(
        one.content == EMPTY for one in found
    )
    assert all((one.key + one.place).encode() for one in found)


def test_half_a_zip_is_refused(tmp_path):
    (tmp_path / "half.zip").write_bytes(zipped({"ada.ipynb": DDIM * 9}, zipfile.ZIP_STORED)[:500])
    with pytest.raises(UserError, match="half.zip is neither a complete zip nor a notebook"):
        list(find_submissions(tmp_path / "half.zip"))


def test_links_and_pipes_are_not_read(tmp_path):
    (tmp_path / "link.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.ipynb")
    link, pipe = find_submissions(tmp_path)
    assert (
        "This file is a link" in link.problem
        and "not a file" in pipe.problem
        and link.content == pipe.content == b""
    )


def test_deeply_nested_folders_do_not_stop_the_grader(tmp_path):
    hand_in(tmp_path, {"ada/07.ipynb": DDIM, "bob/x.txt": b""})
    here, depth, limit = os.getcwd(), 0, sys.getrecursionlimit()
    os.chdir(tmp_path / "bob")
    try:
        for depth in range(1, 301):
            os.mkdir("d")
            os.chdir("d")
        # a low limit, because making and removing a thousand folders would take seconds
        sys.setrecursionlimit(250)
        ada, bob = find_submissions(tmp_path)
        assert not ada.problem and "x.txt" in bob.problem
    finally:
        sys.setrecursionlimit(limit)
        for _ in range(depth):  # shutil.rmtree would recurse too deeply as well
            os.chdir("..")
            os.rmdir("d")
        os.chdir(here)


def test_an_error_in_one_submission_affects_only_its_row(tmp_path):
    hand_in(tmp_path, {"ada/06.ipynb": DDPM, "ada/07.ipynb": b"bad", "bob/07.ipynb": DDIM})

    def relevance(content):
        if content == b"bad":
            raise MemoryError
        return 2

    ada, bob = find_submissions(tmp_path, relevance)
    assert (
        ada.problem == "This submission could not be read (MemoryError). A person must look at it."
        and bob.content == DDIM
    )


def test_a_folder_without_notebooks_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no notebook .* as your platform exports it"):
        list(find_submissions(tmp_path))
    with pytest.raises(UserError, match="There is no"):
        list(find_submissions(tmp_path / "nowhere"))
