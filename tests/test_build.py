"""The builder: strict about its sources, deterministic, and careful with outputs and answers."""

import base64

import nbformat
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import build, execute, sources, stale
from diffusion_lab.instructor.source import read_source

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


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setattr("diffusion_lab.instructor.source.KNOWN", {"double", "single"})

    def write(text=SOURCE):
        (tmp_path / "solutions").mkdir(exist_ok=True)
        (tmp_path / "solutions" / "03_toy.py").write_text(text)
        return tmp_path

    return write


def notebook(root, folder):
    return nbformat.read(root / folder / "03_toy.ipynb", as_version=4)


def test_a_check_that_is_missing_and_points_that_are_none_are_named(lab, monkeypatch):
    with pytest.raises(UserError, match="points='two' in the cell of 'double' is not a number"):
        read_source(lab(SOURCE.replace("points=2", 'points="two"')) / "solutions" / "03_toy.py")
    monkeypatch.undo()
    with pytest.raises(UserError, match="there is no check for exercise 'double': write it"):
        read_source(lab() / "solutions" / "03_toy.py")


def test_the_student_gets_a_stub_and_the_solution_keeps_its_answer(lab):
    root = lab()
    build(root, progress=lambda line: None)
    student, solution = notebook(root, "notebooks"), notebook(root, "solutions")
    assert student.cells[1].source.splitlines()[-1] == '    raise NotImplementedError("Exercise 3.1: write double")'
    assert "number + number" in solution.cells[1].source
    assert "*Difficulty ●○○ · 5 minutes · 2 points*" in student.cells[0].source
    assert len(solution.cells) == len(student.cells) + 1  # the explanation
    assert [cell.id for cell in student.cells if "nbgrader" in cell.metadata] == ["03-double", "03-double-check", "03-summary"]


def test_nbgrader_finds_its_marks(lab):
    cells = [cell for cell in read_source(lab() / "solutions" / "03_toy.py").cells if "nbgrader" in cell.metadata]
    marks = [cell.metadata.nbgrader for cell in cells]
    assert [(mark.grade_id, mark.solution, mark.grade, mark.get("points")) for mark in marks] == [
        ("03-double", True, False, None), ("03-double-check", False, True, 2), ("03-summary", True, True, 3),
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
    outputs = [len(cell.outputs) for cell in notebook(root, "solutions").cells if cell.cell_type == "code"]
    assert outputs == [1, 1, 0]


def test_a_notebook_that_was_edited_by_hand_is_stale(lab):
    root = lab()
    build(root, progress=lambda line: None)
    path = root / "notebooks" / "03_toy.ipynb"
    path.write_text(path.read_text().replace("the end", "the and"))
    assert stale(root) == [path]


def test_a_notebook_without_a_source_is_stale(lab):
    root = lab()
    build(root, progress=lambda line: None)
    (root / "notebooks" / "04_orphan.ipynb").write_text("{}")
    assert [path.name for path in stale(root)] == ["04_orphan.ipynb"]


def test_an_answer_that_stands_elsewhere_is_refused(lab):
    root = lab(SOURCE.replace('print("the end")', "number = 3\nif number:\n    return number + number"))
    with pytest.raises(UserError, match="return number \\+ number"):
        build(root, progress=lambda line: None)


@pytest.mark.parametrize("old, new, message", [
    ("    ### END SOLUTION\n", "", "line 9: the solution that began|line 9: this solution never ends|does not end in its cell"),
    ("    ### BEGIN SOLUTION\n", "", "line 10: a solution ends that never began"),
    ("    return number + number\n", "", "line 10: the solution is empty"),
    ("    return number + number\n", "    ### BEGIN SOLUTION\n    return 1\n", "line 10: a solution begins inside"),
    ("    ### END SOLUTION", "  ### END SOLUTION", "line 11: .* indented alike"),
    ("### BEGIN SOLUTION", "# BEGIN SOLUTION", "line 9: write the marker as"),
    (' exercise="double" points=2', "", "if and only if"),
    ('check="double"', 'check="single"', 'must be marked check="double"'),
    ('# %% check="double"\nprint(double(4))\n', "", "must be marked|has no check"),
    ("*Difficulty ●○○ · 5 minutes*", "Easy.", "difficulty and how many minutes"),
    ("Exercise 3.1", "Exercise 3.2", "needs a heading 'Exercise 3.1"),
])
def test_a_source_with_a_mistake_is_refused_with_its_place(lab, old, new, message):
    assert old in SOURCE
    with pytest.raises(UserError, match=message):
        read_source(lab(SOURCE.replace(old, new, 1)) / "solutions" / "03_toy.py")


def test_labs_are_chosen_by_number(lab):
    root = lab()
    assert [path.name for path in sources(root, ["3"])] == ["03_toy.py"]
    with pytest.raises(UserError, match="There is no lab 7: choose among 03_toy"):
        sources(root, ["7"])
    with pytest.raises(UserError, match="no labs"):
        sources(root / "solutions")


PICTURE = base64.b64encode(b"a picture").decode()
COVER = f"""
# %% tags=["cover"]
from IPython.display import display
display({{"image/png": "{PICTURE}"}}, raw=True)
"""


def test_a_run_keeps_what_the_cells_show_and_the_cover(lab):
    root = lab(SOURCE + COVER)
    seconds = execute(root, progress=lambda line: None)
    assert list(seconds) == ["03_toy"]
    cells = [cell for cell in notebook(root, "solutions").cells if cell.cell_type == "code"]
    assert [cell.outputs[0].get("text") for cell in cells[1:3]] == ["8\n", "the end\n"]
    assert (root / "docs" / "labs" / "03_toy.png").read_bytes() == b"a picture"


def test_a_run_that_stops_says_where_and_leaves_the_notebook_alone(lab):
    root = lab(SOURCE.replace('print("the end")', "1 / 0"))
    build(root, progress=lambda line: None)
    before = (root / "solutions" / "03_toy.ipynb").read_bytes()
    with pytest.raises(UserError, match="03_toy.ipynb stops"):
        execute(root, progress=lambda line: None)
    assert (root / "solutions" / "03_toy.ipynb").read_bytes() == before
