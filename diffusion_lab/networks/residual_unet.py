"""The residual U-Net of the Keras DDIM example (Béres 2022)."""

import keras
from keras import layers

from diffusion_lab.networks.blocks import (
    check_image_size,
    check_widths,
    continuous_inputs,
    output_convolution,
)


def residual_unet(
    image_size=64,
    widths=(32, 64, 96, 128),
    block_depth=2,
    channels=3,
    embedding_dims=32,
    upsampling="nearest",
):
    """Builds a U-Net called as `network([noisy_images, noise_variances])`, returning (B, S, S, C).

    U-Net: Ronneberger et al. 2015.

    Args:
        image_size: S, in pixels.
        widths: channels of each level, the last one at the bottom.
        block_depth: number of residual blocks per level.
        channels: C.
        embedding_dims: size of the embedding of the noise variances (B, 1, 1, 1).
        upsampling: "nearest" or "bilinear". The Keras example uses bilinear, whose gradient is not
            always available under XLA.

    Raises:
        UserError: if the image size cannot be halved once per level.
    """
    check_widths(widths)
    check_image_size(image_size, halvings=len(widths) - 1)
    noisy_images, noise_variances, embedding = continuous_inputs(
        image_size, channels, embedding_dims
    )
    x = layers.Concatenate()([layers.Conv2D(widths[0], 1)(noisy_images), embedding])

    skips = []
    for width in widths[:-1]:
        for _ in range(block_depth):
            x = residual_block(x, width)
            skips.append(x)
        x = layers.AveragePooling2D(2)(x)
    for _ in range(block_depth):
        x = residual_block(x, widths[-1])
    for width in reversed(widths[:-1]):
        x = layers.UpSampling2D(2, interpolation=upsampling)(x)
        for _ in range(block_depth):
            x = residual_block(layers.Concatenate()([x, skips.pop()]), width)

    return keras.Model(
        [noisy_images, noise_variances], output_convolution(channels)(x), name="residual_unet"
    )


def residual_block(x, width):
    """Returns x plus two convolutions of the normalised x, with `width` channels.

    Where x has a different width, a 1 × 1 convolution adapts it. The normalisation has neither
    centre nor scale, because the next convolution can learn both. He et al. 2016.
    """
    shortcut = x if x.shape[-1] == width else layers.Conv2D(width, 1)(x)
    x = layers.BatchNormalization(center=False, scale=False)(x)
    x = layers.Conv2D(width, 3, padding="same", activation="swish")(x)
    x = layers.Conv2D(width, 3, padding="same")(x)
    return layers.Add()([shortcut, x])
