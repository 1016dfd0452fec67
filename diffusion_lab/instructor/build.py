"""From one source, two notebooks:

`notebooks/NN_topic.ipynb` without answers and `solutions/NN_topic.ipynb` with them; and
`diffusion_lab/submission/handed_out/NN_topic.json`, by which the package knows what was handed out.
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
from diffusion_lab.instructor.handing_out import handout_of
from diffusion_lab.instructor.source import BEGIN, END, KERNEL, exercises, read_source
from diffusion_lab.storage import write_atomically

REGION = re.compile(rf"^([ \t]*){BEGIN}\n(.*?)^[ \t]*{END}$", re.M | re.S)
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KEPT = "cpu"  # the profile whose outputs are committed
TRIVIAL = 14  # characters: a shorter line of an answer, such as `return images`, may occur anywhere


def sources(root: str | Path, labs: Sequence[str] = ()) -> list[Path]:
    """Returns the sources under `root`, all or those of the labs named by number or beginning, such
    as "02" or "2".
    """
    found = sorted(Path(root, "solutions").glob("[0-9][0-9]_*.py"))
    if not found:
        raise UserError(
            f"There are no labs in {Path(root, 'solutions').resolve()}: run this in the repository."
        )
    chosen = [
        path
        for path in found
        if not labs or any(path.name.startswith(lab.zfill(2)) for lab in labs)
    ]
    if not chosen:
        raise UserError(
            f"There is no lab {', '.join(labs)}: choose among"
            f" {', '.join(path.stem for path in found)}."
        )
    return chosen


def student_notebook(solution: NotebookNode) -> NotebookNode:
    """Returns the notebook that students open: stubs instead of answers, nothing left of the
    solution.

    Raises UserError if a line of an answer is elsewhere in it, too.
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
        stub = rf'\1raise NotImplementedError("Exercise {number}: write {name}")'
        cell.source = REGION.sub(stub, cell.source)
    text = {line.strip() for cell in notebook.cells for line in cell.source.splitlines()}
    leaks = [
        line
        for line in answers
        if len(line) > TRIVIAL and not line.startswith("#") and line in text
    ]
    if leaks:
        raise UserError(f"A line of an answer stands in the student notebook, too: {leaks[0]}")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def marked_for_nbgrader(solution: NotebookNode) -> NotebookNode:
    """Returns the solution with each explanation of an answer as a mark scheme, which nbgrader
    never releases.
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
    """Returns the solution with the outputs that its committed notebook holds for cells that have
    not changed since.
    """
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
    return solution


def build(
    root: str | Path, labs: Sequence[str] = (), progress: Callable[[str], object] = print
) -> None:
    """Writes what each lab's source gives."""
    for source in sources(root, labs):
        for path, text in _notebooks(Path(root), source).items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, text.encode())
                progress(f"wrote {path}")


def stale(root: str | Path) -> list[Path]:
    """Returns the committed files that differ from what their sources give, and those that have no
    source.
    """
    expected: dict[Path, str] = {}
    for source in sources(root):
        expected |= _notebooks(Path(root), source)
    committed = {
        path
        for folder in (
            "notebooks/*.ipynb",
            "solutions/*.ipynb",
            "diffusion_lab/submission/handed_out/*.json",
        )
        for path in Path(root).glob(folder)
    }
    different = [
        path
        for path, text in expected.items()
        if path in committed and path.read_text(encoding="utf-8") != text
    ]
    return sorted({*different, *(committed ^ set(expected))})


def execute(
    root: str | Path,
    labs: Sequence[str] = (),
    profile: str = "cpu",
    progress: Callable[[str], object] = print,
) -> dict[str, float]:
    """Runs the solution notebooks from top to bottom. Returns {file name: seconds}.

    What they show in the cpu profile is kept, and the first picture of a cell tagged "cover" goes
    to `docs/labs`. Another profile only tries whether they run.
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
        client = NotebookClient(notebook, timeout=3600, coalesce_streams=True, resources=resources)
        try:
            client.execute(env=os.environ | {"DIFFUSION_LAB_PROFILE": profile})
        except CellExecutionError as error:
            raise UserError(f"{path} stops: {error}") from None
        seconds[source.stem] = round(time.monotonic() - begin, 1)
        if profile == KEPT:
            write_atomically(path, _text(_without_traces(notebook)).encode())
            _save_cover(notebook, Path(root, "docs", "labs", f"{source.stem}.png"))
        kept = (
            ""
            if profile == KEPT
            else f"; nothing is kept, since the notebooks hold what the {KEPT} profile shows"
        )
        progress(f"{source.stem}: {seconds[source.stem]:.0f} s{kept}")
    return seconds


def _notebooks(root: Path, source: Path) -> dict[Path, str]:
    """Returns {path: text} of what a source gives: two notebooks, and what the package knows of the
    lab.
    """
    solution, name = read_source(source), source.with_suffix(".ipynb").name
    try:
        student = student_notebook(solution)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    handout, path = handout_of(name[:2], solution, student), root / "solutions" / name
    return {
        root / "notebooks" / name: _text(student),
        path: _text(with_outputs(marked_for_nbgrader(solution), path)),
        root / "diffusion_lab" / "submission" / "handed_out" / f"{source.stem}.json": (
            handout.to_json()
        ),
    }


def _without_traces(notebook: NotebookNode) -> NotebookNode:
    """Drops what a run leaves behind that means nothing elsewhere: widgets that no kernel serves,
    and times.
    """
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
    pictures = [
        output.data["image/png"]
        for cell in covers
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    if pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, base64.b64decode(pictures[0]))


def _text(notebook: NotebookNode) -> str:
    nbformat.validate(notebook)
    return nbformat.v4.writes(notebook) + "\n"
