"""Lab 07, the assignment: `diffusion_schedule`, and the numbers of all its exercises."""

import math

import numpy as np
from keras import ops

from diffusion_lab.backend import parts
from diffusion_lab.labs.diffusion_models import MyDiffusionModel, refuse_float64, train_and_sample
from diffusion_lab.labs.exercise import Method, numbered
from diffusion_lab.labs.failures import CheckFailed, Undiagnosed
from diffusion_lab.labs.lab07.denoising import Denoise
from diffusion_lab.labs.lab07.remixing import Remix
from diffusion_lab.labs.lab07.sampling import ReverseDiffusion
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import arrays
from diffusion_lab.labs.rates import compare_rates

OUTSIDE = (
    "The rates are right between 0 and 1, but for times outside [0, 1] they are not those of the"
    " nearest end. Clip the times first."
)


class DiffusionSchedule(Method):
    name, takes = "diffusion_schedule", "self, diffusion_times"
    praise = "the rates run along a quarter circle, so their squares always add to 1."

    def draw(self, rng):
        times = np.concatenate([[0, 1], rng.uniform(size=6)]).reshape(-1, 1, 1, 1)
        return {
            "times": times.astype("float32"),
            "outside": np.float32(4 * [-1, 1] * rng.uniform(0.1, 0.5, 8) + 4 * [0, 1]),
            "min_signal_rate": rng.uniform(0.03, 0.06),
            "max_signal_rate": rng.uniform(0.85, 0.92),
        }

    def measure(self, answer, inputs):
        model = MyDiffusionModel()
        model.min_signal_rate, model.max_signal_rate = (
            float(inputs[f"{name}_signal_rate"]) for name in ("min", "max")
        )
        times = ops.convert_to_tensor(inputs["times"])
        outputs = arrays(self.call(answer, model, times), *self.results)
        outside = ops.reshape(inputs["outside"], (-1, 1, 1, 1))
        try:
            rates = arrays(self.call(answer, model, outside), *self.results).values()
            return outputs | {"outside": np.stack([rate.reshape(-1) for rate in rates])}
        except (CheckFailed, ValueError):  # it may refuse these times
            return outputs | {"outside": np.full((2, 8), np.nan)}

    def rehearse(self, answer, inputs):
        class Model(MyDiffusionModel):
            def diffusion_schedule(self, diffusion_times):
                rates = parts(answer(self, diffusion_times))
                refuse_float64(*rates)
                return rates

        return train_and_sample(Model())

    def examine(self, inputs, outputs):
        right = self.measured(self.right, inputs)
        pairs = zip(*(self.known_results(output, inputs) for output in self.results))
        mistakes = ((hint, np.stack([noise, signal])) for (hint, noise), (_, signal) in pairs)
        found, expected = (
            [numbers[output] for output in self.results] for numbers in (outputs, right)
        )
        compare_rates(inputs["times"], found, np.stack(expected), mistakes)
        if outputs["outside"].shape != right["outside"].shape or not np.allclose(
            outputs["outside"], right["outside"], atol=1e-4
        ):
            raise Undiagnosed(OUTSIDE)

    results = {"noise_rates": "the noise rate", "signal_rates": "the signal rate"}

    @staticmethod
    def right(model, diffusion_times):
        start_angle = math.acos(model.max_signal_rate)
        end_angle = math.acos(model.min_signal_rate)
        times = ops.clip(diffusion_times, 0.0, 1.0)
        angles = start_angle + times * (end_angle - start_angle)
        return ops.sin(angles), ops.cos(angles)

    mistakes = [
        Mistake(
            "The two results are in the wrong order (or you wrote arcsin instead of arccos, which"
            " swaps them). Return noise_rates first, then signal_rates.",
            ("ops.sin(angles), ops.cos(angles)", "ops.cos(angles), ops.sin(angles)"),
        ),
        Mistake(
            "You returned the variances. The rates are the sine and the cosine themselves: drop the"
            " squares.",
            ("ops.sin(angles), ops.cos(angles)", "ops.sin(angles) ** 2, ops.cos(angles) ** 2"),
        ),
        Mistake(
            "Your time runs the wrong way. Make the signal rate max_signal_rate at time 0 and"
            " min_signal_rate at time 1.",
            ("+ times", "+ (1 - times)"),
        ),
        Mistake(
            "You computed 1 / cos. The arccos is the inverse function of the cosine: use"
            " `math.acos`.",
            (
                "angles = start",
                (
                    "start_angle, end_angle = 1 / math.cos(model.max_signal_rate), "
                    "1 / math.cos(model.min_signal_rate)\n    angles = start"
                ),
            ),
        ),
        Mistake(
            "You rounded the times to whole numbers. Use them unchanged.",
            ("+ times", "+ ops.floor(times)"),
        ),
        Mistake(
            "This is the cosine schedule without the offset. Let the angle run from"
            " arccos(max_signal_rate) to arccos(min_signal_rate), not from 0 to π/2.",
            (
                "start_angle + times * (end_angle - start_angle)",
                "times * math.pi / 2",
            ),
        ),
        Mistake(
            "Your angle starts at 0. Start at arccos(max_signal_rate).",
            (
                "start_angle + times * (end_angle - start_angle)",
                "times * end_angle",
            ),
        ),
        Mistake(
            "Your last angle is too large. Multiply the times by the difference between the two"
            " angles.",
            ("(end_angle - start_angle)", "end_angle"),
        ),
        Mistake(
            "Your signal rate falls linearly. Let the angle grow linearly, and take its cosine.",
            (
                "return ops.sin(angles), ops.cos(angles)",
                (
                    "rates = model.max_signal_rate + times * (model.min_signal_rate -"
                    " model.max_signal_rate)\n    return ops.sqrt(1 - rates**2), rates"
                ),
            ),
        ),
        Mistake(
            "You interpolated both rates linearly, so their squares do not add up to 1. Let the"
            " angle grow linearly, and take its sine and its cosine.",
            (
                "return ops.sin(angles), ops.cos(angles)",
                (
                    "mix = lambda rate: rate(start_angle) + times * (rate(end_angle) -"
                    " rate(start_angle))\n    return mix(math.sin), mix(math.cos)"
                ),
            ),
        ),
        Mistake(
            "You used the times as angles. Let the angle grow from arccos(max_signal_rate) at time"
            " 0 to arccos(min_signal_rate) at time 1.",
            ("start_angle + times * (end_angle - start_angle)", "times"),
        ),
        Mistake(
            "Your angles are in degrees. Sine and cosine take radians, which `math.acos` returns:"
            " drop the conversion.",
            (
                "start_angle + times * (end_angle - start_angle)",
                "(start_angle + times * (end_angle - start_angle)) * 180 / math.pi",
            ),
        ),
        Mistake(
            "Your noise rate is 1 - signal rate. It is the squares of the rates that add up to 1:"
            " take the sine of the same angle.",
            ("ops.sin(angles),", "1 - ops.cos(angles),"),
        ),
        Mistake(
            "You used 0.02 and 0.95, or the notebook's variables. Read self.min_signal_rate and "
            "self.max_signal_rate, so that the schedule can be changed.",
            (
                "angles = start",
                "start_angle, end_angle = math.acos(0.95), math.acos(0.02)\n    angles = start",
            ),
        ),
        Mistake(
            "You used 0.02, or the notebook's variable. Read self.min_signal_rate, so that the"
            " schedule can be changed.",
            ("model.min_signal_rate", "0.02"),
        ),
        Mistake(
            "You used 0.95, or the notebook's variable. Read self.max_signal_rate, so that the"
            " schedule can be changed.",
            ("model.max_signal_rate", "0.95"),
        ),
        Mistake(OUTSIDE, ("ops.clip(diffusion_times, 0.0, 1.0)", "diffusion_times")),
    ]


diffusion_schedule, denoise, reverse_diffusion, remix = numbered(
    7, DiffusionSchedule, Denoise, ReverseDiffusion, Remix
)
