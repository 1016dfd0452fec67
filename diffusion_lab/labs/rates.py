"""How the pair of rates that a schedule returns is judged, in labs 03 and 07."""

import numpy as np

from diffusion_lab.labs.exercise import CheckFailed, Undiagnosed


def diagnose(times, pair, right, mistakes, tolerance=1e-4, setting=""):
    """Raises CheckFailed unless both of the `pair` are right: with the known mistake, if it is one, and if not with the
    time at which it shows."""
    names = "noise_rates", "signal_rates"
    odd = [f"{name} has the shape {rates.shape}, but should have that of the times, {times.shape}: one number per "
           "image, ready to multiply it" for name, rates in zip(names, pair) if rates.shape != times.shape]
    if any(rates.size != times.size for rates in pair):
        raise CheckFailed(odd[0] + ".")
    answer = np.stack([rates.reshape(times.shape) for rates in pair])
    if not odd and np.allclose(answer, right, tolerance, tolerance):
        return
    known = np.isfinite(answer)  # a mistake may give NaN in places, the root of a negative number
    equals = lambda other: np.allclose(answer[known], other[known], tolerance, tolerance)
    if known.mean() >= 0.5 and not equals(right):
        for hint, wrong in mistakes.items() if isinstance(mistakes, dict) else mistakes:
            if equals(wrong):
                raise CheckFailed(hint)
    if odd:
        raise CheckFailed(odd[0] + " (np.cumprod, for one, flattens what it gets).")
    if not known.all():
        raise CheckFailed(f"there is NaN or infinity at time {_at(times, np.argmin(known))}{setting}: look for the "
                          "root of a negative number, or a division by zero.")
    worst = np.argmax(np.abs(answer - right))
    total = np.square(answer).sum(0).ravel()
    if np.abs(total - 1).max() > 0.05:
        worst = np.argmax(np.abs(total - 1))
        raise Undiagnosed(f"the squares of the two rates must add to 1; at time {_at(times, worst)}{setting} they add "
                          f"to {total[worst]:.3g}.")
    name = ("noise rate", "signal rate")[worst // times.size]
    raise Undiagnosed(f"the {name} is not right yet.", f"At time {_at(times, worst)}{setting} it is {answer.flat[worst].round(6):.3g}, but "
                      f"should be {right.flat[worst].round(6):.3g}.")


def _at(times, index):
    return f"{times.flat[index % times.size]:.2f}"
