"""Partial credit: a known mistake may be worth a share of the points of its exercise."""

from collections.abc import Sequence

import numpy as np

from diffusion_lab.errors import UserError
from diffusion_lab.labs.exercise import CheckFailed, Exercise
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import decode_sentence

Draws = dict[str, dict[str, np.ndarray]]  # {draw: {name: array}}


def share_of(check: Exercise, mistakes: Sequence[Mistake], draws: Draws, outputs: Draws) -> float:
    """Returns the largest share of the mistakes that give the same numbers on every draw, or 0.

    Everything that was measured must agree, and the answer must also work in the lab.

    Args:
        check: of the exercise.
        mistakes: those that are worth something.
        draws: the inputs.
        outputs: what the answer returned, which may be forged.
    """
    if any(decode_sentence(found["stops"]) for found in outputs.values() if "stops" in found):
        return 0.0
    return max(
        (
            mistake.share
            for mistake in mistakes
            if all(_agrees(check, mistake, draws[draw], outputs[draw]) for draw in draws)
        ),
        default=0.0,
    )


def _agrees(
    check: Exercise, mistake: Mistake, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]
) -> bool:
    """True if the function with the mistake returns these outputs."""
    try:
        wrong = check.measured(mistake.function(check.right), inputs)
    except CheckFailed:
        return False
    return all(
        outputs[name].shape == np.shape(values)
        and np.allclose(outputs[name], values, rtol=check.tolerance, atol=check.tolerance)
        for name, values in wrong.items()
    )


def require_shares(check: Exercise) -> None:
    """Raises UserError unless the share of each known mistake is from 0 to 1."""
    for mistake in check.mistakes:
        if not 0 <= mistake.share <= 1:
            raise UserError(
                f"In the check of {check.name}, a mistake has share={mistake.share:g}. Give a"
                " number from 0 to 1, such as share=0.5 for half of the points."
            )
