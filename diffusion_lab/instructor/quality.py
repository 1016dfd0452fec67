"""Grades a student's trained model by the KID of its images.

Images are generated twice, each time in a sandbox: by the student's functions, and by our functions
from the weights alone, without the student's code. Only a trained model can give good images in
both.
"""

import base64
from dataclasses import dataclass, field
from typing import Any

from diffusion_lab.data import load_dataset
from diffusion_lab.instructor.generated import (
    COUNT,
    generated_by_student,
    generated_by_us,
    image_size,
)
from diffusion_lab.instructor.inside.generating import METHODS
from diffusion_lab.instructor.master import Master
from diffusion_lab.instructor.measuring_kid import measure_kid
from diffusion_lab.instructor.same_weights import shipped_like
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.verdicts import KID, Outcome, Quality, Verdict
from diffusion_lab.submission.answers import too_long_to_run

STEPS = 10
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
    box: str = "bubblewrap",
) -> QualityResult:
    """Grades a student's weights together with the student's functions.

    Args:
        master: of lab 07.
        answers: {exercise: source}.
        weights: the content of the student's file, which only a sandbox opens.
        quality: what the images must reach.
        seed: of the noise from which images are generated.
        limits: for one answer.
        box: the sandbox, "bubblewrap", "user" or "none".

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
        return graded(
            "wrong",
            "One of the three functions is too long to run. Shorten it, and hand it in again.",
        )
    own, details = generated_by_us(weights, seed, [STEPS], limits, box)
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
    students, details = generated_by_student(master, answers, weights, seed, STEPS, limits, box)
    images = own[f"images-{STEPS}"]
    if not students or len(students["images"]) != len(images):
        return graded(
            "wrong",
            "Your functions returned no images. Test them with the weights that you hand in.",
            details,
            **more,
        )
    if students["calls"].strip() == b"0":
        more["remarks"] = ["the images were generated without calling the network"]
    measured = measure_kid([students["images"], images], image_size(images), quality.data)
    kid, own_kid = measured.kids
    return graded(
        "right" if max(kid, own_kid) <= quality.kid else "wrong",
        _kid_sentence(kid, own_kid, quality.kid),
        picture=measured.picture,
        **more,
    )


def _kid_sentence(kid: float, own_kid: float, most: float) -> str:
    sentence = (
        f"Your flowers have a KID of {kid:.2f} ({COUNT} images, {STEPS} steps). A KID of"
        f" {most:g} or less earns the points."
    )
    if kid <= most < own_kid:
        sentence += (
            " Images that our functions generate from your weights must reach that as well, but"
            f" have a KID of {own_kid:.2f}."
        )
    return sentence
