"""A made-up class of ten for lab 07, so that instructors can see a grade book in advance."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import student_notebook
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.instructor.tables import table
from diffusion_lab.labs import checks
from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.storage import write_atomically

LEFT_OUT = object()
# {student: {exercise: mistake}}, where a mistake is an index into the exercise's `mistakes`, a pair
# (old text, new text) or LEFT_OUT
MISTAKES: dict[str, dict[str, Any]] = {
    "Ada Alvarez": {},
    "Bela Bartos": {"diffusion_schedule": 0},
    "Chen Cheng": {"denoise": 3, "reverse_diffusion": 1},
    "Dana Dahl": {"denoise": 2, "remix": 10},
    "Emil Eriksen": {"reverse_diffusion": 19},
    "Fatou Fall": {"reverse_diffusion": LEFT_OUT, "remix": LEFT_OUT},
    "Goro Goto": {"diffusion_schedule": ("end_angle = math.acos", "end_angle = mat.acos")},
    "Hana Horak": {
        "reverse_diffusion": (
            "for step in range(diffusion_steps):",
            "while True:\n        step = 0",
        )
    },
    "Ivan Iliev": {"denoise": ("network = self", "import os; os._exit(0)\n    network = self")},
    "Jo Jones": {},
}
SUMMARY = (
    "I wrote the four functions and trained for {} epochs. KID fell from {} to {}. More steps help"
    " up to {}; after that the pictures hardly change. {}"
)
EXPERIMENT = (
    "I expected that {} changes KID by more than 0.5. With the settings KID was {:.2f} ± 0.13, and"
    " with the change {:.2f} ± 0.21. {}"
)
CHANGES = ("loss_on='velocity'", "loss_on='noise'", "ema_decay=0.5", "half the width")
LACKS = (
    "My flowers still lack fine petals.",
    "The petals run into each other, and some flowers have two centres.",
    "I also tried a wider network, but it needs twice the time.",
    "With a lower learning rate they stayed grey, so I set it back.",
    "The backgrounds look better than the flowers.",
)


def write_sample_class(source: Path, folder: Path) -> Path:
    """Writes ten submitted notebooks into `folder`, and returns it.

    Each is in a folder with the student's name, and has the name of a file from Canvas.

    Raises:
        UserError: if the lab is not lab 07.
    """
    solution = read_source(source)
    answers = {name: cell.source for _, name, cell in exercises(solution)}
    if not source.name.startswith("07"):
        raise UserError("The sample class did lab 07. Omit --lab.")
    folder.mkdir(parents=True, exist_ok=True)
    for index, (student, mistakes) in enumerate(MISTAKES.items()):
        given = {name: _given(name, answer, mistakes.get(name)) for name, answer in answers.items()}
        notebook = hand_in(solution, given, _written(index))
        if student == "Jo Jones":  # used a web platform that removes metadata
            for cell in notebook.cells:
                cell.metadata = {}
        name = "".join(reversed(student.lower().split()))
        path = folder / student / f"{name}_{index + 1}_{9001 + index}_{source.stem}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(notebook), encoding="utf-8")
    return folder


def write_sample_rosters(folder: Path) -> list[Path]:
    """Writes the made-up class as Canvas and Moodle would export it, and returns the two paths.

    One more student is on these rosters, who handed in nothing.
    """
    students = list(enumerate([*MISTAKES, "Kim Khan"], start=1))
    canvas = [
        ("Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Lab 07: DDIM (4711)"),
        ("    Points Possible", "", "", "", "", "100"),
        *(
            (", ".join(reversed(name.split())), number, f"s{number:03}", name.split()[0], "A", "")
            for number, name in students
        ),
    ]
    moodle = [
        ("Identifier", "Full name", "Status", "Grade", "Maximum grade", "Last modified (grade)"),
        *((f"Participant {number}", name, "", "", "100.00", "-") for number, name in students),
    ]
    files = {"made-up-canvas.csv": canvas, "made-up-moodle.csv": moodle}
    for name, lines in files.items():
        write_atomically(folder / name, table(lines).encode())
    return [folder / name for name in files]


def hand_in(
    solution: NotebookNode, answers: Mapping[str, str | None], texts: Mapping[str, str] = {}
) -> NotebookNode:
    """Returns the students' notebook with these answers and written parts.

    Args:
        solution: the lab.
        answers: {exercise: source, or None for the stub}.
        texts: {written part: text, or "" for the cell that was handed out}.
    """
    notebook = student_notebook(solution)
    for _, name, cell in exercises(notebook):
        cell.source = answers.get(name) or cell.source
    for cell in notebook.cells:
        name = cell.metadata.get("diffusion_lab", {}).get("summary")
        cell.source = texts.get(name) or cell.source
    nbformat.validate(notebook)
    return notebook


def _written(index: int) -> dict[str, str]:
    """Returns the written parts of student number `index`."""
    epochs, steps = 8 + index * 7 % 11, (10, 20, 30)[index % 3]
    kid, change = 2.5 + index * 3 % 10 / 10, index * 7 % 10 / 4
    held = "So the hypothesis holds." if change > 0.5 else "So it does not hold."
    return {
        "summary": SUMMARY.format(
            epochs, 14 + index * 3 % 8, 3 + index % 4, steps, LACKS[index % 5]
        ),
        "experiment": EXPERIMENT.format(CHANGES[index % 4], kid, kid + change, held),
    }


def with_mistake(exercise: Exercise, mistake: Mistake) -> str:
    """Returns the source of an answer with this mistake, which must be a pair of texts."""
    source = mistake.source(exercise.right).replace("def right(", f"def {exercise.name}(")
    return re.sub(r"\bmodel\b", "self", source)


def with_slip(answer: str, old: str, new: str) -> str:
    """Returns the answer with `old` replaced by `new`.

    Raises:
        ValueError: if `old` is not in the answer.
    """
    if old not in answer:
        raise ValueError(f"{old!r} is not in the answer. The sample class no longer fits the lab.")
    return answer.replace(old, new, 1)


def _given(name: str, answer: str, mistake: Any) -> str | None:
    if mistake is None:
        return answer
    if mistake is LEFT_OUT:
        return None
    if isinstance(mistake, tuple):
        return with_slip(answer, *mistake)
    exercise = checks.exercises()[name]
    table: list[Mistake] = [*exercise.mistakes]
    return with_mistake(exercise, table[mistake])
