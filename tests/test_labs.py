"""The labs as students get them: complete, valid, without answers.

With the answers put in, every check passes.
"""

import ast
import re
import statistics
from pathlib import Path

import nbformat
import numpy as np
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
    """Runs imports, answer cells up to that of an exercise, and its check, as a kernel does."""
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
    # which refuses lines of answers elsewhere
    assert student_version(path) == student_notebook(read_source(path))


@pytest.mark.parametrize("path, name", EXERCISES)
def test_an_exercise_not_done_is_one_line(path, name):
    check = getattr(checks, name)
    with pytest.raises(
        checks.CheckFailed, match=rf"^Not done yet: exercise {check.number}, {name}\.$"
    ) as failure:
        run(path, student_version(path), name)
    assert len(failure.value._render_traceback_()) == 1


@pytest.mark.parametrize("path, name", EXERCISES)
def test_with_the_answers_put_in_every_check_passes(path, name, capsys):
    notebook, answers = (
        student_version(path),
        {name: cell for _, name, cell in exercises(read_source(path))},
    )
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
    assert first.source == code_cells(read_source(sources(ROOT)[0]))[0].source, (
        "the set-up cell is the same everywhere"
    )
    for number, name, _ in exercises(notebook):
        assert getattr(checks, name).number == number


@pytest.mark.parametrize("path", LABS)
def test_cells_are_short_and_follow_prose(path):
    notebook = read_source(path)
    sizes = [lines(cell) for cell in code_cells(notebook)[1:]]
    assert statistics.median(sizes) <= 8 and max(sizes) <= 40
    assert len(notebook.cells) - len(sizes) >= len(sizes) / 2


CODE_SPAN = re.compile(r"`([^`\n]+)`")


def _values(node):
    """Yields a node and, if it is a call such as `lab.size(...)`, its arguments."""
    return (
        [node, *node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node, ast.Call)
        else [node]
    )


def _is_a_word(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.mark.parametrize("path", LABS)
def test_no_formula_in_a_quote_or_a_list_goes_over_two_lines(path):
    """JupyterLab would take the mark at the beginning of the second line for a part of it."""
    for cell in student_version(path).cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
            if re.match(r">|\s|[-*+] |\d+\. ", line):
                assert line.count("$") % 2 == line.count("$$") % 2 == 0, line


def test_messages_have_no_markdown_emphasis():
    """Checks print their sentences, and questions are HTML: both would show the asterisks."""
    emphasis = re.compile(r"(?<![\w*])\*{1,2}[A-Za-z]([^*\n]*\w)?\*{1,2}(?![\w*])")
    found = {
        f"{path.parent.name}/{path.name}: {text}"
        for path in (ROOT / "diffusion_lab" / "labs").rglob("*.py")
        for text in messages(ast.parse(path.read_text(encoding="utf-8")))
        if emphasis.search(text)
    }
    assert not found


def messages(module):
    """Yields the strings of a module other than docstrings."""
    docstrings = {
        id(node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                yield node.value


@pytest.mark.parametrize("path", LABS)
def test_no_setting_has_the_name_of_what_the_text_calls(path):
    """When the text says `network(...)`, `network` must not be a setting that is a string."""
    words, called = set(), set()
    for cell in read_source(path).cells:
        if cell.cell_type == "markdown":
            called |= {
                name
                for span in CODE_SPAN.findall(cell.source)
                for name in re.findall(r"(?<![.\w])(\w+)\(", span)
            }
            continue
        for node in ast.parse(
            "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))
        ).body:
            if isinstance(node, ast.Assign) and any(map(_is_a_word, _values(node.value))):
                words |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    assert not words & called


def test_lab_07_uses_a_function_as_it_is_when_it_is_called():
    """A function corrected after the class was made is used by all.

    Training, generating and the samplers take the new one, also where an older graph exists.
    """
    notebook, space = read_source(ROOT / "solutions" / "07_ddim.py"), {}
    exec(code_cells(notebook)[1].source, space)
    space["diffusion_schedule"] = space["denoise"] = space["reverse_diffusion"] = (
        lambda *arguments, **named: 1 / 0
    )
    exec("min_signal_rate, max_signal_rate, loss_on = 0.02, 0.95, 'noise'", space)
    exec(
        next(
            cell.source
            for cell in notebook.cells
            if cell.source.startswith("class MyDiffusionModel")
        ),
        space,
    )
    for _, _, cell in exercises(notebook):
        exec(cell.source, space)
    model = space["new_model"](
        space["ModelConfig"]("plain_cnn", {"image_size": 8, "width": 8, "depth": 2})
    )
    once = model.generate(1, 2, seed=0, sampler=space["ddim"])
    assert np.allclose(once, model.generate(1, 2, seed=0), atol=1e-4)
    right = space["denoise"]
    space["denoise"] = lambda *arguments, **named: iter(
        [2 * part for part in right(*arguments, **named)]
    )
    checks.diffusion_schedule(space["diffusion_schedule"])  # a check forgets what was compiled
    assert not np.allclose(once, model.generate(1, 2, seed=0, sampler=space["ddim"]), atol=1e-4)
