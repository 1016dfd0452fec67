"""Grids and figures that a notebook shows as PNG: the same in Jupyter, on GitHub and in tests."""

import io
from base64 import b64encode
from html import escape
from itertools import cycle

import numpy as np
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from PIL import Image

from diffusion_lab.errors import UserError
from diffusion_lab.labs.compose import PIXELS, grid
from diffusion_lab.labs.language import say
from diffusion_lab.plots import GREY, MARKERS, SAMPLERS, animation_bytes, png_bytes, styled


def show_images(images, columns=8, width=800):
    """Shows rows of images (N, H, W, C) in [0, 1], together about `width` pixels wide.

    The images have one colour channel or three.
    """
    images = np.asarray(images)
    show_png(png_bytes(grid(images, columns, width)), alt=say("{count} images", count=len(images)))


def show_png(png, alt, width=None):
    """Shows a picture with its alternative text. (Colab's old `IPython.display.Image` has none.)

    With `width`, it is that many pixels of the page wide, whatever the size of the file.
    """
    about = {"alt": alt} if width is None else {"alt": alt, "width": width}
    bundle = {"image/png": b64encode(png).decode(), "text/plain": say("(a picture)")}
    display(bundle, metadata={"image/png": about}, raw=True)


def show_animation(frames, seconds_each, alt, stills=5):
    """Shows pictures, uint8 (H, W, 3), one after the other; returns the animation as WebP bytes.

    A page that cannot show an animation, as on GitHub, shows `stills` of the frames instead.
    """
    webp = animation_bytes(frames, seconds_each, pause=2.5)
    chosen = (np.linspace(0, 1, stills) ** 0.5 * (len(frames) - 1)).round().astype(int)
    still = b64encode(png_bytes(np.concatenate([frames[number] for number in chosen])))
    html = f'<img alt="{escape(alt)}" src="data:image/webp;base64,{b64encode(webp).decode()}">'
    display(
        {"text/html": html, "image/png": still.decode()},
        metadata={"image/png": {"alt": alt}},
        raw=True,
    )
    return webp


@styled
def show_rows(rows, titles=(), height=1.2):
    """Shows labelled rows of images.

    Args:
        rows: {label: images (N, H, W, C) in [0, 1]}.
        titles: one above each column.
        height: the height of a row, in inches.
    """
    columns = max((len(images) for images in rows.values()), default=0)
    demand_pictures(columns)
    figure = Figure(
        figsize=(1.4 + height * columns, (height + 0.05) * len(rows) + 0.25 * bool(titles)),
        layout="compressed",
    )
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (label, images) in zip(axes, rows.items()):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for axis, image in zip(line, np.clip(np.asarray(images), 0, 1)):
            axis.imshow(
                image.squeeze(), cmap="gray" if image.shape[-1] == 1 else None, vmin=0, vmax=1
            )
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    for axis, title in zip(axes[0], titles):
        axis.set_title(title)
    show_figure(figure)


@styled
def new_figure(columns=1, rows=1, width=9.0, height=3.0, **arguments):
    """Returns (figure, axes), `width` inches wide and `height` inches high per row.

    `arguments` are passed on to `Figure.subplots`.
    """
    demand_pictures(columns * rows)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, **arguments)


def demand_pictures(count):
    """Raises UserError if there are no pictures to show."""
    if not count:
        raise UserError(
            say(
                "There is nothing to show yet: solve the exercises above, and run their cells"
                " again."
            )
        )


