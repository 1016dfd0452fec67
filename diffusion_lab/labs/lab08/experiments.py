"""The measurements of lab 08: noise and its flowers, EMA weights, and near neighbours."""

from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab.predictions import velocity
from diffusion_lab.samplers import ddim

# {name: `training` of `model.denoise`, which chooses the network}
NETWORKS = {"raw weights": True, "their average (EMA)": False}


def spread(noises):
    """Returns the standard deviation of each noise: (N, H, W, C) gives (N,), NumPy."""
    return np.std(ops.convert_to_numpy(noises), axis=(1, 2, 3))


def rms(differences):
    """Returns the root mean square of an array or a tensor, as a float."""
    return float(np.sqrt(np.mean(np.square(ops.convert_to_numpy(differences)))))


def correlations(noises, others):
    """Returns the correlation of two sets of noise, pair by pair, in [-1, 1]: (N,)."""
    pairs = zip(ops.convert_to_numpy(noises), ops.convert_to_numpy(others))
    return np.array([np.corrcoef(noise.ravel(), other.ravel())[0, 1] for noise, other in pairs])


class Snapshots(keras.callbacks.Callback):
    """Measures a model after each epoch, with its raw and its EMA weights, from the same noise.

    Afterwards `epochs` holds the numbers of the epochs, `errors[name]` a float and `images[name]`
    an array in [0, 1] for each of them, where `name` is a key of `NETWORKS`.

    Args:
        noise: (N, H, W, C), from which images are generated.
        unseen: (M, H, W, C) in [0, 1], on which the error is measured.
        diffusion_steps: for the images.
        first: the first epoch to be measured, from 0.
    """

    def __init__(self, noise, unseen, diffusion_steps, first=0):
        super().__init__()
        self.noise, self.unseen, self.diffusion_steps, self.first = (
            noise,
            unseen,
            diffusion_steps,
            first,
        )
        self.epochs, self.errors, self.images = (
            [],
            {name: [] for name in NETWORKS},
            {name: [] for name in NETWORKS},
        )

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.first:
            return
        self.epochs.append(epoch + 1)
        for name, training in NETWORKS.items():
            self.errors[name].append(velocity_error(self.model, self.unseen, training))
            self.images[name].append(draw(self.model, self.noise, self.diffusion_steps, training))

    def changes(self, name):
        """Returns the root mean square change of the images from epoch to epoch, as a list."""
        return [
            rms(after - before) for before, after in zip(self.images[name], self.images[name][1:])
        ]


def draw(model, noise, diffusion_steps, training=False):
    """Returns images in [0, 1], NumPy, by DDIM with the EMA network, or the raw one.

    `training` chooses the raw one.
    """
    denoise = partial(model.denoise, training=training)
    return ops.convert_to_numpy(
        model.denormalize(ddim(denoise, model.diffusion_schedule, noise, diffusion_steps))
    )


def velocity_error(model, images, training=False, seed=0):
    """Returns the loss on images (N, H, W, C) in [0, 1].

    Fixed noise and evenly spaced times keep it from scattering.
    """
    images = model.normalizer(ops.convert_to_tensor(images))
    noises = keras.random.normal(images.shape, seed=seed)
    rates = model.diffusion_schedule(
        ops.reshape(ops.linspace(0.0, 1.0, images.shape[0]), (-1, 1, 1, 1))
    )
    components = model.denoise(rates[1] * images + rates[0] * noises, *rates, training=training)
    return rms(velocity(*components, *rates) - velocity(noises, images, *rates)) ** 2


def softened(images):
    """Returns images (N, H, W, C) in [0, 1], slightly blurred.

    Each pixel is averaged with its neighbours by the weights 1, 6, 1 along both axes.
    """
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:, :-2] + 6 * padded[:, 1:-1] + padded[:, 2:]) / 8
    return (rows[:, :, :-2] + 6 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 8
