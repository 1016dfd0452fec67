"""The first cell of each lab installs the course where it is missing, such as in Colab."""

import functools
import http.server
import json
import re
import subprocess
import sys
import sysconfig
import threading
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from diffusion_lab import __version__, widgets
from diffusion_lab.instructor import published

ROOT = Path(__file__).parents[1]
LABS = sorted(ROOT.glob("notebooks/*.ipynb"))
ADDRESS = f"https://github.com/{published.REPOSITORY}/archive/refs/tags/v{__version__}.zip"
COLAB = ["ipython==7.34.0", "ipykernel==6.17.1", "ipywidgets==7.7.1", "jupyter_client==7.4.9"]
REPLACED = ("diffusion_lab", "ipython", "ipykernel", "ipywidgets", "jupyter_client")


def cells_of(path):
    return nbformat.read(path, as_version=4).cells


def first_cell(path=LABS[3]):
    return next(cell.source for cell in cells_of(path) if cell.cell_type == "code")


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_each_lab_opens_in_colab_and_installs_its_own_version(path):
    place = f"{published.REPOSITORY}/blob/main/notebooks/{path.name}"
    assert f"(https://colab.research.google.com/github/{place})" in cells_of(path)[0].source
    assert f'"{ADDRESS}"' in first_cell(path) and first_cell(path) == first_cell()


def test_the_place_of_a_copy_is_one_setting(monkeypatch):
    monkeypatch.setattr(published, "REPOSITORY", "ada/course")
    source = (ROOT / "solutions" / "03_schedules.py").read_text(encoding="utf-8")
    filled = published.filled_in(source)
    assert "github.com/ada/course/archive/refs/tags/v" in filled and "OWNER" not in filled


def test_an_address_that_does_not_answer_gets_one_sentence(tmp_path):
    script = tmp_path / "cell.py"
    script.write_text(first_cell().replace(ADDRESS, "file:///nowhere/v1.zip"), encoding="utf-8")
    # -S hides the installed packages from this process, though not from pip
    command = [sys.executable, "-S", "cell.py"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode and "Installing the course" in result.stdout
    said = "diffusion_lab is missing, and file:///nowhere/v1.zip cannot be installed."
    assert said in result.stderr


@pytest.fixture
def archive(tmp_path):
    """Serves the repository as GitHub does, and yields the address of its archive."""
    files = [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    files += [
        path for path in (ROOT / "diffusion_lab").rglob("*") if "__pycache__" not in path.parts
    ]
    (tmp_path / "served").mkdir()
    with zipfile.ZipFile(tmp_path / "served" / "v1.zip", "w") as archive:
        for path in files:
            archive.write(path, Path("course-1") / path.relative_to(ROOT))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1.zip"
        server.shutdown()


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """Makes an environment with Colab's versions of what runs notebooks, without the course.

    Yields its Python. The kernel "colab" runs there.
    """
    packages = tmp_path / "packages"  # all others are those of this environment
    packages.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not any(name in path.name.lower() for name in REPLACED):
            (packages / path.name).symlink_to(path)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "colab"], check=True)
    python = tmp_path / "colab" / "bin" / "python"
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.check_output([python, "-c", query], text=True).strip()
    Path(own, "others.pth").write_text(str(packages))
    subprocess.run([python, "-m", "pip", "install", "--quiet", *COLAB], check=True)
    kernel = tmp_path / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": command, "display_name": "colab", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(specification))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    yield python


def frozen(python):
    return set(subprocess.check_output([python, "-m", "pip", "freeze"], text=True).splitlines())


def run_in_colab(cells, folder):
    """Runs the sources of cells in the kernel "colab"; returns the outputs of each."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, kernel_name="colab", resources=resources).execute()
    return [cell.outputs for cell in notebook.cells]


@pytest.mark.slow
def test_the_first_cell_installs_the_course_and_changes_nothing_else(archive, colab, tmp_path):
    before, content = frozen(colab), tmp_path / "content"
    content.mkdir()
    started, versions, slider = run_in_colab(
        [
            first_cell().replace(ADDRESS, archive),
            "import diffusion_lab, ipywidgets;"
            " print(ipywidgets.__version__, diffusion_lab.__file__)",
            "from diffusion_lab import widgets; widgets.schedule_curves()",
        ],
        content,
    )
    printed = "".join(output.text for output in started)
    assert printed.startswith("Installing the course.") and "profile: " in printed
    version, place = versions[0].text.split()
    assert version == "7.7.1" and Path(place).is_relative_to(tmp_path / "colab")
    assert any("application/vnd.jupyter.widget-view+json" in output.data for output in slider)
    added = frozen(colab) - before
    assert before <= frozen(colab) and len(added) == 1 and "diffusion-lab" in added.pop()


@pytest.mark.slow
def test_pictures_sliders_and_questions_work_in_colab(colab, monkeypatch):
    """The solutions of labs with every kind of slider, in the smallest profile."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("DIFFUSION_LAB_PROFILE", "smoke")
    shown = {"image/png": 0, "application/vnd.jupyter.widget-view+json": 0}
    called = set()
    for name in (
        "01_energy_based",
        "02_forward_process",
        "03_schedules",
        "06_ddpm",
        "08_exploring",
    ):
        path = ROOT / "solutions" / f"{name}.ipynb"
        cells = [cell.source for cell in cells_of(path) if cell.cell_type == "code"]
        called |= set(re.findall(r"widgets\.(\w+)\(", "".join(cells)))
        outputs = [output for cell in run_in_colab(cells, path.parent) for output in cell]
        for kind in shown:
            shown[kind] += sum(kind in output.get("data", {}) for output in outputs)
    controls = {"Explorer", "choices", "menu", "slider"}
    assert called == set(widgets.__all__) - controls
    assert all(count > 10 for count in shown.values()), shown
