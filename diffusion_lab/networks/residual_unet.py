"""The residual U-Net of the Keras DDIM example: Béres 2022, "Denoising Diffusion Implicit Models"."""

import keras
from keras import layers

from diffusion_lab.networks.blocks import check_image_size, check_widths, continuous_inputs, output_convolution


def residual_unet(image_size=64, widths=(32, 64, 96, 128), block_depth=2, channels=3, embedding_dims=32,
                  upsampling="nearest"):
    """Build a U-Net called as `network([noisy_images, noise_variances])`: (B, S, S, C), (B, 1, 1, 1) to (B, S, S, C).

    `widths` are the channels of each level, the last one at the bottom; `block_depth` counts the residual blocks of a
    level. `upsampling` is "nearest" or "bilinear"; the source has bilinear, but under XLA that has no gradient
    everywhere. Raises UserError if the image size cannot be halved once per level. U-Net: Ronneberger et al. 2015.
    """
    check_widths(widths)
    check_image_size(image_size, halvings=len(widths) - 1)
    noisy_images, noise_variances, embedding = continuous_inputs(image_size, channels, embedding_dims)
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

    return keras.Model([noisy_images, noise_variances], output_convolution(channels)(x), name="residual_unet")


def residual_block(x, width):
    """x plus two convolutions of the normalised x; a 1 × 1 convolution brings x to `width` channels where it differs.

    The normalisation has neither centre nor scale, because the convolution behind it can learn both. He et al. 2016.
    """
    shortcut = x if x.shape[-1] == width else layers.Conv2D(width, 1)(x)
    x = layers.BatchNormalization(center=False, scale=False)(x)
    x = layers.Conv2D(width, 3, padding="same", activation="swish")(x)
    x = layers.Conv2D(width, 3, padding="same")(x)
    return layers.Add()([shortcut, x])
