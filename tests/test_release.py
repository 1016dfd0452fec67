"""The files that students get."""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.release import contents, require_images, write_release

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    with zipfile.ZipFile(write_release(ROOT, folder)) as archive:
        archive.extractall(folder)
    return folder / "diffusion-lab"


def test_students_get_all_they_need_and_no_solutions(release):
    names = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    assert {f"notebooks/{path.stem}.ipynb" for path in sources(ROOT)} <= names
    assert {
        "README.md",
        "pyproject.toml",
        "environment.yml",
        "Makefile",
        "diffusion_lab/pretrained/flowers32.weights.h5",
        "diffusion_lab/pretrained/SHA256SUMS",
    } <= names
    assert not [
        name
        for name in names
        if name.startswith(("solutions", "tests", "out")) or "__pycache__" in name
    ]
    for path in release.rglob("*.ipynb"):
        assert "BEGIN SOLUTION" not in path.read_text(encoding="utf-8")


def test_the_repository_may_be_in_a_folder_called_out(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "course").symlink_to(ROOT)
    expected = [path.relative_to(ROOT) for path in contents(ROOT)]
    root = tmp_path / "out" / "course"
    assert [path.relative_to(root) for path in contents(root)] == expected


def test_the_checksum_of_a_release_can_be_verified(run, tmp_path):
    _, said, _ = run("release", "--out", tmp_path)
    run("release", "--out", tmp_path, "--gradescope", "02")
    for name in ("diffusion-lab.zip", "gradescope-02_forward_process.zip"):
        digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert (tmp_path / f"{name}.sha256").read_text() == f"{digest}  {name}\n"
        assert (digest in said) == (name == "diffusion-lab.zip")


def test_a_release_that_fails_leaves_the_last_one(tmp_path, monkeypatch):
    before = write_release(ROOT, tmp_path).read_bytes()
    monkeypatch.setattr("diffusion_lab.instructor.release.for_students", lambda page: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_release(ROOT, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"diffusion-lab.zip", "diffusion-lab.zip.sha256"}
    assert (tmp_path / "diffusion-lab.zip").read_bytes() == before


@pytest.mark.parametrize("options", [[], ["--gradescope", "07"]])
def test_a_file_in_place_of_the_folder_is_an_error(run, tmp_path, options):
    (tmp_path / "file").touch()
    status, _, err = run("release", *options, "--out", tmp_path / "file", "--root", ROOT)
    assert status == 2 and "Could not write" in err and err.count("\n") == 1


def test_one_lab_at_a_time_can_be_handed_out(run, tmp_path):
    status, _, error = run(
        "release", "--only", "7", "--only", "02", "--out", tmp_path, "--root", ROOT
    )
    assert status == 0, error
    with zipfile.ZipFile(tmp_path / "diffusion-lab.zip") as archive:
        names = archive.namelist()
    notebooks = [Path(name).name for name in names if name.endswith(".ipynb")]
    assert notebooks == ["02_forward_process.ipynb", "07_ddim.ipynb"]
    assert "diffusion-lab/diffusion_lab/samplers.py" in names
    for options, sentence in (
        (["77"], "There is no lab 77"),
        (["7", "--classroom50", "7"], "--only is for"),
    ):
        status, _, error = run(
            "release", "--only", *options, "--out", tmp_path / "x", "--root", ROOT
        )
        assert status == 2 and sentence in error and not (tmp_path / "x").exists()


@pytest.mark.parametrize("page", ["README.md", "INSTRUCTORS.md", "CONTRIBUTING.md", "docs/labs.md"])
def test_every_target_of_make_that_a_page_names_exists(page):
    named = re.findall(r"^make ([\w-]+)|`make ([\w-]+)", (ROOT / page).read_text("utf-8"), re.M)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.M))
    assert {first or second for first, second in named} <= targets


def test_students_can_get_images_of_their_own(tmp_path):
    images = tmp_path / "shells"
    (images / "red").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(images / "red" / "one.png")
    (images / "notes.txt").write_text("private")
    with zipfile.ZipFile(write_release(ROOT, tmp_path, images)) as archive:
        found = [name for name in archive.namelist() if name.startswith("diffusion-lab/data")]
    assert found == ["diffusion-lab/data/shells/red/one.png"]
    (images / "red" / "one.png").unlink()
    with pytest.raises(UserError, match="no image in the folder .*shells"):
        write_release(ROOT, tmp_path, images)


