"""Nearest training neighbours: are generated images new, or memorised training images?

KID does not punish memorisation: a model that returns training images has a perfect KID. So we also
measure the distance of each generated image to the nearest training image, and compare it with the
same distance for real images that the model has not seen.
"""

from typing import NamedTuple

import numpy as np

from diffusion_lab.errors import UserError

LARGEST_ARRAY = 2**22  # numbers in a chunk of the training set; 32 MB in float64


def nearest_training_neighbours(generated_images, training_images, k=1):
    """Returns the k nearest training images of each generated image.

    The distance is the root-mean-square difference over all pixels. The mirror image of a training
    image counts as well, since training may flip images horizontally. The training set is read in
    chunks, so a memory-mapped file of any length needs little memory.

    Args:
        generated_images: (n, H, W, C); float in [0, 1], or uint8.
        training_images: (N, H, W, C), N at least k; float in [0, 1], or uint8, which may be a
            memory map.
        k: number of neighbours.

    Returns:
        indices: int, (n, k), into the training images, nearest first.
        distances: float64, (n, k), in [0, 1]; an exact copy has distance 0.

    Raises:
        UserError: if the shapes do not fit, k is not in 1 ... N, or generated images are not in [0,
            1]; NaN is an error as well.
    """
    _check(generated_images, training_images, k)
    count = len(generated_images)
    # mirroring both images of a pair does not change their distance
    queries = _flat(np.concatenate([generated_images, np.asarray(generated_images)[:, :, ::-1]]))
    indices, squares = np.empty((count, 0), int), np.empty((count, 0))
    chunk = max(1, LARGEST_ARRAY // max(queries.shape))
    for start in range(0, len(training_images), chunk):
        training = _flat(training_images[start : start + chunk])
        new = (
            np.square(queries).sum(1)[:, None]
            + np.square(training).sum(1)
            - 2 * queries @ training.T
        )
        squares = np.concatenate([squares, np.minimum(new[:count], new[count:])], axis=1)
        numbers = np.broadcast_to(np.arange(start, start + len(training)), (count, len(training)))
        indices = np.concatenate([indices, numbers], axis=1)
        nearest = np.argsort(squares, axis=1, kind="stable")[:, :k]
        squares, indices = (
            np.take_along_axis(squares, nearest, 1),
            np.take_along_axis(indices, nearest, 1),
        )
    # expanded squares lose digits, so a copy would not have distance 0: recompute the nearest ones
    for i, row in enumerate(indices):
        differences = queries[[i, count + i], None] - _flat(training_images[row])
        squares[i] = np.square(differences).mean(axis=-1).min(axis=0)
    return indices, np.sqrt(squares)


class Memorisation(NamedTuple):
    """How near generated images and unseen real images are to the training set."""

    # median distance to the nearest training image; far below the next number, it means memorised
    generated_distance: float
    reference_distance: float  # the same for unseen real images
    # share of the generated images that are nearer than 99 % of the real ones; 0.01 is normal
    suspicious_share: float


def measure_memorisation(generated_images, training_images, validation_images):
    """Compares the nearest-neighbour distances of generated and unseen real images.

    Args:
        generated_images: as in `nearest_training_neighbours`.
        training_images: as in `nearest_training_neighbours`.
        validation_images: real images that are not in the training set, in the same format.

    Returns:
        A `Memorisation`.

    Raises:
        UserError: as `nearest_training_neighbours`.
    """
    _, generated = nearest_training_neighbours(generated_images, training_images)
    _, reference = nearest_training_neighbours(validation_images, training_images)
    suspicious = generated < np.quantile(reference, 0.01)
    return Memorisation(
        float(np.median(generated)), float(np.median(reference)), float(suspicious.mean())
    )


def _flat(images):
    """Returns images as rows of float64 in [0, 1].

    float32 is widened after the division, so that uint8 images and their floats give equal rows.
    """
    images = np.asarray(images)
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / np.float32(255)
    return images.reshape(len(images), -1).astype(np.float64)


def _check(generated_images, training_images, k):
    shape, training_shape = np.shape(generated_images), np.shape(training_images)
    if len(shape) != 4 or shape[1:] != training_shape[1:] or 0 in shape + training_shape:
        raise UserError(
            f"Generated images of shape {shape} cannot be compared with training images of shape"
            f" {training_shape}: both must be (number, height, width, channels), not empty, and"
            " equal except for the number."
        )
    if not 1 <= k <= len(training_images):
        raise UserError(
            f"k must be from 1 to the number of training images, {len(training_images)}, but it is"
            f" {k}."
        )
    low, high = np.min(generated_images), np.max(generated_images)
    # NaN fails as well
    if np.asarray(generated_images).dtype != np.uint8 and not (low >= -1e-3 and high <= 1.001):
        raise UserError(
            f"Images must be uint8 or in [0, 1], but the generated ones run from {low:g} to"
            f" {high:g}. Denormalise a model's images; NaN means that its training has diverged."
        )
