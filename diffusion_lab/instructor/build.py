"""Builds two notebooks from the source of a lab, and a description of the lab for the package.

The notebooks are `notebooks/NN_topic.ipynb`, without answers, and `solutions/NN_topic.ipynb`. The
description is `diffusion_lab/submission/handed_out/NN_topic.json`: the cells that students get.
"""

import base64
import copy
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.alternatives import described, pictures_of, require_alternatives
from diffusion_lab.instructor.handing_out import handout_of
from diffusion_lab.instructor.languages import stub
from diffusion_lab.instructor.source import KERNEL, exercises, read_source
from diffusion_lab.instructor.source_format import BEGIN, END
from diffusion_lab.instructor.stored_pictures import with_palettes
from diffusion_lab.storage import write_atomically

REGION = re.compile(rf"^([ \t]*){BEGIN}\n(.*?)^[ \t]*{END}$", re.M | re.S)
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KEPT = "cpu"  # the profile whose outputs are committed
# characters; an answer's line such as `return images` may also occur in the student's notebook
TRIVIAL = 14


def sources(root: str | Path, labs: Sequence[str] = ()) -> list[Path]:
    """Returns the paths of the labs' sources under `root`.

    Args:
        root: the repository.
        labs: their numbers or how their names begin, such as "2" or "02_for". All labs if empty.

    Raises:
        UserError: if there is no such lab.
    """
    found = sorted(Path(root, "solutions").glob("[0-9][0-9]_*.py"))
    if not found:
        raise UserError(
            f"There are no labs in {Path(root, 'solutions').resolve()}. Run this command in the"
            " repository."
        )
    if not labs:
        return found
    chosen = {lab: [path for path in found if path.name.startswith(lab.zfill(2))] for lab in labs}
    unknown = [lab for lab, paths in chosen.items() if not paths]
    if unknown:
        raise UserError(
            f"There is no lab {', '.join(unknown)}. Choose one of"
            f" {', '.join(path.stem for path in found)}."
        )
    return sorted({path for paths in chosen.values() for path in paths})


