"""Exercise 3.2: the cosine schedule."""

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
    evenly,
    with_rates,
)
from diffusion_lab.labs.mistakes import Mistake


class CosineDiffusionSchedule(ScheduleExercise):
    name, takes = "cosine_diffusion_schedule", "diffusion_times"
    praise = "sine and cosine of one angle: their squares always add to 1."

    @staticmethod
    def right(diffusion_times):
        angles = diffusion_times * math.pi / 2
        return np.sin(angles), np.cos(angles)

    mistakes = [
        Mistake(
            "The two rates are swapped. Return noise_rates first: at time 0 they are 0, and the"
            " signal rates are 1.",
            ("np.sin(angles), np.cos(angles)", "np.cos(angles), np.sin(angles)"),
        ),
        Mistake(
            SQUARED, ("np.sin(angles), np.cos(angles)", "np.sin(angles) ** 2, np.cos(angles) ** 2")
        ),
        Mistake(DEGREES, ("* math.pi / 2", "* 90")),
        Mistake(
            "Your angle grows to 1 radian, which is 57 degrees. Let it grow to a right angle, π"
            " / 2.",
            (" * math.pi / 2", ""),
        ),
        Mistake(
            "You made an eighth of a turn. From pure image to pure noise it is a quarter, π / 2.",
            ("pi / 2", "pi / 4"),
        ),
        Mistake(
            "You made half a turn. From pure image to pure noise it is a quarter, π / 2.",
            ("pi / 2", "pi"),
        ),
        Mistake(
            "You made a full turn, which ends where it began. From pure image to pure noise it is a"
            " quarter, π / 2.",
            ("pi / 2", "pi * 2"),
        ),
        Mistake(NOT_ONE_MINUS, ("np.sin(angles)", "1 - np.cos(angles)")),
        Mistake(
            "Your rates change linearly with time, so their squares do not add to 1. Let the"
            " angle grow linearly instead.",
            lambda times: (times, 1 - times),
        ),
        Mistake(STRAIGHT_SIGNAL, lambda times: (np.sqrt(1 - (1 - times) ** 2), 1 - times)),
        Mistake(
            "Your noise rate grows linearly with time. Let the angle grow linearly instead.",
            lambda times: (times, np.sqrt(1 - times**2)),
        ),
        Mistake(
            "You took square roots, but sine and cosine are the rates already. Leave the square"
            " roots out.",
            with_rates(lambda noise, signal: (np.sqrt(noise), np.sqrt(np.abs(signal))), right),
        ),
        Mistake(
            "Your noise rate is the angle itself. Take its sine.", ("np.sin(angles)", "angles")
        ),
        Mistake(OWN_TIMES, at_times(evenly, right)),
        Mistake(ROUNDED, at_times(np.floor, right)),
    ]
