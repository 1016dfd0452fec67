"""Reads the answers out of one notebook. Nothing that is read here is run here."""

import json
import re
from dataclasses import dataclass, field

from diffusion_lab.errors import UserError


class Unreadable(UserError):
    """A file that is no notebook; the message is a sentence for the student."""


@dataclass
class Answers:
    """What the grader takes out of a notebook: {exercise: source}, {summary: text}, and remarks for the instructor."""

    sources: dict = field(default_factory=dict)
    texts: dict = field(default_factory=dict)
    remarks: list = field(default_factory=list)
    pictures: dict = field(default_factory=dict)  # {cell id: PNG in base64}


def read_answers(content, tasks, summaries=()):
    """The `Answers` in a notebook, bytes, for the tasks of a lab. Raises Unreadable.

    A cell is found by its exercise's name in the metadata, else by its id, else below the exercise's heading, else by
    the function that it defines: some web pages drop metadata. Several cells of one exercise (one that was split, or
    copied) count in their order, as they would run.
    """
    answers, remarks = Answers(), {}
    cells = _cells(content)
    for task in tasks:
        found, how = _find(cells, task)
        if found:
            answers.sources[task.name] = "\n\n".join(cell["source"] for cell in found)
        if how:
            remarks.setdefault(f"found {how}", []).append(task.number)
        if len(found) > 1:
            remarks.setdefault("several cells, taken together", []).append(task.number)
    answers.remarks = [f"{', '.join(numbers)}: {remark}" for remark, numbers in remarks.items()]
    for name in summaries:
        texts = [cell["source"] for cell in cells
                 if _mark(cell).get("summary") == name or str(cell.get("id", "")).endswith(f"-{name}")]
        answers.texts[name] = "\n\n".join(texts)
    for cell in cells:
        picture = _picture(cell)
        if picture:
            answers.pictures[str(cell.get("id", ""))] = picture
    return answers


def nothing_found(content, lab):
    """What to say of a notebook without any answer to a lab: perhaps it is another one's."""
    labs = {number.decode() for number in re.findall(rb'"grade_id":\s*"(\d\d)-', content)} - {lab}
    looks = f"; it looks like lab {labs.pop()}" if len(labs) == 1 else ""
    return f"There is no answer to lab {lab} in this notebook{looks}."


def _find(cells, task):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    ways = {
        "": [cell for cell in code if _mark(cell).get("exercise") == task.name],
        "by its id, the metadata is lost": [cell for cell in code if str(cell.get("id", "")).endswith(f"-{task.name}")],
        "under its heading, metadata and id are lost": _below_heading(cells, task),
        "by its function, the heading is lost": [cell for cell in code if _defines(cell, task.name)],
    }
    return next(((found, how) for how, found in ways.items() if found), ([], ""))


def _below_heading(cells, task):
    heading = re.compile(rf"^#+ Exercise {re.escape(task.number)}\b", re.MULTILINE)
    starts = [place for place, cell in enumerate(cells) if cell["cell_type"] == "markdown" and heading.search(cell["source"])]
    for start in starts:
        for cell in cells[start + 1 :]:
            if cell["cell_type"] == "markdown" and re.search(r"^#+ Exercise ", cell["source"], re.MULTILINE):
                break
            if cell["cell_type"] == "code" and _defines(cell, task.name):
                return [cell]
    return []


def _defines(cell, name):
    return re.search(rf"^(def {name}\b|{name}\s*=)", cell["source"], re.MULTILINE) is not None


def _mark(cell):
    mark = cell["metadata"].get("diffusion_lab")
    return mark if isinstance(mark, dict) else {}


def _picture(cell):
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        data = output.get("data") if isinstance(output, dict) else None
        picture = data.get("image/png") if isinstance(data, dict) else None
        if isinstance(picture, str):
            return picture
    return None


def _cells(content):
    """The cells of a notebook of any version, each with cell_type, source (a string) and metadata (a dictionary)."""
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
        cells = notebook.get("cells") or [cell for sheet in notebook.get("worksheets", ()) for cell in sheet["cells"]]
        return [_plain(cell) for cell in cells if isinstance(cell, dict)]
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        raise Unreadable("This file is not a notebook (it may be cut off, or renamed): open it in Jupyter, save it, and "
                         "hand in what was saved.") from None


def _plain(cell):
    source = cell.get("source", cell.get("input", ""))  # "input" in the format of 2013
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    metadata = cell.get("metadata")
    return {**cell, "cell_type": str(cell.get("cell_type")), "source": source.replace("\r\n", "\n").replace("\r", "\n"),
            "metadata": metadata if isinstance(metadata, dict) else {}}
