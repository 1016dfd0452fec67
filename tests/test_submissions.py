"""What is found in a folder or a zip, whose it is, and which cells are the answers."""

import json
import os
import zipfile

import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.precheck import Wanted
from diffusion_lab.instructor.submissions import LARGEST, Unreadable, find_submissions, nothing_found, read_answers

TASKS = [Wanted("3.1", "double"), Wanted("3.2", "triple")]
EMPTY = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def cell(source, kind="code", exercise=None, **more):
    metadata = {"diffusion_lab": {"exercise": exercise, "number": "3.1"}} if exercise else {}
    return {"cell_type": kind, "source": source, "metadata": metadata, **more}


def notebook(*cells):
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


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


def test_a_notebook_of_another_lab_is_recognised():
    other = json.dumps({"cells": [{"metadata": {"nbgrader": {"grade_id": "02-q_sample"}}}]}).encode()
    assert nothing_found(other, "07") == "There is no answer to lab 07 in this notebook; it looks like lab 02."
    assert nothing_found(EMPTY, "07") == "There is no answer to lab 07 in this notebook."


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


@pytest.mark.parametrize("cells, remark", [
    ([cell("def double(x): ...", exercise="double")], ""),
    ([cell("def double(x): ...", id="03-double")], "by its id"),
    ([cell("### Exercise 3.1 · `double`", "markdown"), cell("import math"), cell("def double(x): ...")], "under its heading"),
    ([cell("def other(): ..."), cell("x = 1\ndef double(x): ...")], "by its function"),
])
def test_an_answer_is_found_even_if_the_upload_lost_its_marks(cells, remark):
    answers = read_answers(notebook(*cells), TASKS)
    assert answers.sources["double"].endswith("def double(x): ...") and "triple" not in answers.sources
    assert [remark in found for found in answers.remarks] == ([True] if remark else [])


def test_a_heading_claims_no_cell_of_the_next_exercise():
    content = notebook(cell("### Exercise 3.1 · `double`", "markdown"), cell("### Exercise 3.2 · `triple`", "markdown"),
                       cell("def double(x): ...\ndef triple(x): ..."))
    answers = read_answers(content, TASKS)
    assert "by its function" in answers.remarks[0] and "under its heading" in answers.remarks[1]


def test_a_cell_that_was_split_is_taken_together_and_said():
    content = notebook(cell("helper = 2", exercise="double"), cell("def double(x): ...", exercise="double"))
    answers = read_answers(content, TASKS)
    assert answers.sources["double"] == "helper = 2\n\ndef double(x): ..." and answers.remarks == ["3.1: several cells, taken together"]


def test_lists_of_lines_windows_and_the_format_of_2013_are_read():
    lines = {"cell_type": "code", "source": ["def double(x):\r\n", "    ..."], "metadata": {"diffusion_lab": {"exercise": "double"}}}
    old = {"cell_type": "code", "input": "def triple(x): ...", "metadata": {"diffusion_lab": {"exercise": "triple"}}}
    assert read_answers(notebook(lines), TASKS).sources == {"double": "def double(x):\n    ..."}
    content = json.dumps({"worksheets": [{"cells": [old]}], "nbformat": 3}).encode()
    assert read_answers(content, TASKS).sources == {"triple": "def triple(x): ..."}


def test_summaries_and_pictures_come_along():
    picture = {"output_type": "display_data", "data": {"image/png": "abc"}, "metadata": {}}
    text = cell("I did it.", "markdown")
    text["metadata"] = {"diffusion_lab": {"summary": "summary"}}
    answers = read_answers(notebook(text, cell("draw()", id="cover-1", outputs=[picture])), TASKS, ["summary"])
    without_metadata = notebook(cell("I did it.", "markdown", id="03-summary"))
    assert read_answers(without_metadata, TASKS, ["summary"]).texts == {"summary": "I did it."}
    assert answers.texts == {"summary": "I did it."} and answers.pictures == {"cover-1": "abc"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b'"text"', b"\xff\xfe\x00", b"[" * 50_000, b'{"cells": 5}',
                                     b'{"worksheets": [{}]}', b'{"worksheets": 7}'])
def test_what_is_no_notebook_is_one_sentence(content):
    with pytest.raises(Unreadable, match="not a notebook"):
        read_answers(content, TASKS)


@pytest.mark.parametrize("strange", [
    {"cell_type": "code"}, {"cell_type": 5, "source": 3, "metadata": []}, {"metadata": {"diffusion_lab": 3}},
    {"cell_type": "code", "source": "x", "outputs": 5}, {"cell_type": "code", "source": "x", "outputs": [1, {"data": 2}]},
])
def test_strange_cells_disturb_nobody(strange):
    content = notebook(strange, cell("def double(x): ...", exercise="double"))
    assert list(read_answers(content, TASKS).sources) == ["double"]
