"""Paints one procedural flower.

The picture is painted from back to front: a blurred background with bokeh, a stem with leaves, the
petals layer by layer, and the disc. A shape is given by each pixel's distance inside its outline,
in units of the picture's half width. `cover` turns distances into the share of each pixel that the
shape covers; there is no other antialiasing.
"""

import numpy as np


def paint_flower(label: np.void, image_size: int, rng: np.random.Generator) -> np.ndarray:
    """Paints one flower.

    `rng` determines what is not in the label: the background, the leaves and small variations.

    Returns:
        uint8, (image_size, image_size, 3).
    """
    pixel = 2 / image_size
    axis = (np.arange(image_size, dtype=np.float32) + 0.5) * np.float32(pixel) - 1
    x, y = np.meshgrid(axis, axis)
    canvas = paint_background(x, y, rng)
    x, y = x - label["centre_x"], y - label["centre_y"]
    paint_stem(canvas, x, y, pixel, rng)

    # polar coordinates in the flower's own plane, which is foreshortened in the tilt's direction
    cos, sin = np.cos(label["tilt_direction"]), np.sin(label["tilt_direction"])
    along, across = (x * cos + y * sin) / np.cos(label["tilt"]), y * cos - x * sin
    radius, angle = np.hypot(along, across), np.arctan2(across, along)
    for layer in range(label["layers"]):
        paint_petals(canvas, radius, angle, layer, label, pixel, rng)
    paint_disc(canvas, radius, angle, label, pixel, rng)

    # exposure and vignetting
    light = 1.0 + 0.08 * rng.uniform(-1, 1) - 0.1 * (x * x + y * y)[..., None]
    return np.rint(np.clip(canvas * light, 0, 1) * 255).astype(np.uint8)


