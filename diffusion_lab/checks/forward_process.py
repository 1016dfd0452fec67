"""Lab 02: one step of the forward process, and all of them at once."""

import numpy as np

from diffusion_lab.checks.core import CheckFailed, Exercise, arrays, compare
from diffusion_lab.checks.rehearsal import noise_like


def refuse_dice(outputs):
    """Raises CheckFailed for an answer that returns something else each time."""
    once, again = outputs["noisy_images"], outputs["again"]
    if once.shape == again.shape and not np.array_equal(once, again, equal_nan=True):
        raise CheckFailed("two calls with the same arguments differ: use the `noises` that come in, and draw none.")


def demand_shape(result, images):
    """The result as an array. Raises CheckFailed for another shape than that of the images."""
    if np.shape(result) != images.shape:
        raise CheckFailed(f"right for images, but for points of the shape {images.shape} the result has {np.shape(result)}.")
    return np.asarray(result)


class ForwardStep(Exercise):
    number, name, takes = "2.1", "forward_step", "images, noises, beta"
    praise = "it shrinks the image just enough to make room for the noise, so the variance stays 1."

    def draw(self, rng):
        return {"images": rng.normal(size=(6, 4, 4, 3)).astype("float32"),
                "noises": rng.normal(size=(6, 4, 4, 3)).astype("float32"), "beta": np.float32(0.3)}

    def measure(self, answer, inputs):
        arguments = inputs["images"], inputs["noises"], np.float32(inputs["beta"])
        return arrays(self.call(answer, *arguments), "noisy_images") | arrays(self.call(answer, *arguments), "again")

    def rehearse(self, answer, inputs):
        points = noise_like(3, 1, 1, 2)  # the lab walks with points first
        for beta in np.linspace(0.001, 0.06, 2, dtype="float32"):
            points = demand_shape(answer(points, noise_like(3, 1, 1, 2), beta), points)

    def examine(self, inputs, outputs):
        refuse_dice(outputs)
        images, noises, beta = inputs["images"], inputs["noises"], inputs["beta"]
        keep, add = np.sqrt(1 - beta), np.sqrt(beta)
        compare("the noisy image", outputs["noisy_images"], keep * images + add * noises, {
            "you multiply by the variances 1 - beta and beta: the factors of image and noise are standard deviations, "
            "the square roots of these.": (1 - beta) * images + beta * noises,
            "the two factors are swapped: beta is how much *noise* comes in, so √beta belongs to the noise.":
                add * images + keep * noises,
            "you add noise but leave the image as large as it was, so the variance grows with every step: shrink the "
            "image by √(1 - beta).": images + add * noises,
            "the noise's factor still lacks its square root: √beta.": keep * images + beta * noises,
            "the image's factor still lacks its square root: √(1 - beta).": (1 - beta) * images + add * noises,
            "you return the mean alone: the noise is missing.": keep * images,
            "the noise is subtracted, not added: it comes in with a plus sign.": keep * images - add * noises,
            "the image's factor is 1 - √beta; it should be √(1 - beta), so that the squares of both factors add to 1.":
                (1 - add) * images + add * noises,
            "you square beta, but it is a variance already: the factor of the image is √(1 - beta).":
                np.sqrt(1 - beta**2) * images + add * noises,
            "you square beta, but it is a variance already: the factors are √(1 - beta) and √beta.":
                np.sqrt(1 - beta**2) * images + beta * noises,
            "the noise's factor is 1 - √(1 - beta); it should be √beta, so that the squares of both factors add to 1.":
                keep * images + (1 - keep) * noises,
        })


