"""How the pair of rates that a schedule returns is judged, in labs 03 and 07."""

import numpy as np

from diffusion_lab.labs.exercise import CheckFailed, Undiagnosed

RATES = "noise_rates", "signal_rates"


def diagnose(times, pair, right, mistakes, tolerance=1e-4, setting=""):
    """Raises CheckFailed unless both rates of the `pair` are right.

    Args:
        times: (B, 1, 1, 1).
        pair: what the answer returned, two arrays.
        right: the right pair, of the shape of the times.
        mistakes: pairs (hint, the pair of rates that an answer with this mistake returns).
        tolerance: relative and absolute.
        setting: the end of a sentence that says at which time the rates are wrong.

    Raises:
        CheckFailed: with the hint of a known mistake, or else with the time at which the rates are
            wrong.
    """
    right = np.stack(right)
    odd = [
        f"{name} has the shape {rates.shape}, not that of the times, {times.shape}. Return one"
        " number per image"
        for name, rates in zip(RATES, pair)
        if rates.shape != times.shape
    ]
    if any(rates.size != times.size for rates in pair):
        raise CheckFailed(f"{odd[0]}.")
    answer = np.stack([rates.reshape(times.shape) for rates in pair])
    if not odd and np.allclose(answer, right, tolerance, tolerance):
        return
    known = np.isfinite(
        answer
    )  # a mistake may give NaN in places, the square root of a negative number
    equals = lambda other: np.allclose(answer[known], np.stack(other)[known], tolerance, tolerance)
    if known.mean() >= 0.5 and not equals(right):
        for hint, wrong in mistakes:
            if equals(wrong):
                raise CheckFailed(hint)
    if odd:
        raise CheckFailed(f"{odd[0]}. (`np.cumprod`, for example, flattens its input.)")
    if not known.all():
        raise CheckFailed(
            f"There is NaN or infinity at time {_at(times, np.argmin(known))}{setting}. Look for"
            " the square root of a negative number, or a division by zero."
        )
    worst = np.argmax(np.abs(answer - right))
    total = np.square(answer).sum(0).ravel()
    if np.abs(total - 1).max() > 0.05:
        worst = np.argmax(np.abs(total - 1))
        raise Undiagnosed(
            f"The squares of the two rates must add to 1, but at time {_at(times, worst)}{setting}"
            f" they add to {total[worst]:.3g}."
        )
    name = ("noise rate", "signal rate")[worst // times.size]
    found, expected = (
        rates.flat[worst].round(6) + 0.0 for rates in (answer, right)
    )  # 0.0 turns -0 into 0
    raise Undiagnosed(
        f"the {name} is not right yet.",
        f"At time {_at(times, worst)}{setting} it is {found:.3g}, but should be {expected:.3g}.",
    )


def _at(times, index):
    return f"{times.flat[index % times.size]:.2f}"
