"""The labs as students get them: whole, valid, without answers; and with the answers put in, every check passes."""

import ast
import statistics
from pathlib import Path

import nbformat
import pytest

from diffusion_lab import checks
from diffusion_lab.instructor.build import sources, stale, student_notebook
from diffusion_lab.instructor.source import exercises, read_source

ROOT = Path(__file__).parents[1]
LABS = [pytest.param(path, id=path.stem) for path in sources(ROOT)]
EXERCISES = [
    pytest.param(path, name, id=f"{number} {name}")
    for path in sources(ROOT)
    for number, name, _ in exercises(read_source(path))
]


def student_version(path):
    return nbformat.read(ROOT / "notebooks" / path.with_suffix(".ipynb").name, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def lines(cell):
    return len(cell.source.strip().splitlines())


def run(path, notebook, name):
    """Executes the imports, the answer cells up to that of an exercise, and its check, as a kernel would."""
    space = {}
    exec(code_cells(notebook)[1].source, space)
    for cell in notebook.cells:
        mark = cell.metadata.get("diffusion_lab", {})
        if "exercise" in mark:
            exec(cell.source, space)
        elif mark.get("check") == name:
            return exec(cell.source, space)
    raise AssertionError(f"{path} has no check of {name}")


def test_committed_notebooks_are_what_their_sources_give():
    assert stale(ROOT) == []


@pytest.mark.parametrize("path", LABS)
def test_student_notebooks_are_valid_python_without_outputs(path):
    notebook = student_version(path)
    nbformat.validate(notebook)
    for cell in code_cells(notebook):
        ast.parse(cell.source)
        assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.parametrize("path", LABS)
def test_no_answer_in_a_student_notebook(path):
    text = (ROOT / "notebooks" / path.with_suffix(".ipynb").name).read_text(encoding="utf-8")
    assert "BEGIN SOLUTION" not in text and "Why this is the answer" not in text
    assert student_version(path) == student_notebook(read_source(path))  # which refuses lines of answers elsewhere


@pytest.mark.parametrize("path, name", EXERCISES)
def test_an_exercise_not_done_is_one_line(path, name):
    check = getattr(checks, name)
    with pytest.raises(checks.CheckFailed, match=rf"^Not done yet: exercise {check.number}, {name}\.$") as failure:
        run(path, student_version(path), name)
    assert len(failure.value._render_traceback_()) == 1


@pytest.mark.parametrize("path, name", EXERCISES)
def test_with_the_answers_put_in_every_check_passes(path, name, capsys):
    notebook, answers = student_version(path), {name: cell for _, name, cell in exercises(read_source(path))}
    for number, other, cell in exercises(notebook):
        cell.source = answers[other].source
    run(path, notebook, name)
    assert f"✓ Exercise {getattr(checks, name).number}, {name}: " in capsys.readouterr().out


@pytest.mark.parametrize("path", LABS)
def test_every_lab_has_the_same_form(path):
    notebook = read_source(path)
    head, first, *_ = notebook.cells
    for words in ("**After this lab you can**", "**Time**", "GPU", "**Before**"):
        assert words in head.source
    assert first.source == code_cells(read_source(sources(ROOT)[0]))[0].source, "the set-up cell is the same everywhere"
    for number, name, _ in exercises(notebook):
        assert getattr(checks, name).number == number


@pytest.mark.parametrize("path", LABS)
def test_cells_are_short_and_follow_prose(path):
    notebook = read_source(path)
    sizes = [lines(cell) for cell in code_cells(notebook)[1:]]
    assert statistics.median(sizes) <= 8 and max(sizes) <= 40
    assert len(notebook.cells) - len(sizes) >= len(sizes) / 2
