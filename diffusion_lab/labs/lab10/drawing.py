"""Lab 10: pictures to begin with, either made of a few discs or read from a file."""

from pathlib import Path

import numpy as np

from diffusion_lab.data.images import read_image
from diffusion_lab.data.painting import hsv
from diffusion_lab.errors import UserError

FINE = 4  # the drawing is made this many times larger, so that its edges are smooth


def crude_flower(petals, petal_hue, background_hue, centre_hue=0.12, image_size=32):
    """Draws a flower as a child would: a few discs around another one, on plain ground.

    Args:
        petals: number of discs around the centre, 1 or more.
        petal_hue: on the colour wheel, [0, 1]; 0 and 1 are red.
        background_hue: likewise.
        centre_hue: likewise.
        image_size: in pixels.

    Returns:
        float32, (image_size, image_size, 3) in [0, 1].
    """
    axis = (np.arange(FINE * image_size) + 0.5) * 2 / (FINE * image_size) - 1
    x, y = np.meshgrid(axis, axis)
    canvas = np.tile(hsv(background_hue, 0.5, 0.4), (*x.shape, 1))

    def disc(centre_x, centre_y, radius, colour):
        canvas[np.hypot(x - centre_x, y - centre_y) < radius] = colour

    radius = min(0.33, 0.45 * np.sin(np.pi / max(petals, 2)))  # many petals are small petals
    for angle in 2 * np.pi * np.arange(petals) / petals - np.pi / 2:
        disc(0.43 * np.cos(angle), 0.43 * np.sin(angle), radius, hsv(petal_hue, 0.75, 0.85))
    disc(0, 0, 0.33, hsv(petal_hue, 0.75, 0.85))  # so that small petals leave no gap
    disc(0, 0, 0.22, hsv(centre_hue, 0.8, 0.7))
    blocks = canvas.reshape(image_size, FINE, image_size, FINE, 3)
    return blocks.mean(axis=(1, 3), dtype="float32")


def read_picture(path, image_size=32):
    """Reads a picture file, crops it to a square and resizes it.

    Returns:
        float32, (image_size, image_size, 3) in [0, 1].

    Raises:
        UserError: if there is no such file, or it is not a picture.
    """
    if not Path(path).is_file():
        raise UserError(
            f"There is no file {path}: give its path relative to the folder of this notebook."
        )
    try:
        return read_image(path, image_size).astype("float32") / 255
    except Exception:  # each decoder has its own exceptions
        raise UserError(
            f"{path} cannot be read as a picture: save it as PNG or JPEG, and try again."
        ) from None
