"""Networks and measurements of lab 05: towers of blocks, what a pixel sees, and short trainings."""

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.backend import has_accelerator
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.networks.blocks import (
    GroupNormalization,
    NoiseEmbedding,
    PixelAttention,
    output_convolution,
)
from diffusion_lab.predictions import velocity


def far_share(shares, reach):
    """Returns the share of an influence map (S, S) that is outside the square around the middle.

    The square reaches `reach` pixels to each side.
    """
    middle = len(shares) // 2
    return (
        1 - shares[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1].sum()
    )


def rewired(network, kind, change):
    """Returns a network with the same weights, in which all layers of class `kind` are replaced.

    `change(layer, *inputs)` computes the output of such a layer.
    """

    def call(layer, *inputs, **keywords):
        return change(layer, *inputs) if isinstance(layer, kind) else layer(*inputs, **keywords)

    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


def attention_weights(network, noisy_images, noise_variances):
    """Returns softmax(q kᵀ / √C) of a network's attention: (B, H · W, H · W).

    Entry (i, j) says how much pixel i attends to pixel j.
    """
    attention = next(layer for layer in network.layers if isinstance(layer, PixelAttention))
    query, key, _ = keras.Model(network.inputs, attention.input)([noisy_images, noise_variances])
    channels = query.shape[-1]
    query, key = (ops.reshape(x, (x.shape[0], -1, channels)) for x in (query, key))
    return ops.convert_to_numpy(
        ops.softmax(ops.matmul(query, ops.transpose(key, (0, 2, 1))) / channels**0.5)
    )


def channel_scales(network, block, noise_variances):
    """Returns 1 + scale in one block of a U-Net, for noise variances (N, 1, 1, 1): (N, channels).

    `block` counts the blocks in the order of the network, from 0.
    """
    products = [layer for layer in network.layers if isinstance(layer, layers.Multiply)]
    scales = keras.Model(network.inputs[1], products[block].input[1])
    return 1 + ops.convert_to_numpy(scales(noise_variances))[:, 0, 0]


def waves(noise_variances):
    """Returns 32 waves of the noise variances (B, 1, 1, 1): (B, 1, 1, 32)."""
    return NoiseEmbedding(32)(noise_variances)


def tower(block, blocks, width=16, image_size=16, embed=waves):
    """Returns a network that predicts noise, with `blocks` blocks `block(x, width)` in a row.

    Its first layer receives the noisy images and `embed(noise_variances)`.
    """
    noisy_images = keras.Input((image_size, image_size, 3))
    noise_variances = keras.Input((1, 1, 1))
    level = layers.UpSampling2D(image_size)(embed(noise_variances))
    x = layers.Conv2D(width, 1)(layers.Concatenate()([noisy_images, level]))
    for _ in range(blocks):
        x = block(x, width)
    return keras.Model([noisy_images, noise_variances], output_convolution(3)(x))


def gain_errors(embed, lowest, epochs, count=1024):
    """Trains a small dense network to say how much of a fine line the best denoiser keeps.

    Args:
        embed: what the network receives, a function of the noise variances (N, 1, 1, 1).
        lowest: the lowest of these variances; they are evenly spaced on a logarithmic scale.
        epochs: the number of epochs.
        count: the number of variances, N.

    Returns:
        The RMS error of each epoch, as an array.
    """
    variances = np.random.default_rng(0).permutation(np.geomspace(lowest, 0.99, count))
    gains = 0.1**2 * (1 - variances) / (0.1**2 * (1 - variances) + variances)
    received = embed(ops.convert_to_tensor(variances.reshape(-1, 1, 1, 1), "float32"))
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            layers.Dense(32, activation="swish"),
            layers.Dense(32, activation="swish"),
            layers.Dense(1),
        ]
    )
    network.compile(keras.optimizers.Adam(5e-3), "mse", jit_compile=False)
    received = ops.convert_to_numpy(received).reshape(count, -1)
    return np.sqrt(network.fit(received, gains, epochs=epochs, verbose=0).history["loss"])


def noise_losses(network, images, epochs, seed=0):
    """Trains a network to predict the noise in `images`; returns the loss of each epoch.

    The images are normalised, the times random.
    """
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0.1, 1.5, (len(images), 1, 1, 1)).astype("float32")
    noises = rng.normal(size=images.shape).astype("float32")
    noisy_images = np.cos(angles) * images + np.sin(angles) * noises
    few = epochs * len(images) <= 64  # building a graph would take longer than training
    network.compile(
        keras.optimizers.Adam(2e-3),
        "mse",
        jit_compile=has_accelerator() and not few,
        run_eagerly=few,
    )
    return network.fit(
        [noisy_images, np.sin(angles) ** 2], noises, epochs=epochs, verbose=0
    ).history["loss"]


def with_group_norm(network, groups=8):
    """Returns a new network, with GroupNormalization in the place of each BatchNormalization."""

    def exchanged(layer):
        if isinstance(layer, layers.BatchNormalization):
            return GroupNormalization(groups)
        return type(layer).from_config(layer.get_config())

    def call(layer, *inputs, **keywords):  # group normalisation knows neither training nor mask
        return (
            layer(*inputs) if isinstance(layer, GroupNormalization) else layer(*inputs, **keywords)
        )

    return keras.models.clone_model(network, clone_function=exchanged, call_function=call)


def trained_once(network, dataset, seed=0):
    """Returns a `DiffusionModel` of the network, trained with each image of the dataset once.

    It predicts the velocity. Its EMA weights sample.
    """
    model = DiffusionModel(network, seed=seed)
    model.adapt(dataset.images[:1024])
    falling = keras.optimizers.schedules.CosineDecay(2e-3, len(dataset))
    model.compile(keras.optimizers.Adam(falling), "mse", jit_compile=has_accelerator())
    model.fit(dataset, shuffle=False, verbose=0)
    return model


def velocity_errors(model, images, diffusion_times, seed=0):
    """Returns the mean squared error of the velocity at each diffusion time, as a list.

    Args:
        model: a `DiffusionModel`; its EMA network is measured.
        images: (B, H, W, C), in [0, 1].
        diffusion_times: numbers in [0, 1].
        seed: of the noise, which is the same at each time.
    """
    images = model.normalizer(ops.convert_to_tensor(images, "float32"))
    noises, errors = keras.random.normal(images.shape, seed=seed), []
    for time in diffusion_times:
        rates = model.diffusion_schedule(ops.full((len(images), 1, 1, 1), time))
        predicted = model.denoise(rates[1] * images + rates[0] * noises, *rates, training=False)
        difference = velocity(noises, images, *rates) - velocity(*predicted, *rates)
        errors.append(float(ops.mean(ops.square(difference))))
    return errors
