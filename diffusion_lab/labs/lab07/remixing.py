"""Lab 07: `remix`, the step that DDIM and DDPM have in common."""

import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import Exercise, array
from diffusion_lab.labs.mistakes import Mistake


class Remix(Exercise):
    name = "remix"
    takes = "pred_images, pred_noises, fresh_noises, rates, next_rates, eta"
    praise = "one network, one formula, and a whole family of samplers from DDIM to DDPM."
    shape_hint = "the rates have the shape (B, 1, 1, 1): multiply the images by them unchanged"
    results = {"eta 0.6": "the result for eta=0.6", "eta 0": "the result for eta=0"}

    def draw(self, rng):
        angles = np.sort(rng.uniform(0.3, 1.4, (2, 5, 1, 1, 1)), axis=0).astype("float32")
        return {"angles": angles + np.float32([0, 0.1]).reshape(2, 1, 1, 1, 1)} | {
            name: rng.normal(size=(5, 4, 4, 3)).astype("float32")
            for name in ("pred_images", "pred_noises", "fresh_noises")
        }

    def measure(self, answer, inputs):
        next_rates, rates = (
            (ops.convert_to_tensor(np.sin(angles)), ops.convert_to_tensor(np.cos(angles)))
            for angles in inputs["angles"]
        )
        tensors = [
            ops.convert_to_tensor(inputs[name])
            for name in ("pred_images", "pred_noises", "fresh_noises")
        ]
        return {
            f"eta {eta:g}": array(self.call(answer, *tensors, rates, next_rates, eta), "the result")
            for eta in (0.6, 0.0)
        }

    @staticmethod
    def right(pred_images, pred_noises, fresh_noises, rates, next_rates, eta):
        noise_rates, signal_rates = rates
        next_noise_rates, next_signal_rates = next_rates
        renewed = ops.sqrt(1 - (signal_rates / next_signal_rates) ** 2)
        sigma = eta * next_noise_rates / noise_rates * renewed
        kept = ops.sqrt(next_noise_rates**2 - sigma**2)
        return next_signal_rates * pred_images + kept * pred_noises + sigma * fresh_noises

    mistakes = [
        Mistake(
            "You added fresh noise without taking away predicted noise, so there is too much in"
            " all. Keep √(n'² - σ²) of the predicted noise.",
            ("next_noise_rates**2 - sigma**2", "next_noise_rates**2"),
        ),
        Mistake(
            "You subtracted σ from the noise rate. Variances add, not standard deviations: keep"
            " √(n'² - σ²).",
            ("ops.sqrt(next_noise_rates**2 - sigma**2)", "next_noise_rates - sigma"),
        ),
        Mistake(
            "The square root is missing where you keep the predicted noise. n'² - σ² is a"
            " variance.",
            ("ops.sqrt(next_noise_rates**2 - sigma**2)", "(next_noise_rates**2 - sigma**2)"),
        ),
        Mistake(
            "You swapped the fresh and the predicted noise. σ belongs to the fresh noise.",
            (
                "kept * pred_noises + sigma * fresh_noises",
                "kept * fresh_noises + sigma * pred_noises",
            ),
        ),
        Mistake(
            "The fresh noise is missing. Add σ times fresh_noises.", (" + sigma * fresh_noises", "")
        ),
        Mistake(
            "You ignored eta. Multiply σ by it, so that 0 gives DDIM and 1 gives DDPM.",
            ("sigma = eta * ", "sigma = "),
        ),
        Mistake(
            "You multiplied the variance by eta. Multiply σ, the standard deviation, by it.",
            ("sigma = eta * ", "sigma = eta**0.5 * "),
        ),
        Mistake(
            "The fraction of the noise rates is upside down. σ is η · n' / n · √(1 - s² / s'²).",
            ("next_noise_rates / noise_rates", "noise_rates / next_noise_rates"),
        ),
        Mistake(
            "The factor n' / n is missing in σ, which is η · n' / n · √(1 - s² / s'²).",
            ("eta * next_noise_rates / noise_rates", "eta"),
        ),
        Mistake(
            "The square root is missing in σ, which is η · n' / n · √(1 - s² / s'²).",
            (
                "ops.sqrt(1 - (signal_rates / next_signal_rates) ** 2)",
                "(1 - (signal_rates / next_signal_rates) ** 2)",
            ),
        ),
        Mistake(
            "You did not square the fraction of the signal rates. σ is η · n' / n ·"
            " √(1 - s² / s'²).",
            ("(signal_rates / next_signal_rates) ** 2", "signal_rates / next_signal_rates"),
        ),
        Mistake(
            "Your σ contains the fraction of the noise rates twice. Under the square root are the"
            " *signal* rates: √(1 - s² / s'²).",
            (
                "(signal_rates / next_signal_rates) ** 2",
                "(next_noise_rates / noise_rates) ** 2",
            ),
        ),
        Mistake(
            "You took the rates in the wrong order. Each pair is (noise_rates, signal_rates).",
            lambda images, noises, fresh, rates, next_rates, eta: Remix.right(
                images, noises, fresh, rates[::-1], next_rates[::-1], eta
            ),
        ),
        Mistake(
            "You swapped `rates` and `next_rates`. The result has the *next* rates, with less"
            " noise.",
            lambda images, noises, fresh, rates, next_rates, eta: Remix.right(
                images, noises, fresh, next_rates, rates, eta
            ),
        ),
        Mistake(
            "You multiplied the image by the current signal rate. Use the next one.",
            ("next_signal_rates * pred_images", "signal_rates * pred_images"),
        ),
        Mistake(
            "You kept as much predicted noise as there is now. Keep √(n'² - σ²), with the next"
            " noise rate.",
            ("ops.sqrt(next_noise_rates**2", "ops.sqrt(noise_rates**2"),
        ),
        Mistake(
            "Your fresh noise has the next noise rate as its factor. Its factor is σ.",
            ("sigma * fresh_noises", "next_noise_rates * fresh_noises"),
        ),
        Mistake(
            "The image is missing. Add next_signal_rates · pred_images.",
            ("next_signal_rates * pred_images + ", ""),
        ),
    ]
