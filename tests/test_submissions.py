"""What is found in a folder or a zip, and whose it is."""

import json
import os
import zipfile

import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.submissions import LARGEST, find_submissions

EMPTY = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


@pytest.mark.parametrize("place, student, number", [
    ("ada.ipynb", "ada", ""),
    ("Ada Lovelace/lab 07 (final).ipynb", "Ada Lovelace", ""),
    ("lovelaceada_12345_678901_07_ddim-2.ipynb", "lovelaceada", "12345"),  # Canvas
    ("lovelaceada_LATE_12345_678901_07_ddim.ipynb", "lovelaceada", "12345"),
    ("Ada Lovelace_12345_assignsubmission_file_/07_ddim.ipynb", "Ada Lovelace", "12345"),  # Moodle
    ("assignment_7_export/submission_98765/07_ddim.ipynb", "submission_98765", "98765"),  # Gradescope
    ("花子, \"H\".ipynb", "花子, \"H\"", ""),
    ("=cmd.ipynb", "=cmd", ""),
])
def test_students_are_named_as_schools_name_them(place, student, number, tmp_path):
    path = tmp_path / "in" / place
    path.parent.mkdir(parents=True)
    path.write_bytes(EMPTY)
    (found,) = find_submissions(tmp_path / "in")
    assert (found.student, found.id, found.place, found.content, found.problem) == (student, number, place, EMPTY, "")
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, place)
    (found,) = find_submissions(archive)
    assert (found.student, found.id, found.content) == (student, number, EMPTY)


def test_a_zip_cannot_write_anywhere_and_other_files_are_passed_over(tmp_path):
    archive = tmp_path / "in" / "all.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("../../escaped.ipynb", "/root.ipynb", "__MACOSX/._ada.ipynb", "notes.txt", ".hidden.ipynb"):
            file.writestr(name, EMPTY)
    assert [found.student for found in find_submissions(archive)] == ["escaped", "root"]
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "all.zip"]


def test_a_zip_that_swells_is_refused_before_it_fills_the_memory(tmp_path):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("ada.ipynb", b" " * (LARGEST + 5_000_000))
    (found,) = find_submissions(archive)
    assert "more than 12 MB (17 MB): clear its outputs" in found.problem and found.content == b""


def test_half_a_zip_is_no_student(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        file.writestr("ada.ipynb", EMPTY * 100)
    (tmp_path / "half.zip").write_bytes((tmp_path / "all.zip").read_bytes()[:500])
    with pytest.raises(UserError, match="half.zip is not a complete zip"):
        list(find_submissions(tmp_path / "half.zip"))


def test_who_handed_in_something_else_is_not_forgotten(tmp_path):
    for place in ("ada/07.ipynb", "ada/notes.txt", "bob/answers.docx", "readme.txt", "mayercem_1_2_photo.jpg", ".git/config"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(EMPTY)
    ada, bob, cem = find_submissions(tmp_path)
    assert (ada.student, ada.problem) == ("ada", "")
    assert (bob.student, bob.problem) == ("bob", "No notebook (.ipynb) was handed in, but answers.docx.")
    assert (cem.student, cem.id) == ("mayercem", "1")


def test_what_is_not_a_file_is_not_read(tmp_path):
    (tmp_path / "link.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.ipynb")
    link, pipe = find_submissions(tmp_path)
    assert "This is a link" in link.problem and "not a file" in pipe.problem and link.content == pipe.content == b""


def test_two_of_one_name_stay_two(tmp_path):
    for place in ("ada/first.ipynb", "ada/second.ipynb"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(EMPTY)
    assert [found.student for found in find_submissions(tmp_path)] == ["ada", "ada (2)"]


def test_a_folder_without_notebooks_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no notebook"):
        list(find_submissions(tmp_path))
    with pytest.raises(UserError, match="There is no"):
        list(find_submissions(tmp_path / "nowhere"))
