"""Generates many images, batch by batch."""

import numpy as np
from keras import ops

from diffusion_lab.backend import seed_generator
from diffusion_lab.errors import MOST_IMAGES, UserError, whole_number


def generate_in_batches(model, count, steps, seed=0, batch_size=64, **arguments):
    """Returns generated images in [0, 1], (count, H, W, C) NumPy, made batch by batch.

    All batches have one size, so that the model is compiled once; the surplus is cut off.

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
            "The model draws NaN instead of images, because its weights are not finite: train it"
            " again, with a lower learning rate."
        )
    return images