def test_images_that_a_notebook_reads_must_be_in_the_zip(tmp_path):
    (tmp_path / "notebooks").mkdir()
    cell = new_code_cell('data = "../data/shells"\nimage_size = 32')
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "notebooks" / "07_ddim.ipynb")
    for data in (None, tmp_path / "pebbles"):
        with pytest.raises(UserError, match="07_ddim.ipynb reads ../data/shells, which is not in"):
            require_images(tmp_path, data)
    require_images(tmp_path, tmp_path / "shells")


def test_the_notebooks_import_nothing_that_stays_here(release):
    imported = set()
    for path in (release / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                imported |= set(
                    re.findall(r"(?m)^\s*from (diffusion_lab[\w.]*) import", cell.source)
                )
    assert {"diffusion_lab", "diffusion_lab.samplers"} <= imported
    for module in imported:
        path = release / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), module


def dead_links(release):
    """Returns [(page, link)] of the links to files that are not there."""
    found = []
    for page in release.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert "<!--" not in text
        links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)]
        links = [link for link in links if link and ":" not in link]
        found += [(page, link) for link in links if not (page.parent / link).exists()]
    return found


def test_all_links_in_a_release_work(release, tmp_path):
    assert (release / "README.md").exists() and (release / "docs" / "labs.md").exists()
    assert dead_links(release) == []
    for lab in ("07", "08"):
        with zipfile.ZipFile(write_release(ROOT, tmp_path / lab, labs=[lab])) as archive:
            archive.extractall(tmp_path / lab)
        one = tmp_path / lab / "diffusion-lab"
        assert dead_links(one) == [], "links to the notebooks of other labs are plain text"
        readme = (one / "README.md").read_text(encoding="utf-8")
        assert ("[lab 08](notebooks/08_exploring.ipynb)" in readme) == (lab == "08")
        assert "lab 08" in readme


def test_students_get_no_grader_and_its_commands_say_so(release):
    assert (
        not (release / "diffusion_lab" / "instructor").exists()
        and (release / "diffusion_lab" / "submission").exists()
    )
    readme = (release / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme and not [
        word for word in ("git clone", "INSTRUCTORS", "solutions/", "make test") if word in readme
    ]
    makefile = (release / "Makefile").read_text(encoding="utf-8")
    assert (
        "\ndemo:" in makefile
        and "\nlab:" in makefile
        and "bench-quality:" not in makefile
        and "<!--" not in makefile
    )

    def run(*command):
        code = (
            # without this repository's modules
            "import sys; sys.meta_path[:] = [one for one in sys.meta_path if 'editable' not in"
            " repr(one).lower()]; "
            f"sys.argv[1:] = {command}; from diffusion_lab.commands.cli import main; main()"
        )
        return subprocess.run(
            [sys.executable, "-c", code], cwd=release, capture_output=True, text=True
        )

    for command in (["grade", "--sample"], ["build"], ["release"]):
        result = run(*command)
        assert (
            result.returncode == 2
            and "This command is for instructors" in result.stderr
            and "Traceback" not in result.stderr
        )
    page = run("--help").stdout
    assert "precheck" in page and "instructors" not in page


def test_the_package_of_a_release_works_without_the_repository(release):
    code = (
        "import diffusion_lab.labs.checks as checks; print(checks.denoise.number, checks.__file__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=release, capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("7.2 ") and str(release) in result.stdout


def test_the_command_says_that_the_links_are_not_set(run, tmp_path, monkeypatch):
    (tmp_path / "a.zip.sha256").write_text("0123  a.zip")
    path = tmp_path / "a.zip"
    monkeypatch.setattr("diffusion_lab.instructor.release.write_release", lambda *_: path)
    status, out, _ = run("release", "--out", tmp_path)
    assert status == 0 and "OWNER/REPO" in out and "published.py" in out
    monkeypatch.setattr("diffusion_lab.instructor.published.REPOSITORY", "ada/course")
    assert "OWNER/REPO" not in run("release", "--out", tmp_path)[1]


def test_a_folder_that_is_not_the_repository_is_an_error(tmp_path):
    with pytest.raises(UserError, match="Run this command in the repository"):
        write_release(tmp_path, tmp_path)
