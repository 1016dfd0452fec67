"""Lab 02: one step of the forward process, and all of them at once."""

import ast

import numpy as np

from diffusion_lab.labs.evidence import (
    code_of,
    names_on_the_line,
    nodes_of,
    origin,
    slices_on_the_line,
)
from diffusion_lab.labs.exercise import Exercise, numbered
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import arrays
from diffusion_lab.labs.rehearsal import noise_like


def demand_repeatable(outputs):
    """Raises CheckFailed if two calls with the same arguments returned different results."""
    once, again = outputs["noisy_images"], outputs["again"]
    if once.shape == again.shape and not np.array_equal(once, again, equal_nan=True):
        raise CheckFailed(
            "two calls with the same arguments return different results: use the `noises` that you"
            " receive instead of drawing your own."
        )


def demand_shape(result, images):
    """Returns the result as an array. Raises CheckFailed unless it has the images' shape."""
    if np.shape(result) != images.shape:
        raise CheckFailed(
            f"the result is right for images, but for points of shape {images.shape} it has the"
            f" shape {np.shape(result)}: return an array of the shape of `images`."
        )
    return np.asarray(result)


class ForwardStep(Exercise):
    name, takes = "forward_step", "images, noises, beta"
    praise = "a paler image, with fresh noise on top."

    def draw(self, rng):
        return {
            "images": rng.normal(size=(6, 4, 4, 3)).astype("float32"),
            "noises": rng.normal(size=(6, 4, 4, 3)).astype("float32"),
            "beta": np.float32(0.3),
        }

    def measure(self, answer, inputs):
        arguments = inputs["images"], inputs["noises"], np.float32(inputs["beta"])
        return arrays(self.call(answer, *arguments), "noisy_images") | arrays(
            self.call(answer, *arguments), "again"
        )

    def rehearse(self, answer, inputs):
        points = noise_like(3, 1, 1, 2)  # the lab walks with points first
        for beta in np.linspace(0.001, 0.06, 2, dtype="float32"):
            points = demand_shape(answer(points, noise_like(3, 1, 1, 2), beta), points)

    def examine(self, inputs, outputs):
        demand_repeatable(outputs)
        super().examine(inputs, outputs)

    results = {"noisy_images": "the noisy image"}

    @staticmethod
    def right(images, noises, beta):
        return np.sqrt(1 - beta) * images + np.sqrt(beta) * noises

    mistakes = [
        Mistake(
            "You multiplied by the variances, 1 - beta and beta. The factors of image and noise are"
            " standard deviations: take the square roots.",
            lambda x, e, beta: (1 - beta) * x + beta * e,
        ),
        Mistake(
            "The two factors are swapped. beta is how much noise comes in, so √beta multiplies"
            " the noise.",
            lambda x, e, beta: np.sqrt(beta) * x + np.sqrt(1 - beta) * e,
        ),
        Mistake(
            "You added noise but did not shrink the image, so the variance grows with every step."
            " Multiply the image by √(1 - beta).",
            lambda x, e, beta: x + np.sqrt(beta) * e,
        ),
        Mistake(
            "The factor of the noise lacks its square root: make it √beta.",
            lambda x, e, beta: np.sqrt(1 - beta) * x + beta * e,
        ),
        Mistake(
            "The factor of the image lacks its square root: make it √(1 - beta).",
            lambda x, e, beta: (1 - beta) * x + np.sqrt(beta) * e,
        ),
        Mistake(
            "You returned the mean alone. Add the noise, √beta · noises.",
            lambda x, e, beta: np.sqrt(1 - beta) * x,
        ),
        Mistake(
            "You subtracted the noise. Add it.",
            lambda x, e, beta: np.sqrt(1 - beta) * x - np.sqrt(beta) * e,
        ),
        Mistake(
            "The factor of the image is 1 - √beta. Make it √(1 - beta), so that the squares of the"
            " two factors add up to 1.",
            lambda x, e, beta: (1 - np.sqrt(beta)) * x + np.sqrt(beta) * e,
        ),
        Mistake(
            "You squared beta, but it is a variance already. Multiply the image by √(1 - beta).",
            lambda x, e, beta: np.sqrt(1 - beta**2) * x + np.sqrt(beta) * e,
        ),
        Mistake(
            "You squared beta, but it is a variance already. Multiply the image by √(1 - beta) and"
            " the noise by √beta.",
            lambda x, e, beta: np.sqrt(1 - beta**2) * x + beta * e,
        ),
        Mistake(
            "The factor of the noise is 1 - √(1 - beta). Make it √beta, so that the squares of the"
            " two factors add up to 1.",
            lambda x, e, beta: np.sqrt(1 - beta) * x + (1 - np.sqrt(1 - beta)) * e,
        ),
        Mistake(
            "Image and noise have the same factor. The factor of the noise is √beta.",
            lambda x, e, beta: np.sqrt(1 - beta) * (x + e),
        ),
    ]


