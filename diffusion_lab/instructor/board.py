"""The board of a class: the KID of the models that students tuned in lab 11.

No student code runs: a sandbox reads the weights, and our own DDIM generates the images, from the
same noise for every student.
"""

import base64
from dataclasses import replace

from diffusion_lab.instructor.generated import generated_by_us, image_size
from diffusion_lab.instructor.measuring_kid import measure_kid
from diffusion_lab.instructor.same_weights import shipped_like
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.verdicts import BOARD_STEPS, Result

DATA = "procedural_flowers"


def with_board(
    result: Result, weights: bytes, problem: str, seed: int, limits: Limits, box: str
) -> Result:
    """Returns a result with the KID of the student's model, or a remark that says why not.

    Args:
        result: of the student's answers.
        weights: the content of the student's file, or b"".
        problem: why the file cannot be used, a sentence or "".
        seed: of the noise, the same for the whole class.
        limits: for one answer.
        box: the sandbox, "bubblewrap", "user" or "none".

    Raises:
        UserError: if the KID cannot be measured.
    """

    def remarked(remark: str) -> Result:
        return replace(result, remarks=[*result.remarks, f"not on the leaderboard: {remark}"])

    if problem or not weights:
        return remarked(problem or "no weights were handed in")
    generated, _ = generated_by_us(weights, seed, BOARD_STEPS, limits, box)
    if not generated:
        return remarked("no images can be generated from the weights")
    if shipped := shipped_like(generated["weights"]):
        return remarked(f"the weights are the shipped ones, {shipped}")
    sets = [generated[f"images-{steps}"] for steps in BOARD_STEPS]
    measured = measure_kid(sets, image_size(sets[0]), DATA)
    fingerprint = base64.b64encode(generated["weights"]).decode()
    board = [list(pair) for pair in zip(measured.kids, measured.errors)]
    return replace(result, board=board, weights=fingerprint, picture=measured.picture)
