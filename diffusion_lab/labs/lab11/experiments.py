"""The experiments of lab 11: tuning, and what few steps cost."""

from typing import NamedTuple

import numpy as np
from keras import ops

from diffusion_lab.metrics import encode, flower_features, kid_with_standard_error
from diffusion_lab.models.generating import generate_in_batches
from diffusion_lab.samplers import ddim


class Judged(NamedTuple):
    """What `Judge` measures."""

    kid: float
    error: float  # the standard error of the KID
    variety: float  # as a share of that of the real images
    distance: float  # of the images from the ends of the teacher's paths

    def __str__(self):
        return (
            f"KID {self.kid:5.2f} ± {self.error:.2f}, variety {self.variety:4.0%}, distance from"
            f" the end {self.distance:.2f}"
        )


class Judge:
    """Measures images against real ones, and against the ends of a model's paths.

    Attributes:
        of_teacher: a `Judged`, for the ends of the paths themselves.
        distance_of_strangers: the distance between the ends of two different paths.

    Args:
        real_images: (N, H, W, C), uint8.
        teacher: a `DiffusionModel`, whose DDIM paths end at the images to compare with.
        steps: of DDIM on these paths.
    """

    def __init__(self, real_images, teacher, steps):
        self.extractor, self.count = flower_features(), len(real_images)
        self.real_features = encode(self.extractor, real_images)
        self.ends = self.generate(teacher, steps)
        self.of_teacher = self.judged(self.ends)
        self.distance_of_strangers = distance(self.ends, np.roll(self.ends, 1, axis=0))

    def __call__(self, model, steps, **arguments):
        """Returns a `Judged`. `arguments`, such as sampler, go to `model.generate`."""
        return self.judged(self.generate(model, steps, **arguments))

    def generate(self, model, steps, **arguments):
        """Returns as many images as there are real ones, always from the same noise.

        In one batch: fresh noise would change the initial noise of a second one.
        """
        return generate_in_batches(
            model, self.count, steps, seed=1, batch_size=self.count, **arguments
        )

    def judged(self, images):
        features = encode(self.extractor, images)
        kid, error = kid_with_standard_error(self.real_features, features)
        spread = [np.mean(np.std(each, axis=0)) for each in (features, self.real_features)]
        return Judged(
            float(kid), float(error), float(spread[0] / spread[1]), distance(images, self.ends)
        )


def distance(images, others):
    """Returns the root mean square difference of two batches of images in [0, 1], as a number."""
    return float(np.sqrt(np.mean(np.square(images - others))))


def predictions_along_the_path(model, noise, steps):
    """Returns the predicted images at each step of DDIM, in [0, 1]: a list of (B, H, W, C)."""
    predictions = []
    model.sample(
        ddim,
        noise,
        steps=steps,
        on_step=lambda step, time, noisy_images, pred_images: predictions.append(
            ops.convert_to_numpy(model.denormalize(pred_images))
        ),
    )
    return predictions
