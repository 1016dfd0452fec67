"""Grades a student's trained model by the KID of its images.

Images are generated twice, each time in a sandbox: by the student's functions, and by our functions
from the weights alone, without the student's code. Only a trained model can give good images in
both. A sandbox returns plain bytes, which are read as square images and measured outside.
"""

import base64
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import nbformat
import numpy as np

from diffusion_lab.data import load_dataset
from diffusion_lab.instructor.inside.generating import METHODS
from diffusion_lab.instructor.master import Master, answer_cell
from diffusion_lab.instructor.measuring_kid import Measured, measure_kid
from diffusion_lab.instructor.running import LAST_LINES, too_long_to_run
from diffusion_lab.instructor.same_weights import shipped_like
from diffusion_lab.instructor.sandbox.boxes import run_in_box
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.sandbox.staging import staged_files, whole_module
from diffusion_lab.instructor.source import KERNEL
from diffusion_lab.instructor.verdicts import KID, Outcome, Quality, Verdict

COUNT, STEPS = 128, 10
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
NO_WEIGHTS = (
    "No weights were handed in with the notebook. The lab saves them in"
    " out/lab07/my_flowers.weights.h5."
)


@dataclass(frozen=True)
class QualityResult:
    """The result of grading a trained model."""

    verdict: Verdict
    picture: str | None = None  # of the student's images, as PNG in base64
    remarks: list[str] = field(default_factory=list)
    weights: str = ""  # their fingerprint, in base64


def require_data(data: str) -> None:
    """Raises UserError if the data set with the real images is not available."""
    load_dataset(data, "validation", 32, batch_size=1, seed=0)


def grade_quality(
    master: Master,
    answers: dict[str, str],
    weights: bytes,
    quality: Quality,
    seed: int,
    limits: Limits,
    boxed: bool = True,
) -> QualityResult:
    """Grades a student's weights together with the student's functions.

    Args:
        master: of lab 07.
        answers: {exercise: source}.
        weights: the content of the student's file, which only a sandbox opens.
        quality: what the images must reach.
        seed: of the noise from which images are generated.
        limits: for one answer.
        boxed: False runs everything without a sandbox.

    Raises:
        UserError: if the KID cannot be measured.
    """

    def graded(outcome: Outcome, sentence: str, details: str = "", **more: Any) -> QualityResult:
        points = quality.points if outcome == "right" else 0.0
        verdict = Verdict(*KID, outcome, points, quality.points, sentence, details)
        return QualityResult(verdict, **more)

    if not weights:
        return graded("missing", NO_WEIGHTS)
    if not set(METHODS) <= set(answers):
        return graded("missing", "Generating images needs all three functions. Hand them all in.")
    if too_long_to_run({name: answers[name] for name in METHODS}):
        return graded("wrong", "One of the three functions is too long to run.")
    limits = replace(limits, seconds=PATIENCE * limits.seconds)
    noise = int(np.random.default_rng([seed, COUNT]).integers(2**31))
    own, details = _generate(
        _own_notebook(noise), own_files(), ["images", "weights"], weights, limits, boxed
    )
    if not own:
        return graded("wrong", "No images can be generated from your weights.", details)
    more: dict[str, Any] = {"weights": base64.b64encode(own["weights"]).decode()}
    if shipped := shipped_like(own["weights"]):
        return graded(
            "wrong",
            f"These weights come with the course ({shipped}). Hand in weights that you have"
            " trained.",
            remarks=[f"the weights are the shipped ones, {shipped}"],
            **more,
        )
    students, details = _generate(
        _students_notebook(master, answers, noise),
        students_files(),
        ["images", "calls"],
        weights,
        limits,
        boxed,
    )
    if not students or len(students["images"]) != len(own["images"]):
        return graded(
            "wrong",
            "Your functions returned no images. Test them with the weights that you hand in.",
            details,
            **more,
        )
    if students["calls"].strip() == b"0":
        more["remarks"] = ["the images were generated without calling the network"]
    size = _image_size(own["images"])
    measured = measure_kid(students["images"], own["images"], size, quality.data)
    return graded(
        "right" if max(measured.kid, measured.own_kid) <= quality.kid else "wrong",
        _kid_sentence(measured, quality.kid),
        picture=measured.picture,
        **more,
    )


def _kid_sentence(measured: Measured, most: float) -> str:
    sentence = (
        f"Your flowers have a KID of {measured.kid:.2f} ({COUNT} images, {STEPS} steps). A KID of"
        f" {most:g} or less earns the points."
    )
    if measured.kid <= most < measured.own_kid:
        sentence += (
            " Images that our functions generate from your weights must reach that as well, but"
            f" have a KID of {measured.own_kid:.2f}."
        )
    return sentence


def _generate(
    notebook: nbformat.NotebookNode,
    files: dict[str, str],
    names: list[str],
    weights: bytes,
    limits: Limits,
    boxed: bool,
) -> tuple[dict[str, bytes] | None, str]:
    """Runs a notebook that generates images from `weights`, in a sandbox.

    Returns:
        ({name of a results file: content}, ""), or (None, error) without images of a possible size.
    """
    run = run_in_box(notebook, files, {"weights.h5": weights}, names, limits, boxed)
    if set(names) <= set(run.results) and _image_size(run.results["images"]):
        return run.results, ""
    said = next((cell.said for cell in run.cells.values() if not cell.passed), "")
    lines = [*([run.ended] if run.ended else []), *said.splitlines()[-LAST_LINES:]]
    return None, "\n".join(line[:200] for line in lines)


def _image_size(images: bytes) -> int:
    """Returns the side of `COUNT` square RGB images in pixels, or 0 if there is no possible one."""
    size = round((len(images) / (3 * COUNT)) ** 0.5)
    return size if SMALLEST <= size <= LARGEST and len(images) == 3 * COUNT * size**2 else 0


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


def _students_notebook(master: Master, answers: dict[str, str], seed: int) -> nbformat.NotebookNode:
    return _notebook(
        master.prelude,
        *(answer_cell(name, answers[name]) for name in METHODS),
        "from diffusion_lab.instructor.inside.generating import generate as"
        f" _generate\n_generate(globals(), {seed}, {COUNT}, {STEPS})",
    )


def _own_notebook(seed: int) -> nbformat.NotebookNode:
    return _notebook(
        "import keras",
        f"from diffusion_lab.instructor.inside.drawing import draw\ndraw({seed}, {COUNT}, {STEPS})",
    )


def _notebook(*sources: str) -> nbformat.NotebookNode:
    cells = [
        nbformat.v4.new_code_cell(source, id=f"cell-{index}")
        for index, source in enumerate(sources)
    ]
    return nbformat.v4.new_notebook(cells=cells, metadata=nbformat.from_dict(KERNEL))
