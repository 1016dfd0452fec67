"""Pictures for sliders and panels: Matplotlib figures as arrays, and pictures combined.

A picture is a uint8 array (H, W, 3).
"""

import textwrap
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image, ImageDraw, ImageFont

from diffusion_lab.plots import image_grid

WIDTH = 640  # pixels; fits next to a notebook's prompt
SMALLEST = 96  # pixels; in smaller images, petals cannot be seen
PIXELS = 100  # of the page, for an inch of a figure


def picture_of(figure):
    """Returns a Matplotlib `Figure` as a picture."""
    figure.set_dpi(PIXELS)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def grid(images, columns=8, width=WIDTH):
    """Returns rows of images (N, H, W, C) in [0, 1] as one picture.

    Each image is enlarged by the same whole number, so that the picture is at most about `width`
    pixels wide.
    """
    columns = min(columns, len(images))
    picture = image_grid(images, columns)  # refuses what is not a batch of images
    scale = max(1, width // (columns * images.shape[2]))
    return picture.repeat(scale, 0).repeat(scale, 1)


def labelled_strip(images, labels, width=WIDTH, chosen=None):
    """Returns images (N, H, W, C) in [0, 1] with a label below each, in as few rows as possible.

    They are enlarged by the same whole number, to `SMALLEST` pixels or more. Image number `chosen`,
    if given, gets an orange frame.
    """
    size = images.shape[2]
    least = -(-SMALLEST // size)
    rows = -(-len(images) // max(1, width // (least * size + 6)))
    columns = -(-len(images) // rows)
    scale = max(least, (width // columns - 6) // size)
    cells = []
    for number, (image, label) in enumerate(zip(images, labels)):
        cell = np.pad(
            image_grid(image[None], columns=1, scale=scale),
            ((3, 3), (3, 3), (0, 0)),
            constant_values=255,
        )
        if number == chosen:
            cell[:3], cell[-3:], cell[:, :3], cell[:, -3:] = [[[(255, 140, 0)]]] * 4
        cells.append(above(cell, text_line(label, cell.shape[1])))
    return above(
        *(side_by_side(*cells[i : i + columns], gap=0) for i in range(0, len(cells), columns))
    )


def side_by_side(*pictures, gap=12):
    """Returns one picture of several, from left to right on white."""
    return above(*(picture.swapaxes(0, 1) for picture in pictures), gap=gap).swapaxes(0, 1)


def above(*pictures, gap=0):
    """Returns one picture of several, from top to bottom on white."""
    width = max(picture.shape[1] for picture in pictures)
    rows = []
    for picture in pictures:
        rows += [
            np.full((gap, width, 3), 255, np.uint8),
            np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=255),
        ]
    return np.concatenate(rows[1:])


def captioned(picture, paragraphs, size=13):
    """Returns the picture with text below it, for pages that can only show a picture."""
    width = max(picture.shape[1], 480)
    characters = int(width / (0.56 * size))
    lines = [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, characters)]
    texts = [text_line(line, width, size, centered=False) for line in lines]
    return above(picture, np.full((8, 1, 3), 255, np.uint8), *texts)


def text_line(text, width, size=12, centered=True):
    """Returns one line of dark grey text as a picture `width` pixels wide."""
    line = Image.new("RGB", (width, round(1.5 * size)), "white")
    place, anchor = ((width / 2, 0), "ma") if centered else ((0, 0), "la")
    ImageDraw.Draw(line).text(place, text, (70, 70, 70), font(size), anchor=anchor)
    return np.asarray(line)


@lru_cache
def font(size):
    """Returns Matplotlib's font, which is on every machine and has the letters of formulas."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)
