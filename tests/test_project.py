"""The lists of dependencies agree, links work, and importing the package is quiet and fast."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.utils import canonicalize_name

import diffusion_lab

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_lists_the_same_packages_as_pyproject_with_reasons():
    text = (ROOT / "environment.yml").read_text()
    pip = next(
        entry["pip"] for entry in yaml.safe_load(text)["dependencies"] if isinstance(entry, dict)
    )
    extras = project()["optional-dependencies"]
    wanted = dict.fromkeys(project()["dependencies"] + extras["lab"] + extras["instructor"])
    assert [entry for entry in pip if not entry.startswith("--")] == list(wanted)
    for line in re.findall(r"^ +- (?!pip:|--constraint|conda-forge)(.*)$", text, re.M):
        assert "#" in line, f"no reason for: {line}"


def test_every_dependency_has_a_tested_pin():
    pins = {
        re.split(r"==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = project()["optional-dependencies"]
    tested = sum((extras[name] for name in ("lab", "instructor", "test", "jax", "cluster")), [])
    for requirement in project()["dependencies"] + tested:
        if requirement.startswith("diffusion-lab["):
            continue
        assert re.match(r"[\w-]+", requirement)[0].replace("_", "-") in pins, requirement


COLAB = {  # {runtime: its packages}
    path.stem: path.read_text() for path in (Path(__file__).parent / "colab").glob("*.txt")
}
# Kaggle's image is built from Colab's, with a few other versions
OF_KAGGLE = [
    *("ipywidgets==8.1.5", "widgetsnbextension==4.0.13", "jupyterlab_widgets==3.0.13"),
    "comm==0.2.2",
    *("protobuf==5.29.5", "nbconvert==6.4.5", "jupyter_server==2.12.5"),
]
KAGGLE = "kaggle-2026-05-python3.12"
HOSTED = COLAB | {
    KAGGLE: "\n".join(
        [
            line
            for line in COLAB["colab-2026-04-python3.12"].splitlines()
            if line.partition("==")[0].replace("-", "_")
            not in {pin.partition("==")[0] for pin in OF_KAGGLE}
        ]
        + OF_KAGGLE
    )
}


@pytest.mark.parametrize("runtime", sorted(HOSTED))
def test_an_installation_changes_no_package_of_colab_or_kaggle(runtime, tmp_path):
    """There, a changed package means a restart, and often a broken runtime.

    The two packages that Colab lacks are small, and in pure Python.
    """
    python = runtime.rpartition("python")[2]
    freeze = tmp_path / "freeze.txt"
    freeze.write_text(HOSTED[runtime])
    options = ["--python-version", python, "--python-platform", "linux", "--no-header"]
    command = ["uv", "pip", "compile", "--quiet", "--constraint", freeze, *options]
    resolved = run_module(*command, "--no-annotate", ROOT / "pyproject.toml")
    added = pins(resolved) - pins(HOSTED[runtime])
    assert {name for name, version in added} <= {"importlib-resources", "jedi"}


def run_module(name, *arguments):
    """Returns what `python -m name` prints."""
    return subprocess.check_output([sys.executable, "-m", name, *arguments], text=True)


def pins(text):
    """Returns {(package, version)}."""
    lines = [line.partition(";")[0].strip().split("==") for line in text.splitlines()]
    return {(canonicalize_name(line[0]), line[1]) for line in lines if len(line) == 2}


def run_python(code, **variables):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        env=os.environ | variables,
    )


def test_the_command_line_imports_no_framework():
    code = (
        "import sys, diffusion_lab.commands.cli; print({'tensorflow', 'keras', 'matplotlib', 'jax'}"
        " & set(sys.modules))"
    )
    assert run_python(code).stdout.strip() == "set()"


def test_tensorflow_starts_without_output_on_stderr():
    code = "import diffusion_lab, keras, numpy; print(keras.ops.sum(numpy.ones(3)))"
    assert run_python(code).stderr == ""


def test_tensorflow_uses_onednn_on_every_processor():
    code = (
        "import diffusion_lab, keras; keras.ops.conv(keras.ops.ones((1, 8, 8, 3)),"
        " keras.ops.ones((3, 3, 3, 8)))"
    )
    assert (
        ",cpu,convolution,"
        in run_python(code, ONEDNN_VERBOSE="1", KERAS_BACKEND="tensorflow").stdout
    )


def test_a_failing_import_is_not_silenced():
    code = (
        "import os, sys; from diffusion_lab.startup.quiet import quiet_stderr\nwith"
        " quiet_stderr():\n"
    )
    code += " os.write(2, b'the reason'); raise ImportError"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "the reason" in result.stderr and result.returncode


def test_the_licence_is_named_in_the_usual_places():
    assert (
        "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()
    )
    assert project()["license"] == "Apache-2.0" and project()["license-files"] == ["LICENSE"]
    assert "[Apache License 2.0](LICENSE)" in (ROOT / "README.md").read_text()


def test_all_files_have_the_same_version():
    version = project()["version"]
    assert diffusion_lab.__version__ == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d\S*)", changes, re.M)[0] == version


def test_the_first_level_of_the_package_fits_on_a_screen():
    names = {path.name for path in (ROOT / "diffusion_lab").iterdir()}
    entries = {name for name in names if not name.startswith((".", "__pycache__"))}
    assert len(entries - {"__init__.py", "__main__.py", "py.typed"}) <= 20, sorted(entries)


def test_the_imports_in_the_readme_work():
    example = (ROOT / "README.md").read_text(encoding="utf-8").partition("```python\n")[2]
    lines = example.partition("```")[0].splitlines()
    run_python("\n".join(line for line in lines if "import " in line))


def links(page):
    """Returns (linked file, its heading or "") of every link to a file."""
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [target.partition("#")[::2] for target in targets if "://" not in target]


def anchors(page):
    """Returns a page's headings as GitHub writes them behind #.

    For a lab, they are written as on the course site, and its live figures are there as well.
    """
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = [cell for cell in nbformat.reads(text, 4).cells if cell.cell_type == "markdown"]
        headings = re.findall(r"^#+ (.+)$", "\n".join(cell.source for cell in cells), re.M)
        names = {re.sub("[^a-z0-9]+", "-", heading.lower()) for heading in headings}
        return {name.lstrip("-0123456789").rstrip("-") for name in names} | set(
            re.findall(r'"(live-\w+)"', text)
        )
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_has_a_target(page):
    # docs/build_site.py copies docs/pages to the top of the site
    folder = ROOT if page.parent == ROOT / "docs" / "pages" else page.parent
    for file, heading in links(page):
        target = folder / file if file else page
        assert target.exists(), f"{page.name} links to {file}"
        assert not heading or heading in anchors(target), (
            f"{page.name} links to #{heading} of {file}"
        )
