"""Lab 10: views of an image, and what they do to noise."""

import keras
import numpy as np
from keras import ops


def negative(images):
    """Returns the negatives of normalised images: what was dark is bright."""
    return -images


def pieces_exchanged(images):
    """Exchanges the upper left and the lower right quarter of images (B, H, W, C), half turned.

    The half turn keeps the middle of the image in the middle. It is its own inverse.
    """
    upper, lower = ops.split(images, 2, axis=1)
    (upper_left, upper_right), (lower_left, lower_right) = (
        ops.split(half, 2, axis=2) for half in (upper, lower)
    )
    turned = [ops.rot90(piece, 2, axes=(1, 2)) for piece in (lower_right, upper_left)]
    return ops.concatenate(
        [
            ops.concatenate([turned[0], upper_right], axis=2),
            ops.concatenate([lower_left, turned[1]], axis=2),
        ],
        axis=1,
    )


def blurred(images):
    """Returns the mean of each 3 × 3 neighbourhood, which is no view that an anagram may use."""
    return ops.average_pool(images, 3, 1, padding="same")


def noise_statistics(there, size=32):
    """Returns the spread and the correlation of neighbours that white noise has after a view.

    Args:
        there: a function of images (B, H, W, C).
        size: of the noise, in pixels.

    Returns:
        the standard deviation, which should be 1, and the correlation of horizontal neighbours,
        which should be 0.
    """
    noise = ops.convert_to_numpy(there(keras.random.normal((16, size, size, 3), seed=4)))
    left, right = noise[:, :, :-1].ravel(), noise[:, :, 1:].ravel()
    return float(noise.std()), float(np.corrcoef(left, right)[0, 1])
