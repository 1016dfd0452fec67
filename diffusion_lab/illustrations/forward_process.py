"""The pictures of lab 02: clouds of points that dissolve, and their spread."""

import numpy as np

from diffusion_lab.illustrations.core import new_figure, show_figure

DOTS = {"s": 2, "alpha": 0.35, "linewidths": 0}


def flower_points(count, seed=0):
    """`count` points on the outline of a five-petalled flower, as images (count, 1, 1, 2) of mean 0 and variance 1."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, count)
    radius = 1 + 0.45 * np.cos(5 * angle) + 0.03 * rng.normal(size=count)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    points = (points - points.mean(0)) / points.std(0)
    return points.reshape(count, 1, 1, 2).astype("float32")


def clouds(snapshots, columns=6):
    """Scatter plots of points (N, 1, 1, 2); `snapshots` maps each title to its points."""
    columns = min(columns, len(snapshots))
    figure, axes = new_figure(columns, -(-len(snapshots) // columns), width=1.5 * columns, height=1.7, squeeze=False)
    for axis, (title, points) in zip(axes.flat, snapshots.items()):
        axis.scatter(*np.reshape(points, (-1, 2)).T, **DOTS)
        axis.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), xticks=[], yticks=[], aspect="equal")
        axis.set_title(title, fontsize=9)
    show_figure(figure)


def curves(named_values, xlabel, ylabel, logarithmic=False):
    """One line for each name: `named_values` maps it to numbers, or to (x, y)."""
    figure, axis = new_figure(width=7, height=2.8)
    for name, values in named_values.items():
        axis.plot(*(values if isinstance(values, tuple) else (values,)), label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if logarithmic else "linear")
    axis.grid(alpha=0.3)
    axis.legend()
    show_figure(figure)


def histograms(named_values, xlabel, range=(-4, 4)):
    """The distributions of several arrays on top of each other, with the standard normal for comparison."""
    figure, axis = new_figure(width=7, height=2.6)
    for name, values in named_values.items():
        axis.hist(np.ravel(values), bins=80, range=range, density=True, histtype="step", linewidth=1.6, label=name)
    x = np.linspace(*range, 200)
    axis.plot(x, np.exp(-x**2 / 2) / np.sqrt(2 * np.pi), "k:", label="standard normal")
    axis.set(xlabel=xlabel, ylabel="density")
    axis.legend()
    show_figure(figure)