def walked(images, t, noises, betas):
    """Walks up to step t, with the same noise in every step."""
    for step, beta in enumerate(betas):
        moved = np.sqrt(1 - beta) * images + np.sqrt(beta) * noises
        images = np.where(column(t >= step), moved, images)
    return images


class QSample(Exercise):
    name, takes = "q_sample", "images, t, noises, betas"
    praise = "any number of steps in one: that is what makes training fast."
    shape_hint = "ᾱ_t has the shape (B,), the images (B, H, W, C): reshape it to (B, 1, 1, 1)"

    def draw(self, rng):
        return {
            "images": rng.normal(size=(5, 4, 4, 3)).astype("float32"),
            "noises": rng.normal(size=(5, 4, 4, 3)).astype("float32"),
            "t": np.array([0, 3, 11, 7, 19]),
            "betas": rng.uniform(0.02, 0.25, 20).astype("float32"),
        }

    def measure(self, answer, inputs):
        arguments = [inputs[name] for name in ("images", "t", "noises", "betas")]
        return arrays(self.call(answer, *arguments), "noisy_images") | arrays(
            self.call(answer, *arguments), "again"
        )

    def rehearse(self, answer, inputs):
        points, betas = noise_like(3, 1, 1, 2), np.linspace(0.001, 0.06, 9, dtype="float32")
        demand_shape(answer(points, np.full(3, 4), points, betas) - points, points)

    def examine(self, inputs, outputs):
        demand_repeatable(outputs)
        super().examine(inputs, outputs)

    def explain(self, error, answer):
        return super().explain(error, answer) + self.about_t(origin(error), answer)

    def about_t(self, error, answer):
        """Returns a sentence about a wrong use of `t`, after a space, or ""."""
        names = names_on_the_line(error, answer)
        ends = "range" in names or slices_on_the_line(error, answer)
        if isinstance(error, TypeError) and "t" in names and ends:
            return (
                " `t` holds one step for each image, so it cannot be the end of a slice or a range:"
                " take the running product over all steps first, and then its entries `[t]`."
            )
        indices = [
            ast.unparse(node.slice)
            for node in nodes_of(code_of(answer))
            if isinstance(node, ast.Subscript)
        ]
        if isinstance(error, IndexError) and {"t + 1", "1 + t"} & set(indices):
            return " `t` is already the index, counted from 0: use it without adding 1."
        return ""

    results = {"noisy_images": "the noisy image"}

    @staticmethod
    def right(images, t, noises, betas):
        return mix(alpha_bars(betas)[t], images, noises)

    mistakes = [
        Mistake(
            "You took the square root twice: the factors are √ᾱ and √(1 - ᾱ).",
            lambda x, t, e, betas: mix(np.sqrt(alpha_bars(betas)[t]), x, e),
        ),
        Mistake(
            "You multiplied by ᾱ and 1 - ᾱ, which are variances. Take their square roots first.",
            lambda x, t, e, betas: (
                column(alpha_bars(betas)[t]) * x + column(1 - alpha_bars(betas)[t]) * e
            ),
        ),
        Mistake(
            "The factor of the noise lacks its square root: make it √(1 - ᾱ).",
            lambda x, t, e, betas: (
                mix(alpha_bars(betas)[t], x, 0 * e) + column(1 - alpha_bars(betas)[t]) * e
            ),
        ),
        Mistake(
            "The factor of the image lacks its square root: make it √ᾱ.",
            lambda x, t, e, betas: (
                column(alpha_bars(betas)[t]) * x + mix(alpha_bars(betas)[t], 0 * x, e)
            ),
        ),
        Mistake(
            "You are one step behind, and at t = 0 the index -1 is the last entry. Here `t` is"
            " already the index, counted from 0: take `np.cumprod(1 - betas)[t]`.",
            lambda x, t, e, betas: mix(alpha_bars(betas)[t - 1], x, e),
        ),
        Mistake(
            "You walked, with the same noise in every step, so it adds up. Jump instead: mix image"
            " and noise only once, with ᾱ.",
            walked,
        ),
        Mistake(
            "You took the product over the images of the batch. Take the product over all steps"
            " first, `np.cumprod(1 - betas)`, and then its entries `[t]`.",
            lambda x, t, e, betas: mix(np.cumprod(1 - betas[t]), x, e),
        ),
        Mistake(
            "You used only α_t = 1 - β_t, the factor of step t. ᾱ_t is the product over all steps"
            " up to t, `np.cumprod(1 - betas)`.",
            lambda x, t, e, betas: mix((1 - betas)[t], x, e),
        ),
        Mistake(
            "You took the running product of β. Take the running product of 1 - β.",
            lambda x, t, e, betas: mix(np.cumprod(betas)[t], x, e),
        ),
        Mistake(
            "Your ᾱ is 1 minus the running sum of β. Each step keeps a fraction of what was left"
            " before it: take the running product of 1 - β.",
            lambda x, t, e, betas: mix(np.clip(1 - np.cumsum(betas), 0, 1)[t], x, e),
        ),
        Mistake(
            "One step is missing: ᾱ_t includes step t itself.",
            lambda x, t, e, betas: mix(np.append(1, alpha_bars(betas))[t], x, e),
        ),
        Mistake(
            "There is one step too many: ᾱ_t ends with step t, counted from 0.",
            lambda x, t, e, betas: mix(alpha_bars(betas)[np.minimum(t + 1, len(betas) - 1)], x, e),
        ),
        Mistake(
            "The two factors are swapped. ᾱ is the share of the image that is left, so √ᾱ"
            " multiplies the image.",
            lambda x, t, e, betas: mix(1 - alpha_bars(betas)[t], x, e),
        ),
        Mistake(
            "You used one t for all images, but each image has its own. Index the running product"
            " with the whole array `t`.",
            lambda x, t, e, betas: mix(alpha_bars(betas)[np.full_like(t, t[0])], x, e),
        ),
        Mistake(
            "You returned only the mean of q(x_t | x_0). Add the noise, √(1 - ᾱ) · noises.",
            lambda x, t, e, betas: mix(alpha_bars(betas)[t], x, 0 * e),
        ),
        Mistake(
            "The factor of the noise is 1 - √ᾱ. Make it √(1 - ᾱ), so that the squares of the two"
            " factors add up to 1.",
            lambda x, t, e, betas: (
                mix(alpha_bars(betas)[t], x, 0 * e) + column(1 - np.sqrt(alpha_bars(betas)[t])) * e
            ),
        ),
        Mistake(
            "You squared ᾱ, but it is a variance already. Multiply the noise by √(1 - ᾱ).",
            lambda x, t, e, betas: (
                mix(alpha_bars(betas)[t], x, 0 * e) + mix(alpha_bars(betas)[t] ** 2, 0 * x, e)
            ),
        ),
        Mistake(
            "Your ᾱ is 1 minus the running product of β. Take the running product of 1 - β.",
            lambda x, t, e, betas: mix(1 - np.cumprod(betas)[t], x, e),
        ),
        Mistake(
            "You took the square root of ᾱ too early, so the noise has √(1 - √ᾱ). Compute 1 - ᾱ"
            " first, and take its square root: √(1 - ᾱ).",
            lambda x, t, e, betas: (
                mix(alpha_bars(betas)[t], x, 0 * e) + mix(np.sqrt(alpha_bars(betas)[t]), 0 * x, e)
            ),
        ),
        Mistake(
            "You squared β, but it is a variance already. Take the running product of 1 - β.",
            lambda x, t, e, betas: mix(np.cumprod(1 - betas**2)[t], x, e),
        ),
        Mistake(
            "You subtracted the noise. Add it.",
            lambda x, t, e, betas: mix(alpha_bars(betas)[t], x, -e),
        ),
    ]


def alpha_bars(betas):
    """Returns ᾱ of each step, the share of the image's variance that is left: (T,)."""
    return np.cumprod(1 - betas)


def mix(kept, images, noises):
    """Returns √kept · images + √(1 - kept) · noises; `kept` has one number for each image."""
    return np.sqrt(column(kept)) * images + np.sqrt(1 - column(kept)) * noises


def column(numbers):
    """Reshapes one number for each image, (B,), to (B, 1, 1, 1)."""
    return np.reshape(numbers, (-1, 1, 1, 1))


forward_step, q_sample = numbered(2, ForwardStep, QSample)
