"""The pictures of lab 03: how fast the image vanishes, and what can still be known."""

from itertools import cycle

import numpy as np
from matplotlib import colormaps

from diffusion_lab.labs.lab03.experiments import share_known
from diffusion_lab.labs.pictures import bare, demand_pictures, new_figure, show_figure
from diffusion_lab.labs.rates import log_snrs, rates_at
from diffusion_lab.plots import MARKERS, styled

HOPELESS, TRIVIAL = "0.6", "#f2d06b"  # colours


@styled
def beta_area(beta_start, beta_end, timesteps, diffusion_time):
    """Shows β over time, and the area under it up to `diffusion_time`."""
    figure, axis = new_figure(width=6, height=2.4)
    line = lambda times: timesteps * (beta_start + (beta_end - beta_start) * times)
    gathered = np.array([0, diffusion_time])
    axis.plot([0, 1], line(np.array([0, 1])))
    axis.fill_between(gathered, line(gathered), alpha=0.3, label=f"until t = {diffusion_time:g}")
    axis.set(xlabel="diffusion time t", ylabel=f"β(t) × {timesteps:,}", xlim=(0, 1), ylim=0)
    axis.legend(loc="upper left")
    show_figure(figure)


@styled
def cloud_rows(rows, points, titles=()):
    """Shows rows of noisy points, each in the colour of the clean point that it came from.

    Args:
        rows: {label: a list of arrays (N, 1, 1, 2)}.
        points: the clean points, (N, 1, 1, 2).
        titles: one above each column.
    """
    x, y = points.reshape(-1, 2).T
    colours = colormaps["hsv"](np.arctan2(y, x) / (2 * np.pi) % 1)
    columns = max((len(clouds) for clouds in rows.values()), default=0)
    demand_pictures(columns)
    height = 8.6 / columns + 0.5 / len(
        rows
    )  # of a row of square boxes, with its share of the titles
    figure, axes = new_figure(columns, len(rows), width=9.5, height=height, squeeze=False)
    for line, (label, clouds) in zip(axes, rows.items()):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for axis, noisy in zip(line, clouds):
            axis.scatter(*noisy.reshape(-1, 2).T, c=colours, s=2, alpha=0.5, linewidths=0)
            bare(axis, reach=3.5)
    for axis, title in zip(axes[0], titles):
        axis.set_title(title)
    show_figure(figure)


