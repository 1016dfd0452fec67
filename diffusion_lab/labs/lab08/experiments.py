"""The experiments of lab 08: images from noise, EMA weights, and blurred images."""

from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab.predictions import velocity
from diffusion_lab.samplers import ddim

# {name: `training` of `model.denoise`, which chooses the network}
RAW_AND_EMA = {"raw weights": True, "EMA weights": False}


def spread(noises):
    """Returns the standard deviation of each noise array: (N, H, W, C) gives (N,), NumPy."""
    return np.std(ops.convert_to_numpy(noises), axis=(1, 2, 3))


def rms(differences):
    """Returns the RMS (root mean square) of an array or a tensor, as a float."""
    return float(np.sqrt(np.mean(np.square(ops.convert_to_numpy(differences)))))


def correlations(noises, others):
    """Returns the correlation of two sets of noise, pair by pair, in [-1, 1]: (N,)."""
    pairs = zip(ops.convert_to_numpy(noises), ops.convert_to_numpy(others))
    return np.array([np.corrcoef(noise.ravel(), other.ravel())[0, 1] for noise, other in pairs])


class Snapshots(keras.callbacks.Callback):
    """Measures a model after each epoch, with its raw and its EMA weights, from the same noise.

    Afterwards `epochs` holds the numbers of the measured epochs. `errors[name]` holds a float and
    `images[name]` an array in [0, 1] for each of them, where `name` is a key of `RAW_AND_EMA`.

    Args:
        noise: (N, H, W, C), from which images are generated.
        unseen: (M, H, W, C) in [0, 1], on which the error is measured.
        diffusion_steps: for the images.
        first: the first epoch to measure, counted from 0.
    """

    def __init__(self, noise, unseen, diffusion_steps, first=0):
        super().__init__()
        self.noise, self.unseen = noise, unseen
        self.diffusion_steps, self.first, self.epochs = diffusion_steps, first, []
        self.errors, self.images = ({name: [] for name in RAW_AND_EMA} for _ in range(2))

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.first:
            return
        self.epochs.append(epoch + 1)
        for name, training in RAW_AND_EMA.items():
            self.errors[name].append(velocity_error(self.model, self.unseen, training))
            self.images[name].append(
                generate_from(self.model, self.noise, self.diffusion_steps, training)
            )

    def changes(self, name):
        """Returns the RMS change of the images from each epoch to the next, as a list."""
        return [
            rms(after - before) for before, after in zip(self.images[name], self.images[name][1:])
        ]


def generate_from(model, noise, diffusion_steps, training=False):
    """Returns images in [0, 1], NumPy, that DDIM makes from `noise`.

    It uses the EMA weights, or with `training` the raw ones.
    """
    denoise = partial(model.denoise, training=training)
    return ops.convert_to_numpy(
        model.denormalize(ddim(denoise, model.diffusion_schedule, noise, diffusion_steps))
    )


def velocity_error(model, images, training=False, seed=0):
    """Returns the mean squared error of the velocity for images (N, H, W, C) in [0, 1].

    The noise is fixed and the times are evenly spaced, so that two epochs can be compared.
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