def student_notebook(solution: NotebookNode) -> NotebookNode:
    """Returns the notebook for students, with stubs in place of answers.

    Raises:
        UserError: if another cell contains a line of an answer.
    """
    notebook = copy.deepcopy(solution)
    notebook.cells = [
        cell for cell in notebook.cells if "answer" not in cell.metadata.get("tags", [])
    ]
    answers = []
    for number, name, cell in exercises(notebook):
        answers += [
            line.strip()
            for region in REGION.finditer(cell.source)
            for line in region[2].splitlines()
        ]
        cell.source = REGION.sub(rf"\1{stub(notebook, number, name)}", cell.source)
    text = {line.strip() for cell in notebook.cells for line in cell.source.splitlines()}
    leaks = [
        line
        for line in answers
        if len(line) > TRIVIAL and not line.startswith("#") and line in text
    ]
    if leaks:
        raise UserError(f"The student notebook also contains a line of an answer: {leaks[0]}")
    for cell in notebook.cells:
        cell.metadata.pop("alt", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def marked_for_nbgrader(solution: NotebookNode) -> NotebookNode:
    """Returns the solution with the explanations of answers as mark schemes, which nbgrader does
    not release.
    """
    explanations = [cell for cell in solution.cells if "answer" in cell.metadata.get("tags", [])]
    for number, cell in enumerate(explanations, start=1):
        cell.source = f"<!-- BEGIN MARK SCHEME -->\n\n{cell.source}\n\n<!-- END MARK SCHEME -->"
        cell.metadata["nbgrader"] = {
            "schema_version": 3,
            "grade_id": f"explanation-{number}",
            "grade": False,
            "solution": False,
            "locked": True,
            "task": True,
            "points": 0,
        }
    return solution


def with_outputs(solution: NotebookNode, path: Path) -> NotebookNode:
    """Returns the solution with the outputs of the notebook at `path`, for unchanged cells."""
    if not path.exists():
        return solution
    outputs = {
        cell.id: cell
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
    }
    for cell in solution.cells:
        old = outputs.get(cell.id)
        if old is not None and old.source == cell.source:
            cell.outputs, cell.execution_count = old.outputs, old.execution_count
    return described(solution)


def build(
    root: str | Path, labs: Sequence[str] = (), progress: Callable[[str], object] = print
) -> None:
    """Writes the two notebooks and the description of each lab, where they have changed."""
    for source in sources(root, labs):
        for path, text in _built_files(Path(root), source).items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                write_atomically(path, text.encode())
                progress(f"wrote {path}")


def stale(root: str | Path, labs: Sequence[str] = ()) -> list[Path]:
    """Returns the built files that do not match their source, are missing, or have no source.

    With `labs`, as for `sources`, these are only the files of these labs.
    """
    expected: dict[Path, str] = {}
    for source in sources(root, labs):
        expected |= _built_files(Path(root), source)
    existing = {
        path
        for folder in (
            "notebooks/*.ipynb",
            "solutions/*.ipynb",
            "diffusion_lab/submission/handed_out/*.json",
        )
        for path in Path(root).glob(folder)
        if not labs or path in expected
    }
    different = [
        path
        for path, text in expected.items()
        if path in existing and path.read_text(encoding="utf-8") != text
    ]
    return sorted({*different, *(existing ^ set(expected))})


def execute(
    root: str | Path,
    labs: Sequence[str] = (),
    profile: str = "cpu",
    progress: Callable[[str], object] = print,
) -> dict[str, float]:
    """Runs the solution notebooks from top to bottom.

    Outputs of the cpu profile are saved in the notebooks, and the first picture of a cell tagged
    "cover" in `docs/labs`. In another profile, nothing is saved.

    Returns:
        {file name: seconds}.

    Raises:
        UserError: if a cell raises an error.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    seconds = {}
    for source in sources(root, labs):
        path = source.with_suffix(".ipynb")
        notebook = marked_for_nbgrader(read_source(source))
        progress(f"running {path} in the {profile} profile ...")
        begin = time.monotonic()
        resources = {"metadata": {"path": str(source.parent)}}
        client = NotebookClient(
            notebook,
            timeout=3600,
            coalesce_streams=True,
            resources=resources,
            extra_arguments=["--log-level=ERROR"],  # no warning about unencrypted local messages
        )
        try:
            client.execute(env=os.environ | {"DIFFUSION_LAB_PROFILE": profile})
        except CellExecutionError as error:
            raise UserError(f"{path} stops: {error}") from None
        seconds[source.stem] = round(time.monotonic() - begin, 1)
        note = f"; nothing is saved, because only outputs of the {KEPT} profile are kept"
        if profile == KEPT:
            kept = with_palettes(described(_without_run_data(notebook)))
            write_atomically(path, _text(kept).encode())
            _save_cover(notebook, Path(root, "docs", "labs", f"{source.stem}.png"))
            note = ""
        progress(f"{source.stem}: {seconds[source.stem]:.0f} s{note}")
    return seconds


def _built_files(root: Path, source: Path) -> dict[Path, str]:
    """Returns {path: text} of the files built from a source: two notebooks and a description."""
    solution, name = read_source(source), source.with_suffix(".ipynb").name
    try:
        student = student_notebook(solution)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    handout, path = handout_of(name[:2], solution, student), root / "solutions" / name
    solution = with_outputs(marked_for_nbgrader(solution), path)
    require_alternatives(source, solution)
    return {
        root / "notebooks" / name: _text(student),
        path: _text(solution),
        root / "diffusion_lab" / "submission" / "handed_out" / f"{source.stem}.json": (
            handout.to_json()
        ),
    }


def _without_run_data(notebook: NotebookNode) -> NotebookNode:
    """Removes widgets, which need a running kernel, and execution times."""
    notebook.metadata = nbformat.from_dict(KERNEL)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("data", True)]
    return notebook


def _save_cover(notebook: NotebookNode, path: Path) -> None:
    covers = [cell for cell in notebook.cells if "cover" in cell.metadata.get("tags", [])]
    pictures = [picture.data["image/png"] for cell in covers for picture in pictures_of(cell)]
    if pictures:
        write_atomically(path, base64.b64decode(pictures[0]))


def _text(notebook: NotebookNode) -> str:
    nbformat.validate(notebook)
    return nbformat.v4.writes(notebook) + "\n"
