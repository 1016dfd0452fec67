"""The attention U-Net of DDPM (Ho et al. 2020, appendix B), in the Keras example's sizes."""

import keras
from keras import layers

from diffusion_lab.errors import UserError
from diffusion_lab.networks.blocks import (
    GroupNormalization,
    TimestepEmbedding,
    attention_block,
    check_image_size,
    check_widths,
    output_convolution,
)


def attention_unet(
    image_size=64,
    base_channels=64,
    channel_multipliers=(1, 2, 4, 8),
    attention_levels=(False, False, True, True),
    num_res_blocks=2,
    groups=8,
    channels=3,
):
    """Builds a U-Net called as `network([images, t])`: (B, S, S, C) and int64 (B,) to (B, S, S, C).

    All kernels are initialised with Keras's default, VarianceScaling(1, "fan_avg", "uniform"),
    except the last one of each block and of the network, which is initialised with zeros.

    Args:
        image_size: S, in pixels.
        base_channels: the unit of `channel_multipliers`.
        channel_multipliers: level i has `base_channels * channel_multipliers[i]` channels.
        attention_levels: for each level, True if attention follows each of its residual blocks.
        num_res_blocks: residual blocks per level on the way down; there is one more on the way up.
        groups: of the group normalisation.
        channels: C.

    Raises:
        UserError: if the image size cannot be halved once per level, or the other sizes do not fit
            together.
    """
    widths = [base_channels * multiplier for multiplier in channel_multipliers]
    check_widths(widths, groups)
    check_image_size(image_size, halvings=len(widths) - 1)
    if len(attention_levels) != len(widths):
        raise UserError(
            f"There are {len(widths)} channel_multipliers but {len(attention_levels)}"
            " attention_levels; give one of each per level."
        )

    images = keras.Input((image_size, image_size, channels), name="images")
    t = keras.Input((), dtype="int64", name="t")
    time = TimestepEmbedding(4 * base_channels)(t)
    time = layers.Dense(4 * base_channels, activation="swish")(time)
    time = layers.Dense(4 * base_channels)(time)

    def level_block(x, level):
        x = residual_block(x, time, widths[level], groups)
        return attention_block(x, groups) if attention_levels[level] else x

    x = layers.Conv2D(base_channels, 3, padding="same")(images)
    skips = [x]
    for level, width in enumerate(widths):
        for _ in range(num_res_blocks):
            x = level_block(x, level)
            skips.append(x)
        if level < len(widths) - 1:
            x = layers.Conv2D(width, 3, strides=2, padding="same")(x)
            skips.append(x)

    x = residual_block(x, time, widths[-1], groups)
    x = attention_block(x, groups)
    x = residual_block(x, time, widths[-1], groups)

    for level, width in reversed(list(enumerate(widths))):
        for _ in range(num_res_blocks + 1):
            x = level_block(layers.Concatenate()([x, skips.pop()]), level)
        if level > 0:
            x = layers.Conv2D(width, 3, padding="same")(layers.UpSampling2D(2)(x))

    x = layers.Activation("swish")(GroupNormalization(groups)(x))
    return keras.Model(
        [images, t], output_convolution(channels, kernel_size=3)(x), name="attention_unet"
    )


def residual_block(x, time, width, groups):
    """Returns x (B, H, W, C) plus two convolutions of it.

    Between the two, the embedded time (B, 1, 1, dims) is added to every pixel.
    """
    shortcut = x if x.shape[-1] == width else layers.Conv2D(width, 1)(x)
    x = layers.Activation("swish")(GroupNormalization(groups)(x))
    x = layers.Conv2D(width, 3, padding="same")(x)
    x = layers.Add()([x, layers.Dense(width)(layers.Activation("swish")(time))])
    x = layers.Activation("swish")(GroupNormalization(groups)(x))
    x = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros")(x)
    return layers.Add()([shortcut, x])