@styled
def signal_dots(dots, schedule):
    """Shows signal rates of a batch as dots over their times, and those of a schedule as a line.

    Later images of the batch have darker dots; a large batch gets only about 60 dots. `dots` maps a
    title to (times, rates), both (T,).
    """
    figure, axes = new_figure(len(dots), height=2.9, sharey=True, squeeze=False)
    times = np.linspace(0, 1, 200)
    for axis, (title, (x, rates)) in zip(axes.flat, dots.items()):
        axis.plot(times, rates_at(schedule, times)[1], label="your function")
        some = slice(None, None, max(1, len(x) // 60))
        place = axis.scatter(
            x[some],
            rates[some],
            c=np.linspace(0, 1, len(x))[some],
            cmap="YlOrRd",
            s=16,
            edgecolors="0.4",
            linewidths=0.4,
            zorder=3,
        )
        axis.set(xlabel="diffusion time", title=title, ylim=(-0.03, 1.03))
        axis.grid()
    axes[0, 0].set_ylabel("signal rate")
    axes[0, 0].legend(loc="lower left")
    figure.colorbar(place, ax=axes[0, -1], label="place in the batch", ticks=[]).ax.set(
        title="last", xlabel="first"
    )
    show_figure(figure)


@styled
def rate_curves(schedules):
    """Shows signal and noise rates over time; `schedules` maps a name to a schedule."""
    figure, axes = new_figure(2, height=2.9, sharey=True)
    times = np.linspace(0, 1, 301)
    for name, schedule in schedules.items():
        for axis, rates in zip(axes[::-1], rates_at(schedule, times)):
            axis.plot(times, rates, label=name)
    for axis, title in zip(axes, ("signal rate", "noise rate")):
        axis.set(xlabel="diffusion time", title=title)
        axis.grid()
    axes[0].legend()
    show_figure(figure)


@styled
def quarter_circles(schedules, count=21):
    """Shows the path that all schedules take, with a dot at each of `count` evenly spaced times."""
    figure, axes = new_figure(len(schedules), height=3.1, sharey=True, squeeze=False)
    angles = np.linspace(0, np.pi / 2, 100)
    for number, (axis, (name, schedule)) in enumerate(zip(axes.flat, schedules.items())):
        noise_rates, signal_rates = rates_at(schedule, np.linspace(0, 1, count))
        axis.plot(np.cos(angles), np.sin(angles), color="0.8", linestyle="-", zorder=0)
        axis.scatter(
            signal_rates, noise_rates, s=26, color=f"C{number}", edgecolors="white", linewidths=0.6
        )
        axis.set(
            xlabel="signal rate", title=name, xlim=(-0.05, 1.08), ylim=(-0.05, 1.08), aspect="equal"
        )
        axis.annotate("clean", (1, 0), (0.78, 0.0), color="0.4")
        axis.annotate("noise", (0, 1), (0.0, 0.86), color="0.4")
    axes[0, 0].set_ylabel("noise rate")
    show_figure(figure)


@styled
def log_snr_curves(schedules, faint):
    """Shows log-SNR over time, and the zones where a rate is below `faint`."""
    figure, axis = new_figure(width=7.5, height=3.2)
    times = np.linspace(
        0.002, 0.998, 500
    )  # at both ends, the log-SNR of the cosine schedule is infinite
    for name, schedule in schedules.items():
        axis.plot(times, log_snrs(*rates_at(schedule, times)), label=name)
    edge = log_snrs(np.sqrt(1 - faint**2), faint)
    axis.axhspan(-edge, 12, color=TRIVIAL, alpha=0.3, label="trivial", linewidth=0)
    axis.axhspan(-12, edge, color=HOPELESS, alpha=0.3, label="hopeless", linewidth=0)
    axis.set(xlabel="diffusion time", ylabel="log-SNR", xlim=(0, 1), ylim=(-12, 12))
    axis.grid()
    axis.legend(loc="lower left", ncols=2)
    show_figure(figure)


@styled
def knowledge_curves(schedules, points, faint):
    """Shows `share_known` over time, and over log-SNR."""
    figure, axes = new_figure(2, height=3.0, sharey=True)
    times = np.linspace(0.01, 0.99, 41)
    for (name, schedule), marker in zip(schedules.items(), cycle(MARKERS)):
        shares = share_known(schedule, times, points)
        axes[0].plot(times, shares, label=name)
        axes[1].plot(log_snrs(*rates_at(schedule, times)), shares, marker, markersize=3)
    edge = log_snrs(np.sqrt(1 - faint**2), faint)
    axes[1].axvspan(-edge, 10, color=TRIVIAL, alpha=0.3, linewidth=0)
    axes[1].axvspan(-10, edge, color=HOPELESS, alpha=0.3, linewidth=0)
    axes[0].set(xlabel="diffusion time", ylabel="share of the flower\nthat can be known")
    axes[1].set(xlabel="log-SNR (← noise, clean →)", xlim=(-10, 10))
    for axis in axes:
        axis.grid()
    axes[0].legend()
    show_figure(figure)


def error_table(schedules, diffusion_times):
    """Prints how much an error in the predicted noise grows in the predicted image.

    The factor is noise rate / signal rate.
    """
    rows = {name: rates_at(schedule, diffusion_times) for name, schedule in schedules.items()}
    print(f"{'time':14}", *[f"{time:7}" for time in diffusion_times])
    for name, (noise_rates, signal_rates) in rows.items():
        ratios = noise_rates / np.maximum(np.abs(signal_rates), 1e-12)
        print(f"{name:14}", *[f"{ratio:6.0f}×" if ratio < 1e6 else "     ∞ " for ratio in ratios])
