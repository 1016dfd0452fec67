"""Generates images from the weights that a student hands in, in a sandbox.

A sandbox returns plain bytes, which are read as square images outside.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import nbformat
import numpy as np

from diffusion_lab.instructor.inside.generating import METHODS
from diffusion_lab.instructor.master import Master, answer_cell
from diffusion_lab.instructor.own_lines import own_lines
from diffusion_lab.instructor.sandbox.boxes import run_in_box
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.sandbox.staging import staged_files, whole_module
from diffusion_lab.instructor.source import KERNEL

COUNT = 128  # images
PATIENCE = 4  # times the limit for an answer
ROOTS = {
    ("networks.adapters", "predicting_noise"),
    ("networks.residual_unet", "residual_unet"),
    ("networks.unet", "unet"),
    ("models.weights", "assign_arrays"),
    ("models.weights", "read_arrays"),
}
OWN_ROOTS = ROOTS | {
    ("samplers", "ddim"),
    ("schedules", "offset_cosine_diffusion_schedule"),
    ("predictions", "from_noise"),
}
SMALLEST, LARGEST = 8, 128  # pixels a side
Generated = tuple[dict[str, bytes], str]  # {name of a results file: content}, and the error if none


def generated_by_us(
    weights: bytes, seed: int, step_counts: Sequence[int], limits: Limits, box: str
) -> Generated:
    """Generates images with our functions, in a sandbox without the student's code.

    Args:
        weights: the content of the student's file, which only the sandbox opens.
        seed: of the noise.
        step_counts: of DDIM.
        limits: for one answer.
        box: the sandbox, "bubblewrap", "user" or "none".

    Returns:
        The results files are `images-S` for each number of steps S, and the fingerprint `weights`.
    """
    draw = "from diffusion_lab.instructor.inside.drawing import draw"
    notebook = _notebook(
        "import keras", f"{draw}\ndraw({noise_seed(seed)}, {COUNT}, {step_counts})"
    )
    images = [f"images-{steps}" for steps in step_counts]
    return _run(notebook, own_files(), images, "weights", weights, limits, box)


def generated_by_student(
    master: Master,
    answers: dict[str, str],
    weights: bytes,
    seed: int,
    steps: int,
    limits: Limits,
    box: str,
) -> Generated:
    """Generates images as `generated_by_us` does, but with a student's `answers` to lab 07.

    Returns:
        The results files are `images`, and `calls`, which says how often the network was called.
    """
    generate = "from diffusion_lab.instructor.inside.generating import generate as _generate"
    notebook = _notebook(
        master.prelude,
        *(answer_cell(name, answers[name]) for name in METHODS),
        f"{generate}\n_generate(globals(), {noise_seed(seed)}, {COUNT}, {steps})",
    )
    return _run(notebook, students_files(), ["images"], "calls", weights, limits, box)


def noise_seed(seed: int) -> int:
    """Returns the seed of the noise for a student's `seed`."""
    return int(np.random.default_rng([seed, COUNT]).integers(2**31))


def image_size(images: bytes) -> int:
    """Returns the side of `COUNT` square RGB images in pixels, or 0 if there is no possible one."""
    size = round((len(images) / (3 * COUNT)) ** 0.5)
    return size if SMALLEST <= size <= LARGEST and len(images) == 3 * COUNT * size**2 else 0


def _run(
    notebook: nbformat.NotebookNode,
    files: dict[str, str],
    images: list[str],
    fact: str,
    weights: bytes,
    limits: Limits,
    box: str,
) -> Generated:
    """Runs a notebook in a sandbox that writes the results files `images` and `fact`."""
    limits = replace(limits, seconds=PATIENCE * limits.seconds)
    run = run_in_box(notebook, files, {"weights.h5": weights}, [*images, fact], limits, box)
    if {*images, fact} <= set(run.results) and all(
        image_size(run.results[name]) for name in images
    ):
        return run.results, ""
    said = next((cell.said for cell in run.cells.values() if not cell.passed), "")
    return {}, "\n".join(filter(None, [run.ended, own_lines(said, METHODS)]))


# The next two functions parse, so two threads must not run their first calls: see `Master.files`.


@lru_cache
def students_files() -> dict[str, str]:
    """Returns the files for the sandbox with the student's functions, {path: source}."""
    return (
        staged_files(ROOTS)
        | whole_module("submission.defining")
        | whole_module("instructor.inside.generating")
    )


@lru_cache
def own_files() -> dict[str, str]:
    """Returns the files for the sandbox without the student's code, {path: source}."""
    return (
        staged_files(OWN_ROOTS)
        | whole_module("instructor.inside.generating")
        | whole_module("instructor.inside.drawing")
    )


def _notebook(*sources: str) -> nbformat.NotebookNode:
    cells = [
        nbformat.v4.new_code_cell(source, id=f"cell-{index}")
        for index, source in enumerate(sources)
    ]
    return nbformat.v4.new_notebook(cells=cells, metadata=nbformat.from_dict(KERNEL))
