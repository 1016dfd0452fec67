"""The pictures of lab 09."""

import numpy as np

from diffusion_lab.labs.pictures import new_figure, show_figure


def paths(named_paths, data):
    """Shows trajectories of points.

    `named_paths` maps a title to positions (steps, N, 1, 1, 2), from noise to data. All panels have
    the same limits, and no path leaves them.
    """
    reach = 1.05 * max(np.abs(np.asarray(places)).max() for places in (data, *named_paths.values()))
    figure, axes = new_figure(
        len(named_paths), width=4.2 * len(named_paths), height=3.8, squeeze=False
    )
    for axis, (title, positions) in zip(axes[0], named_paths.items()):
        positions = np.asarray(positions).reshape(len(positions), -1, 2)
        axis.scatter(*np.reshape(data, (-1, 2)).T, s=1, alpha=0.15, color="tab:orange")
        axis.plot(
            positions[:, :, 0], positions[:, :, 1], color="tab:blue", alpha=0.5, linewidth=0.7
        )
        axis.scatter(*positions[0].T, s=6, color="black", label="noise")
        axis.scatter(*positions[-1].T, s=6, color="tab:red", label="sample")
        limits = {"xlim": (-reach, reach), "ylim": (-reach, reach)}
        axis.set(**limits, xticks=[], yticks=[], aspect="equal", title=title)
    axes[0][0].legend(loc="upper left", fontsize=8)
    show_figure(figure)
