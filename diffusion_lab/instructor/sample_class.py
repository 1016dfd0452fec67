"""A made-up class of ten for lab 07, so that an instructor sees a grade book before there is a class."""

import json
from pathlib import Path

import nbformat

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import student_notebook
from diffusion_lab.instructor.source import exercises, read_source

LEFT_OUT = object()
MISTAKES = {  # student: {exercise: (what stands in the right answer, what stands there instead)}, or LEFT_OUT
    "Ada Alvarez": {},
    "Bela Bartos": {"diffusion_schedule": ("return ops.sin(angles), ops.cos(angles)", "return ops.cos(angles), ops.sin(angles)")},
    "Chen Cheng": {"denoise": ("noise_rates**2", "noise_rates"), "reverse_diffusion": ("return pred_images", "return noisy_images")},
    "Dana Dahl": {"denoise": ("self.network if training else self.ema_network", "self.network")},
    "Emil Eriksen": {"reverse_diffusion": ("range(diffusion_steps)", "range(1, diffusion_steps)")},
    "Fatou Fall": {"reverse_diffusion": LEFT_OUT},
    "Goro Goto": {"diffusion_schedule": ("end_angle = math.acos", "end_angle = mat.acos")},
    "Hana Horak": {"reverse_diffusion": ("for step in range(diffusion_steps):", "while True:\n        step = 0")},
    "Ivan Iliev": {"denoise": ("network = self", "import os; os._exit(0)\n    network = self")},
    "Jo Jones": {},
}
SUMMARY = ("I wrote the three functions and trained for twelve epochs. KID fell from {} to 4. More steps help up to 20; after "
           "that the pictures hardly change. My flowers still lack fine petals.")


def write_sample_class(source, folder):
    """Writes the ten notebooks into `folder`, as students would have handed them in; returns it.

    Raises UserError for a lab for which there is no such class.
    """
    solution = read_source(source)
    answers = {name: cell.source for _, name, cell in exercises(solution)}
    if not source.name.startswith("07"):
        raise UserError("The made-up class did lab 07: leave --lab out.")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for place, (student, mistakes) in enumerate(MISTAKES.items()):
        notebook = hand_in(solution, {name: _with_mistake(answer, mistakes.get(name)) for name, answer in answers.items()},
                           SUMMARY.format(14 + place))
        if student == "Jo Jones":  # whose notebook went through a web page that drops metadata
            for cell in notebook.cells:
                cell.metadata = {}
        Path(folder, f"{student}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return folder


def hand_in(solution, answers, summary=""):
    """The student's notebook with these answers, {exercise: source or None}, in it."""
    notebook = student_notebook(solution)
    for _, name, cell in exercises(notebook):
        cell.source = answers.get(name) or cell.source
    for cell in notebook.cells:
        if "summary" in cell.metadata.get("diffusion_lab", {}) and summary:
            cell.source = summary
    nbformat.validate(notebook)
    return notebook


def _with_mistake(answer, mistake):
    if mistake is LEFT_OUT:
        return None
    right, wrong = mistake or ("", "")
    if right not in answer:
        raise ValueError(f"{right!r} does not stand in the answer: the sample class no longer fits the lab.")
    return answer.replace(right, wrong) if right else answer
