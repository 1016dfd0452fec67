"""The networks and measurements of lab 05: towers of blocks, and what a pixel sees."""

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.backend import has_accelerator, input_gradient
from diffusion_lab.networks.blocks import PixelAttention, continuous_inputs, output_convolution


def influence(network, noisy_images, noise_variances, channel=1):
    """Returns how much each input pixel matters to one channel of the output's middle pixel.

    The map (S, S) sums to 1.
    """
    middle = network.inputs[0].shape[1] // 2
    pixel = lambda images: network([images, noise_variances])[:, middle, middle, channel]
    gradient = input_gradient(pixel, noisy_images)
    total = np.abs(ops.convert_to_numpy(gradient)).sum((0, -1))
    return total / total.sum()


def far_share(shares, reach):
    """Returns the share of the influence (S, S) further than `reach` pixels from the middle."""
    middle = len(shares) // 2
    return (
        1 - shares[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1].sum()
    )


def rewired(network, kind, change):
    """Returns the network with the same weights, but with layers of class `kind` replaced.

    `change(layer, *inputs)` computes what the layer did.
    """

    def call(layer, *inputs, **keywords):
        return change(layer, *inputs) if isinstance(layer, kind) else layer(*inputs, **keywords)

    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


def attention_weights(network, noisy_images, noise_variances):
    """Returns softmax(q kᵀ / √C) of a network's attention, (B, H · W, H · W).

    It says how much pixel i attends to pixel j.
    """
    attention = next(layer for layer in network.layers if isinstance(layer, PixelAttention))
    query, key, _ = keras.Model(network.inputs, attention.input)([noisy_images, noise_variances])
    channels = query.shape[-1]
    query, key = (ops.reshape(x, (x.shape[0], -1, channels)) for x in (query, key))
    return ops.convert_to_numpy(
        ops.softmax(ops.matmul(query, ops.transpose(key, (0, 2, 1))) / channels**0.5)
    )


def tower(block, blocks, width=16, image_size=16):
    """Returns a network for noise that consists of `blocks` times `block(x, width)`."""
    noisy_images, noise_variances, embedding = continuous_inputs(image_size, 3, 32)
    x = layers.Conv2D(width, 1)(layers.Concatenate()([noisy_images, embedding]))
    for _ in range(blocks):
        x = block(x, width)
    return keras.Model([noisy_images, noise_variances], output_convolution(3)(x))


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
