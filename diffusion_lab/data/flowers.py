"""Procedural flowers: a data set that is drawn, not downloaded.

NumPy draws each flower from a few random parameters, and these parameters are its label. Flower
number i depends on the seed and on i alone, so a set can be drawn in chunks, extended, or split
without overlap.
"""

import numpy as np

from diffusion_lab.data.painting import paint_flower
from diffusion_lab.errors import UserError

COLOURS = ("white", "yellow", "orange", "red", "pink", "purple", "blue")

# hue range, saturation range and value range of the petals' tips, in the order of COLOURS
_PALETTE = np.array(
    [
        [[0.05, 0.20], [0.00, 0.12], [0.90, 1.00]],
        [[0.12, 0.16], [0.70, 1.00], [0.88, 1.00]],
        [[0.04, 0.10], [0.75, 1.00], [0.88, 1.00]],
        [[-0.03, 0.02], [0.75, 0.95], [0.70, 0.95]],
        [[0.86, 0.96], [0.30, 0.70], [0.85, 1.00]],
        [[0.74, 0.84], [0.40, 0.80], [0.60, 0.95]],
        [[0.58, 0.68], [0.45, 0.85], [0.65, 0.98]],
    ]
)

LABELS = np.dtype(
    [
        ("colour", "i4"),  # index into COLOURS
        ("petals", "i4"),  # in each layer, 5 ... 16
        ("layers", "i4"),  # 1 ... 3
        ("hue", "f4"),
        ("saturation", "f4"),
        ("value", "f4"),  # of the petals' tips, [0, 1]
        ("radius", "f4"),  # of the outer layer, as a share of the picture's half width
        ("petal_width", "f4"),  # in sectors; above 1, neighbours overlap
        ("petal_tip", "f4"),  # 0 = pointed, 1 = blunt
        ("notch", "f4"),  # depth of the heart-shaped cut in the tip
        ("disc_radius", "f4"),  # as a share of the flower's radius
        ("tilt", "f4"),  # 0 = seen from the front, in radians
        ("tilt_direction", "f4"),  # in which the flower is foreshortened, in radians
        ("rotation", "f4"),  # in radians
        ("centre_x", "f4"),
        ("centre_y", "f4"),  # [-1, 1] from left to right and from top to bottom
    ]
)


def draw_flowers(
    count: int, image_size: int, seed: int = 0, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draws flowers number first ... first + count - 1 of a seed.

    Returns:
        images: uint8, (count, image_size, image_size, 3).
        labels: structured array of dtype `LABELS`, (count,): the parameters of each flower.

    Raises:
        UserError: if a number is negative or the image size is below 8.
    """
    if image_size < 8 or count < 0 or seed < 0 or first < 0:
        raise UserError(
            f"Cannot draw {count} flowers of size {image_size} (seed {seed}, first {first}): "
            "use an image size of 8 or more and no negative numbers."
        )
    images = np.empty((count, image_size, image_size, 3), np.uint8)
    labels = np.empty(count, LABELS)
    for i in range(count):
        rng = np.random.Generator(np.random.PCG64([seed, first + i]))
        labels[i] = draw_parameters(rng)
        images[i] = paint_flower(labels[i], image_size, rng)
    return images, labels


def draw_parameters(rng: np.random.Generator) -> tuple[float, ...]:
    """Returns random parameters of one flower, in the order of `LABELS`."""
    colour = int(rng.integers(len(COLOURS)))
    hue, saturation, value = rng.uniform(*_PALETTE[colour].T)
    petals = int(rng.choice([5, 6, 7, 8, 10, 13, 16], p=[0.26, 0.14, 0.10, 0.20, 0.12, 0.10, 0.08]))
    layers = int(rng.choice([1, 2, 3], p=[0.5, 0.32, 0.18]))
    petal_width = rng.uniform(0.8, 1.45) if petals > 8 else rng.uniform(0.75, 1.25)
    notch = rng.uniform(0.05, 0.2) if petals <= 8 and rng.random() < 0.3 else 0.0
    tilt = np.abs(rng.normal(0, 0.35)).clip(0, 0.85)
    return (
        colour,
        petals,
        layers,
        hue % 1,
        saturation,
        value,
        rng.uniform(0.58, 0.86),
        petal_width,
        rng.random(),
        notch,
        rng.uniform(0.14, 0.34),
        tilt,
        rng.uniform(0, np.pi),
        rng.uniform(0, 2 * np.pi),
        *rng.uniform(-0.12, 0.12, 2),
    )
