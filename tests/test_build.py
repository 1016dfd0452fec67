"""The builder: it is strict and deterministic, keeps outputs and gives away no answers."""

import base64
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest

from diffusion_lab import checks
from diffusion_lab.errors import UserError
from diffusion_lab.instructor import release
from diffusion_lab.instructor.build import build, execute, sources, stale
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.labs.exercise import CheckFailed
from diffusion_lab.labs.lab02 import checks as lab02

ROOT = Path(__file__).parents[1]
SOURCE = '''# %% [markdown]
# # A lab
# ### Exercise 3.1 · `double`
# *Difficulty ●○○ · 5 minutes*

# %% exercise="double" points=2
def double(number):
    """Twice the number."""
    ### BEGIN SOLUTION
    return number + number
    ### END SOLUTION

# %% check="double"
print(double(4))

# %% [markdown] tags=["answer"]
# Because two times a number is the number and itself.

# %% [markdown] summary="summary" points=3
# Write here.

# %%
print("the end")
'''
PICTURE_CELL = f"""
# %%
from IPython.display import display
display({{"image/png": "{base64.b64encode(b"a picture").decode()}"}}, raw=True,
        metadata={{"image/png": {{"width": 70}}}})
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    known = {
        name: SimpleNamespace(number=number)
        for name, number in (("double", "3.1"), ("single", "3.2"))
    }
    monkeypatch.setattr(checks, "exercises", lambda: known)

    def write(text=SOURCE):
        (tmp_path / "solutions").mkdir(exist_ok=True)
        (tmp_path / "solutions" / "03_toy.py").write_text(text)
        return tmp_path

    return write


def notebook(root, folder):
    return nbformat.read(root / folder / "03_toy.ipynb", as_version=4)


def test_a_missing_check_and_invalid_points_are_named(lab, monkeypatch):
    with pytest.raises(UserError, match="points='two' in the cell of 'double' is not a number"):
        read_source(lab(SOURCE.replace("points=2", 'points="two"')) / "solutions" / "03_toy.py")
    monkeypatch.undo()
    with pytest.raises(UserError, match="there is no check for exercise 'double'. Write its class"):
        read_source(lab() / "solutions" / "03_toy.py")


def test_the_student_gets_a_stub_and_the_solution_keeps_its_answer(lab):
    root = lab()
    build(root, progress=lambda line: None)
    student, solution = notebook(root, "notebooks"), notebook(root, "solutions")
    assert (
        student.cells[1].source.splitlines()[-1]
        == '    raise NotImplementedError("Exercise 3.1: write double")'
    )
    assert "number + number" in solution.cells[1].source
    assert "*Difficulty ●○○ · 5 minutes · 2 points*" in student.cells[0].source
    assert len(solution.cells) == len(student.cells) + 1  # the explanation
    assert [cell.id for cell in student.cells if "nbgrader" in cell.metadata] == [
        "03-double",
        "03-double-check",
        "03-summary",
    ]


def test_a_lab_may_be_in_another_language(lab):
    german = SOURCE.replace("Exercise", "Aufgabe").replace("Difficulty", "Schwierigkeit")
    root = lab(german.replace("minutes", "Minuten"))
    build(root, progress=lambda line: None)
    student = notebook(root, "notebooks")
    assert "*Schwierigkeit ●○○ · 5 Minuten · 2 Punkte*" in student.cells[0].source
    stub = 'raise NotImplementedError("Aufgabe 3.1: schreibe double")'
    assert student.cells[1].source.endswith(stub)
    with pytest.raises(UserError, match="there is no exercise 3.7"):
        lab(german + "\n# %% [markdown]\n# Siehe Aufgabe 3.7.\n")
        read_source(root / "solutions" / "03_toy.py")


def test_cells_have_the_metadata_of_nbgrader(lab):
    cells = [
        cell
        for cell in read_source(lab() / "solutions" / "03_toy.py").cells
        if "nbgrader" in cell.metadata
    ]
    marks = [cell.metadata.nbgrader for cell in cells]
    assert [(mark.grade_id, mark.solution, mark.grade, mark.get("points")) for mark in marks] == [
        ("03-double", True, False, None),
        ("03-double-check", False, True, 2),
        ("03-summary", True, True, 3),
    ]


def test_two_builds_are_equal_and_nothing_is_stale(lab):
    root = lab()
    build(root, progress=lambda line: None)
    before = (root / "notebooks" / "03_toy.ipynb").read_bytes()
    assert stale(root) == []
    build(root, progress=lambda line: pytest.fail(line))
    assert (root / "notebooks" / "03_toy.ipynb").read_bytes() == before


def test_outputs_of_unchanged_cells_are_kept_and_ignored_by_the_check(lab):
    root = lab()
    build(root, progress=lambda line: None)
    solution = notebook(root, "solutions")
    for cell in solution.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("stream", text="8\n")]
    nbformat.write(solution, root / "solutions" / "03_toy.ipynb")
    assert stale(root) == []
    lab(SOURCE.replace('print("the end")', 'print("this is the end")'))
    build(root, progress=lambda line: None)
    outputs = [
        len(cell.outputs) for cell in notebook(root, "solutions").cells if cell.cell_type == "code"
    ]
    assert outputs == [1, 1, 0]


def test_a_picture_must_have_a_sentence_as_its_text_alternative(lab):
    root = lab(SOURCE + PICTURE_CELL)
    execute(root, progress=lambda line: None)
    with pytest.raises(UserError, match="in a sentence .* begins with: from IPython.display"):
        build(root, progress=lambda line: None)
    described = PICTURE_CELL.replace("# %%", '# %% alt="Nothing to see, = 4 times."')
    lab(SOURCE + described)
    build(root, progress=lambda line: None)
    (output,) = notebook(root, "solutions").cells[-1].outputs
    assert output.metadata == {"image/png": {"width": 70, "alt": "Nothing to see, = 4 times."}}
    assert "alt" not in notebook(root, "notebooks").cells[-1].metadata
    execute(root, progress=lambda line: None)
    assert notebook(root, "solutions").cells[-1].outputs[0].metadata == output.metadata


def test_a_notebook_that_was_edited_by_hand_is_stale(lab):
    root = lab()
    build(root, progress=lambda line: None)
    path = root / "notebooks" / "03_toy.ipynb"
    path.write_text(path.read_text().replace("the end", "the and"))
    assert stale(root) == [path]


def test_only_the_chosen_labs_are_examined(lab, run):
    root = lab()
    (root / "solutions" / "04_other.py").write_text("# %%\nprint(1)\n")
    build(root, progress=lambda line: None)
    path = root / "notebooks" / "03_toy.ipynb"
    path.write_text(path.read_text().replace("the end", "the and"))
    assert stale(root, ["04"]) == [] and stale(root, ["3"]) == stale(root) == [path]
    path.unlink()
    assert stale(root, ["04"]) == [] and stale(root, ["03"]) == [path]
    status, out, _ = run("build", "04", "--check", "--root", root)
    assert status == 0 and "These notebooks are up to date" in out
    status, _, err = run("build", "--check", "--root", root)
    assert status == 2 and "03_toy.ipynb" in err
    for labs in (["99"], ["04", "99"]):
        status, _, err = run("build", *labs, "--check", "--root", root)
        assert status == 2 and "There is no lab 99. Choose one of 03_toy, 04_other" in err


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--check", "--run"], "choose one of the two"),
        (["--run", "--profile", "tiny"], "'tiny' is not one of"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_built(lab, run, options, sentence):
    root = lab()
    status, _, err = run("build", *options, "--root", root)
    assert status == 2 and sentence in err and "Traceback" not in err
    assert [path.name for path in root.iterdir()] == ["solutions"]


def test_a_notebook_without_a_source_is_stale(lab):
    root = lab()
    build(root, progress=lambda line: None)
    (root / "notebooks" / "04_orphan.ipynb").write_text("{}")
    assert [path.name for path in stale(root)] == ["04_orphan.ipynb"]


@pytest.mark.parametrize(
    "name, sentence",
    [("04_orphan", "have no source in solutions/: .*04_orphan.ipynb. Move"), ("03_toy", "again")],
)
def test_a_release_says_what_to_do_about_a_notebook_that_is_stale(lab, monkeypatch, name, sentence):
    monkeypatch.setattr(release, "FILES", ())
    monkeypatch.setattr(release, "FOLDERS", ())
    root = lab()
    build(root, progress=lambda line: None)
    (root / "notebooks" / f"{name}.ipynb").write_text("{}")
    with pytest.raises(UserError, match=sentence):
        release.write_release(root, root / "out")


def test_an_answer_that_another_cell_reveals_is_refused(lab):
    root = lab(
        SOURCE.replace('print("the end")', "number = 3\nif number:\n    return number + number")
    )
    with pytest.raises(UserError, match="return number \\+ number"):
        build(root, progress=lambda line: None)


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            "    ### END SOLUTION\n",
            "",
            (
                "line 9: the solution that began|line 9: this solution does not end|does not end in"
                " its cell"
            ),
        ),
        ("    ### BEGIN SOLUTION\n", "", "line 10: a solution ends here, but has not begun"),
        ("    return number + number\n", "", "line 10: the solution is empty"),
        (
            "    return number + number\n",
            "    ### BEGIN SOLUTION\n    return 1\n",
            "line 10: a solution begins inside",
        ),
        (
            "    ### END SOLUTION",
            "  ### END SOLUTION",
            "line 11: indent the two markers of a solution equally",
        ),
        ("### BEGIN SOLUTION", "# BEGIN SOLUTION", "line 9: write the marker as"),
        (' exercise="double" points=2', "", "must be marked, as in"),
        ('check="double"', 'check="single"', 'must be marked check="double"'),
        ('# %% check="double"\nprint(double(4))\n', "", "must be marked|has no check"),
        ("*Difficulty ●○○ · 5 minutes*", "Easy.", "difficulty and how many minutes"),
        ("Exercise 3.1", "Exercise 3.2", "needs a heading 'Exercise 3.1"),
        (
            "points=2",
            "points=-5",
            "line 6: points=-5 in the cell of 'double' is not a number of at least 0",
        ),
        ("points=2", "points=true", "line 6: points=True in the cell of 'double' is not a number"),
        ("points=2", "points=NaN", "line 6: points=nan in the cell of 'double' is not a number"),
        ("points=3", "points=[3]", "line 19: points=.3. in the cell of 'summary' is not a number"),
        (
            " points=2",
            " point=5",
            "line 6: there is no mark 'point'. Did you mean points.*exercise, check",
        ),
        (" points=2", ", points=5", "line 6: .* Separate the marks by spaces"),
        (" points=2", " points = 5", "line 6: .* Separate the marks by spaces"),
        (" points=2", " points=", "line 6: .* Separate the marks by spaces"),
        ('exercise="double"', "exercise=double", "line 6: .* words in quotes and numbers without"),
        (
            'check="double"',
            'check="double" points=7',
            "line 13: only an exercise or a summary has points",
        ),
        (
            'tags=["answer"]',
            'tags="answer"',
            "line 16: tags='answer' must be a list of words in quotes",
        ),
        ('summary="summary"', "summary=3", "line 19: summary=3 must be text in quotes"),
        ("# Write here.", "# ### Exercise 3.2 · `single`", "line 20: there is no exercise 3.2"),
        ("# Write here.", "# As in exercise 3.4, write.", "line 20: there is no exercise 3.4"),
        (
            "# Write here.",
            "# ### Exercise 3.1 · `single`",
            "line 20: this heading is for 'single', but exercise 3.1 is 'double'",
        ),
        (
            'print("the end")',
            "print(single(3))",
            "line 23: 'single' is used, but this lab has no such exercise",
        ),
        (
            'print("the end")',
            "checks.single(3)",
            "line 23: 'single' is used, but this lab has no such exercise",
        ),
    ],
)
def test_a_mistake_in_a_source_is_refused_with_its_line(lab, old, new, message):
    assert old in SOURCE
    with pytest.raises(UserError, match=message):
        read_source(lab(SOURCE.replace(old, new, 1)) / "solutions" / "03_toy.py")


FINE = [
    "from elsewhere import single\nprint(single(3))",
    "single = 3\nprint(single)",
    "def two(single):\n    return single",
    "%matplotlib inline\nprint(double(3))",
    "model.single(3)",
]


@pytest.mark.parametrize("code", FINE)
def test_a_name_that_a_cell_defines_is_not_a_removed_exercise(lab, code):
    read_source(lab(SOURCE.replace('print("the end")', code)) / "solutions" / "03_toy.py")


@pytest.mark.parametrize("name", sorted(path.stem for path in sources(ROOT)))
def test_references_to_a_removed_exercise_are_refused(name, tmp_path):
    """For each exercise of each lab, only its cell and its check are deleted."""
    text = (ROOT / "solutions" / f"{name}.py").read_text(encoding="utf-8")
    for exercise in re.findall(r'^# %% exercise="(\w+)"', text, re.M):
        path = tmp_path / f"{name}.py"
        path.write_text(
            re.sub(
                rf'^# %% (exercise|check)="{exercise}".*?(?=^# %%)', "", text, flags=re.M | re.S
            ),
            encoding="utf-8",
        )
        with pytest.raises(
            UserError, match=rf"{name}.py.*(heading|no exercise|is number|{exercise})"
        ):
            read_source(path)


def test_an_exercise_has_the_same_number_in_the_lab_and_in_its_check(lab, monkeypatch):
    known = {"double": SimpleNamespace(number="3.2")}
    monkeypatch.setattr(checks, "exercises", lambda: known)
    with pytest.raises(
        UserError,
        match=(
            "'double' is number 3.1 here, but 3.2 at the end of diffusion_lab/labs/lab03/checks.py"
        ),
    ):
        read_source(lab() / "solutions" / "03_toy.py")


def test_labs_are_chosen_by_number(lab):
    root = lab()
    assert [path.name for path in sources(root, ["3"])] == ["03_toy.py"]
    with pytest.raises(UserError, match="There is no lab 7. Choose one of 03_toy"):
        sources(root, ["7"])
    with pytest.raises(UserError, match="no labs"):
        sources(root / "solutions")


COVER = PICTURE_CELL.replace("# %%", '# %% tags=["cover"]')


def test_a_run_saves_outputs_and_the_cover(lab):
    root = lab(SOURCE + COVER)
    seconds = execute(root, progress=lambda line: None)
    assert list(seconds) == ["03_toy"]
    cells = [cell for cell in notebook(root, "solutions").cells if cell.cell_type == "code"]
    assert [cell.outputs[0].get("text") for cell in cells[1:3]] == ["8\n", "the end\n"]
    assert (root / "docs" / "labs" / "03_toy.png").read_bytes() == b"a picture"


@pytest.mark.parametrize("profile", ["smoke", "gpu"])
def test_a_run_in_another_profile_changes_no_file(lab, profile):
    """Only the outputs of the cpu profile are committed."""
    root, said = lab(SOURCE + COVER), []
    build(root, progress=lambda line: None)
    before = (root / "solutions" / "03_toy.ipynb").read_bytes()
    assert list(execute(root, profile=profile, progress=said.append)) == ["03_toy"]
    assert (root / "solutions" / "03_toy.ipynb").read_bytes() == before and not (
        root / "docs"
    ).exists()
    assert "nothing is saved" in said[-1]


def test_a_run_with_an_error_names_the_notebook_and_leaves_it_unchanged(lab):
    root = lab(SOURCE.replace('print("the end")', "1 / 0"))
    build(root, progress=lambda line: None)
    before = (root / "solutions" / "03_toy.ipynb").read_bytes()
    with pytest.raises(UserError, match="03_toy.ipynb stops"):
        execute(root, progress=lambda line: None)
    assert (root / "solutions" / "03_toy.ipynb").read_bytes() == before


def test_the_lab_in_the_contributors_guide_builds_and_runs(tmp_path):
    shutil.copytree(
        ROOT / "diffusion_lab",
        tmp_path / "diffusion_lab",
        ignore=shutil.ignore_patterns("*.h5", "__pycache__"),
    )
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = re.findall(r"`([\w/]+\.py)`:\n\n```python\n(.*?)```", page, re.S)
    assert len(files) == 2
    for name, text in [*files, ("diffusion_lab/labs/lab12/__init__.py", "")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    run = partial(
        subprocess.run,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    build = [sys.executable, "-m", "diffusion_lab", "build", "12"]
    result = run([*build, "--run", "--profile", "smoke"])
    assert result.returncode == 0, result.stderr
    assert run([*build, "--check"]).returncode == 0
    student = nbformat.read(tmp_path / "notebooks" / "12_doubling.ipynb", as_version=4)
    assert 'NotImplementedError("Exercise 12.1: write double")' in student.cells[-2].source
    tries = (
        "from diffusion_lab import checks\n"
        "from diffusion_lab.labs.failures import CheckFailed\n"
        "checks.double(lambda numbers: 2 * numbers)\n"
        "try: checks.double(lambda numbers: numbers * numbers)\n"
        "except CheckFailed as failure: print(failure)\n"
    )
    said = run([sys.executable, "-c", tries]).stdout.splitlines()
    assert said[0] == "✓ Exercise 12.1, double: twice as much."
    assert said[1].startswith("Exercise 12.1, double: You squared the numbers.")


def test_the_exercise_in_the_instructions_works(tmp_path, monkeypatch, capsys):
    page = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
    cells, check = re.findall(r"```python\n(.*?)```", page, re.S)
    space = dict(vars(lab02))
    exec(check, space)
    exercise = space["signal_to_noise"]
    known = {name: space[name] for name in ("forward_step", "q_sample", "signal_to_noise")}
    monkeypatch.setattr(checks, "exercises", lambda: known)
    path = tmp_path / "02_forward_process.py"
    path.write_text(
        (ROOT / "solutions" / path.name).read_text(encoding="utf-8") + "\n" + cells,
        encoding="utf-8",
    )
    assert [number for number, *_ in exercises(read_source(path))] == ["2.1", "2.2", "2.3"]
    exec(cells, {"checks": SimpleNamespace(signal_to_noise=exercise)})
    assert capsys.readouterr().out.startswith("✓ Exercise 2.3, signal_to_noise: ")
    inputs = exercise.draw(np.random.default_rng(0))
    for mistake in exercise.mistakes:
        with pytest.raises(CheckFailed, match=re.escape(mistake.hint)):
            exercise.examine(inputs, exercise.measured(mistake.function(exercise.right), inputs))
