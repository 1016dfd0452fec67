"""Procedural flowers: a data set that is drawn, not downloaded.

Each flower is drawn by NumPy from a few random parameters, and those parameters are its label.
Flower number i depends on the seed and on i alone, so a set can be drawn in chunks, extended, or
split without overlap.

The picture is painted back to front, like a painter would: a blurred background with bokeh, a stem
with leaves, the petals layer by layer, and the disc. Every shape is a signed distance to its
outline, in units of the picture's half width; `cover` turns a distance into how much of each pixel
the shape covers, which is all the antialiasing there is.
"""

import numpy as np

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
        ("radius", "f4"),  # of the outer layer, as a part of the picture's half width
        ("petal_width", "f4"),  # in sectors: above 1, neighbours overlap
        ("petal_tip", "f4"),  # 0 = pointed, 1 = blunt
        ("notch", "f4"),  # depth of the heart-shaped cut in the tip
        ("disc_radius", "f4"),  # as a part of the flower's radius
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
    """Draws the flowers number first ... first + count - 1 of a seed.

    Returns:
        images: uint8, (count, image_size, image_size, 3).
        labels: structured array of dtype `LABELS`, (count,); the parameters that each flower was
            drawn from.

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
        images[i] = draw_flower(labels[i], image_size, rng)
    return images, labels


def draw_parameters(rng: np.random.Generator) -> tuple[float, ...]:
    """Draws the parameters of one flower: a tuple in the order of `LABELS`."""
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


def draw_flower(label: np.void, image_size: int, rng: np.random.Generator) -> np.ndarray:
    """Paints one flower.

    `rng` draws what no label tells: the background, the leaves and small variations.

    Returns: uint8, (image_size, image_size, 3).
    """
    pixel = 2 / image_size
    axis = (np.arange(image_size, dtype=np.float32) + 0.5) * np.float32(pixel) - 1
    x, y = np.meshgrid(axis, axis)
    canvas = paint_background(x, y, rng)
    x, y = x - label["centre_x"], y - label["centre_y"]
    paint_stem(canvas, x, y, pixel, rng)

    # the flower's own plane: foreshortened in the tilt's direction, then seen from above in polar
    # coordinates
    cos, sin = np.cos(label["tilt_direction"]), np.sin(label["tilt_direction"])
    along, across = (x * cos + y * sin) / np.cos(label["tilt"]), y * cos - x * sin
    radius, angle = np.hypot(along, across), np.arctan2(across, along)
    for layer in range(label["layers"]):
        paint_petals(canvas, radius, angle, layer, label, pixel, rng)
    paint_disc(canvas, radius, angle, label, pixel, rng)

    light = (
        1.0 + 0.08 * rng.uniform(-1, 1) - 0.1 * (x * x + y * y)[..., None]
    )  # exposure and vignetting
    return np.rint(np.clip(canvas * light, 0, 1) * 255).astype(np.uint8)


def paint_background(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth gradient between two colours of a garden out of focus, with bokeh.

    Returns a new canvas.
    """
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
    """A bent stem from the flower's centre to the lower edge, with up to three leaves."""
    green = hsv(rng.uniform(0.24, 0.36), rng.uniform(0.45, 0.75), rng.uniform(0.3, 0.55))
    bend = rng.uniform(-0.35, 0.35)
    across = x - bend * y * y
    stem = np.minimum(0.045 - np.abs(across), y)
    blend_in(canvas, green * (1 + 3 * np.clip(across, -0.06, 0.06))[..., None], cover(stem, pixel))
    for _ in range(rng.integers(0, 4)):
        direction = np.pi / 2 + rng.choice([-1, 1]) * rng.uniform(
            0.4, 1.3
        )  # downwards, to the left or right
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
    """One layer of petals, each a copy of one outline turned by a sector; inner layers are smaller
    and lighter.

    A petal wider than its sector lies over one neighbour and under the other. So each pixel sees at
    most the petal of its own sector and those of the two sectors beside it, painted in turn.
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
        canvas *= (
            1 - 0.35 * cover(distance + 0.03, 0.12)[..., None]
        )  # the petal's shadow on what is below
        blend_in(canvas, colour * shade[..., None], cover(distance, pixel))


def paint_disc(
    canvas: np.ndarray,
    radius: np.ndarray,
    angle: np.ndarray,
    label: np.void,
    pixel: float,
    rng: np.random.Generator,
) -> None:
    """The disc in the middle: a dome of florets, yellow, brown or green, with a darker heart."""
    size = label["disc_radius"] * label["radius"]
    hue = rng.choice([0.13, 0.09, 0.05, 0.22], p=[0.5, 0.2, 0.15, 0.15]) + rng.normal(0, 0.012)
    colour = hsv(hue, rng.uniform(0.6, 0.95), rng.uniform(0.35, 0.95))
    florets = np.sin(angle * 13 + radius * 40 / size) * np.sin(radius * 14 / size)
    shade = 1.05 - 0.45 * np.square(radius / size) + 0.13 * florets
    shade -= rng.uniform(0, 0.4) * np.exp(-np.square(radius / (0.45 * size)))
    canvas *= 1 - 0.4 * cover(size - radius + 0.03, 0.12)[..., None]
    blend_in(canvas, colour * shade[..., None], cover(size - radius, pixel))


def polar_to_petal(radius: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along a petal's axis and across it."""
    return radius * np.cos(angle), radius * np.sin(angle)


def petal_outline(along: np.ndarray, tip: float) -> np.ndarray:
    """Half width of a petal at a point of its axis, 0 = base, 1 = tip, normalised to 1 at the
    widest point.
    """
    power_base, power_tip = 0.75, 0.9 - 0.55 * tip
    inside = np.clip(along, 0, 1)
    widest = power_base / (power_base + power_tip)
    outline = (
        inside**power_base
        * (1 - inside) ** power_tip
        / (widest**power_base * (1 - widest) ** power_tip)
    )
    return np.where(
        (along > 0) & (along < 1), outline, -2
    )  # -2: clearly outside, for the shadow too


def cover(distance: np.ndarray, softness: float) -> np.ndarray:
    """How much of each pixel a shape covers, from the distance inside its outline; `softness` is
    the edge's width.
    """
    return np.clip(distance / softness + 0.5, 0, 1)


def blend_in(canvas: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> None:
    """Paints a colour over the canvas, in place."""
    canvas += alpha[..., None] * (colour - canvas)


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Hue (periodic in 1), saturation and value to an RGB array in [0, 1]."""
    sextant = np.array([5, 3, 1]) + 6 * (hue % 1)
    chroma = np.clip(np.minimum(sextant % 6, 4 - sextant % 6), 0, 1)
    return (value * (1 - saturation * chroma)).astype(np.float32)
