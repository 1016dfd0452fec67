"""Lab 06: the score of noisy data, from a network that predicts the noise."""

import numpy as np
from keras import ops

from diffusion_lab.ideal_denoisers import mixture_denoiser
from diffusion_lab.labs.blame import what_went_wrong
from diffusion_lab.labs.evidence import origin, values_on_the_line
from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array


class ScoreFromNoise(Exercise):
    name, takes = "score_from_noise", "denoise, noisy_images, noise_rates, signal_rates"
    praise = "every network that predicts noise knows which way the density rises."
    shape_hint = "the rates have the shape (B, 1, 1, 1): use them unchanged"
    results = {"score": "the score"}

    def draw(self, rng):
        angles = rng.uniform(0.3, 1.2, (6, 1, 1, 1)).astype("float32")
        return {
            "means": rng.normal(size=(3, 1, 1, 2)).astype("float32"),
            "noisy_images": rng.normal(size=(6, 1, 1, 2)).astype("float32"),
            "noise_rates": np.sin(angles),
            "signal_rates": np.cos(angles),
        }

    def measure(self, answer, inputs):
        names = ("noisy_images", "noise_rates", "signal_rates")
        tensors = [ops.convert_to_tensor(inputs[name]) for name in names]
        denoise = mixture_denoiser(inputs["means"], standard_deviation=0.4)
        return {"score": array(self.call(answer, denoise, *tensors), "the score")}

    def explain(self, error, answer):
        """Explains an exception; often the two results of `denoise` were not unpacked."""
        values = values_on_the_line(error, answer).values()
        if isinstance(origin(error), TypeError) and any(isinstance(one, tuple) for one in values):
            return (
                f"{what_went_wrong(error, answer)} (`denoise` returns two arrays, pred_noises and"
                " pred_images: unpack them, or take the first with [0])."
            )
        return super().explain(error, answer)

    @staticmethod
    def right(denoise, noisy_images, noise_rates, signal_rates):
        pred_noises, pred_images = denoise(noisy_images, noise_rates, signal_rates)
        return -pred_noises / noise_rates

    mistakes = [
        Mistake(
            "The sign is wrong: this points away from the data. Noise leads away from the data, so"
            " the score points against it.",
            ("-pred_noises", "pred_noises"),
        ),
        Mistake(
            "You divided by the square of the noise rate. The noise is in units of the noise rate"
            " already, so divide by the rate once.",
            ("/ noise_rates", "/ noise_rates**2"),
        ),
        Mistake(
            "You did not divide by the noise rate. The less noise there is, the steeper the"
            " density: divide by noise_rates.",
            ("-pred_noises / noise_rates", "-pred_noises"),
        ),
        Mistake(
            "You multiplied by the noise rate. Divide by it.",
            ("/ noise_rates", "* noise_rates"),
        ),
        Mistake(
            "You divided by the signal rate. Divide by the noise rate.",
            ("/ noise_rates", "/ signal_rates"),
        ),
        Mistake(
            "You divided by the square root of the noise rate. It is a standard deviation already:"
            " divide by it unchanged.",
            ("/ noise_rates", "/ ops.sqrt(noise_rates)"),
        ),
        Mistake(
            "You divided by twice the noise rate. The 2 of the Gaussian's exponent disappears in"
            " the derivative of the square.",
            ("/ noise_rates", "/ (2 * noise_rates)"),
        ),
        Mistake(
            "You took the images for the noise. `denoise` returns (pred_noises, pred_images).",
            ("pred_noises, pred_images = denoise", "pred_images, pred_noises = denoise"),
        ),
        Mistake(
            "You swapped the rates. Call denoise(noisy_images, noise_rates, signal_rates).",
            (
                "denoise(noisy_images, noise_rates, signal_rates)",
                "denoise(noisy_images, signal_rates, noise_rates)",
            ),
        ),
        Mistake(
            "You passed the square of the noise rate to `denoise`. It takes the rates themselves.",
            (
                "denoise(noisy_images, noise_rates, signal_rates)",
                "denoise(noisy_images, noise_rates**2, signal_rates)",
            ),
        ),
        Mistake(
            "This is the direction from the noisy image to the predicted one, without the signal"
            " rate. Use the predicted noise: -pred_noises / noise_rates.",
            ("-pred_noises / noise_rates", "(pred_images - noisy_images) / noise_rates**2"),
        ),
        Mistake(
            "This is the step from the noisy image to the predicted one, not the gradient. Use the"
            " predicted noise, divided by the noise rate.",
            ("-pred_noises / noise_rates", "pred_images - noisy_images"),
        ),
        Mistake(
            "This is the score of pure noise, -x / noise_rate². It does not know the data: use"
            " what `denoise` returns.",
            ("-pred_noises / noise_rates", "-noisy_images / noise_rates**2"),
        ),
    ]
