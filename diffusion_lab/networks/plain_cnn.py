"""The plain stack of convolutions that a beginner would try first: the baseline to beat.

It has neither levels nor skip connections.
"""

import keras
from keras import layers

from diffusion_lab.networks.blocks import (
    check_image_size,
    check_widths,
    continuous_inputs,
    output_convolution,
)


def plain_cnn(image_size=32, channels=3, width=64, depth=10, embedding_dims=32):
    """Builds a CNN called as `network([noisy_images, noise_variances])`, returning (B, S, S, C).

    It has `depth` blocks of a convolution (3 × 3, `width` filters), BatchNorm and ReLU, and then a
    1 × 1 convolution. A pixel of the output depends on a square of (2 · depth + 1)² input pixels,
    and on nothing further away.
    """
    check_widths(depth * [width])
    check_image_size(image_size, halvings=0)
    noisy_images, noise_variances, embedding = continuous_inputs(
        image_size, channels, embedding_dims
    )
    x = layers.Concatenate()([noisy_images, embedding])
    for _ in range(depth):
        x = layers.Conv2D(width, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    return keras.Model(
        [noisy_images, noise_variances], output_convolution(channels)(x), name="plain_cnn"
    )
