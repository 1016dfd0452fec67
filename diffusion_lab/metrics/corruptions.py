"""Eight ways to corrupt an image, each with a strength from 0 (none) to 1 (strong).

The flower features are trained to detect them, and the tests check that KID increases with the
strength of each. Every function takes float32 images (B, H, W, C) in [0, 1], strengths (B, 1, 1, 1)
and a NumPy random generator.
"""

import numpy as np

# how bright red, green and blue appear (ITU-R BT.601)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_GRID = 4  # patches along each side of an image


def noise(images, strength, rng):
    """Adds Gaussian noise of standard deviation up to 0.3."""
    return images + 0.3 * strength * rng.standard_normal(images.shape, np.float32)


def blotches(images, strength, rng):
    """Adds smooth noise from a grid of 8 x 8 random colours, as a badly trained model would."""
    count, height, width, channels = images.shape
    coarse = rng.standard_normal((count, 2 * _GRID, 2 * _GRID, channels), np.float32)
    fine = coarse.repeat(-(-height // (2 * _GRID)), axis=1).repeat(-(-width // (2 * _GRID)), axis=2)
    return images + 0.3 * strength * _smooth(fine[:, :height, :width], np.full_like(strength, 0.04))


def blur(images, strength, rng):
    """Applies a Gaussian blur of up to a tenth of the image's side."""
    return _smooth(images, 0.1 * strength)


def cast(images, strength, rng):
    """Shifts all pixels by one random colour, up to 0.3 in each channel."""
    return images + 0.3 * strength * rng.uniform(-1, 1, (len(images), 1, 1, images.shape[-1]))


def saturation(images, strength, rng):
    """Moves the colours towards grey or away from it."""
    grey = (images @ _LUMA)[..., None]
    return grey + (1 + _sign(strength, rng) * strength) * (images - grey)


def contrast(images, strength, rng):
    """Moves the pixels towards the image's mean brightness or away from it."""
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return mean + (1 + 0.9 * _sign(strength, rng) * strength) * (images - mean)


def shuffle(images, strength, rng):
    """Moves some or all of the 4 x 4 patches to the places of others."""
    height, width = images.shape[1] // _GRID, images.shape[2] // _GRID
    shuffled = images.copy()
    for image, original, part in zip(shuffled, images, strength.ravel()):
        moved = rng.permutation(_GRID**2)[: round(part * _GRID**2)]
        for target, source in zip(moved, np.roll(moved, 1)):
            (row, column), (from_row, from_column) = divmod(target, _GRID), divmod(source, _GRID)
            image[row * height : (row + 1) * height, column * width : (column + 1) * width] = (
                original[
                    from_row * height : (from_row + 1) * height,
                    from_column * width : (from_column + 1) * width,
                ]
            )
    return shuffled


def blend(images, strength, rng):
    """Mixes each image with another one of the batch, up to half and half."""
    return images + 0.5 * strength * (
        np.roll(images, rng.integers(1, max(2, len(images))), axis=0) - images
    )


KINDS = {
    kind.__name__: kind
    for kind in (noise, blotches, blur, cast, saturation, contrast, shuffle, blend)
}


def corrupt(images, kind, strength, rng):
    """Corrupts images in one of the ways in `KINDS`.

    Args:
        images: float32, (B, H, W, C), in [0, 1]; C = 3.
        kind: a key of `KINDS`.
        strength: in [0, 1]; one number, or one for each image.
        rng: a NumPy random generator.

    Returns:
        float32, of the same shape and range.
    """
    strength = np.broadcast_to(np.asarray(strength, np.float32), len(images))[:, None, None, None]
    return KINDS[kind](images, strength, rng).clip(0, 1).astype(np.float32)


def _sign(strength, rng):
    return rng.choice(np.float32([-1, 1]), strength.shape)


def _smooth(images, sigma):
    """Applies a Gaussian blur, with its own standard deviation for each image.

    `sigma` (B, 1, 1, 1) is a fraction of the image's side. A blur along one axis is a matrix whose
    rows are the weights of the neighbouring pixels; rows at the border also sum to 1.
    """
    for axis in (1, 2):
        position = (np.arange(images.shape[axis], dtype=np.float32) + 0.5) / images.shape[axis]
        distance = (position[:, None] - position) / np.maximum(sigma[:, 0], 1e-3)
        weights = np.exp(-0.5 * np.square(distance))
        weights /= weights.sum(axis=-1, keepdims=True)
        images = np.einsum(
            "bij,bj...->bi..." if axis == 1 else "bij,bkj...->bki...", weights, images
        )
    return images