def bare(axis, reach=None):
    """Leaves an axis only its frame; with `reach`, it is square, from -reach to reach."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(visible=True, color="0.8")
    if reach:
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


@styled
def show_figure(figure):
    """Shows a Matplotlib figure as PNG, with its titles and labels as alternative text."""
    content = io.BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight")  # a long title is not cut off
    picture = Image.open(content).convert("RGB")
    # the file has more pixels than the page, for sharp screens
    width = round(picture.width * PIXELS / figure.dpi)
    if not any(axis.images for axis in figure.axes):
        picture = picture.quantize()  # 256 colours are enough for lines: a third of the bytes
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    show_png(content.getvalue(), _words(figure), width=width)


def _words(figure):
    words = []
    for axis in figure.axes:
        labels = [
            axis.get_title(),
            axis.get_xlabel(),
            axis.get_ylabel(),
            *axis.get_legend_handles_labels()[1],
        ]
        words += [" ".join(label.split()) for label in labels if label]
    return say("Figure: {words}", words=", ".join(dict.fromkeys(words)))


DOTS = {"s": 2, "alpha": 0.35, "linewidths": 0}


@styled
def clouds(snapshots, columns=6, size=1.5):
    """Shows scatter plots of points.

    Args:
        snapshots: {title: points (N, 1, 1, 2) or (N, 2)}.
        columns: the largest number of plots in a row.
        size: the width of a plot, in inches.
    """
    columns = min(columns, len(snapshots))
    rows = -(-len(snapshots) // columns)
    figure, axes = new_figure(columns, rows, width=size * columns, height=size + 0.2, squeeze=False)
    for axis, (title, points) in zip(axes.flat, snapshots.items()):
        axis.scatter(*np.reshape(points, (-1, 2)).T, **DOTS)
        axis.set_title(title)
        bare(axis, reach=3.5)
    for axis in axes.flat[len(snapshots) :]:
        axis.set_axis_off()
    show_figure(figure)


@styled
def curves(named_values, xlabel, ylabel, logarithmic=False):
    """Shows one line for each name; `named_values` maps it to numbers, or to (x, y)."""
    figure, axis = new_figure(width=7, height=2.8)
    for name, values in named_values.items():
        axis.plot(*(values if isinstance(values, tuple) else (values,)), label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if logarithmic else "linear")
    axis.grid()
    if len(named_values) > 3:  # no corner is free of lines
        columns = -(-len(named_values) // 2)
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns)
    else:
        axis.legend()
    show_figure(figure)


@styled
def by_evaluations(named_points, ylabel, logarithmic=False, orders=()):
    """Shows one line per sampler over the number of network evaluations.

    Args:
        named_points: {name of a sampler: [(network evaluations, value)]}, or triples with a
            standard error, which adds error bars.
        ylabel: what the values are.
        logarithmic: whether the axis of the values is.
        orders: orders of convergence, whose slopes are drawn in the lower right corner.
    """
    figure, axis = new_figure(width=6.5, height=3.2)
    for (name, points), marker in zip(named_points.items(), cycle(MARKERS)):
        colour = {"color": SAMPLERS[name]} if name in SAMPLERS else {}
        axis.errorbar(*zip(*points), marker=marker, markersize=4, label=name, **colour)
    axis.set(xlabel=say("network evaluations per image (NFE)"), ylabel=ylabel, xscale="log")
    axis.set_yscale("log" if logarithmic else "linear")
    counts = sorted({nfe for points in named_points.values() for nfe, *_ in points})
    for order in orders:
        ends = np.array([max(counts) / 2.5, max(counts)])
        least = min(value for points in named_points.values() for _, value, *_ in points)
        heights = 0.6 * least * (max(counts) / ends) ** order
        axis.plot(ends, heights, color=GREY, linestyle=":")
        label = say("order {order}", order=order) + " "
        axis.annotate(label, (ends[0], heights[0]), ha="right", va="center", color=GREY)
    # leave out labels that would overlap
    ticks = [nfe for nfe, next_one in zip(counts, [*counts[1:], np.inf]) if nfe < 0.93 * next_one]
    axis.set_xticks(ticks, map(str, ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    low, high = axis.get_ylim()
    if not logarithmic or high > 10 * low:
        axis.yaxis.set_minor_locator(NullLocator())  # else there may be no other ticks
    axis.grid()
    axis.legend()
    show_figure(figure)
