"""Exercise 3.1: DDPM's linear schedule, as a function of a continuous time."""

import numpy as np

from diffusion_lab.labs.lab03.schedule_exercise import (
    OWN_TIMES,
    ScheduleExercise,
    at_times,
    column,
    evenly,
    with_rates,
)
from diffusion_lab.labs.mistakes import Mistake


def over_the_batch(times, beta_start=1e-4, beta_end=0.02, timesteps=1000):
    """Returns ᾱ as the running product over the times of the batch."""
    return np.cumprod(1 - beta_start - (beta_end - beta_start) * times, axis=0)


def rates_of(kept):
    """Returns (noise_rates, signal_rates) if the share `kept` of the image's variance is left."""
    return np.sqrt(1 - kept), np.sqrt(kept)


class LinearDiffusionSchedule(ScheduleExercise):
    name, takes = "linear_diffusion_schedule", "diffusion_times, beta_start, beta_end, timesteps"
    praise = (
        "a function of time alone: it answers for any times, in any order, one by one or a thousand"
        " at once."
    )
    parameters = "beta_start", "beta_end", "timesteps"
    tolerance = 0.012  # accepts a table of 1,000 products too, even if it is off by one step

    def draw(self, rng):
        return super().draw(rng) | {
            "other_times": column(rng.uniform(0.2, 1, 6)),
            "beta_start": np.array(rng.uniform(0.003, 0.005)),
            "beta_end": np.array(rng.uniform(0.010, 0.014)),
            "timesteps": np.array(600),
        }

    @staticmethod
    def right(diffusion_times, beta_start=1e-4, beta_end=0.02, timesteps=1000):
        growth = beta_end - beta_start
        integral = timesteps * (beta_start * diffusion_times + growth * diffusion_times**2 / 2)
        kept = np.exp(-integral)
        return np.sqrt(1 - kept), np.sqrt(kept)

    mistakes = [
        Mistake(
            "The two rates come in the wrong order. Return noise_rates first, then signal_rates.",
            with_rates(lambda noise, signal: (signal, noise), right),
        ),
        Mistake(
            "You returned the variances, 1 - ᾱ and ᾱ. The rates are standard deviations: take the"
            " square roots.",
            with_rates(lambda noise, signal: (noise**2, signal**2), right),
        ),
        Mistake(
            "Your exponent is about twice as large as it should be. The triangle under β has half"
            " the area of width times height, t² / 2, and the square root halves the exponent: √ᾱ ="
            " exp(-integral / 2).",
            ("-integral", "-2 * integral"),
        ),
        Mistake(
            "You used β at time t for all steps. Take the area under β from time 0 to t.",
            (
                "beta_start * diffusion_times + growth * diffusion_times**2 / 2",
                "beta_start + growth * diffusion_times",
            ),
        ),
        Mistake(
            "You used β at time t for all steps, and the square root of ᾱ is missing. Take the"
            " area under β from time 0 to t, and then √ᾱ = exp(-integral / 2).",
            (
                "beta_start * diffusion_times + growth * diffusion_times**2 / 2",
                "2 * (beta_start + growth * diffusion_times)",
            ),
        ),
        Mistake(
            "You took one square root too many. The signal rate is √ᾱ = exp(-integral / 2)"
            " already.",
            ("-integral", "-integral / 2"),
        ),
        Mistake(
            "The noise rate lacks its square root: it is √(1 - ᾱ).",
            ("np.sqrt(1 - kept)", "1 - kept"),
        ),
        Mistake("The signal rate lacks its square root: it is √ᾱ.", ("np.sqrt(kept)", "kept")),
        Mistake(
            "Your noise rate is 1 - signal rate. The squares of the two add to 1, so it is √(1"
            " - ᾱ).",
            ("np.sqrt(1 - kept)", "1 - np.sqrt(kept)"),
        ),
        Mistake(
            "You took the product over the times of this batch, so an image's noise depends on its"
            " neighbours. Take the product over a fixed grid of 1,000 steps, or use the"
            " integral.",
            lambda *given: rates_of(over_the_batch(*given)),
        ),
        Mistake(
            "You took the product over the times of this batch, and returned variances. Take the"
            " product over a fixed grid of 1,000 steps, or use the integral, and take the square"
            " roots.",
            lambda *given: (1 - over_the_batch(*given), over_the_batch(*given)),
        ),
        Mistake(
            "You returned the rates of a single step, √β and √(1 - β). Use ᾱ, which combines all"
            " the steps up to time t.",
            ("np.exp(-integral)", "1 - beta_start - growth * diffusion_times"),
        ),
        Mistake(
            "The factor `timesteps` is missing, as if there were a single step. Multiply the"
            " integral of β by the number of steps.",
            ("timesteps * (", "("),
        ),
        Mistake(
            "Your exponent grows linearly, as if β were constant. But β grows, and the height of"
            " the triangle grows with it, so its area must contain t².",
            ("diffusion_times**2", "diffusion_times"),
        ),
        Mistake(
            "Your β falls. Let it grow from beta_start to beta_end.",
            ("beta_start * diffusion_times + growth", "beta_end * diffusion_times - growth"),
        ),
        Mistake(
            "Your time runs backwards. 0 is the clean image, 1 is pure noise.",
            at_times(lambda times: 1 - times, right),
        ),
        Mistake(
            "The exponent lacks its minus sign. ᾱ falls with time: take exp(-integral).",
            with_rates(lambda noise, signal: (noise / signal, 1 / signal), right),
        ),
        Mistake(
            "You undid np.log10 with np.exp. Use the natural logarithm, np.log.",
            ("-integral", "-integral / np.log(10)"),
        ),
        Mistake(
            "At time 0 you return pure noise. Either the index is -1 there, which is the last entry"
            " of the table, or your table begins with 0. No step comes before time 0, so ᾱ must be"
            " 1 there.",
            at_times(lambda times: np.where(times == 0, 1, times), right),
        ),
        Mistake(
            "At time 1 you return the clean image. The entry 1 of your table belongs to time 0: put"
            " it in front of the products, not behind them.",
            at_times(lambda times: np.where(times == 1, 0, times), right),
        ),
        *(
            Mistake(
                "Your exponent lacks parentheses. The factor -timesteps belongs to both terms of"
                " the integral, so put the sum of the two in parentheses.",
                ("np.exp(-integral)", f"np.exp({exponent})"),
            )
            for exponent in (
                "timesteps * (growth * diffusion_times**2 / 2 - beta_start * diffusion_times)",
                "growth * diffusion_times**2 / 2 - timesteps * beta_start * diffusion_times",
            )
        ),
        Mistake(
            "You rounded the time before you multiplied it. Multiply by timesteps first, and then"
            " use `astype(int)`.",
            at_times(np.floor, right),
        ),
        Mistake(
            "Your rates change linearly with time. Let *β* grow linearly instead.",
            lambda times, *_: (times, 1 - times),
        ),
        Mistake(
            "Your variances change linearly with time. Let *β* grow linearly instead.",
            lambda times, *_: rates_of(1 - times),
        ),
        Mistake(OWN_TIMES, at_times(evenly, right)),
        Mistake(
            "You sorted the times. Keep their order: each rate belongs to the time in the same"
            " position.",
            at_times(lambda times: np.sort(times, axis=0), right),
        ),
        Mistake(
            "Your rates are right for the usual values, but ignore the arguments. Write beta_start,"
            " beta_end and timesteps where you now have 1e-4, 0.02 and 1000.",
            lambda times, *_: LinearDiffusionSchedule.right(times),
        ),
        Mistake(
            "Your number of steps is always 1000. Write timesteps instead.",
            ("timesteps * (", "1000 * ("),
        ),
        Mistake(
            "Your β always grows from 1e-4 to 0.02. Write beta_start and beta_end instead.",
            ("growth = beta_end - beta_start", "beta_start, growth = 1e-4, 0.02 - 1e-4"),
        ),
        Mistake(
            "Your β starts at 0. Add the missing part of the integral, beta_start · t.",
            ("beta_start * diffusion_times + ", ""),
        ),
        Mistake(
            "Your β grows by all of beta_end. It starts at beta_start, so it grows by beta_end -"
            " beta_start.",
            ("growth = beta_end - beta_start", "growth = beta_end"),
        ),
    ]
