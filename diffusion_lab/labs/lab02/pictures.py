"""The pictures of lab 02: how the coordinates of points are distributed."""

import numpy as np

from diffusion_lab.labs.pictures import new_figure, show_figure
from diffusion_lab.plots import styled


@styled
def histograms(named_values, xlabel, range=(-4, 4)):
    """Shows histograms of several arrays, together with the standard normal distribution."""
    figure, axis = new_figure(width=7, height=2.6)
    for name, values in named_values.items():
        axis.hist(
            np.ravel(values),
            bins=80,
            range=range,
            density=True,
            histtype="step",
            linewidth=1.6,
            label=name,
        )
    x = np.linspace(*range, 200)
    axis.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), "k:", label="standard normal")
    axis.set(xlabel=xlabel, ylabel="density")
    axis.legend()
    show_figure(figure)
