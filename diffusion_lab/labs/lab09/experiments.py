"""The experiments of lab 09: KID, the errors of predicted images, and a network for points."""

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.ideal_denoisers import dataset_denoiser
from diffusion_lab.metrics import encode, flower_features, kernel_inception_distance
from diffusion_lab.models.generating import generate_in_batches


def petals(count=8, radius=1.3):
    """Returns the centres of a ring of `count` Gaussian blobs, as images (count, 1, 1, 2)."""
    angles = 2 * np.pi * np.arange(count) / count
    points = radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return points.reshape(count, 1, 1, 2).astype("float32")


class FlowerKID:
    """KID of a model's samples against `images` (N, 32, 32, 3), uint8.

    The features of `images` are computed once.
    """

    def __init__(self, images):
        self.extractor, self.count = flower_features(), len(images)
        self.real_features = encode(self.extractor, images)

    def __call__(self, model, steps, **arguments):
        """Returns the KID; `arguments`, such as sampler or guidance, go to `model.generate`."""
        images = generate_in_batches(model, self.count, steps, seed=1, **arguments)
        return float(kernel_inception_distance(self.real_features, encode(self.extractor, images)))

    def variety(self, images):
        """Returns the standard deviation of images' features, averaged over the features.

        `images` are (N, 32, 32, 3) in [0, 1].
        """
        return float(np.mean(np.std(encode(self.extractor, ops.convert_to_numpy(images)), axis=0)))


def image_errors(model, images, diffusion_times, seed=0):
    """Returns the RMS error of the predicted images at each time, as a list of floats.

    `images` are (B, H, W, C) in [0, 1].
    """
    images = model.normalizer(ops.convert_to_tensor(images))
    noises = keras.random.normal(images.shape, seed=seed)
    errors = []
    for time in diffusion_times:
        rates = model.diffusion_schedule(ops.full((images.shape[0], 1, 1, 1), time))
        noisy_images = rates[1] * images + rates[0] * noises
        _, pred_images = model.denoise(noisy_images, *rates, training=False)
        errors.append(float(ops.sqrt(ops.mean(ops.square(pred_images - images)))))
    return errors


def trajectory(sampler, denoise, schedule, initial_noise, steps):
    """Returns all positions of a sampler, from noise to images: (steps + 1, B, H, W, C)."""
    positions = []
    images = sampler(
        denoise,
        schedule,
        initial_noise,
        steps,
        seed=0,
        on_step=lambda step, time, noisy_images, pred_images: positions.append(noisy_images),
    )
    return ops.stack([*positions, images])


def smallest_flow_matching_loss(points, count, seed=0):
    """Returns the loss of flow matching for the ideal network, estimated from `count` samples.

    The ideal network predicts the mean of noise - image, given the noisy image. What remains is the
    variance around this mean, which no network can predict.

    Args:
        points: all training data, (N, 1, 1, 2).
        count: of the samples.
        seed: of the samples.
    """
    rng = np.random.default_rng(seed)
    images = points[rng.integers(0, len(points), count)]
    noises = rng.normal(size=images.shape).astype("float32")
    times = rng.uniform(size=(count, 1, 1, 1)).astype("float32")
    length = np.sqrt(times**2 + (1 - times) ** 2)  # makes the squares of the rates sum to 1
    noise_rates, signal_rates = times / length, (1 - times) / length
    pred_noises, pred_images = dataset_denoiser(points)(
        ops.convert_to_tensor(signal_rates * images + noise_rates * noises),
        noise_rates,
        signal_rates,
    )
    errors = ops.convert_to_numpy(pred_noises - pred_images) - (noises - images)
    return float(np.mean(errors**2))


def velocity_network(width=128, depth=3):
    """Builds a small network for points.

    It is called as network([points (B, 1, 1, 2), times (B, 1, 1, 1)]).
    """
    points, times = keras.Input((1, 1, 2)), keras.Input((1, 1, 1))
    both = layers.Concatenate()([points, times])
    # as in a sinusoidal embedding, waves let the network resolve fine detail
    waves = [wave(frequency * both) for frequency in (1, 2, 4) for wave in (ops.sin, ops.cos)]
    x = layers.Concatenate()([both, *waves])
    for _ in range(depth):
        x = layers.Dense(width, activation="swish")(x)
    return keras.Model([points, times], layers.Dense(2)(x))
