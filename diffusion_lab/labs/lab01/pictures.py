"""The pictures of lab 01: energy landscapes, and what moves in them."""

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.backend import input_gradient
from diffusion_lab.labs.pictures import bare, new_figure, show_figure
from diffusion_lab.plots import VERMILLION, styled


@styled
def boltzmann(x, energies, temperatures):
    """Shows an energy over x (N,), and its Boltzmann distributions at several temperatures."""
    figure, (left, right) = new_figure(2, width=9, height=2.7)
    left.plot(x, energies, color=VERMILLION)
    left.set(xlabel="x", ylabel="energy E(x)", ylim=(-2, 12), title="the landscape")
    for temperature in temperatures:
        weights = np.exp(-energies / temperature)
        right.plot(
            x, weights / np.sum(weights * (x[1] - x[0])), label=f"temperature {temperature:g}"
        )
    right.set(xlabel="x", ylabel="probability density p(x)", title="what is likely")
    right.legend()
    show_figure(figure)


@styled
def chains_on(energy, snapshots):
    """Shows the points of chains on a map of an energy.

    `snapshots` maps each title to points (N, 1, 1, 2).
    """
    x, y = np.meshgrid(
        np.linspace(-2, 2, 80, dtype="float32"), np.linspace(-2, 2, 80, dtype="float32")
    )
    heights = ops.convert_to_numpy(energy(np.stack([x, y], -1).reshape(-1, 1, 1, 2))).reshape(
        x.shape
    )
    figure, axes = new_figure(len(snapshots), width=2.3 * len(snapshots), height=2.5, squeeze=False)
    for axis, (title, points) in zip(axes[0], snapshots.items()):
        axis.contourf(
            x, y, heights, levels=np.linspace(heights.min(), 8, 14), cmap="viridis_r", extend="max"
        )
        axis.scatter(
            *np.reshape(points, (-1, 2)).T, s=4, color="white", edgecolor="black", linewidth=0.2
        )
        axis.set_title(title)
        bare(axis, reach=2)
    show_figure(figure)


@styled
def slopes_of_activations(names=("relu", "swish"), seed=4):
    """Shows the energy of a small random network for each activation, and the energy's slope."""
    figure, axes = new_figure(2, width=9, height=2.6)
    x = np.linspace(-3, 3, 600, dtype="float32")[:, None]
    for name in names:
        initializers = {
            "kernel_initializer": keras.initializers.RandomNormal(stddev=0.7, seed=seed),
            "bias_initializer": keras.initializers.RandomNormal(stddev=0.7, seed=seed + 1),
        }
        network = keras.Sequential(
            [
                keras.Input((1,)),
                layers.Dense(16, activation=name, **initializers),
                layers.Dense(16, activation=name, **initializers),
                layers.Dense(1, **initializers),
            ]
        )
        axes[0].plot(x, ops.convert_to_numpy(network(x)), label=name)
        axes[1].plot(
            x, ops.convert_to_numpy(input_gradient(network, ops.convert_to_tensor(x))), label=name
        )
    axes[0].set(xlabel="x", ylabel="energy", title="the energies: one is smooth, one has kinks")
    axes[1].set(xlabel="x", ylabel="slope", title="their slopes: one is smooth, one jumps")
    axes[1].legend()
    show_figure(figure)


@styled
def energy_histogram(named_energies):
    """Shows histograms of energies; `named_energies` maps the kinds of images to theirs."""
    figure, axis = new_figure(width=7, height=2.4)
    everything = np.concatenate([np.ravel(energies) for energies in named_energies.values()])
    for name, energies in named_energies.items():
        axis.hist(
            np.ravel(energies),
            bins=40,
            range=(everything.min(), everything.max()),
            alpha=0.6,
            label=name,
        )
    axis.set(xlabel="energy (low is likely)", ylabel="images")
    axis.legend()
    show_figure(figure)
