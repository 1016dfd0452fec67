"""Makes the `Handout` of a lab from its solution.

It contains the cells that students get, and the code that runs before their answers.
"""

import ast

from nbformat import NotebookNode

from diffusion_lab.instructor.references import without_magics
from diffusion_lab.instructor.sandbox.staging import files_in_box
from diffusion_lab.instructor.source import exercises
from diffusion_lab.submission.handout import GivenCell, GivenExercise, Handout, digest
from diffusion_lab.submission.recording import recorded_attributes, taken_attributes

REFUSE = (
    "def _refuse(name):\n"
    "    def refuse(*arguments, **keywords):\n"
    "        raise RuntimeError(f'{name} comes with the package and is not here when answers are"
    " graded: write it yourself')\n"
    "    return refuse"
)


def handout_of(lab: str, solution: NotebookNode, student: NotebookNode) -> Handout:
    """Returns the `Handout` of a lab from its two notebooks."""
    points = {
        cell.metadata.diffusion_lab.check: cell.metadata.nbgrader.points
        for cell in solution.cells
        if "check" in cell.metadata.get("diffusion_lab", {})
    }
    tasks = [
        GivenExercise(number, name, float(points[name])) for number, name, _ in exercises(solution)
    ]
    prelude, helpers = prelude_of(solution)
    files = files_in_box(helpers | {(f"labs.lab{lab}.checks", task.name) for task in tasks})
    official = "\n\n".join([prelude, *(cell.source for _, _, cell in exercises(solution))])
    return Handout(
        lab,
        prelude,
        tasks,
        [_given(cell) for cell in student.cells],
        sorted(recorded_attributes(files, official)),
        sorted(taken_attributes(files)),
    )


def prelude_of(solution: NotebookNode) -> tuple[str, set[tuple[str, str]]]:
    """Returns (source, {(module, name)}): the imports of a lab's own cells, and the names that they
    import from the package.

    Only names that the official answers use are imported. The others become functions that raise an
    error, because they may be the answer.
    """
    given = [
        cell.source
        for cell in solution.cells
        if cell.cell_type == "code" and not cell.metadata.get("diffusion_lab")
    ]
    answers = "\n".join(cell.source for _, _, cell in exercises(solution))
    used = {node.id for node in ast.walk(ast.parse(answers)) if isinstance(node, ast.Name)}
    lines: list[str] = []
    refused: list[str] = []
    helpers: set[tuple[str, str]] = set()
    for node in [node for source in given for node in ast.parse(without_magics(source)).body]:
        module = getattr(node, "module", None) or ""
        if isinstance(node, ast.ImportFrom) and module.split(".")[0] == "diffusion_lab":
            names = [alias.asname or alias.name for alias in node.names]
            kept = [alias for alias, name in zip(node.names, names) if name in used]
            helpers |= {(module.removeprefix("diffusion_lab."), alias.name) for alias in kept}
            refused += [name for name in names if name not in used]
            node.names = kept
        if isinstance(node, ast.Import | ast.ImportFrom) and node.names:
            lines.append(ast.unparse(node))
    lines += [REFUSE, *(f"{name} = _refuse({name!r})" for name in refused)]
    return "\n".join(lines), helpers


def _given(cell: NotebookNode) -> GivenCell:
    mark = {
        kind: name
        for kind, name in cell.metadata.get("diffusion_lab", {}).items()
        if kind != "number"
    }
    if "cover" in cell.metadata.get("tags", []):
        mark["cover"] = True
    points = cell.metadata.get("nbgrader", {}).get("points", 0)
    return GivenCell(
        cell.id, cell.cell_type, digest(cell.source), mark, cell.source if mark else "", points
    )
