"""The pictures and measurements of lab 09: solvers at equal cost, what networks predict, and straight paths."""

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.illustrations.core import new_figure, show_figure
from diffusion_lab.metrics import encode, flower_features, kernel_inception_distance
from diffusion_lab.training import generate_in_batches


def petals(count=8, radius=1.3):
    """The middles of a ring of `count` blobs, as images (count, 1, 1, 2): the means of a mixture of Gaussians."""
    angles = 2 * np.pi * np.arange(count) / count
    points = radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return points.reshape(count, 1, 1, 2).astype("float32")


def by_evaluations(named_points, ylabel, logarithmic=False):
    """`named_points` maps a sampler's name to [(network evaluations, value)]; one line for each."""
    figure, axis = new_figure(width=6.5, height=3.2)
    for name, points in named_points.items():
        axis.plot(*zip(*points), marker="o", markersize=4, label=name)
    axis.set(xlabel="network evaluations per image (NFE)", ylabel=ylabel, xscale="log")
    axis.set_yscale("log" if logarithmic else "linear")
    counts = sorted({nfe for points in named_points.values() for nfe, _ in points})
    ticks = [nfe for nfe, next_one in zip(counts, [*counts[1:], np.inf]) if nfe < 0.93 * next_one]  # else labels overlap
    axis.set_xticks(ticks, map(str, ticks), fontsize=8)
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend()
    show_figure(figure)


class FlowerKID:
    """KID of what samplers make of a model, against `images` (N, 32, 32, 3), uint8; their features are kept."""

    def __init__(self, images):
        self.extractor, self.count = flower_features(), len(images)
        self.real_features = encode(self.extractor, images)

    def __call__(self, model, steps, **arguments):
        """`arguments` go to `model.generate`: a sampler, a guidance."""
        images = generate_in_batches(model, self.count, steps, seed=1, **arguments)
        return float(kernel_inception_distance(self.real_features, encode(self.extractor, images)))

    def variety(self, images):
        """How much images (N, 32, 32, 3) in [0, 1] differ among themselves: the mean standard deviation of a feature."""
        return float(np.mean(np.std(encode(self.extractor, ops.convert_to_numpy(images)), axis=0)))


def image_errors(model, images, diffusion_times, seed=0):
    """How far the predicted images are from the true ones (root mean square) at each time, for images in [0, 1]."""
    images = model.normalizer(ops.convert_to_tensor(images))
    noises = keras.random.normal(images.shape, seed=seed)
    errors = []
    for time in diffusion_times:
        rates = model.diffusion_schedule(ops.full((images.shape[0], 1, 1, 1), time))
        noisy_images = rates[1] * images + rates[0] * noises
        _, pred_images = model.denoise(noisy_images, *rates, training=False)
        errors.append(float(ops.sqrt(ops.mean(ops.square(pred_images - images)))))
    return errors


def velocity_network(width=128, depth=3):
    """A small network for points: called as network([points (B, 1, 1, 2), times (B, 1, 1, 1)])."""
    points, times = keras.Input((1, 1, 2)), keras.Input((1, 1, 1))
    both = layers.Concatenate()([points, times])
    waves = [wave(frequency * both) for frequency in (1, 2, 4) for wave in (ops.sin, ops.cos)]  # for the fine detail
    x = layers.Concatenate()([both, *waves])
    for _ in range(depth):
        x = layers.Dense(width, activation="swish")(x)
    return keras.Model([points, times], layers.Dense(2)(x))


def paths(named_paths, data):
    """Trajectories of points: `named_paths` maps a title to positions (steps, N, 1, 1, 2), from noise to data."""
    figure, axes = new_figure(len(named_paths), width=4.2 * len(named_paths), height=3.8, squeeze=False)
    for axis, (title, positions) in zip(axes[0], named_paths.items()):
        positions = np.asarray(positions).reshape(len(positions), -1, 2)
        axis.scatter(*np.reshape(data, (-1, 2)).T, s=1, alpha=0.15, color="tab:orange")
        axis.plot(positions[:, :, 0], positions[:, :, 1], color="tab:blue", alpha=0.5, linewidth=0.7)
        axis.scatter(*positions[0].T, s=6, color="black", label="noise")
        axis.scatter(*positions[-1].T, s=6, color="tab:red", label="sample")
        axis.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal", title=title)
    axes[0][0].legend(loc="upper left", fontsize=8)
    show_figure(figure)
