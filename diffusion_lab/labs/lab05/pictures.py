"""The pictures of lab 05: the U-Net and its parts, its influence maps and its attention."""

from functools import partial

import numpy as np
from keras import layers, ops

from diffusion_lab.labs.pictures import bare, new_figure, show_figure
from diffusion_lab.plots import styled

WAY_DOWN, WAY_UP, NOISE, NOISE_LINE = "#cfe3f5", "#d9efd2", "#f7e2c4", "#9a6412"


def count_by_part(network):
    """Returns the parameters, channels and residual blocks of each part of a U-Net.

    Returns:
        {("down" or "up", height) or "noise": [parameters, channels, blocks]}. The parameters add up
        to those of the whole network. Only blocks that the noise level scales are counted.
    """
    parts, side = {}, "down"
    for layer in network.layers:
        side = "up" if isinstance(layer, layers.UpSampling2D) else side
        _, height, _, channels = layer.output.shape
        part = parts.setdefault("noise" if height == 1 else (side, height), [0, channels, 0])
        part[0] += layer.count_params()
        part[1] = channels if layer.count_params() and height > 1 else part[1]
        part[2] += isinstance(layer, layers.Multiply)
    return parts


@styled
def draw_unet(network, before, after):
    """Draws a U-Net with the shape, blocks and parameters of each part.

    `before` and `after` are images in [0, 1].
    """
    parts = count_by_part(network)
    sizes = sorted({key[1] for key in parts if key != "noise"}, reverse=True)
    lowest = -1.35 * (len(sizes) - 1)
    figure, axis = new_figure(width=9.5, height=1.9 - lowest)
    axis.set(xlim=(-0.3, 10.3), ylim=(lowest - 1.1, 0.6))
    axis.axis("off")
    places = {
        ("down", size): (2.5 + 0.75 * level, -1.35 * level) for level, size in enumerate(sizes[:-1])
    }
    places |= {("up", size): (10 - x, y) for (_, size), (x, y) in places.items()} | {
        ("down", sizes[-1]): (5, lowest)
    }
    for part, place in places.items():
        parameters, channels, blocks = parts[part]
        channels = parts["down", part[1]][1]
        counted = f"{blocks} residual block{'s' * (blocks > 1)}\n{parameters:,} parameters"
        colour = WAY_DOWN if part[0] == "down" else WAY_UP
        _box(axis, place, f"{part[1]} × {part[1]} × {channels}", counted, colour)
    for upper, lower in zip(sizes, sizes[1:]):
        (left, y), (right, _) = places["down", upper], places["up", upper]
        below = 4.6 if lower == sizes[-1] else places["down", lower][0]
        _arrow(axis, (left, y - 0.38), (below, y - 0.97))
        _arrow(axis, (10 - below, y - 0.97), (right, y - 0.38))
        _arrow(axis, (left + 0.82, y), (right - 0.82, y), linestyle="--")
        axis.text(5, y + 0.08, "skips, concatenated", ha="center", fontsize=8)
        middle = (left + below) / 2 - 0.15
        axis.text(middle, y - 0.72, "convolution, stride 2", ha="right", fontsize=8)
        axis.text(10 - middle, y - 0.72, "repeat pixels", fontsize=8)
    axis.text(
        5, lowest - 0.57, "attention: every pixel looks at every other", ha="center", fontsize=8
    )
    _draw_noise_level(axis, places, lowest, parts["noise"][0])
    for image, x in ((before, 0.45), (after, 9.55)):
        axis.imshow(np.clip(image, 0, 1), extent=(x - 0.45, x + 0.45, -0.45, 0.45), aspect="auto")
        _arrow(axis, (0.95 if x < 5 else 8.32, 0), (1.68 if x < 5 else 9.05, 0))
    show_figure(figure)


