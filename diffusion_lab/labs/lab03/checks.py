"""Lab 03: three schedules, pure functions of time that return `noise_rates, signal_rates`."""

import math

import numpy as np
from keras import ops

from diffusion_lab.backend import parts
from diffusion_lab.labs.blame import signature_mistake
from diffusion_lab.labs.evidence import names_in
from diffusion_lab.labs.exercise import Exercise, numbered
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array, arrays
from diffusion_lab.labs.rates import RATES, compare_rates

SQUARED = (
    "You returned the variances. The rates are the sine and the cosine themselves: do not square"
    " them."
)
DEGREES = "Your angles are in degrees, but sine and cosine take radians. A right angle is π / 2."
NOT_ONE_MINUS = (
    "Your noise rate is 1 - signal rate. The squares of the two add to 1, so take the sine of the"
    " same angle."
)
STRAIGHT_SIGNAL = "Your signal rate falls linearly with time. Let the angle grow linearly instead."
ROUNDED = "You rounded the times to whole numbers. Use them unchanged."
OWN_TIMES = "You made up your own times. Use the `diffusion_times` you receive, in their order."


class ScheduleExercise(Exercise):
    """The part that the three exercises share.

    Attributes:
        parameters: the names of the arguments after the times. If there are any, the answer is
            called a second time, with other values for them.
    """

    parameters = ()

    def draw(self, rng):
        # in random order, including both ends
        times = rng.permutation([0, 1, *rng.uniform(0.05, 0.95, 8)])
        return {"times": column(times)}

    def measure(self, answer, inputs):
        outputs = arrays(self.call(answer, inputs["times"]), *RATES)
        outputs["flattens"] = array("cumprod" in names_in(answer), "flattens")
        if self.parameters:
            others = {name: inputs[name].item() for name in self.parameters}
            if signature_mistake(answer, self.takes, (inputs["other_times"],), others):
                # the answer calls its arguments something else
                result = self.call(answer, inputs["other_times"], *others.values())
            else:
                result = self.call(answer, inputs["other_times"], **others)
            outputs |= {f"other_{name}": part for name, part in arrays(result, *RATES).items()}
        return outputs

    def rehearse(self, answer, inputs):
        for count in (1, 201):  # one clean image, and a curve
            times = column(np.linspace(0, 1, count))
            for rates in parts(answer(times)):
                if ops.convert_to_numpy(rates).shape != times.shape:
                    raise CheckFailed(
                        f"The rates are right for {inputs['times'].size} times, but for {count}"
                        f" they have the shape {np.shape(rates)}. Return rates of the same shape as"
                        f" the times, {times.shape}."
                    )

    def examine(self, inputs, outputs):
        self.examine_rates("", inputs, outputs)
        if self.parameters:
            values = ", ".join(f"{name}={inputs[name].item():.3g}" for name in self.parameters)
            self.examine_rates("other_", inputs, outputs, f" with {values}")

    def examine_rates(self, prefix, inputs, outputs, setting=""):
        """Raises CheckFailed unless both rates of one call are right.

        `prefix` is the beginning of the names of its arrays.
        """
        noise_rates, signal_rates = names = [prefix + name for name in RATES]
        right = self.measured(self.right, inputs)
        both = zip(
            self.known_results(noise_rates, inputs), self.known_results(signal_rates, inputs)
        )
        known = ((hint, (noise, signal)) for (hint, noise), (_, signal) in both)
        compare_rates(
            inputs[f"{prefix}times"],
            [outputs[name] for name in names],
            [right[name] for name in names],
            known,
            self.tolerance,
            setting,
            "`np.cumprod` flattens its input." if outputs["flattens"] else "",
        )


def at_times(change, right):
    """Returns the right answer at `change(times)` instead of the times."""
    return lambda times, *parameters: right(change(times), *parameters)


def with_rates(change, right):
    """Returns the right answer with `change(noise_rates, signal_rates)` in place of its rates."""
    return lambda times, *parameters: change(*right(times, *parameters))


def evenly(times):
    """Returns as many evenly spaced times as there are `times`."""
    return np.linspace(0, 1, times.size).reshape(times.shape)


def over_the_batch(times, beta_start=1e-4, beta_end=0.02, timesteps=1000):
    """Returns ᾱ as the running product over the times of the batch."""
    return np.cumprod(1 - beta_start - (beta_end - beta_start) * times, axis=0)


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
            ("-integral", "-integral / math.log(10)"),
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


def rates_of(kept):
    """Returns (noise_rates, signal_rates) if the share `kept` of the image's variance is left."""
    return np.sqrt(1 - kept), np.sqrt(kept)


def column(times):
    """Reshapes times to (B, 1, 1, 1), float32."""
    return np.asarray(times, "float32").reshape(-1, 1, 1, 1)


linear_diffusion_schedule, cosine_diffusion_schedule, offset_cosine_diffusion_schedule = numbered(
    3, LinearDiffusionSchedule, CosineDiffusionSchedule, OffsetCosineDiffusionSchedule
)
