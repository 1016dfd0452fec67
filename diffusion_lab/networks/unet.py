"""Our U-Net: the improvements since DDPM, in their smallest form.

Compared with the residual U-Net, it uses group instead of batch normalisation (so an image is
normalised by its own numbers, at every noise level), passes the noise level to every block instead
of only to the first layer, and has attention at the lowest level.
"""

import keras
from keras import layers

from diffusion_lab.networks.blocks import (
    GroupNormalization,
    NoiseEmbedding,
    attention_block,
    check_image_size,
    check_widths,
    output_convolution,
)


def unet(
    image_size=32,
    widths=(32, 64, 128),
    block_depth=1,
    channels=3,
    embedding_dims=32,
    groups=8,
    num_classes=None,
    attention=True,
    dropout=0.0,
):
    """Builds a U-Net called as `network([noisy_images, noise_variances])`, returning (B, S, S, C).

    With `num_classes` there is a third input, `labels`: int (B,), where the number num_classes
    itself means "none".

    Args:
        image_size: S, in pixels.
        widths: channels of each level, the last one at the bottom, each a multiple of `groups`.
        block_depth: residual blocks per level on the way down; there is one more on the way up, as
            in DDPM (Ho et al. 2020, appendix B).
        channels: C.
        embedding_dims: size of the embedding of the noise variances (B, 1, 1, 1).
        groups: of the group normalisation.
        num_classes: number of classes, or None for a network without labels.
        attention: True for attention at the bottom.
        dropout: the dropout rate of every block.

    Raises:
        UserError: if the image size cannot be halved between levels, or `groups` does not divide a
            width.
    """
    check_widths(widths, groups)
    check_image_size(image_size, halvings=len(widths) - 1)
    noisy_images = keras.Input((image_size, image_size, channels), name="noisy_images")
    noise_variances = keras.Input((1, 1, 1), name="noise_variances")
    embedding = NoiseEmbedding(embedding_dims)(noise_variances)
    embedding = layers.Dense(4 * widths[0], activation="swish")(embedding)
    embedding = layers.Dense(4 * widths[0], activation="swish")(embedding)
    inputs = [noisy_images, noise_variances]
    if num_classes is not None:
        labels = keras.Input((), dtype="int32", name="labels")
        inputs.append(labels)
        label_embedding = layers.Embedding(num_classes + 1, 4 * widths[0])(labels)
        embedding = layers.Add()(
            [embedding, layers.Reshape((1, 1, 4 * widths[0]))(label_embedding)]
        )

    x = layers.Conv2D(widths[0], 3, padding="same")(noisy_images)
    skips = [x]
    for level, width in enumerate(widths):
        if level > 0:
            x = layers.Conv2D(width, 3, strides=2, padding="same")(x)
            skips.append(x)
        for _ in range(block_depth):
            x = residual_block(x, embedding, width, groups, dropout)
            skips.append(x)
    if attention:
        x = attention_block(x, groups)
    x = residual_block(x, embedding, widths[-1], groups, dropout)
    for level, width in reversed(list(enumerate(widths))):
        for _ in range(block_depth + 1):
            x = residual_block(
                layers.Concatenate()([x, skips.pop()]), embedding, width, groups, dropout
            )
        if level > 0:
            x = layers.UpSampling2D(2)(x)
            x = layers.Conv2D(widths[level - 1], 3, padding="same")(x)
    x = layers.Activation("swish")(GroupNormalization(groups)(x))
    return keras.Model(inputs, output_convolution(channels, kernel_size=3)(x), name="unet")


def residual_block(x, embedding, width, groups, dropout=0.0):
    """Returns x plus two convolutions of the normalised x.

    Between the two, the embedding scales and shifts each channel (Dhariwal & Nichol 2021, section
    3). The second convolution is initialised with zeros, so at first the block adds nothing to x.
    """
    shortcut = x if x.shape[-1] == width else layers.Conv2D(width, 1)(x)
    x = layers.Activation("swish")(GroupNormalization(groups)(x))
    x = layers.Conv2D(width, 3, padding="same")(x)
    x = GroupNormalization(groups)(x)
    scale, shift = layers.Dense(width)(embedding), layers.Dense(width)(embedding)
    x = layers.Add()([x, layers.Multiply()([x, scale]), shift])
    x = layers.Activation("swish")(x)
    if dropout:
        x = layers.Dropout(dropout)(x)
    x = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros")(x)
    return layers.Add()([shortcut, x])
