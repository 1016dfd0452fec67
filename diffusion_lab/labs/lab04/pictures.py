"""The pictures of lab 04: a network that sees too little."""

import numpy as np

from diffusion_lab.labs.pictures import bare, new_figure, show_figure
from diffusion_lab.plots import styled


@styled
def influence_maps(maps, darkest=1e-5):
    """Shows maps of influence, {title: (H, W)}, bright where a pixel matters.

    A frame marks the area that the network sees.
    """
    figure, axes = new_figure(len(maps), width=3.2 * len(maps), height=3.1, squeeze=False)
    for axis, (title, values) in zip(axes.flat, maps.items()):
        shown = np.log10(np.maximum(values / values.max(), darkest))
        picture = axis.imshow(shown, cmap="magma", vmin=np.log10(darkest), vmax=0)
        seen = np.argwhere(values > 0)
        (top, left), (bottom, right) = seen.min(axis=0) - 0.5, seen.max(axis=0) + 0.5
        axis.plot(
            [left, right, right, left, left],
            [top, top, bottom, bottom, top],
            color="white",
            linestyle="--",
        )
        axis.set_title(title)
        bare(axis)
    bar = figure.colorbar(picture, ax=axes, shrink=0.85, ticks=[0, -2, -4])
    bar.ax.set_yticklabels(["1", "1/100", "1/10,000"])
    show_figure(figure)
