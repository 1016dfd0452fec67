"""The two rates that a schedule returns: how to read, measure and check them."""

import numpy as np
from keras import ops

from diffusion_lab.backend import parts
from diffusion_lab.errors import UserError
from diffusion_lab.labs.failures import CheckFailed, Undiagnosed
from diffusion_lab.labs.language import say

RATES = "noise_rates", "signal_rates"


def rates_at(schedule, diffusion_times, **parameters):
    """Returns [noise_rates, signal_rates] of a schedule at a list of times: NumPy, each (T,).

    Raises:
        UserError: unless the schedule returns two arrays of the shape of its times.
    """
    times = np.reshape(np.asarray(diffusion_times, "float32"), (-1, 1, 1, 1))
    result = schedule(times, **parameters)  # NumPy, because a student's function may need it
    rates = [ops.convert_to_numpy(part) for part in parts(result)] if result is not None else []
    if [part.shape for part in rates] != [times.shape] * 2:
        raise UserError(
            say(
                "A schedule must return two arrays of the shape of the times: noise_rates,"
                " signal_rates."
            )
        )
    return [part.reshape(-1).astype("float64") for part in rates]


def log_snrs(noise_rates, signal_rates):
    """Returns the natural logarithm of the signal's variance divided by the noise's.

    Rates below 1e-6 count as 1e-6, so the result stays finite.
    """
    return 2 * np.log(np.maximum(signal_rates, 1e-6) / np.maximum(noise_rates, 1e-6))


def compare_rates(times, pair, right, mistakes, tolerance=1e-4, setting="", shape_hint=""):
    """Raises CheckFailed unless both rates of the `pair` are right.

    Args:
        times: (B, 1, 1, 1).
        pair: the two arrays that the answer returned.
        right: the right pair; both arrays have the shape of the times.
        mistakes: pairs (hint, the pair of rates that an answer with this mistake returns).
        tolerance: the relative and absolute tolerance.
        shape_hint: a sentence to add if the shapes are wrong.
        setting: what to add after the time in a sentence, such as " with beta_end=0.01".

    Raises:
        CheckFailed: with the hint of a known mistake, or with a time at which the rates are wrong.
    """
    right = np.stack(right)
    odd = [
        say(
            "{name} has the shape {shape}, not that of the times, {times}. Return one number per"
            " image",
            name=name,
            shape=rates.shape,
            times=times.shape,
        )
        for name, rates in zip(RATES, pair)
        if rates.shape != times.shape
    ]
    if any(rates.size != times.size for rates in pair):
        raise CheckFailed(f"{odd[0]}.")
    answer = np.stack([rates.reshape(times.shape) for rates in pair])
    if not odd and np.allclose(answer, right, tolerance, tolerance):
        return
    # a mistake may give NaN at some times, as the square root of a negative number
    known = np.isfinite(answer)
    equals = lambda other: np.allclose(answer[known], np.stack(other)[known], tolerance, tolerance)
    if known.mean() >= 0.5 and not equals(right):
        for hint, wrong in mistakes:
            if equals(wrong):
                raise CheckFailed(hint)
    if odd:
        raise CheckFailed(f"{odd[0]}. {shape_hint}".strip())
    if not known.all():
        raise CheckFailed(
            say(
                "There is NaN or infinity at time {time}{setting}. Look for the square root of a"
                " negative number, or a division by zero.",
                time=_time(times, np.argmin(known)),
                setting=setting,
            )
        )
    worst = np.argmax(np.abs(answer - right))
    total = np.square(answer).sum(0).ravel()
    if np.abs(total - 1).max() > 0.05:
        worst = np.argmax(np.abs(total - 1))
        raise Undiagnosed(
            say(
                "The squares of the two rates must add to 1, but at time {time}{setting} they add"
                " to {total:.3g}.",
                time=_time(times, worst),
                setting=setting,
                total=total[worst],
            )
        )
    name = (say("noise rate"), say("signal rate"))[worst // times.size]
    # adding 0.0 turns -0.0 into 0.0
    found, expected = (rates.flat[worst].round(6) + 0.0 for rates in (answer, right))
    raise Undiagnosed(
        say("there is a mistake in the {name}.", name=name),
        say(
            "At time {time}{setting} it is {found:.3g}, but should be {expected:.3g}.",
            time=_time(times, worst),
            setting=setting,
            found=found,
            expected=expected,
        ),
    )


def _time(times, index):
    return f"{times.flat[index % times.size]:.2f}"
