"""Builds the course site: `make site`.

Sphinx needs all pages in one folder, so they are copied there first. Each lab is the student's
notebook, with the pictures of the solution's run. The site contains no answer.
"""

import argparse
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from functools import partial
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
from nbformat import NotebookNode
from PIL import Image

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.alternatives import pictures_of
from diffusion_lab.instructor.build import sources, student_notebook, with_outputs
from diffusion_lab.instructor.published import REPOSITORY, filled_in
from diffusion_lab.instructor.source import read_source
from diffusion_lab.models.export import export_onnx
from diffusion_lab.models.io import load_model
from diffusion_lab.plots import image_grid, save_png

ROOT = Path(__file__).parents[1]
PAGES = ("INSTRUCTORS.md", "CONTRIBUTING.md", "CHANGELOG.md")
ORT = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
NETWORKS = ("flowers32_fewstep", "flowers32", "flowers32_conditional")  # of the figure "flowers"
WEB = ROOT / "web"
ORPHAN = "---\norphan: true\n---\n"
PLACE = re.compile(r"^<!-- live figure: (\w+) -->$", re.MULTILINE)
LINK = re.compile(r"\]\(([\w./-]+)((?:#[\w-]*)?)\)")
HEADING = re.compile(r"^#+ ", re.MULTILINE)
ON_THE_SITE = re.compile(r"https://[\w.-]+\.github\.io/[\w./-]+\.html(#live-)")
PYTHON = {  # {live figure: [(file, function) that does the same]}
    "forward": [("diffusion_lab/gaussian_diffusion.py", "q_sample")],
    "schedules": [("diffusion_lab/schedules.py", "offset_cosine_diffusion_schedule")],
    "samplers": [("diffusion_lab/samplers.py", "ddim")],
    "training": [("diffusion_lab/models/diffusion.py", "compute_loss")],
    "flowers": [
        ("diffusion_lab/samplers.py", "ddim"),
        ("diffusion_lab/models/conditional.py", "denoise_guided"),
    ],
}
START = {  # {page: how its figure "flowers" starts}; elsewhere it is tuned for few steps, with 2
    "07_ddim": {"network": "flowers32", "steps": 10},
    "08_exploring": {"network": "flowers32", "steps": 10},
    "11_one_step": {"network": "flowers32_fewstep", "steps": 1},
}
FIGURE = """\
*A live figure: it computes in your browser. The same in Python: {python}.*

<div data-figure="{name}"{start}>
<noscript>This figure needs JavaScript.</noscript>
</div>
"""
READING = """\
```{note}
This page is the notebook that students get, with the exercises unsolved. All outputs come from the
official solution. Some sliders are live figures here, and others are still pictures. To write your
own answers and to move every slider, download the notebook or open it in Colab, with the buttons
above.
```"""


def lab_page(source: Path) -> NotebookNode:
    """Returns a lab for the site: exercises without answers, pictures, and live figures.

    A live figure follows each cell with a tag such as "live-forward".
    """
    solution = with_outputs(read_source(source), source.with_suffix(".ipynb"))
    outputs = {cell.id: cell.get("outputs", []) for cell in solution.cells}
    page = student_notebook(solution)
    cells, page.cells = page.cells, []
    for cell in cells:
        page.cells.append(cell)
        tags = cell.metadata.get("tags", [])
        live = [tag.removeprefix("live-") for tag in tags if tag.startswith("live-")]
        is_slider = bool(live) and cell.source.startswith("widgets.")
        if cell.cell_type == "code" and not cell.metadata.get("diffusion_lab"):
            cell.outputs = [] if is_slider else outputs[cell.id]
            _describe(cell)
        for name in live:
            figure = nbformat.v4.new_markdown_cell(live_figure(name, source.stem))
            above = page.cells[-2 if is_slider else -1]
            _set_target(name, above if above.cell_type == "markdown" else figure)
            page.cells.append(figure)
        if "labs.start import start" in cell.source:
            cell.metadata["tags"] = [*tags, "remove-cell"]
            page.cells.append(nbformat.v4.new_markdown_cell(READING))
    return page


def _set_target(name: str, cell: NotebookNode) -> None:
    """Lets links to a live figure lead to the last heading of a text, or to its start."""
    start = max((match.start() for match in HEADING.finditer(cell.source)), default=0)
    cell.source = f"{cell.source[:start]}(live-{name})=\n{cell.source[start:]}"


def live_figure(name: str, page: str = "") -> str:
    """Returns the place of a live figure on a page, with links to the Python that does the same."""
    links = [
        f"[`{function}`](https://github.com/{REPOSITORY}/tree/main/{file}#L{_line(file, function)})"
        for file, function in PYTHON[name]
    ]
    settings = START.get(page, {}) if name == "flowers" else {}
    start = "".join(f' data-{key}="{value}"' for key, value in settings.items())
    return FIGURE.format(name=name, start=start, python=", ".join(links))


