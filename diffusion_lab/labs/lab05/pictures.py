"""The pictures of lab 05: the U-Net and its parts, its influence maps and its attention."""

from functools import partial

import numpy as np
from keras import layers, ops

from diffusion_lab.labs.pictures import bare, new_figure, show_figure
from diffusion_lab.plots import styled

WAY_DOWN, WAY_UP, NOISE = "#cfe3f5", "#d9efd2", "#f7e2c4"


def count_by_part(network):
    """Returns the parameters and channels of each part of a U-Net.

    Returns:
        {("down" or "up", height) or "noise": [parameters, channels]}. The parameters add up to
        those of the whole network.
    """
    parts, side = {}, "down"
    for layer in network.layers:
        side = "up" if isinstance(layer, layers.UpSampling2D) else side
        _, height, _, channels = layer.output.shape
        part = parts.setdefault("noise" if height == 1 else (side, height), [0, channels])
        part[0] += layer.count_params()
        part[1] = channels if layer.count_params() and height > 1 else part[1]
    return parts


def draw_unet(network, before, after):
    """Draws a U-Net with the shape and the parameters of each part.

    `before` and `after` are images in [0, 1].
    """
    parts = count_by_part(network)
    sizes = sorted({key[1] for key in parts if key != "noise"}, reverse=True)
    lowest = -1.35 * (len(sizes) - 1)
    figure, axis = new_figure(width=9.5, height=1.55 - lowest)
    axis.set(xlim=(-0.3, 10.3), ylim=(lowest - 0.75, 0.6))
    axis.axis("off")
    places = {
        ("down", size): (2.5 + 0.75 * level, -1.35 * level) for level, size in enumerate(sizes[:-1])
    }
    places |= {("up", size): (10 - x, y) for (_, size), (x, y) in places.items()} | {
        ("down", sizes[-1]): (5, lowest)
    }
    for (side, size), place in places.items():
        text = f"{size} × {size} × {parts['down', size][1]}"
        _box(axis, place, text, parts[side, size][0], WAY_DOWN if side == "down" else WAY_UP)
    for upper, lower in zip(sizes, sizes[1:]):
        (left, y), (right, _) = places["down", upper], places["up", upper]
        below = 4.6 if lower == sizes[-1] else places["down", lower][0]
        _arrow(axis, (left, y - 0.38), (below, y - 0.97))
        _arrow(axis, (10 - below, y - 0.97), (right, y - 0.38))
        _arrow(axis, (left + 0.82, y), (right - 0.82, y), linestyle="--")
        axis.text(5, y + 0.08, "skips, concatenated", ha="center", fontsize=8)
        middle = (left + below) / 2 - 0.15
        axis.text(middle, y - 0.72, "mean of 2 × 2", ha="right", fontsize=8)
        axis.text(10 - middle, y - 0.72, "repeat pixels", fontsize=8)
    axis.text(
        5, lowest - 0.57, "attention: every pixel looks at every other", ha="center", fontsize=8
    )
    _box(axis, (1.0, lowest), "noise level → waves", parts["noise"][0], NOISE, width=2.3)
    axis.text(
        1.0, lowest - 0.57, "scale and shift in every residual block", ha="center", fontsize=8
    )
    noise_arrow = partial(_arrow, axis, color="#c98a2b", linestyle=":")
    for upper in sizes[:-1]:  # arrows to the way up would cover the rest
        x, y = places["down", upper]
        noise_arrow((1.0, lowest + 0.38), (x - 0.83, y - 0.2))
    noise_arrow((2.17, lowest), (4.17, lowest))
    for image, x in ((before, 0.45), (after, 9.55)):
        axis.imshow(np.clip(image, 0, 1), extent=(x - 0.45, x + 0.45, -0.45, 0.45), aspect="auto")
        _arrow(axis, (0.95 if x < 5 else 8.32, 0), (1.68 if x < 5 else 9.05, 0))
    show_figure(figure)


def _arrow(axis, start, end, **style):
    plain = {"arrowstyle": "-|>", "color": "#444444", "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=plain | style)


def _box(axis, middle, shape, parameters, colour, width=1.6):
    from matplotlib.patches import FancyBboxPatch

    x, y = middle
    axis.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.36), width, 0.72, "round,pad=0.02", fc=colour, ec="#888888"
        )
    )
    axis.text(x, y + 0.1, shape, ha="center", va="center", fontsize=9)
    axis.text(x, y - 0.18, f"{parameters:,} parameters", ha="center", va="center", fontsize=7.5)


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
