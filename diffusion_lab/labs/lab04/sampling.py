"""Lab 04: `step_back`, one step of the way from noise to an image."""

import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.lab04.optimization import small_network
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.rehearsal import noise_like


class StepBack(Exercise):
    name, takes = "step_back", "noisy_images, pred_noises, rates, next_rates"
    praise = (
        "separate image and noise, clip the image, mix again with a little less noise: do that"
        " twenty times."
    )
    shape_hint = "the rates already have the shape (B, 1, 1, 1): multiply by them directly"

    def draw(self, rng):
        angles = rng.uniform(0.8, 1.4, (5, 1, 1, 1))
        both = {"rates": angles, "next_rates": angles * rng.uniform(0.5, 0.8, angles.shape)}
        return {
            name: rng.normal(size=(5, 4, 4, 3)).astype("float32")
            for name in ("noisy_images", "pred_noises")
        } | {
            name: np.stack([np.sin(angle), np.cos(angle)]).astype("float32")
            for name, angle in both.items()
        }

    def measure(self, answer, inputs):
        noisy_images, pred_noises, *rates = (
            ops.convert_to_tensor(inputs[name])
            for name in ("noisy_images", "pred_noises", "rates", "next_rates")
        )
        arguments = noisy_images, pred_noises, *((pair[0], pair[1]) for pair in rates)
        return {
            name: array(self.call(answer, *arguments), "the noisy image")
            for name in ("result", "again")
        }

    def rehearse(self, answer, inputs):
        network = small_network()
        noisy_images = noise_like(2, 6, 6, 3)  # the lab also starts with a NumPy array
        rates = [
            tuple(ops.full((2, 1, 1, 1), rate) for rate in pair)
            for pair in ((0.8, 0.6), (0.6, 0.8), (0.0, 1.0))
        ]
        for now, then in zip(rates, rates[1:]):
            noisy_images = answer(noisy_images, network(noisy_images, training=False), now, then)
        ops.clip(noisy_images * 0.5, 0, 1)

    def examine(self, inputs, outputs):
        if set(np.unique(outputs["result"])) <= {0.0, 1.0, 2.0}:
            raise CheckFailed(
                "You returned class numbers, like those that `categorical` samples. "
                "Compute the image from the predicted noise instead."
            )
        if not np.array_equal(outputs["result"], outputs["again"]):
            raise CheckFailed(
                "Two calls with the same arguments gave different results. Mix in "
                "the predicted noise instead of fresh noise."
            )
        super().examine(inputs, outputs)

    results = {"result": "the next noisy image"}

    @staticmethod
    def right(noisy_images, pred_noises, rates, next_rates):
        noise_rates, signal_rates = rates
        next_noise_rates, next_signal_rates = next_rates
        pred_images = ops.clip((noisy_images - noise_rates * pred_noises) / signal_rates, -3, 3)
        return next_signal_rates * pred_images + next_noise_rates * pred_noises

    mistakes = [
        Mistake(
            "You left the predicted image unclipped, and a small signal rate turns small "
            "errors into huge ones. Clip it between -3 and 3.",
            ("-3, 3", "-np.inf, np.inf"),
        ),
        Mistake(
            "You returned the predicted image, so all the noise is gone at once. Mix it with "
            "the noise again, at the next rates.",
            ("next_signal_rates * pred_images + next_noise_rates * pred_noises", "pred_images"),
        ),
        Mistake(
            "You returned the unclipped predicted image. Clip it, then mix it with the noise "
            "at the next rates.",
            lambda x, e, now, then: (x - now[0] * e) / now[1],
        ),
        Mistake(
            "You mixed at the current rates, so the noise level stayed the same. Use the next "
            "rates.",
            ("= next_rates", "= rates"),
        ),
        Mistake(
            "The next rates are swapped. `next_rates` holds the noise rate first, then the "
            "signal rate.",
            ("= next_rates", "= next_rates[::-1]"),
        ),
        Mistake(
            "Both pairs of rates are swapped. Each holds the noise rate first, then the "
            "signal rate.",
            lambda x, e, now, then: StepBack.right(x, e, now[::-1], then[::-1]),
        ),
        Mistake(
            "Your predicted image is too pale. Divide it by the signal rate after you "
            "subtract the noise.",
            (" / signal_rates", ""),
        ),
        Mistake(
            "You multiplied by the signal rate. Divide by it: mixing multiplied the image by it.",
            ("/ signal_rates", "* signal_rates"),
        ),
        Mistake(
            "You subtracted the noise at full size. Multiply it by the noise rate first, as "
            "mixing did.",
            ("- noise_rates * pred_noises", "- pred_noises"),
        ),
        Mistake(
            "The noise did not come back. Add the predicted noise, multiplied by the next "
            "noise rate.",
            (" + next_noise_rates * pred_noises", ""),
        ),
        Mistake(
            "You mixed in the noisy image. Mix in the predicted noise instead.",
            ("next_noise_rates * pred_noises", "next_noise_rates * noisy_images"),
        ),
        Mistake(
            "You clipped the result. Clip the predicted image instead, before you mix it.",
            lambda x, e, now, then: ops.clip(
                then[1] * (x - now[0] * e) / now[1] + then[0] * e, -3, 3
            ),
        ),
        Mistake(
            "You clipped at ±1, but these images have unit variance and go beyond that. Clip "
            "at ±3.",
            ("-3, 3", "-1, 1"),
        ),
        Mistake(
            "You squared the rates. They are standard deviations already: multiply by them"
            " directly.",
            lambda x, e, now, then: StepBack.right(x, e, [r**2 for r in now], [r**2 for r in then]),
        ),
    ]
