"""Lab 06: a step of ancestral sampling. The other exercises are in modules of their own."""

import numpy as np
from keras import ops

from diffusion_lab.gaussian_diffusion import at
from diffusion_lab.labs.exercise import Method, numbered
from diffusion_lab.labs.lab06.bound import KLTerm
from diffusion_lab.labs.lab06.score import ScoreFromNoise
from diffusion_lab.labs.lab06.small_models import MyDiffusion, WithTimesteps, line_network
from diffusion_lab.labs.lab06.training_step import TrainStep
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.repeats import refuse_randomness


class PSample(WithTimesteps, Method):
    name, takes = "p_sample", "self, pred_noise, x, t, noise"
    praise = "guess the image, aim for the step before, and shake by just the right amount."
    shape_hint = "t has the shape (B,): `at(table, t, x)` gives (B, 1, 1, 1)"

    def draw(self, rng):
        shape = (5, 4, 4, 3)
        return {
            "pred_noise": rng.normal(size=shape).astype("float32"),
            "x": rng.normal(size=shape).astype("float32"),
            "noise": rng.normal(size=shape).astype("float32"),
            "t": np.array([0, 7, 3, 1, 5]),  # 0 first: some answers look at t[0] only
            "betas": np.sort(rng.uniform(0.05, 0.4, 8)).astype("float32"),
        }

    def measure(self, answer, inputs):
        tensors = [
            ops.convert_to_tensor(inputs[name]) for name in ("pred_noise", "x", "t", "noise")
        ]
        diffusion = MyDiffusion(inputs["betas"])
        return {
            name: array(self.call(answer, diffusion, *tensors), "x_{t-1}")
            for name in ("x_{t-1}", "again")
        }

    def examine(self, inputs, outputs):
        refuse_randomness(
            outputs["x_{t-1}"], outputs["again"], "Use the noise that you are given, `noise`."
        )
        super().examine(inputs, outputs)

    def rehearse(self, answer, inputs):
        diffusion = MyDiffusion(np.linspace(0.1, 0.3, 3, dtype="float32"))
        images = ops.ones((2, 3, 3, 1))
        network = line_network([0.5, 0.1, 0.0])
        for step in (2, 1, 0):
            t = ops.full((2,), step, dtype="int32")  # the lab's own kind
            pred_noise = network([ops.convert_to_tensor(images), t], training=False)
            images = answer(diffusion, pred_noise, images, t, ops.ones((2, 3, 3, 1)))
        ops.convert_to_numpy(ops.clip(0.5 + 0.5 * images, 0, 1))

    results = {"x_{t-1}": "x_{t-1}"}

    @staticmethod
    def right(model, pred_noise, x, t, noise):
        beta, kept = at(model.betas, t, x), at(model.alphas_cumprod, t, x)
        kept_before = at(model.alphas_cumprod_prev, t, x)
        image = (x - ops.sqrt(1 - kept) * pred_noise) / ops.sqrt(kept)
        image = ops.clip(image, model.clip_min, model.clip_max)
        variance = beta * (1 - kept_before) / (1 - kept)
        weighted_image = ops.sqrt(kept_before) * beta * image
        weighted_x = ops.sqrt(1 - beta) * (1 - kept_before) * x
        mean = (weighted_image + weighted_x) / (1 - kept)
        return mean + ops.sqrt(variance) * noise

    mistakes = [
        Mistake(
            "You also added noise at t = 0. Leave it out there: the result is the clean image.",
            ("ops.sqrt(variance)", "ops.sqrt(ops.where(variance > 0, variance, beta))"),
        ),
        Mistake(
            "You multiplied the noise by the variance. Its factor is the standard deviation: "
            "take the square root.",
            ("ops.sqrt(variance)", "variance"),
        ),
        Mistake(
            "You used β_t, the variance of the forward step. Use the variance of the posterior, "
            "β_t · (1 - ᾱ_{t-1}) / (1 - ᾱ_t).",
            ("variance = beta * (1 - kept_before) / (1 - kept)", "variance = beta"),
        ),
        Mistake(
            "You used β_t, the variance of the forward step. Use the variance of the posterior, "
            "β_t · (1 - ᾱ_{t-1}) / (1 - ᾱ_t).",
            (
                "variance = beta * (1 - kept_before) / (1 - kept)",
                "variance = beta * ops.cast(t > 0, beta.dtype)[:, None, None, None]",
            ),
        ),
        Mistake(
            "You wrote 1/√ᾱ_t and 1 - ᾱ_t, a known misprint. The paper has 1/√α_t and β_t.",
            ("return mean", "return (x - ops.sqrt(1 - kept) * pred_noise) / ops.sqrt(kept)"),
        ),
        Mistake(
            "You did not clip the predicted image (the paper's short form does not clip it either)."
            " Clip it to [clip_min, clip_max] before you take the mean.",
            ("ops.clip(image, model.clip_min, model.clip_max)", "image"),
        ),
        Mistake(
            "You clipped the result. Clip the predicted image, and then take the mean.",
            lambda model, *arrays: ops.clip(
                short_form(model, *arrays), model.clip_min, model.clip_max
            ),
        ),
        Mistake(
            "You also clipped the result. Clip only the predicted image: x_{t-1} is noisy, so some"
            " of its values are outside [clip_min, clip_max].",
            (
                "mean + ops.sqrt(variance) * noise",
                "ops.clip(mean + ops.sqrt(variance) * noise, model.clip_min, model.clip_max)",
            ),
        ),
        Mistake(
            "You used ᾱ_t in place of ᾱ_{t-1}, the value one step earlier. Use "
            "`alphas_cumprod_prev`.",
            ("alphas_cumprod_prev", "alphas_cumprod"),
        ),
        Mistake(
            "You used ᾱ_t in place of ᾱ_{t-1}, the value one step earlier. Use "
            "`alphas_cumprod_prev`.",
            ("weighted_image = ", "kept_before = kept\n    weighted_image = "),
        ),
        Mistake(
            "The noise is missing, so the samples would be blurred. Add √variance · noise to every"
            " image; a condition on t[0] would look at the first one only.",
            (" + ops.sqrt(variance) * noise", ""),
        ),
        Mistake(
            "You returned the predicted image. Move only a little towards it: return the weighted "
            "mean plus noise.",
            ("mean + ops.sqrt(variance) * noise", "image"),
        ),
        Mistake(
            "You added the predicted noise to x. Subtract it: image = (x - √(1 - ᾱ) · noise) / √ᾱ.",
            ("x - ops.sqrt", "x + ops.sqrt"),
        ),
        Mistake(
            "You swapped the two weights of the mean. β_t · √ᾱ_{t-1} belongs to the predicted "
            "image.",
            ("weighted_image = ", "image, x = x, image\n    weighted_image = "),
        ),
        Mistake("You subtracted the noise. Add it.", ("mean + ", "mean - ")),
        Mistake(
            "You added the noise at full strength. Multiply it by the standard deviation,"
            " √variance.",
            ("ops.sqrt(variance) * noise", "noise"),
        ),
        Mistake(
            "Your predicted image contains the fresh noise. Use the noise that the network"
            " predicts, the argument `pred_noise`.",
            ("* pred_noise) / ops", "* noise) / ops"),
        ),
        Mistake(
            "Your predicted image contains β_t. It needs the bars: (x - √(1 - ᾱ_t) · pred_noise)"
            " / √ᾱ_t.",
            (
                "(x - ops.sqrt(1 - kept) * pred_noise) / ops.sqrt(kept)",
                "(x - ops.sqrt(beta) * pred_noise) / ops.sqrt(1 - beta)",
            ),
        ),
        Mistake(
            "You added the predicted noise. Add the fresh noise, the argument `noise`.",
            ("ops.sqrt(variance) * noise", "ops.sqrt(variance) * pred_noise"),
        ),
        *(
            Mistake(
                "This is a step of DDIM, which puts the predicted noise back. Here, return the"
                " weighted mean plus √variance · noise.",
                ("return mean + ops.sqrt(variance) * noise", wrong),
            )
            for wrong in (
                "return ops.sqrt(kept_before) * image + ops.sqrt(1 - kept_before) * pred_noise",
                "image = (x - ops.sqrt(1 - kept) * pred_noise) / ops.sqrt(kept)\n"
                "    return ops.sqrt(kept_before) * image + ops.sqrt(1 - kept_before) * pred_noise",
            )
        ),
        Mistake(
            "Your mean contains the predicted noise. Use the predicted image in its place.",
            ("* beta * image", "* beta * pred_noise"),
        ),
        Mistake(
            "You looked up ᾱ at t - 1. For t = 0 that is -1, the last entry of the table: use"
            " `alphas_cumprod_prev`, which is 1 there.",
            ("model.alphas_cumprod_prev, t, x", "model.alphas_cumprod, t - 1, x"),
        ),
        Mistake(
            "At t = 0 you used ᾱ_t in place of ᾱ_{t-1}. Use `alphas_cumprod_prev`, which is 1"
            " there.",
            ("model.alphas_cumprod_prev, t, x", "model.alphas_cumprod, ops.maximum(t - 1, 0), x"),
        ),
        Mistake(
            "The weight of x contains √ᾱ_t. It is √α_t, without a bar: √(1 - β_t).",
            ("ops.sqrt(1 - beta) * (1 - kept_before)", "ops.sqrt(kept) * (1 - kept_before)"),
        ),
        Mistake(
            "The weight of x lacks its square root: √α_t, which is √(1 - β_t).",
            ("ops.sqrt(1 - beta) * (1 - kept_before)", "(1 - beta) * (1 - kept_before)"),
        ),
        Mistake(
            "The weight of the predicted image contains √ᾱ_t. It is √ᾱ_{t-1}, of the step before.",
            ("ops.sqrt(kept_before) * beta", "ops.sqrt(kept) * beta"),
        ),
        Mistake(
            "The weight of the predicted image lacks its square root: √ᾱ_{t-1}.",
            ("ops.sqrt(kept_before) * beta", "kept_before * beta"),
        ),
        Mistake(
            "You clipped the predicted image to [0, 1]. Clip it to [clip_min, clip_max].",
            ("model.clip_min, model.clip_max", "0, 1"),
        ),
        Mistake(
            "The predicted image is divided by ᾱ_t. Divide by √ᾱ_t.",
            ("pred_noise) / ops.sqrt(kept)", "pred_noise) / kept"),
        ),
        Mistake(
            "In the predicted image, the factor of the noise lacks its square root: √(1 - ᾱ_t).",
            ("ops.sqrt(1 - kept) * pred_noise", "(1 - kept) * pred_noise"),
        ),
    ]


def short_form(model, pred_noise, x, t, noise):
    """Returns x_{t-1} as in the paper's Algorithm 2, where the predicted image is not clipped."""
    beta, kept = at(model.betas, t, x), at(model.alphas_cumprod, t, x)
    mean = (x - beta / ops.sqrt(1 - kept) * pred_noise) / ops.sqrt(1 - beta)
    return mean + ops.sqrt(beta * (1 - at(model.alphas_cumprod_prev, t, x)) / (1 - kept)) * noise


p_sample, kl_term, train_step, score_from_noise = numbered(
    6, PSample, KLTerm, TrainStep, ScoreFromNoise
)