def _draw_noise_level(axis, places, lowest, parameters):
    """Draws the noise level, and its way to every box: up on the left, and below to the right."""
    _box(axis, (0.7, lowest), "noise level → waves", f"{parameters:,} parameters", NOISE, width=1.9)
    line = partial(axis.plot, color=NOISE_LINE, linestyle=":")
    line((1.2, 1.2), (lowest + 0.38, -0.22))
    line((1.2, 1.2, 8.75, 8.75), (lowest - 0.38, lowest - 0.8, lowest - 0.8, -0.22))
    arrow = partial(_arrow, axis, color=NOISE_LINE, linestyle=":")
    for (side, _), (x, y) in places.items():
        y = y - 0.22 if y == 0 else y  # below the arrows of the images
        if y == lowest:
            arrow((1.67, y), (x - 0.83, y))
        elif side == "down":
            arrow((1.2, y), (x - 0.83, y))
        else:
            arrow((8.75, y), (x + 0.83, y))
    text = "the noise level: a scale and a shift in every residual block"
    axis.text(5, lowest - 1.03, text, ha="center", fontsize=8, color=NOISE_LINE)


def _arrow(axis, start, end, **style):
    plain = {"arrowstyle": "-|>", "color": "#444444", "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=plain | style)


def _box(axis, middle, title, text, colour, width=1.6):
    from matplotlib.patches import FancyBboxPatch

    x, y = middle
    axis.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.36), width, 0.72, "round,pad=0.02", fc=colour, ec="#888888"
        )
    )
    axis.text(x, y + 0.2, title, ha="center", va="center", fontsize=9)
    axis.text(x, y - 0.13, text, ha="center", va="center", fontsize=8)


@styled
def show_influence(named_shares, reach):
    """Shows maps of influence, {title: (S, S)}, on a logarithmic scale.

    A frame marks the area that a network with this `reach` would see.
    """
    from matplotlib.patches import Rectangle

    figure, axes = new_figure(
        len(named_shares), width=2.2 * len(named_shares), height=2.5, squeeze=False
    )
    for axis, (title, shares) in zip(axes[0], named_shares.items()):
        axis.imshow(np.log10(shares + 1e-9), vmin=-5, vmax=-1.2, cmap="magma")
        corner = len(shares) // 2 - reach - 0.5
        axis.add_patch(
            Rectangle(
                (corner, corner), 2 * reach + 1, 2 * reach + 1, fill=False, ec="white", ls="--"
            )
        )
        axis.set_title(title)
        bare(axis)
    show_figure(figure)


@styled
def embedding_map(embed, dims=32):
    """Shows heat maps of embed(noise_variances), on a linear and a logarithmic scale."""
    figure, axes = new_figure(2, width=9.5, height=3.0, sharey=True)
    scales = {"linear": np.linspace(0, 1, 900), "log": np.geomspace(1e-4, 1, 900)}
    for axis, (scale, variances) in zip(axes, scales.items()):
        values = ops.convert_to_numpy(
            embed(ops.convert_to_tensor(variances.reshape(-1, 1, 1, 1), "float32"))
        )
        axis.pcolormesh(
            variances,
            np.arange(dims),
            values[:, 0, 0].T,
            cmap="RdBu",
            vmin=-1,
            vmax=1,
            rasterized=True,
        )
        axis.set(xlabel="noise variance", xscale=scale)
        axis.axhline(dims / 2 - 0.5, color="black", linewidth=0.8)
    axes[0].set(ylabel="sines          cosines")
    show_figure(figure)


@styled
def show_attention(images, weights, places):
    """Shows images (B, S, S, 3), and below each where some pixels of the feature map attend.

    A picture is in full colour where the attention is, and dim elsewhere.

    Args:
        images: in [0, 1].
        weights: (B, H · W, H · W).
        places: the (row, column) of each of these pixels, which a cross marks.
    """
    size = int(weights.shape[1] ** 0.5)
    scale = images.shape[1] / size
    figure, axes = new_figure(
        len(images), 1 + len(places), width=1.45 * len(images), height=1.5, squeeze=False
    )
    for column, image in enumerate(np.clip(images, 0, 1)):
        axes[0, column].imshow(image)
        for row, (y, x) in enumerate(places, start=1):
            axes[row, column].imshow(lit(image, weights[column, y * size + x].reshape(size, size)))
            axes[row, column].plot(
                (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5, "x", color="cyan", mew=2
            )
    for axis in axes.flat:
        bare(axis)
    show_figure(figure)


def lit(image, weights, dim=0.4):
    """Returns an image (S, S, 3), lit up where the weights (s, s) are large, and dim elsewhere."""
    light = np.minimum(weights / np.quantile(weights, 0.95), 1)[..., None]
    light = ops.image.resize(light, image.shape[:2], interpolation="bilinear")
    return image * (dim + (1 - dim) * ops.convert_to_numpy(light))
