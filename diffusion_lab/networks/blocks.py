"""The layers that several networks share, and the checks of their sizes.

Each layer is registered with Keras, so that cloning, saving and loading a model work; a Lambda
layer would break them.
"""

import math

import keras
import numpy as np
from keras import ops

from diffusion_lab.errors import MOST_CHANNELS, MOST_PIXELS, UserError, whole_number

register = keras.saving.register_keras_serializable(package="diffusion_lab")


@register
class NoiseEmbedding(keras.layers.Layer):
    """Embeds noise variances (B, 1, 1, 1) as sines, then cosines: (B, 1, 1, dims).

    The `dims` / 2 frequencies run from 1 to 1,000, evenly in the logarithm: slow waves tell image
    from noise, fast ones tell clean from nearly clean. The embedding of the Keras DDIM example; the
    idea is from Vaswani et al. 2017, section 3.5.
    """

    def __init__(self, dims=32, dtype="float32", **kwargs):
        # always float32, because bfloat16 cannot represent the fast waves
        super().__init__(dtype=dtype, **kwargs)
        self.dims = checked_even(dims)

    def call(self, noise_variances):
        return waves(
            noise_variances * np.float32(2 * math.pi * np.geomspace(1, 1_000, self.dims // 2))
        )

    def get_config(self):
        return {**super().get_config(), "dims": self.dims}


@register
class TimestepEmbedding(keras.layers.Layer):
    """Embeds integer timesteps (B,) as sines, then cosines: (B, 1, 1, dims).

    The `dims` / 2 frequencies run from 1 down to 1 / 10,000, evenly in the logarithm. Vaswani et
    al. 2017, section 3.5, which Ho et al. 2020 use for t.
    """

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.dims = checked_even(dims)

    def call(self, t):
        t = ops.reshape(ops.cast(t, "float32"), (-1, 1, 1, 1))
        return waves(t * np.float32(np.geomspace(1, 1 / 10_000, self.dims // 2)))

    def get_config(self):
        return {**super().get_config(), "dims": self.dims}


@register
class GroupNormalization(keras.layers.GroupNormalization):
    """Keras's group normalisation of (B, H, W, C), in fewer passes over the pixels.

    It averages over the pixels first, and then over the channels of each group, so that a pixel
    needs only one multiplication and one addition. On two CPU cores this halves the time; under XLA
    it makes no difference. Wu & He 2018, equations 1 and 2.
    """

    def call(self, x):
        pixels = ops.cast(x, "float32")
        mean, mean_square = self.group_mean(pixels), self.group_mean(ops.square(pixels))
        scale = self.gamma * ops.rsqrt(
            ops.maximum(mean_square - ops.square(mean), 0.0) + self.epsilon
        )
        return ops.cast(pixels * scale + (self.beta - mean * scale), self.compute_dtype)

    def group_mean(self, pixels):
        """Returns each channel's mean over its group's pixels: (B, H, W, C) to (B, 1, 1, C)."""
        channels = pixels.shape[-1]
        width = channels // self.groups
        means = ops.reshape(ops.mean(pixels, axis=(1, 2)), (-1, self.groups, width))
        # a product with ones repeats the mean in one operation, where `repeat` needs twenty
        repeated = ops.mean(means, axis=-1, keepdims=True) * np.ones(width, "float32")
        return ops.reshape(repeated, (-1, 1, 1, channels))


@register
class PixelAttention(keras.layers.Layer):
    """Computes softmax(q kᵀ / √C) v over all pixels, for q, k, v of shape (B, H, W, C).

    Vaswani et al. 2017, equation 1.
    """

    def call(self, query, key, value):
        batch, height, width, channels = ops.shape(query)
        # attention with one head
        flat = [ops.reshape(x, (batch, height * width, 1, channels)) for x in (query, key, value)]
        return ops.reshape(ops.dot_product_attention(*flat), (batch, height, width, channels))


def attention_block(x, groups):
    """Returns x (B, H, W, C) plus the result of attention from each pixel to all pixels.

    The residual is x itself, not the normalised x, so the block is the identity until its last
    layer has learned something.
    """
    channels = x.shape[-1]
    normalised = GroupNormalization(groups)(x)
    query, key, value = (keras.layers.Dense(channels)(normalised) for _ in range(3))
    attended = PixelAttention()(query, key, value)
    output = keras.layers.Dense(channels, kernel_initializer="zeros")(attended)
    return keras.layers.Add()([x, output])


def continuous_inputs(image_size, channels, embedding_dims):
    """Returns the two inputs of a continuous network, and the embedding of the second.

    They are noisy images (B, S, S, channels), noise variances (B, 1, 1, 1), and waves of the
    variance repeated at every pixel (B, S, S, embedding_dims).
    """
    noisy_images = keras.Input((image_size, image_size, channels), name="noisy_images")
    noise_variances = keras.Input((1, 1, 1), name="noise_variances")
    embedding = keras.layers.UpSampling2D(image_size)(
        NoiseEmbedding(embedding_dims)(noise_variances)
    )
    return noisy_images, noise_variances, embedding


def output_convolution(channels, kernel_size=1):
    """Returns the last layer of a network that predicts an image, in float32.

    It is initialised with zeros, because zero is the safest guess for noise.
    """
    return keras.layers.Conv2D(
        channels, kernel_size, padding="same", kernel_initializer="zeros", dtype="float32"
    )


def check_widths(widths, groups=1):
    """Raises UserError unless `widths` has valid channel numbers, all multiples of `groups`."""
    if not widths:
        raise UserError(
            "There are no widths: give the channels of one level or more, such as 32,64,96."
        )
    for width in widths:
        whole_number("The width of a level", width, most=MOST_CHANNELS)
    if any(width % groups for width in widths):
        raise UserError(
            f"The widths {','.join(map(str, widths))} must be multiples of {groups}, because their"
            f" channels are normalised in {groups} groups."
        )


def check_image_size(image_size, halvings):
    """Raises UserError unless images of this size, in pixels, can be halved `halvings` times."""
    whole_number("image_size", image_size, most=MOST_PIXELS)
    factor = 2**halvings
    below = image_size // factor * factor
    if below != image_size:
        nearest = f"{below} or {below + factor}" if below else factor
        raise UserError(
            f"This network halves its images {halvings} times, so image_size must be a multiple of"
            f" {factor}, but it is {image_size}: choose {nearest}, for example."
        )


def checked_even(dims):
    if dims < 4 or dims % 2:
        raise UserError(
            "An embedding of sines and cosines has an even number of dimensions, 4 or more, not"
            f" {dims}."
        )
    return dims


def waves(angles):
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