class QSample(Exercise):
    number, name, takes = "2.2", "q_sample", "images, t, noises, betas"
    praise = "any number of steps in one: that is what makes training fast."
    shape_hint = "ᾱ_t has the shape (B,), the images (B, H, W, C): reshape it to (B, 1, 1, 1)"

    def draw(self, rng):
        return {"images": rng.normal(size=(5, 4, 4, 3)).astype("float32"),
                "noises": rng.normal(size=(5, 4, 4, 3)).astype("float32"),
                "t": np.array([0, 3, 11, 7, 19]), "betas": rng.uniform(0.02, 0.25, 20).astype("float32")}

    def measure(self, answer, inputs):
        arguments = [inputs[name] for name in ("images", "t", "noises", "betas")]
        return arrays(self.call(answer, *arguments), "noisy_images") | arrays(self.call(answer, *arguments), "again")

    def rehearse(self, answer, inputs):
        points, betas = noise_like(3, 1, 1, 2), np.linspace(0.001, 0.06, 9, dtype="float32")
        demand_shape(answer(points, np.full(3, 4), points, betas) - points, points)

    def examine(self, inputs, outputs):
        refuse_dice(outputs)
        images, noises, t, betas = (inputs[name] for name in ("images", "noises", "t", "betas"))

        def mix(alphas_cumprod, at=t, root=np.sqrt, noise=1, noise_root=None):
            kept = alphas_cumprod[at].reshape(-1, 1, 1, 1)
            return root(kept) * images + noise * (noise_root or root)(1 - kept) * noises

        def as_it_is(variance):
            return variance

        alphas_cumprod = np.cumprod(1 - betas)
        before = np.append(1.0, alphas_cumprod)
        compare("the noisy image", outputs["noisy_images"], mix(alphas_cumprod), {
            "these are ᾱ and 1 - ᾱ, the variances: the factors are their square roots.":
                mix(alphas_cumprod, root=as_it_is),
            "the noise's factor still lacks its square root: √(1 - ᾱ).": mix(alphas_cumprod, noise_root=as_it_is),
            "the image's factor still lacks its square root: √ᾱ.":
                mix(alphas_cumprod, root=as_it_is, noise_root=np.sqrt),
            "one step too few, and at t = 0 your index -1 is the *last* entry: the arrays count from 0, so ᾱ_t is "
            "`np.cumprod(1 - betas)[t]`.": mix(alphas_cumprod, t - 1),
            "you multiply over the images of the batch: first the product over all steps, `np.cumprod(1 - betas)`, then "
            "the entries `[t]` of it.": mix(np.cumprod(1 - betas[t]), np.arange(len(t))),
            "you use α_t = 1 - β_t of step t alone: ᾱ_t is the product of all steps up to t, `np.cumprod(1 - betas)`.":
                mix(1 - betas),
            "ᾱ is the running product of 1 - β, not of β.": mix(np.cumprod(betas)),
            "ᾱ is 1 minus the running *sum* of β in your code: shares that are left multiply.":
                mix(np.clip(1 - np.cumsum(betas), 0, 1)),
            "one step too few: ᾱ_t includes step t itself.": mix(before),
            "one step too many: ᾱ_t ends with step t, counted from 0.": mix(before, np.minimum(t + 2, len(betas))),
            "the two factors are swapped: ᾱ is what is left of the *image*.":
                mix(1 - alphas_cumprod),
            "every image has its own t: index the running product with the whole array `t`, not with one number.":
                mix(alphas_cumprod, np.full_like(t, t[0])),
            "the noise is missing: this is only the mean of q(x_t | x_0).": mix(alphas_cumprod, noise=0),
            "the noise's factor is 1 - √ᾱ; it should be √(1 - ᾱ), so that the squares of both factors add to 1.":
                mix(alphas_cumprod, noise_root=lambda rest: 1 - np.sqrt(1 - rest)),
            "you square ᾱ, but it is a variance already: the noise's factor is √(1 - ᾱ).":
                mix(alphas_cumprod, noise_root=lambda rest: np.sqrt(1 - (1 - rest) ** 2)),
            "you square β, but it is a variance already: ᾱ is the running product of 1 - β.":
                mix(np.cumprod(1 - betas**2)),
            "the noise is subtracted, not added: it comes in with a plus sign.": mix(alphas_cumprod, noise=-1),
        })


forward_step, q_sample = ForwardStep(), QSample()
