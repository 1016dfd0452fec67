"""Exercise 3.3: the offset cosine schedule."""

import math

import numpy as np

from diffusion_lab.labs.lab03.schedule_exercise import (
    DEGREES,
    NOT_ONE_MINUS,
    OWN_TIMES,
    ROUNDED,
    SQUARED,
    STRAIGHT_SIGNAL,
    ScheduleExercise,
    at_times,
    column,
    evenly,
)
from diffusion_lab.labs.mistakes import Mistake

SQUEEZED = (
    "You squeezed the cosine's values between the two rates. Shorten the range of the angle instead"
)
CLIPPED = (
    "You clipped the rates, so the noise is the same at many times. Let the angle run from one end"
    " to the other"
)


def by_signal(signal, noise=lambda signal, times: np.sqrt(1 - signal**2)):
    """Returns a schedule with the given rates.

    Its signal rates are `signal(times, low, high)`, its noise rates `noise(signal_rates, times)`.
    """

    def schedule(times, low=0.02, high=0.95):
        signal_rates = signal(times, low, high)
        return noise(signal_rates, times), signal_rates

    return schedule


def squeezed(times, low, high):
    return low + (high - low) * np.cos(times * math.pi / 2)


def clipped(times, low, high):
    return np.clip(np.cos(times * math.pi / 2), low, high)


def straight(times, low, high):
    return high + times * (low - high)


def whole_sine(signal_rates, times):
    return np.sin(times * math.pi / 2)


class OffsetCosineDiffusionSchedule(ScheduleExercise):
    name, takes = (
        "offset_cosine_diffusion_schedule",
        "diffusion_times, min_signal_rate, max_signal_rate",
    )
    praise = "a quarter turn without its two ends: never quite clean, never pure noise."
    parameters = "min_signal_rate", "max_signal_rate"

    def draw(self, rng):
        return super().draw(rng) | {
            "other_times": column(rng.permutation([0, 1, *rng.uniform(0.1, 0.9, 4)])),
            "min_signal_rate": np.array(rng.uniform(0.1, 0.2)),
            "max_signal_rate": np.array(rng.uniform(0.8, 0.9)),
        }

    @staticmethod
    def right(diffusion_times, min_signal_rate=0.02, max_signal_rate=0.95):
        start, end = np.arccos(max_signal_rate), np.arccos(min_signal_rate)
        angles = start + diffusion_times * (end - start)
        return np.sin(angles), np.cos(angles)

    mistakes = [
        Mistake(
            "The two rates are swapped. Return noise_rates first, the sines. The angle of a signal"
            " rate is its arccos (arcsin swaps the rates as well).",
            ("np.sin(angles), np.cos(angles)", "np.cos(angles), np.sin(angles)"),
        ),
        Mistake(
            SQUARED, ("np.sin(angles), np.cos(angles)", "np.sin(angles) ** 2, np.cos(angles) ** 2")
        ),
        Mistake(
            DEGREES,
            (
                "angles = start + diffusion_times * (end - start)",
                "angles = np.degrees(start + diffusion_times * (end - start))",
            ),
        ),
        Mistake(
            "Your time runs backwards. At time 0 the signal rate is max_signal_rate, at time 1"
            " min_signal_rate.",
            at_times(lambda times: 1 - times, right),
        ),
        Mistake(
            "You returned the cosine schedule without the offset. Begin at the angle"
            " arccos(max_signal_rate), and end at arccos(min_signal_rate).",
            ("start + diffusion_times * (end - start)", "diffusion_times * math.pi / 2"),
        ),
        Mistake(
            "You took the difference the wrong way round. Take the last angle minus the first.",
            ("end - start", "start - end"),
        ),
        Mistake(
            "Your angle starts at 0. Begin at arccos(max_signal_rate).",
            ("start + diffusion_times * (end - start)", "diffusion_times * end"),
        ),
        Mistake(
            "Your angle ends at π / 2. End at arccos(min_signal_rate).",
            ("(end - start)", "(math.pi / 2 - start)"),
        ),
        Mistake(
            "Your angle goes too far. Multiply the times by the difference between the last angle"
            " and the first.",
            ("(end - start)", "end"),
        ),
        Mistake(
            "You took the cosine of the rates. The angle that has this cosine is the arccos.",
            (
                "np.arccos(max_signal_rate), np.arccos(min_signal_rate)",
                "np.cos(max_signal_rate), np.cos(min_signal_rate)",
            ),
        ),
        Mistake(
            "You took 1 / cos. Take the inverse function of the cosine, `np.arccos`.",
            (
                "np.arccos(max_signal_rate), np.arccos(min_signal_rate)",
                "1 / np.cos(max_signal_rate), 1 / np.cos(min_signal_rate)",
            ),
        ),
        Mistake(ROUNDED, at_times(np.floor, right)),
        Mistake(
            "You used the rates as if they were angles. The angle of a rate is its arccos.",
            (
                "np.arccos(max_signal_rate), np.arccos(min_signal_rate)",
                "max_signal_rate, min_signal_rate",
            ),
        ),
        Mistake(NOT_ONE_MINUS, ("np.sin(angles)", "1 - np.cos(angles)")),
        Mistake(STRAIGHT_SIGNAL, by_signal(straight)),
        Mistake(
            "Both your rates change linearly with time. Let the angle grow linearly instead.",
            (
                "np.sin(angles), np.cos(angles)",
                "[f(start) + diffusion_times * (f(end) - f(start)) for f in (np.sin, np.cos)]",
            ),
        ),
        Mistake(
            "You multiplied the angles by π / 2, but arccos returns radians already. Leave the"
            " factor out.",
            (
                "np.sin(angles), np.cos(angles)",
                "np.sin(angles * math.pi / 2), np.cos(angles * math.pi / 2)",
            ),
        ),
        Mistake(OWN_TIMES, at_times(evenly, right)),
        Mistake(f"{SQUEEZED}.", by_signal(squeezed)),
        Mistake(
            f"{SQUEEZED}, and take both rates from it: their squares must add to 1.",
            by_signal(squeezed, whole_sine),
        ),
        Mistake(f"{CLIPPED}.", by_signal(clipped)),
        Mistake(
            f"{CLIPPED}, and take both rates from it: their squares must add to 1.",
            by_signal(clipped, whole_sine),
        ),
        Mistake(
            "Your rates are right for the usual values, but ignore the arguments. Write"
            " min_signal_rate and max_signal_rate where you now have 0.02 and 0.95.",
            lambda times, *_: OffsetCosineDiffusionSchedule.right(times),
        ),
    ]
