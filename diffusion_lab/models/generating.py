"""Generates many images batch by batch, and shows how they emerge."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import seed_generator
from diffusion_lab.errors import MOST_IMAGES, UserError, whole_number
from diffusion_lab.samplers import ddim


def generate_in_batches(model, count, steps, seed=0, batch_size=64, **arguments):
    """Returns generated images in [0, 1], (count, H, W, C) NumPy, made batch by batch.

    All batches have the same size, so that the model is compiled once; extra images are dropped.

    Raises:
        UserError: for a number out of range, or a model whose weights are not finite.
    """
    seed, count = seed_generator(seed), whole_number("count", count, most=MOST_IMAGES)
    batches = [
        ops.convert_to_numpy(model.generate(min(count, batch_size), steps, seed=seed, **arguments))
        for _ in range(0, count, batch_size)
    ]
    images = np.concatenate(batches)[:count]
    if not np.all(np.isfinite(images)):
        raise UserError(
            "The model generates NaN instead of images, because its weights are not finite: train"
            " it again, with a lower learning rate."
        )
    return images


def images_emerging(model, count, steps, seed):
    """Returns the noisy images at each step of DDIM and the final images, all in [0, 1].

    `seed` determines the noise. The result is a list of steps + 1 NumPy arrays, (count, H, W, C).
    """
    noise, states = keras.random.normal((count, *model.image_shape), seed=seed), []

    def keep(step, diffusion_time, noisy_images, pred_images):
        states.append(noisy_images)

    states.append(model.sample(ddim, noise, steps=steps, on_step=keep))
    return [ops.convert_to_numpy(model.denormalize(images)) for images in states]