def _line(file: str, function: str) -> int:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.strip().startswith(f"def {function}("))


def _describe(cell: NotebookNode) -> None:
    """Gives a cell's pictures their text alternatives, and plots a class for the dark theme."""
    pictures = list(pictures_of(cell))
    texts = [picture.metadata["image/png"]["alt"] for picture in pictures]
    if texts:
        image = {"alt": " ".join(dict.fromkeys(texts))}
        if all(is_plot(b64decode(picture.data["image/png"])) for picture in pictures):
            image["classes"] = "plot"
        cell.metadata["mystnb"] = {"image": image}


def is_plot(png: bytes) -> bool:
    """Tells whether a picture is lines or points on white paper, rather than images."""
    pixels = np.asarray(Image.open(BytesIO(png)).convert("L"))
    return float(np.mean(pixels >= 250)) > 0.7


def stage(folder: Path) -> None:
    """Writes all pages to an empty folder, laid out like the repository."""
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("*.py", "pages"))
    shutil.copytree(ROOT / "docs" / "pages", folder, dirs_exist_ok=True)
    for name in PAGES:
        shutil.copy(ROOT / name, folder)
    (folder / "notebooks").mkdir()
    for source in sources(ROOT):
        path = folder / "notebooks" / f"{source.stem}.ipynb"
        path.write_text(nbformat.v4.writes(lab_page(source)), encoding="utf-8")
    for page in (folder / "docs" / "benchmarks").glob("*.md"):
        if page.stem != "README":  # which links to the others, so the contents need not
            page.write_text(ORPHAN + page.read_text(encoding="utf-8"), encoding="utf-8")
    for page in [*folder.rglob("*.md"), *folder.rglob("*.ipynb")]:
        text = filled_in(page.read_text(encoding="utf-8"))
        text = PLACE.sub(lambda place: live_figure(place[1]), text)
        text = LINK.sub(partial(to_repository, page, folder), ON_THE_SITE.sub(r"\1", text))
        page.write_text(text, encoding="utf-8")


def to_repository(page: Path, folder: Path, link: re.Match[str]) -> str:
    """Returns a link; if the site has no such page, it leads to the file in the repository."""
    target = (page.parent / link[1]).resolve()
    place = (
        target.relative_to(folder.resolve()) if target.is_relative_to(folder.resolve()) else None
    )
    if target.is_file() or place is None or not (ROOT / place).exists():
        return link[0]
    return f"](https://github.com/{REPOSITORY}/tree/main/{place.as_posix()}{link[2]})"


def figures(static: Path) -> None:
    """Writes the live figures with their networks, and MathJax.

    Raises:
        UserError: without Node.js.
    """
    npm = shutil.which("npm")
    if not npm:
        raise UserError("The site's figures need Node.js 20 or later: install it from nodejs.org.")
    for command in (["ci", "--no-audit", "--no-fund", "--silent"], ["run", "--silent", "build"]):
        subprocess.run([npm, *command], cwd=WEB, check=True)
    (static / "mathjax").mkdir(parents=True)
    shutil.copy(WEB / "node_modules" / "mathjax" / "es5" / "tex-svg.js", static / "mathjax")
    for name in ("figures.js", "figures.css"):
        shutil.copy(ROOT / "out" / "web" / name, static)
    (static / "ort").mkdir()
    for name in ORT:
        shutil.copy(WEB / "node_modules" / "onnxruntime-web" / "dist" / name, static / "ort")
    still = load_model(NETWORKS[0])[0].generate(16, diffusion_steps=2, seed=1)
    save_png(image_grid(still, scale=3), static / "flowers.png")  # if the figure cannot compute
    for name in NETWORKS:
        export_onnx(load_model(name)[0], static / f"{name}.onnx")


def main(out: Path) -> None:
    """Builds the site in the folder `out`."""
    folder = out.with_name(f"{out.name}-pages")
    for old in (folder, out):
        shutil.rmtree(old, ignore_errors=True)
    stage(folder)
    figures(folder / "_static")
    options = ["-b", "html", "-c", ROOT / "docs", "--fail-on-warning", "--quiet"]
    static = f"--define=html_static_path={folder / '_static'}"
    command = [sys.executable, "-m", "sphinx", *options, static, folder, out]
    subprocess.run(command, check=True)
    for source in sources(ROOT):  # to download, next to their pages
        shutil.copy(ROOT / "notebooks" / f"{source.stem}.ipynb", out / "notebooks")
    print(f"The site is in {out}: open {out / 'index.html'}, or copy the folder to any web server.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "site")
    try:
        main(parser.parse_args().out)
    except (UserError, subprocess.CalledProcessError) as error:
        raise SystemExit(str(error)) from None
