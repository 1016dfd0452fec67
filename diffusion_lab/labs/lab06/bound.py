"""Lab 06: one term of the bound on the likelihood, from which the loss comes."""

import numpy as np
from keras import ops

from diffusion_lab.gaussian_diffusion import at
from diffusion_lab.labs.exercise import Method
from diffusion_lab.labs.lab06.small_models import MyDiffusion, WithTimesteps
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array


class KLTerm(WithTimesteps, Method):
    name, takes = "kl_term", "self, x_start, x_t, t, pred_noise"
    praise = "with equal variances, the divergence is a squared distance between the means."
    shape_hint = (
        "q_posterior returns a mean, a variance of shape (B, 1, 1, 1) and its logarithm; divide"
        " before you sum over the axes (1, 2, 3)"
    )
    results = {"kl": "the KL divergence"}

    def draw(self, rng):
        shape = (5, 4, 4, 3)
        return {
            "x_start": rng.uniform(-1, 1, shape).astype("float32"),
            "x_t": rng.normal(size=shape).astype("float32"),
            "t": np.array([7, 1, 3, 2, 5]),  # not 0, where the variance is 0
            "pred_noise": rng.normal(size=shape).astype("float32"),
            "betas": np.sort(rng.uniform(0.05, 0.4, 8)).astype("float32"),
        }

    def measure(self, answer, inputs):
        names = ("x_start", "x_t", "t", "pred_noise")
        tensors = [ops.convert_to_tensor(inputs[name]) for name in names]
        kl = self.call(answer, MyDiffusion(inputs["betas"]), *tensors)
        return {"kl": array(kl, "the KL divergence")}

    @staticmethod
    def right(model, x_start, x_t, t, pred_noise):
        mean, variance, log_variance = model.q_posterior(x_start, x_t, t)
        pred_image = model.predict_start_from_noise(x_t, t, pred_noise)
        pred_mean, _, _ = model.q_posterior(pred_image, x_t, t)
        return ops.sum(ops.square(mean - pred_mean) / (2 * variance), axis=(1, 2, 3))

    mistakes = [
        Mistake(
            "You took the mean over the pixels. The divergence of independent pixels is the sum of"
            " their divergences: use ops.sum.",
            ("ops.sum", "ops.mean"),
        ),
        Mistake(
            "You summed over the whole batch. Return one number per image: sum over the axes"
            " (1, 2, 3).",
            (", axis=(1, 2, 3)", ""),
        ),
        Mistake(
            "You did not sum over the pixels. Return one number per image, of shape (B,): sum"
            " over the axes (1, 2, 3).",
            (
                "ops.sum(ops.square(mean - pred_mean) / (2 * variance), axis=(1, 2, 3))",
                "ops.square(mean - pred_mean) / (2 * variance)",
            ),
        ),
        Mistake(
            "You divided after the sum, so each sum, (B,), met each variance, (B, 1, 1, 1). Divide"
            " by the variance first, and then sum.",
            (
                "ops.square(mean - pred_mean) / (2 * variance), axis=(1, 2, 3))",
                "ops.square(mean - pred_mean), axis=(1, 2, 3)) / (2 * variance)",
            ),
        ),
        Mistake(
            "Your result has the shape (B, 1, 1, 1). Return the shape (B,): leave out"
            " keepdims=True.",
            ("axis=(1, 2, 3)", "axis=(1, 2, 3), keepdims=True"),
        ),
        Mistake(
            "You did not divide by the variance. Where the step is narrow, the same distance"
            " between the means counts more.",
            ("(2 * variance)", "2"),
        ),
        Mistake(
            "You did not divide by the variance. Divide by twice the variance, which q_posterior"
            " returns second.",
            (" / (2 * variance)", ""),
        ),
        Mistake(
            "Parentheses are missing around 2 * variance. Python divides by 2, and then multiplies"
            " by the variance.",
            ("/ (2 * variance)", "/ 2 * variance"),
        ),
        Mistake("The 2 is missing: divide by twice the variance.", ("(2 * variance)", "variance")),
        Mistake(
            "You divided by the standard deviation. Divide by the variance, which q_posterior"
            " returns second.",
            ("2 * variance", "2 * ops.sqrt(variance)"),
        ),
        Mistake(
            "You divided by the square of the variance. q_posterior already returns the variance,"
            " so do not square it.",
            ("2 * variance", "2 * variance**2"),
        ),
        Mistake(
            "You divided by the logarithm of the variance, which q_posterior returns third. Take"
            " the second.",
            ("2 * variance", "2 * log_variance"),
        ),
        Mistake(
            "You used β_t, the variance of the forward step. Use that of the posterior, which"
            " q_posterior returns second.",
            ("2 * variance", "2 * at(model.betas, t, x_t)"),
        ),
        Mistake(
            "You took the absolute distance between the means. Square it.",
            ("ops.square", "ops.abs"),
        ),
        Mistake(
            "You did not square the distance between the means. Square it before you sum.",
            ("ops.square(mean - pred_mean)", "(mean - pred_mean)"),
        ),
        Mistake(
            "You compared the images. Compare the means of the two Gaussians: pass the predicted"
            " image to q_posterior, too.",
            ("pred_mean)", "pred_image + x_start - mean)"),
        ),
        Mistake(
            "You passed the predicted noise to q_posterior, which takes an image. Turn it into one"
            " first, with predict_start_from_noise.",
            ("q_posterior(pred_image", "q_posterior(pred_noise"),
        ),
        Mistake(
            "You clipped the predicted image, as p_sample does. Leave it unclipped: only then is"
            " the divergence a weighted squared error of the noise.",
            ("q_posterior(pred_image", "q_posterior(ops.clip(pred_image, -1, 1)"),
        ),
        Mistake(
            "You swapped the clean and the noisy images in q_posterior. Its arguments are x_start,"
            " x_t, t.",
            ("q_posterior(x_start, x_t, t)", "q_posterior(x_t, x_start, t)"),
        ),
        Mistake(
            "You compared the predicted mean with the clean image. Compare it with the mean of"
            " q_posterior(x_start, x_t, t).",
            ("mean - pred_mean", "x_start - pred_mean"),
        ),
        Mistake(
            "This is the squared error of the noise, without its weight: that is the next section."
            " Here, compute the means with q_posterior.",
            lambda *arguments: squared_error_of_noise(*arguments),
        ),
        Mistake("The sign is wrong: a KL divergence is never negative.", ("ops.sum(", "-ops.sum(")),
    ]


def squared_error_of_noise(model, x_start, x_t, t, pred_noise):
    """Returns the squared distance of the predicted noise to that in `x_t`, (B,)."""
    kept = at(model.alphas_cumprod, t, x_t)
    noise = (x_t - ops.sqrt(kept) * x_start) / ops.sqrt(1 - kept)
    return ops.sum(ops.square(noise - pred_noise), axis=(1, 2, 3))
