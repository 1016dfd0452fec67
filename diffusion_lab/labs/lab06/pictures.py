"""The pictures of lab 06: the score as a field of arrows."""

import numpy as np

from diffusion_lab.labs.compose import picture_of
from diffusion_lab.labs.pictures import bare, new_figure, show_figure
from diffusion_lab.labs.widgets import Explorer, slider
from diffusion_lab.plots import VERMILLION, styled

REACH = 2.6  # of the axes, in standard deviations
LONGEST = 2.5


@styled
def score_fields(score, points, rates, arrows=17):
    """Shows noisy points and, at each place of a grid, an arrow in the direction of the score.

    The arrows are as long as the score times the noise rate, but at most `LONGEST`, because the
    score itself becomes very long where there is little noise.

    Args:
        score: score(noisy_points, noise_rates, signal_rates), in the shape of the points.
        points: clean points, (N, 1, 1, 2).
        rates: a list of (noise rate, signal rate), with a panel for each.
        arrows: in each row of the grid.
    """
    figure, axes = new_figure(len(rates), width=2.6 * len(rates), height=2.8, squeeze=False)
    for axis, (noise, signal) in zip(axes.flat, rates):
        _draw_field(axis, score, points, noise, signal, arrows)
        axis.set_title(f"noise rate {noise:.2f}")
    show_figure(figure)


def explore_score(score, points):
    """Returns an explorer of `score_fields`, whose slider is the time of the cosine schedule."""

    @styled
    def render(time):
        noise, signal = np.sin(time * np.pi / 2), np.cos(time * np.pi / 2)
        figure, axis = new_figure(width=4.2, height=4.2)
        _draw_field(axis, score, points, noise, signal)
        return picture_of(
            figure
        ), f"noise rate <b>{noise:.2f}</b> · signal rate <b>{signal:.2f}</b>"

    return Explorer(
        render,
        {"time": slider("diffusion time", 0.04, 1.0, 0.24, 0.04)},
        "Noisy points, and arrows in the direction in which they become more likely. Move the time "
        "from 1 to 0, and watch how the arrows find first the flower and then its lines.",
    )


def _draw_field(axis, score, points, noise, signal, arrows=17):
    line = np.linspace(-REACH, REACH, arrows, dtype="float32")
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 1, 1, 2)
    columns = (np.full((len(grid), 1, 1, 1), rate, "float32") for rate in (noise, signal))
    arrow = noise * np.asarray(score(grid, *columns))
    arrow /= np.maximum(1, np.linalg.norm(arrow, axis=-1, keepdims=True) / LONGEST)
    noisy_points = signal * points + noise * np.random.default_rng(0).normal(size=points.shape)
    axis.scatter(*noisy_points.reshape(-1, 2).T, s=4, color=VERMILLION, linewidths=0)
    axis.quiver(*grid.reshape(-1, 2).T, *arrow.reshape(-1, 2).T, angles="xy", scale=28, width=0.005)
    bare(axis, REACH)