def paint_background(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns a new canvas: a smooth gradient between two colours of a garden, with bokeh."""
    green = rng.random() < 0.75
    hue = rng.uniform(0.2, 0.42) if green else rng.uniform(0.05, 0.7)
    dark = hsv(hue, rng.uniform(0.3, 0.7), rng.uniform(0.12, 0.4))
    bright = hsv(hue + rng.uniform(-0.06, 0.06), rng.uniform(0.2, 0.6), rng.uniform(0.35, 0.9))
    angle = rng.uniform(0, 2 * np.pi)
    blend = 0.5 + 0.5 * np.sin(1.3 * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(-1, 1))
    canvas = dark + blend[..., None] * (bright - dark)
    for _ in range(rng.integers(3, 9)):
        centre_x, centre_y = rng.uniform(-1.1, 1.1, 2)
        size = rng.uniform(0.12, 0.4)
        distance = size - np.hypot(x - centre_x, y - centre_y)
        colour = hsv(hue + rng.normal(0, 0.07), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.9))
        blend_in(canvas, colour, rng.uniform(0.1, 0.35) * cover(distance, 0.35 * size))
    return canvas


def paint_stem(
    canvas: np.ndarray, x: np.ndarray, y: np.ndarray, pixel: float, rng: np.random.Generator
) -> None:
    """Paints a bent stem from the flower's centre to the lower edge, with up to three leaves."""
    green = hsv(rng.uniform(0.24, 0.36), rng.uniform(0.45, 0.75), rng.uniform(0.3, 0.55))
    bend = rng.uniform(-0.35, 0.35)
    across = x - bend * y * y
    stem = np.minimum(0.045 - np.abs(across), y)
    blend_in(canvas, green * (1 + 3 * np.clip(across, -0.06, 0.06))[..., None], cover(stem, pixel))
    for _ in range(rng.integers(0, 4)):
        # downwards, to the left or right
        direction = np.pi / 2 + rng.choice([-1, 1]) * rng.uniform(0.4, 1.3)
        length, start = rng.uniform(0.8, 1.3), rng.uniform(0, 0.4)
        leaf_x, leaf_y = x - bend * start * start, y - start
        along = (leaf_x * np.cos(direction) + leaf_y * np.sin(direction)) / length
        across = leaf_y * np.cos(direction) - leaf_x * np.sin(direction)
        width = rng.uniform(0.16, 0.26)
        distance = width * petal_outline(along, 0.4) - np.abs(across)
        shade = 0.75 + 0.3 * np.clip(across / width + 0.5, 0, 1) + 0.25 * (np.abs(across) < 0.012)
        blend_in(canvas, green * shade[..., None], cover(distance, pixel))


def paint_petals(
    canvas: np.ndarray,
    radius: np.ndarray,
    angle: np.ndarray,
    layer: int,
    label: np.void,
    pixel: float,
    rng: np.random.Generator,
) -> None:
    """Paints one layer of petals; inner layers are smaller and lighter.

    All petals of a layer have the same outline, each turned by one sector more. A petal that is
    wider than its sector covers one neighbour and is covered by the other. So three petals can
    reach a pixel: that of its own sector and those of the two next to it. They are painted in turn.
    """
    sector = 2 * np.pi / label["petals"]
    size = label["radius"] * (1, 0.74, 0.52)[layer] * rng.uniform(0.95, 1.05)
    half_width = label["petal_width"] * size * np.sin(min(sector / 2, 0.9)) * 0.95
    turn = angle - label["rotation"] - layer * sector / 2
    number = np.floor(turn / sector)
    own_angle = turn - (number + 0.5) * sector
    tip = hsv(
        label["hue"],
        label["saturation"] * (1 - 0.12 * layer),
        min(1, label["value"] * (1 + 0.06 * layer)),
    )
    base = hsv(
        label["hue"] + rng.normal(0, 0.05),
        min(1, label["saturation"] * rng.uniform(0.4, 1.5) + 0.05),
        label["value"] * rng.uniform(0.55, 1.0),
    )
    vein = rng.uniform(0.0, 0.16)
    vary = rng.normal(0, 0.06, (2, label["petals"]))  # length and lightness of each petal
    for neighbour in (-1, 0, 1):
        petal = (number + neighbour).astype(int) % label["petals"]
        along, across = polar_to_petal(radius, own_angle - neighbour * sector)
        along = along / (size * (1 + vary[0, petal]))
        side = across / half_width
        notch = label["notch"] * np.exp(-np.square(side / 0.35))
        distance = half_width * petal_outline(along + notch, label["petal_tip"]) - np.abs(across)
        shade = 0.86 + vary[1, petal] + 0.12 * side - 0.2 * np.square(side) + 0.16 * along
        shade -= vein * np.exp(-np.square(side / 0.12)) * (1 - along) + 0.35 * np.exp(
            -np.square(along / 0.3)
        )
        colour = base + np.clip(along, 0, 1)[..., None] * (tip - base)
        # the petal's shadow on what is below
        canvas *= 1 - 0.35 * cover(distance + 0.03, 0.12)[..., None]
        blend_in(canvas, colour * shade[..., None], cover(distance, pixel))


def paint_disc(
    canvas: np.ndarray,
    radius: np.ndarray,
    angle: np.ndarray,
    label: np.void,
    pixel: float,
    rng: np.random.Generator,
) -> None:
    """Paints the disc: a dome of yellow, brown or green florets, darker in the middle."""
    size = label["disc_radius"] * label["radius"]
    hue = rng.choice([0.13, 0.09, 0.05, 0.22], p=[0.5, 0.2, 0.15, 0.15]) + rng.normal(0, 0.012)
    colour = hsv(hue, rng.uniform(0.6, 0.95), rng.uniform(0.35, 0.95))
    florets = np.sin(angle * 13 + radius * 40 / size) * np.sin(radius * 14 / size)
    shade = 1.05 - 0.45 * np.square(radius / size) + 0.13 * florets
    shade -= rng.uniform(0, 0.4) * np.exp(-np.square(radius / (0.45 * size)))
    canvas *= 1 - 0.4 * cover(size - radius + 0.03, 0.12)[..., None]
    blend_in(canvas, colour * shade[..., None], cover(size - radius, pixel))


def polar_to_petal(radius: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the coordinates along a petal's axis and across it."""
    return radius * np.cos(angle), radius * np.sin(angle)


def petal_outline(along: np.ndarray, tip: float) -> np.ndarray:
    """Returns the half width of a petal at points of its axis, where 0 is the base and 1 the tip.

    It is normalised to 1 at the widest point.
    """
    power_base, power_tip = 0.75, 0.9 - 0.55 * tip
    inside = np.clip(along, 0, 1)
    widest = power_base / (power_base + power_tip)
    outline = (
        inside**power_base
        * (1 - inside) ** power_tip
        / (widest**power_base * (1 - widest) ** power_tip)
    )
    # -2 is so far outside that there is no shadow either
    return np.where((along > 0) & (along < 1), outline, -2)


def cover(distance: np.ndarray, softness: float) -> np.ndarray:
    """Returns the share of each pixel that a shape covers.

    `distance` is the pixel's distance inside the outline, `softness` the width of the edge.
    """
    return np.clip(distance / softness + 0.5, 0, 1)


def blend_in(canvas: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> None:
    """Paints a colour over the canvas, in place."""
    canvas += alpha[..., None] * (colour - canvas)


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Converts hue (periodic in 1), saturation and value to an RGB array in [0, 1]."""
    sextant = np.array([5, 3, 1]) + 6 * (hue % 1)
    chroma = np.clip(np.minimum(sextant % 6, 4 - sextant % 6), 0, 1)
    return (value * (1 - saturation * chroma)).astype(np.float32)
