"""The pictures of lab 08."""

import numpy as np

from diffusion_lab.labs.pictures import new_figure, show_figure
from diffusion_lab.plots import styled


@styled
def dots(named_values, xlabel):
    """Shows the values of each name as a row of dots, with a line at their median."""
    figure, axis = new_figure(width=7.5, height=0.6 + 0.45 * len(named_values))
    places, rng = np.arange(len(named_values), 0, -1), np.random.default_rng(0)
    for place, values in zip(places, named_values.values()):
        axis.scatter(
            values, place + rng.uniform(-0.25, 0.25, len(values)), s=9, alpha=0.5, linewidths=0
        )
        axis.vlines(np.median(values), place - 0.38, place + 0.38, color="black")
    axis.set_yticks(places, named_values)
    axis.set(xlabel=xlabel, xlim=(0, None))
    axis.grid(axis="x")
    show_figure(figure)
