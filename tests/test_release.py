"""What students get, and what they are told before they hand it back."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.precheck import examine_answers
from diffusion_lab.instructor.release import write_release
from diffusion_lab.instructor.sample_class import hand_in
from diffusion_lab.instructor.source import exercises, read_source

ROOT = Path(__file__).parents[1]
SOLUTION = read_source(sources(ROOT, ["07"])[0])
RIGHT = {name: cell.source for _, name, cell in exercises(SOLUTION)}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    with zipfile.ZipFile(write_release(ROOT, folder)) as archive:
        archive.extractall(folder)
    return folder / "diffusion-lab"


def test_students_get_all_they_need_and_no_solutions(release):
    names = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    assert {f"notebooks/{path.stem}.ipynb" for path in sources(ROOT)} <= names
    assert {"README.md", "pyproject.toml", "environment.yml", "Makefile", "diffusion_lab/pretrained/flowers32.weights.h5",
            "diffusion_lab/pretrained/SHA256SUMS"} <= names
    assert not [name for name in names if name.startswith(("solutions", "tests", "out")) or "__pycache__" in name]
    for path in release.rglob("*.ipynb"):
        assert "BEGIN SOLUTION" not in path.read_text(encoding="utf-8")


def test_no_page_of_a_release_leads_nowhere(release):
    pages = list(release.rglob("*.md"))
    assert release / "README.md" in pages and release / "docs" / "labs.md" in pages
    for page in pages:
        text = page.read_text(encoding="utf-8")
        links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
        assert [link for link in links if link and not (page.parent / link).exists()] == [], page
        assert "<!--" not in text


def test_what_grades_stays_here_and_a_student_is_told(release):
    assert {path.name for path in (release / "diffusion_lab" / "instructor").iterdir()} == {"__init__.py", "answers.py", "archives.py", "precheck.py"}
    readme = (release / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme and not [word for word in ("git clone", "INSTRUCTORS", "solutions/", "make test") if word in readme]
    makefile = (release / "Makefile").read_text(encoding="utf-8")
    assert "\ndemo:" in makefile and "\nlab:" in makefile and "bench-quality:" not in makefile and "<!--" not in makefile

    def run(*command):
        code = ("import sys; sys.meta_path[:] = [one for one in sys.meta_path if 'editable' not in repr(one).lower()]; "
                f"sys.argv[1:] = {command}; from diffusion_lab.cli import main; main()")  # without this repository's modules
        return subprocess.run([sys.executable, "-c", code], cwd=release, capture_output=True, text=True)

    for command in (["grade", "--sample"], ["build"], ["release"]):
        result = run(*command)
        assert result.returncode == 2 and "this command is for instructors" in result.stderr and "Traceback" not in result.stderr
    page = run("--help").stdout
    assert "precheck" in page and "instructors" not in page


def test_the_package_of_a_release_works_by_itself(release):
    code = "import diffusion_lab.checks as checks; print(checks.denoise.number, checks.__file__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=release, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("7.2 ") and str(release) in result.stdout


def test_a_folder_that_is_not_the_repository_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="run this in the repository"):
        write_release(tmp_path, tmp_path)


def found(notebook, path=Path("my.ipynb")):
    return {sentence.split(":")[0]: (good, sentence) for good, sentence in examine_answers(json.dumps(notebook).encode(), path)}


def test_precheck_finds_what_is_there_and_what_is_not():
    assert all(good for good, _ in found(hand_in(SOLUTION, RIGHT, "Flowers came out of noise.")).values())
    assert [sentence for good, sentence in found(hand_in(SOLUTION, RIGHT)).values() if not good] == [
        "The summary: not written yet; it is worth 6 points."]
    findings = found(hand_in(SOLUTION, RIGHT | {"denoise": None, "reverse_diffusion": "def reverse_diffusion(self: pass"}))
    assert findings["7.1 diffusion_schedule"][0]
    assert findings["7.2 denoise"] == (False, "7.2 denoise: not written yet.")
    assert "not valid Python" in findings["7.3 reverse_diffusion"][1]
    notebook = hand_in(SOLUTION, RIGHT)
    notebook.cells = [cell for cell in notebook.cells if "def denoise" not in cell.source]
    assert "there is no cell for it" in found(notebook)["7.2 denoise"][1]


def test_precheck_warns_of_helpers_that_are_left_behind():
    helped = RIGHT["denoise"].replace("noise_rates**2", "squared(noise_rates)")
    notebook = hand_in(SOLUTION, RIGHT | {"denoise": helped})
    own = {"cell_type": "code", "id": "mine", "metadata": {}, "outputs": [], "execution_count": None,
           "source": "%matplotlib inline\ndef squared(x):\n    return x * x"}
    notebook.cells.insert(3, own)
    good, sentence = found(notebook)["7.2 denoise"]
    assert not good and "it uses squared, which another cell of yours defines" in sentence
    inside = hand_in(SOLUTION, RIGHT | {"denoise": own["source"].split("\n", 1)[1] + "\n\n" + helped})
    assert found(inside)["7.2 denoise"][0]


def test_precheck_of_something_else_is_one_sentence(tmp_path):
    for content in (b"no notebook", b'{"cells": []}'):
        with pytest.raises(UserError, match="my.ipynb"):
            examine_answers(content, Path("my.ipynb"))


LAB02 = read_source(sources(ROOT, ["02"])[0])


def precheck(path, answers):
    """Hands lab 02 in with these answers as `path`, which it must leave as it is, and returns how its precheck ended."""
    path.write_text(json.dumps(hand_in(LAB02, answers)))
    before = path.read_bytes()
    result = subprocess.run([sys.executable, "-m", "diffusion_lab", "precheck", str(path)], capture_output=True, text=True, cwd=ROOT)
    assert path.read_bytes() == before and "Traceback" not in result.stderr
    return result


def test_precheck_runs_the_notebook(tmp_path):
    result = precheck(tmp_path / "02.ipynb", {name: cell.source for _, name, cell in exercises(LAB02)})
    assert result.returncode == 0 and "✓ It runs from top to bottom" in result.stdout
    result = precheck(tmp_path / "02.ipynb", {})
    assert result.returncode == 1 and "✗ 2.1 forward_step: not written yet." in result.stdout
    assert "A run from top to bottom stops" in result.stdout and "You can hand it in all the same" in result.stdout


def test_precheck_goes_on_over_wrong_answers_and_names_each(tmp_path):
    result = precheck(tmp_path / "02.ipynb", {name: f"def {name}(*arguments):\n    return 0 * arguments[0]" for _, name, _ in exercises(LAB02)})
    assert result.returncode == 1
    assert [line[:14] for line in result.stdout.splitlines() if line.startswith("✗ Exercise")] == ["✗ Exercise 2.1", "✗ Exercise 2.2"]


def test_precheck_survives_a_cell_that_ends_python(tmp_path):
    result = precheck(tmp_path / "02.ipynb", {"forward_step": "import os\nos._exit(3)"})
    assert result.returncode == 1 and "a cell stops Python itself" in result.stdout
