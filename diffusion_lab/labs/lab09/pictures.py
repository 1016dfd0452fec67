"""The pictures of lab 09."""

import numpy as np

from diffusion_lab.labs.pictures import bare, new_figure, show_figure
from diffusion_lab.plots import BLUE, GREY, VERMILLION, styled


@styled
def paths(named_paths, data):
    """Shows trajectories of points.

    `named_paths` maps a title to positions (steps, N, 1, 1, 2), from noise to data.
    """
    figure, axes = new_figure(
        len(named_paths), width=4.2 * len(named_paths), height=3.8, squeeze=False
    )
    named_paths = {
        title: np.asarray(positions).reshape(len(positions), -1, 2)
        for title, positions in named_paths.items()
    }
    reach = max(3, *(1.05 * np.abs(positions).max() for positions in named_paths.values()))
    for axis, (title, positions) in zip(axes[0], named_paths.items()):
        axis.scatter(*np.reshape(data, (-1, 2)).T, s=2, alpha=0.35, color=GREY)
        axis.plot(
            *np.moveaxis(positions, 2, 0), color=BLUE, linestyle="-", linewidth=0.7, alpha=0.5
        )
        axis.scatter(
            *positions[0].T, s=12, color="white", edgecolor="black", zorder=3, label="noise"
        )
        axis.scatter(*positions[-1].T, s=8, color=VERMILLION, zorder=3, label="sample")
        axis.set_title(title)
        bare(axis, reach)
    axes[0][0].legend(loc="upper left")
    show_figure(figure)
