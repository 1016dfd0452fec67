"""Pictures: the style of plots, grids of images, loss curves, and images in a terminal."""

import io
from functools import wraps

import numpy as np
from PIL import Image

from diffusion_lab.errors import UserError
from diffusion_lab.storage import write_atomically

# The first four are those of Okabe and Ito (2008), which colour-blind people can tell apart. Their
# other colours are too light for a line on white, so the fifth is their orange, made darker.
BLUE, VERMILLION, GREEN, PURPLE, BROWN, GREY = COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#996b00",
    "#747474",
)
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (8, 3)))
MARKERS = "osD^vP"
SAMPLERS = dict(  # {name: its colour in every plot}, also in web/src/figures/samplers.ts
    zip(("DDIM", "DPM-Solver++(2M)", "Adams–Bashforth", "Heun", "DDPM"), COLOURS)
)
STYLE = {  # of every plot of the labs, the demo and the benchmarks
    "figure.dpi": 150,
    "savefig.dpi": "figure",
    "font.size": 9,
    "figure.titlesize": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.fancybox": False,
    "legend.edgecolor": "0.9",
    "axes.edgecolor": "0.5",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.9",
    "axes.axisbelow": True,
}


def styled(draw):
    """Makes a function draw in the course's style: `STYLE`, and `COLOURS` with `DASHES`."""

    @wraps(draw)
    def drawing(*arguments, **options):
        import matplotlib
        from cycler import cycler

        lines = cycler(color=COLOURS) + cycler(linestyle=DASHES)
        with matplotlib.rc_context(STYLE | {"axes.prop_cycle": lines}):
            return draw(*arguments, **options)

    return drawing


def image_grid(images, columns=8, gap=1, scale=1):
    """Returns a picture of images (N, H, W, C) in [0, 1], arranged in rows: uint8 (H, W, 3).

    The background is white; `scale` is a factor on the size of every pixel.
    """
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise UserError(
            f"A grid needs images of shape (N, H, W, C), not {images.shape}. To show one image,"
            " write image[None]."
        )
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        top, left = row * (height + gap), column * (width + gap)
        grid[top : top + height, left : left + width] = np.rint(
            np.clip(np.nan_to_num(image), 0, 1) * 255
        )
    return grid.repeat(scale, 0).repeat(scale, 1)


def png_bytes(picture):
    """Returns a uint8 array (H, W, 3) as the bytes of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()


def save_png(picture, path):
    """Writes a uint8 array (H, W, 3) as PNG, completely or not at all.

    Raises:
        UserError: if the file cannot be written.
    """
    write_atomically(path, png_bytes(picture))


def animation_bytes(frames, seconds_each=0.12, pause=1.5):
    """Returns uint8 arrays (H, W, 3) as the bytes of a WebP file.

    The animation runs three times, because a reader cannot stop it, and ends on its last frame.
    """
    content = io.BytesIO()
    durations = [int(1000 * seconds_each)] * (len(frames) - 1) + [int(1000 * pause)]
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(
        content, "WEBP", save_all=True, append_images=others, duration=durations, loop=3, quality=60
    )
    return content.getvalue()


@styled
def loss_figure(history, xlabel="training images", size=(7, 3.2)):
    """Returns the loss curves as a Figure.

    Args:
        history: a list of {"images", "loss", "val_loss"}; each entry has one of the losses or both.
        xlabel: what "images" counts.
        size: width and height in inches.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    for name, label in (("loss", "training"), ("val_loss", "validation (EMA weights)")):
        points = [(entry["images"], entry[name]) for entry in history if name in entry]
        if points:
            axes.plot(*zip(*points), label=label, marker="." if len(points) < 40 else None)
    values = [value for line in axes.get_lines() for value in line.get_ydata()] or [0]
    axes.set(
        xlabel=xlabel,
        ylabel="loss",
        xlim=(0, 1.02 * max([1, *(entry["images"] for entry in history)])),
    )
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 700k fits where 700000 does not
    if 0 < min(values) < max(values):  # the loss of an energy-based model may be negative
        axes.set_yscale("log")
        if max(values) < 5 * min(values):
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid()
    if axes.get_lines():
        axes.legend()
    return figure


def loss_curve(history, path):
    """Writes the figure of `loss_figure` as PNG."""
    content = io.BytesIO()
    loss_figure(history).savefig(content, format="png")
    write_atomically(path, content.getvalue())


def terminal_picture(picture):
    """Returns a uint8 picture (H, W, 3) as `rich.text.Text`.

    Each character holds two pixels, the upper one in the foreground colour.
    """
    from rich.text import Text

    text = Text()
    for upper, lower in zip(picture[0::2], picture[1::2]):
        for top, bottom in zip(upper.tolist(), lower.tolist()):
            text.append(
                "▀", style=f"rgb({','.join(map(str, top))}) on rgb({','.join(map(str, bottom))})"
            )
        text.append("\n")
    return text
