"""Which cells of a notebook are the answers."""

import json

import pytest

from diffusion_lab.instructor.answers import Unreadable, nothing_found, read_answers
from diffusion_lab.instructor.precheck import Wanted

TASKS = [Wanted("3.1", "double"), Wanted("3.2", "triple")]


def cell(source, kind="code", exercise=None, **more):
    metadata = {"diffusion_lab": {"exercise": exercise, "number": "3.1"}} if exercise else {}
    return {"cell_type": kind, "source": source, "metadata": metadata, **more}


def notebook(*cells):
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def test_a_notebook_of_another_lab_is_recognised():
    other = json.dumps({"cells": [{"metadata": {"nbgrader": {"grade_id": "02-q_sample"}}}]}).encode()
    assert nothing_found(other, "07") == "There is no answer to lab 07 in this notebook; it looks like lab 02."
    assert nothing_found(notebook(), "07") == "There is no answer to lab 07 in this notebook."


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
