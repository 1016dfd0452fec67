"""Lab 07: `remix`, the step that DDIM and DDPM have in common."""

import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array

COMPONENTS = "pred_noises", "pred_images", "fresh_noises"
ETAS = 0.45, 1.0, 0.0
NEGATIVE = (
    "You took the square root of a negative number. A fraction is upside down, or the one in front"
    " of β is made of signal rates instead of noise rates, or the pairs are mixed up: each is"
    " (noise_rates, signal_rates), and `rates` belong to the current time, the noisier one."
)
OWN_NOISE = (
    "Two calls with the same arguments return different results: use the `fresh_noises` that you"
    " receive instead of drawing your own."
)
SIGNAL_RATE = (
    "You took ᾱ for the signal rate. It is the signal rate squared: compare √ᾱ in hint 1 with the"
    " equation of exercise 7.1."
)


class Remix(Exercise):
    name, takes = "remix", ", ".join((*COMPONENTS, "rates", "next_rates", "eta"))
    praise = "one network, one formula, and a whole family of samplers from DDIM to DDPM."
    shape_hint = "the rates have the shape (B, 1, 1, 1): multiply the images by them unchanged"
    results = {f"eta {eta:g}": f"the result for eta={eta:g}" for eta in ETAS}

    def draw(self, rng):
        next_angles = rng.uniform(0.6, 1.0, (5, 1, 1, 1))
        angles = next_angles + rng.uniform(0.15, 0.4, (5, 1, 1, 1))
        return {"angles": np.stack([next_angles, angles]).astype("float32")} | {
            name: rng.normal(size=(5, 4, 4, 3)).astype("float32") for name in COMPONENTS
        }

    def measure(self, answer, inputs):
        next_rates, rates = (
            (ops.convert_to_tensor(np.sin(angles)), ops.convert_to_tensor(np.cos(angles)))
            for angles in inputs["angles"]
        )
        components = [ops.convert_to_tensor(inputs[name]) for name in COMPONENTS]
        return {
            name: array(self.call(answer, *components, rates, next_rates, eta), "the result")
            for name, eta in [*((f"eta {eta:g}", eta) for eta in ETAS), ("again", ETAS[0])]
        }

    def examine(self, inputs, outputs):
        once, again = outputs[f"eta {ETAS[0]:g}"], outputs["again"]
        if once.shape == again.shape and not np.allclose(once, again, atol=1e-5, equal_nan=True):
            raise CheckFailed(OWN_NOISE)
        if np.isnan(once).any():
            self.examine_negative(once, inputs)
        super().examine(inputs, outputs)

    def examine_negative(self, result, inputs):
        """Raises CheckFailed for a result with NaN.

        A known mistake is recognised by the images that are not NaN, if there are any.
        """
        for hint, wrong in self.known_results(f"eta {ETAS[0]:g}", inputs):
            if np.isnan(result).all() or result.shape != wrong.shape:
                continue
            if np.allclose(result, wrong, self.tolerance, self.tolerance, equal_nan=True):
                raise CheckFailed(hint)
        raise CheckFailed(NEGATIVE)

    @staticmethod
    def right(pred_noises, pred_images, fresh_noises, rates, next_rates, eta):
        noise_rates, signal_rates = rates
        next_noise_rates, next_signal_rates = next_rates
        beta = 1 - (signal_rates / next_signal_rates) ** 2
        sigma = eta * next_noise_rates / noise_rates * ops.sqrt(beta)
        kept = ops.sqrt(next_noise_rates**2 - sigma**2)
        return next_signal_rates * pred_images + kept * pred_noises + sigma * fresh_noises

    mistakes = [
        Mistake(
            "You added fresh noise but kept all of the predicted noise, so there is too much in"
            " all. The variances of the two must add up to the next noise rate squared.",
            ("next_noise_rates**2 - sigma**2", "next_noise_rates**2"),
        ),
        Mistake(
            "You subtracted standard deviations. It is the variances of the predicted and the fresh"
            " noise that add up: subtract squares.",
            ("ops.sqrt(next_noise_rates**2 - sigma**2)", "(next_noise_rates - sigma)"),
        ),
        Mistake(
            "You multiplied the predicted noise by its variance. Take the square root.",
            ("ops.sqrt(next_noise_rates**2 - sigma**2)", "(next_noise_rates**2 - sigma**2)"),
        ),
        Mistake(
            "You swapped the fresh and the predicted noise. σ is the amount of the fresh noise.",
            (
                "kept * pred_noises + sigma * fresh_noises",
                "kept * fresh_noises + sigma * pred_noises",
            ),
        ),
        Mistake(
            "You swapped the predicted noise and the predicted image. The noise is the first"
            " argument, as in the result of `denoise`.",
            (
                "next_signal_rates * pred_images + kept * pred_noises",
                "next_signal_rates * pred_noises + kept * pred_images",
            ),
        ),
        Mistake(
            "The fresh noise is missing from the result. Add it, multiplied by σ.",
            (" + sigma * fresh_noises", ""),
        ),
        Mistake(
            "This is DDIM for every eta, because there is no fresh noise. Add it, multiplied by σ,"
            " and keep less of the predicted noise.",
            ("sigma = eta", "sigma = 0 * eta"),
        ),
        Mistake(
            "You multiplied only the fresh noise by eta. σ already contains eta where you compute"
            " how much predicted noise to keep: subtract the square of eta times DDPM's σ.",
            (
                "sigma = eta * next_noise_rates / noise_rates * ops.sqrt(beta)\n"
                "    kept = ops.sqrt(next_noise_rates**2 - sigma**2)",
                "sigma = next_noise_rates / noise_rates * ops.sqrt(beta)\n"
                "    kept = ops.sqrt(next_noise_rates**2 - sigma**2)\n"
                "    sigma = eta * sigma",
            ),
        ),
        Mistake(
            "Your β lacks its `1 -`. The squared ratio of the signal rates is α, the share of the"
            " variance that the forward step keeps, and β = 1 - α.",
            (
                "1 - (signal_rates / next_signal_rates) ** 2",
                "(signal_rates / next_signal_rates)**2",
            ),
        ),
        Mistake(
            "You ignored eta. Multiply the σ of DDPM by it.",
            ("sigma = eta * ", "sigma = "),
        ),
        Mistake(
            "You multiplied the variance of the fresh noise by eta. Multiply σ, its standard"
            " deviation, by it.",
            ("sigma = eta * ", "sigma = eta**0.5 * "),
        ),
        Mistake(
            "You used the variance of DDPM's fresh noise. σ is the standard deviation: take the"
            " square root of all of its factors.",
            (
                "eta * next_noise_rates / noise_rates * ops.sqrt(beta)",
                "eta * (next_noise_rates / noise_rates) ** 2 * beta",
            ),
        ),
        Mistake(
            "The factor in front of β is a ratio of noise variances, but in σ it is a ratio of"
            " rates. You did not take its square root.",
            ("next_noise_rates / noise_rates *", "(next_noise_rates / noise_rates) ** 2 *"),
        ),
        Mistake(
            "You did not take the square root of β. σ is a standard deviation.",
            ("ops.sqrt(beta)", "beta"),
        ),
        Mistake(
            "The fraction of the noise rates is upside down. 1 - ᾱ at the next time is in the"
            " numerator.",
            ("next_noise_rates / noise_rates", "noise_rates / next_noise_rates"),
        ),
        *(
            Mistake(
                "The fraction in front of β is made of the signal rates. Use the noise rates: 1 - ᾱ"
                " is the noise rate squared.",
                ("next_noise_rates / noise_rates *", f"{fraction} *"),
            )
            for fraction in (
                "next_signal_rates / signal_rates",
                "signal_rates / next_signal_rates",
            )
        ),
        Mistake(
            "You took β itself as the variance of the fresh noise. DDPM's variance is smaller:"
            " multiply β by the fraction in front of it.",
            ("eta * next_noise_rates / noise_rates", "eta"),
        ),
        Mistake(
            "Your β has the ratio of the signal rates, not of their squares. ᾱ is a signal rate"
            " squared.",
            ("(signal_rates / next_signal_rates) ** 2", "signal_rates / next_signal_rates"),
        ),
        Mistake(
            "Your β is made of the noise rates. One forward step multiplies the image, so β follows"
            " from the two signal rates.",
            (
                "(signal_rates / next_signal_rates) ** 2",
                "(next_noise_rates / noise_rates) ** 2",
            ),
        ),
        Mistake(
            "Your σ is eta times the next noise rate, so with eta=1 all of the noise is fresh. DDPM"
            " replaces only a part of it: β is not the whole noise variance but belongs to the"
            " single forward step from the next time to the current one.",
            ("1 - (signal_rates / next_signal_rates) ** 2", "noise_rates**2"),
        ),
        Mistake(
            "You took the difference of the noise variances as β. The forward step also makes the"
            " image and its noise smaller: find β from the two signal rates.",
            (
                "1 - (signal_rates / next_signal_rates) ** 2",
                "noise_rates**2 - next_noise_rates**2",
            ),
        ),
        Mistake(
            SIGNAL_RATE,
            (
                "eta * next_noise_rates / noise_rates *",
                "eta * ops.sqrt((1 - next_signal_rates) / (1 - signal_rates)) *",
            ),
        ),
        Mistake(
            SIGNAL_RATE,
            (
                "beta = 1 - (signal_rates / next_signal_rates) ** 2",
                (
                    "noise_rates, beta = ops.sqrt(1 - signal_rates), 1 - signal_rates /"
                    " next_signal_rates\n    next_noise_rates = ops.sqrt(1 - next_signal_rates)"
                ),
            ),
        ),
        Mistake(
            SIGNAL_RATE,
            (
                "eta * next_noise_rates / noise_rates * ops.sqrt(beta)",
                (
                    "eta * ops.sqrt((1 - next_signal_rates) / (1 - signal_rates)"
                    " * (1 - signal_rates / next_signal_rates))"
                ),
            ),
        ),
        Mistake(
            NEGATIVE,
            ("signal_rates / next_signal_rates", "next_signal_rates / signal_rates"),
        ),
        Mistake(
            NEGATIVE,
            lambda noises, images, fresh, rates, next_rates, eta: Remix.right(
                noises, images, fresh, rates[::-1], next_rates[::-1], eta
            ),
        ),
        Mistake(
            NEGATIVE,
            lambda noises, images, fresh, rates, next_rates, eta: Remix.right(
                noises, images, fresh, next_rates, rates, eta
            ),
        ),
        Mistake(
            "You multiplied the image by the current signal rate. Use the next one.",
            ("next_signal_rates * pred_images", "signal_rates * pred_images"),
        ),
        Mistake(
            "You kept as much predicted noise as belongs to the current time. The variances must"
            " add up to the next noise rate squared.",
            ("ops.sqrt(next_noise_rates**2", "ops.sqrt(noise_rates**2"),
        ),
        Mistake(
            "The variances of the predicted and the fresh noise must add up to the next noise rate"
            " squared, not to 1.",
            ("ops.sqrt(next_noise_rates**2", "ops.sqrt(1"),
        ),
        Mistake(
            "You subtracted σ² from the next noise rate. Subtract it from the rate squared.",
            ("ops.sqrt(next_noise_rates**2", "ops.sqrt(next_noise_rates"),
        ),
        Mistake(
            "You blended the predicted and the fresh noise linearly. They are independent, so their"
            " variances add up, not their factors: compute σ with DDPM's formula, and then how much"
            " you must keep.",
            (
                "kept * pred_noises + sigma * fresh_noises",
                "next_noise_rates * ((1 - eta) * pred_noises + eta * fresh_noises)",
            ),
        ),
        Mistake(
            "You multiplied the fresh noise by the next noise rate. Its amount is σ.",
            ("sigma * fresh_noises", "next_noise_rates * fresh_noises"),
        ),
        Mistake(
            "The image is missing. Add it, with the next signal rate.",
            ("next_signal_rates * pred_images + ", ""),
        ),
    ]
