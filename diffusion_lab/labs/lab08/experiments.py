"""What lab 08 measures: noises and their flowers, weights and their average, and near neighbours."""

from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab.predictions import velocity
from diffusion_lab.samplers import ddim

NETWORKS = {"raw weights": True, "their average (EMA)": False}  # which network answers: `training` of `model.denoise`


def spread(noises):
    """The standard deviation of each noise: (N, H, W, C) gives (N,), NumPy."""
    return np.std(ops.convert_to_numpy(noises), axis=(1, 2, 3))


def rms(differences):
    """The root of the mean square of an array or a tensor, as a float."""
    return float(np.sqrt(np.mean(np.square(ops.convert_to_numpy(differences)))))


def correlations(noises, others):
    """How alike two sets of noises are, pair by pair, in [-1, 1]: (N,)."""
    pairs = zip(ops.convert_to_numpy(noises), ops.convert_to_numpy(others))
    return np.array([np.corrcoef(noise.ravel(), other.ravel())[0, 1] for noise, other in pairs])


class Snapshots(keras.callbacks.Callback):
    """Looks at a model after each epoch, at its raw weights and at their average, from the same noise.

    Args:
        noise: (N, H, W, C), from which images are drawn.
        unseen: (M, H, W, C) in [0, 1], on which the error is measured.
        diffusion_steps: for the images.
        first: the epoch after which it begins to look, from 0.

    Afterwards `epochs` holds the numbers of the epochs, `errors[name]` a float and `images[name]` an array in [0, 1]
    for each of them, where `name` is a key of `NETWORKS`.
    """

    def __init__(self, noise, unseen, diffusion_steps, first=0):
        super().__init__()
        self.noise, self.unseen, self.diffusion_steps, self.first = noise, unseen, diffusion_steps, first
        self.epochs, self.errors, self.images = [], {name: [] for name in NETWORKS}, {name: [] for name in NETWORKS}

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.first:
            return
        self.epochs.append(epoch + 1)
        for name, training in NETWORKS.items():
            self.errors[name].append(velocity_error(self.model, self.unseen, training))
            self.images[name].append(draw(self.model, self.noise, self.diffusion_steps, training))

    def changes(self, name):
        """How much the images change from one look to the next (root mean square): a list of floats."""
        return [rms(after - before) for before, after in zip(self.images[name], self.images[name][1:])]


def draw(model, noise, diffusion_steps, training=False):
    """Images in [0, 1], NumPy, by DDIM with the averaged network, or with the raw one (`training`)."""
    denoise = partial(model.denoise, training=training)
    return ops.convert_to_numpy(model.denormalize(ddim(denoise, model.diffusion_schedule, noise, diffusion_steps)))


def velocity_error(model, images, training=False, seed=0):
    """The loss on images (N, H, W, C) in [0, 1], with fixed noise and evenly spread times: it scatters little."""
    images = model.normalizer(ops.convert_to_tensor(images))
    noises = keras.random.normal(images.shape, seed=seed)
    rates = model.diffusion_schedule(ops.reshape(ops.linspace(0.0, 1.0, images.shape[0]), (-1, 1, 1, 1)))
    components = model.denoise(rates[1] * images + rates[0] * noises, *rates, training=training)
    return rms(velocity(*components, *rates) - velocity(noises, images, *rates)) ** 2


def softened(images):
    """Images (N, H, W, C) in [0, 1], each pixel averaged with its neighbours by the weights 1, 6, 1 along both axes."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:, :-2] + 6 * padded[:, 1:-1] + padded[:, 2:]) / 8
    return (rows[:, :, :-2] + 6 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 8
