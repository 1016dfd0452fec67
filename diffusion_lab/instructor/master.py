"""The notebook that is run in place of the student's: our cells, and of the student's only the source of the answers."""

import ast
import base64
import json
from dataclasses import dataclass

import nbformat
import numpy as np

from diffusion_lab import checks
from diffusion_lab.checks.core import CheckFailed, NotDone
from diffusion_lab.instructor.source import KERNEL, exercises, read_source
from diffusion_lab.instructor.staging import inside, staged_files


@dataclass(frozen=True)
class Task:
    """An exercise as the grader sees it: `number` such as "7.2", the `name` of its function, and its `points`."""

    number: str
    name: str
    points: float

    @property
    def check(self):
        return getattr(checks, self.name)

    def inputs(self, seed):
        """The arrays that this grading gives to the answer: drawn afresh for each `seed`."""
        return self.check.draw(np.random.default_rng([seed, *self.name.encode()]))

    def judge(self, seed, result):
        """(outcome, sentence) for the content of a results file, bytes, of which nothing is believed."""
        try:
            outputs = _unpacked(result)
            self.check.judge(self.inputs(seed), outputs)
        except CheckFailed as failure:
            return "missing" if isinstance(failure, NotDone) else "wrong", _first_letter_large(str(failure))
        except Exception:  # numbers of a kind that no honest run produces
            return "wrong", "Your answer did not return the arrays that this exercise asks for."
        return "right", _first_letter_large(self.check.praise)


class Master:
    """A lab, prepared for grading. `source` is the path of its solutions/NN_topic.py."""

    def __init__(self, source):
        self.lab, notebook = source.name[:2], read_source(source)
        points = {cell.metadata.diffusion_lab.check: cell.metadata.nbgrader.points
                  for cell in notebook.cells if "check" in cell.metadata.get("diffusion_lab", {})}
        self.summaries = {cell.metadata.diffusion_lab.summary: cell for cell in notebook.cells
                          if "summary" in cell.metadata.get("diffusion_lab", {})}
        self.cover = next((cell.id for cell in notebook.cells if "cover" in cell.metadata.get("tags", [])), None)
        answers = exercises(notebook)
        self.tasks = [Task(number, name, float(points[name])) for number, name, _ in answers]
        self.answers = {name: cell.source for _, name, cell in answers}
        given = [cell.source for cell in notebook.cells
                 if cell.cell_type == "code" and not cell.metadata.get("diffusion_lab")]
        self.prelude, helpers = _prelude(given, "\n".join(self.answers.values()))
        module = next(module for module, names in checks.EXERCISES.items() if self.tasks[0].name in names)
        self.module = f"checks.{module}"
        self.roots = helpers | {(self.module, task.name) for task in self.tasks}
        self.files = staged_files(self.roots) | inside("measuring")  # once and for all: Python 3.11 cannot parse in two threads at a time

    def notebook(self, answers):
        """The notebook that runs `answers`, {name: source}, each followed by its measurement."""
        cells = [_cell("prelude", f"{self.prelude}\nfrom diffusion_lab.measuring import start as _start\n_start({self.module!r})")]
        for task in self.tasks:
            if task.name in answers:
                cells.append(_cell(f"answer-{task.name}", answers[task.name].replace("NBVAL_", "NBVAL ")))  # obeys no orders
                cells.append(_cell(f"measure-{task.name}", (
                    "from diffusion_lab.measuring import measure as _measure\n"
                    f"from diffusion_lab.{self.module} import {task.name} as _exercise\n"
                    "_measure(_exercise, globals())"
                )))
        return nbformat.v4.new_notebook(cells=cells, metadata=nbformat.from_dict(KERNEL))


def _cell(name, source):
    return nbformat.v4.new_code_cell(source, id=name[:64])


def _prelude(given, answers):
    """The imports of a lab's own cells, and which names of the package they take: (source, {(module, name)}).

    Names of the package that the official answers do without become functions that refuse: they may be the answer.
    """
    used = {node.id for node in ast.walk(ast.parse(answers)) if isinstance(node, ast.Name)}
    lines, refused, helpers = [], [], set()
    for node in [node for source in given for node in ast.parse(_without_magics(source)).body]:
        module = getattr(node, "module", None) or ""
        if isinstance(node, ast.ImportFrom) and module.split(".")[0] == "diffusion_lab":
            names = [alias.asname or alias.name for alias in node.names]
            kept = [alias for alias, name in zip(node.names, names) if name in used]
            helpers |= {(module.removeprefix("diffusion_lab."), alias.name) for alias in kept}
            refused += [name for name in names if name not in used]
            node.names = kept
        if isinstance(node, ast.Import | ast.ImportFrom) and node.names:
            lines.append(ast.unparse(node))
    lines += ["def _refuse(name):",
              "    def refuse(*arguments, **keywords):",
              "        raise RuntimeError(f'{name} comes with the package and is not here when answers are graded: write it yourself')",
              "    return refuse"]
    lines += [f"{name} = _refuse({name!r})" for name in refused]
    return "\n".join(lines), helpers


def _without_magics(source):
    return "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))


def _unpacked(result):
    """The arrays, or the failure, in a results file. Raises CheckFailed, or anything for what is neither."""
    content = json.loads(result)
    if isinstance(content.get("failed"), str):
        raise (NotDone if content.get("missing") is True else CheckFailed)(content["failed"][:1000])
    outputs = {}
    for name, packed in content["outputs"].items():
        shape = tuple(int(length) for length in packed["shape"])
        values = np.frombuffer(base64.b64decode(packed["float64"], validate=True), "float64")
        outputs[str(name)] = values.reshape(shape)
    return outputs


def _first_letter_large(sentence):
    """A sentence with a capital at its beginning, unless it begins with the name of something in the code."""
    name = sentence.split(" ")[0].rstrip(",:")
    return sentence if "_" in name or name in checks.__all__ else sentence[:1].upper() + sentence[1:]
