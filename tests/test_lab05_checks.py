"""Lab 05: right answers in every style pass; unknown mistakes are named."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from diffusion_lab import checks
from diffusion_lab.networks.blocks import NoiseEmbedding, PixelAttention
from diffusion_lab.networks.residual_unet import residual_block as package_block
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong

# --- 5.1 ---


def embed(frequencies):
    def sinusoidal_embedding(noise_variances):
        angles = 2 * math.pi * (noise_variances * ops.cast(frequencies, "float32"))
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)

    return sinusoidal_embedding


def as_in_the_example(x):
    frequencies = tf.exp(tf.linspace(tf.math.log(1.0), tf.math.log(1000.0), 16))
    angular_speeds = 2.0 * math.pi * frequencies
    return tf.concat([tf.sin(angular_speeds * x), tf.cos(angular_speeds * x)], axis=3)


def in_numpy(noise_variances):
    angles = 2 * np.pi * np.array(noise_variances) * np.logspace(0, 3, 16)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)


def wave_by_wave(noise_variances):
    result = np.empty((len(noise_variances), 1, 1, 32), "float32")
    for index, variance in enumerate(np.array(noise_variances).ravel()):
        for number in range(16):
            angle = 2 * math.pi * variance * 1000 ** (number / 15)
            result[index, 0, 0, number], result[index, 0, 0, 16 + number] = (
                math.sin(angle),
                math.cos(angle),
            )
    return result


RIGHT = right(
    checks.sinusoidal_embedding,
    as_in_the_example,
    in_numpy,
    wave_by_wave,
    NoiseEmbedding(32),
    embed(np.geomspace(1, 1000, 16)),
    embed(np.exp(np.linspace(np.log(1), np.log(1000), 16))),
)
WRONG = wrong(
    checks.sinusoidal_embedding,
    {
        # as in the table, but with other fast waves, because single precision cannot hold them
        "`10**` with `log`": embed(10 ** np.linspace(np.log(1), np.log(1000), 16)),
        "there is a mistake in": embed(np.geomspace(1, 500, 16)),
        "the frequencies have the shape (16,)": embed(
            np.geomspace(1, 1000, 16).reshape(-1, 1, 1, 1)
        ),
        "it returns nothing": lambda noise_variances: None,
    },
)


# --- 5.2 ---


def conv(width, size=3, **arguments):
    return layers.Conv2D(width, size, **{"padding": "same"} | arguments)


def norm():
    return layers.BatchNormalization(center=False, scale=False)


def block(make, shortcut=None):
    """Returns a residual block of `make(width)`, a list of layers."""

    def residual_block(x, width):
        kept = (shortcut or plain_shortcut)(x, width)
        for layer in make(width):
            x = layer(x)
        return layers.Add()([kept, x])

    return residual_block


def plain_shortcut(x, width):
    return x if x.shape[-1] == width else conv(width, 1)(x)


def standard(width):
    return [norm(), conv(width, activation="swish"), conv(width)]


def with_operators(x, width):
    y = keras.activations.silu(conv(width)(norm()(x)))
    return conv(width, kernel_initializer="zeros")(y) + (
        x if x.shape[-1] == width else layers.Dense(width)(x)
    )


def nested(x, width):
    kept = x
    if x.shape[-1] != width:
        kept = layers.Conv2D(width, kernel_size=1)(x)
    return ops.add(
        kept, keras.Sequential([norm(), conv(width), layers.Activation("silu"), conv(width)])(x)
    )


def epsilon_of_others(x, width):
    kept = plain_shortcut(x, width)
    x = layers.BatchNormalization(center=False, scale=False, epsilon=1e-3, momentum=0.9)(x)
    x = layers.Conv2D(width, kernel_size=3, padding="same", activation=keras.activations.swish)(x)
    return layers.add([layers.Conv2D(width, kernel_size=3, padding="same")(x), kept])


def nothing_to_do_with_x(x, width):
    other = keras.Input(x.shape[1:])
    return package_block(other, width)


RIGHT += right(
    checks.residual_block, package_block, block(standard), with_operators, nested, epsilon_of_others
)
WRONG += wrong(
    checks.residual_block,
    {
        "even where x has `width` channels": block(standard, shortcut=lambda x, w: conv(w, 1)(x)),
        "The shortcut's convolution is 3 × 3": block(
            standard, shortcut=lambda x, w: x if x.shape[-1] == w else conv(w)(x)
        ),
        "x needs a 1 × 1 convolution": block(standard, shortcut=lambda x, w: x),
        "3 × 3 convolutions keep the size": block(
            lambda w: [norm(), conv(w, padding="valid"), conv(w, padding="valid")]
        ),
        "The BatchNormalization is missing": block(lambda w: standard(w)[1:]),
        "There are 2 normalisations": block(
            lambda w: [norm(), conv(w, activation="swish"), norm(), conv(w)]
        ),
        "center=False and scale=False": block(
            lambda w: [layers.BatchNormalization(), *standard(w)[1:]]
        ),
        "3 × 3 convolutions is 1": block(lambda w: standard(w)[:2]),
        "3 × 3 convolutions is 3": block(lambda w: [*standard(w), conv(w)]),
        "3 × 3 convolutions is 0": block(
            lambda w: [norm(), conv(w, 5, activation="swish"), conv(w, 5)]
        ),
        "A convolution has no bias": block(
            lambda w: [norm(), conv(w, activation="swish", use_bias=False), conv(w)]
        ),
        "value of the type Functional": lambda x, width: keras.Model(x, package_block(x, width)),
        "does not depend on x": nothing_to_do_with_x,
        "it returns nothing": lambda x, width: None,
    },
)

# --- 5.3 ---


def one_wide_layer(x, embedding):
    scale, shift = ops.split(layers.Dense(2 * x.shape[-1])(embedding), 2, axis=-1)
    return x + x * scale + shift


def as_in_the_package(x, embedding):
    width = x.shape[-1]
    scale, shift = layers.Dense(width)(embedding), layers.Dense(width)(embedding)
    return layers.Add()([x, layers.Multiply()([x, scale]), shift])


def with_convolutions(x, embedding):
    scale, shift = (layers.Conv2D(x.shape[-1], 1)(embedding) for _ in range(2))
    return layers.add([shift, (scale + 1) * x])


def from_zero(x, embedding):
    make = lambda: layers.Dense(x.shape[3], kernel_initializer="zeros")(embedding)  # noqa: E731
    return ops.add(ops.multiply(x, 1.0 + make()), make())


RIGHT += right(checks.modulate, one_wide_layer, as_in_the_package, with_convolutions, from_zero)
WRONG += wrong(
    checks.modulate,
    {
        "value of the type Dense": lambda x, embedding: layers.Dense(4),
        "value of the type tuple": lambda x, embedding: (
            layers.Dense(4)(embedding),
            layers.Dense(4)(embedding),
        ),
        "it returns nothing": lambda x, embedding: None,
        "a dense layer with C outputs": lambda x, embedding: x * embedding,
        "there is a mistake in": lambda x, embedding: as_in_the_package(2 * x, embedding),
        "the number of weights": lambda x, embedding: (
            as_in_the_package(x, embedding) + 0 * layers.Dense(4)(embedding)
        ),
        "Not done yet: exercise 5.3": not_done,
    },
)

# --- 5.4 ---


def enlarged(x):
    return layers.UpSampling2D(2)(x)


def joined(x, skip):
    return layers.Concatenate()([x, skip])


def popped(x, skips, block, block_depth):
    x = enlarged(x)
    for _ in range(block_depth):
        x = block(joined(x, skips.pop()))
    return x


def by_index(x, skips, block, block_depth):
    x = ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)
    for number in range(1, block_depth + 1):
        x = block(ops.concatenate([x, skips[-number]], axis=-1))
    del skips[-block_depth:]
    return x


def as_tensorflow(x, skips, block, block_depth):
    x = tf.image.resize(x, (2 * x.shape[1], 2 * x.shape[2]), "nearest")
    while block_depth:
        x, block_depth = block(tf.concat([x, skips.pop(-1)], 3)), block_depth - 1
    return x


def never_enlarged(x, skips, block, block_depth):
    return block(joined(x, skips.pop()))


def enlarged_every_time(x, skips, block, block_depth):
    for _ in range(block_depth):
        x = block(joined(enlarged(x), skips.pop()))
    return x


def all_at_once(x, skips, block, block_depth):
    return block(layers.Concatenate()([enlarged(x), *(skips.pop() for _ in range(block_depth))]))


def once(x, skips, block, block_depth):
    return block(joined(enlarged(x), skips.pop()))


def left_in_place(x, skips, block, block_depth):
    x = enlarged(x)
    for number in range(block_depth):
        x = block(joined(x, skips[-1 - number]))
    return x


RIGHT += right(checks.up_block, popped, by_index)
WRONG += wrong(
    checks.up_block,
    {
        "A KerasTensor cannot be used as input to a TensorFlow function": as_tensorflow,
        "The block received a tensor of shape (2, 6, 6, 15)": all_at_once,
        "matching shapes except": never_enlarged,
        "calls to the block is 1": once,
        "4 skips are left": left_in_place,
        "with matching shapes": enlarged_every_time,
    },
)


# --- 5.5 ---


def by_the_package(x, normalise, query, key, value):
    normalised = normalise(x)
    return x + PixelAttention()(query(normalised), key(normalised), value(normalised))


def by_einsum(x, normalise, query, key, value):
    q, k, v = (part(normalise(x)) for part in (query, key, value))
    scores = tf.einsum("bhwc,bijc->bhwij", q, k) / np.sqrt(x.shape[-1])
    exponentials = tf.exp(scores - tf.reduce_max(scores, (3, 4), keepdims=True))
    weights = exponentials / tf.reduce_sum(exponentials, (3, 4), keepdims=True)
    return x + tf.einsum("bhwij,bijc->bhwc", weights, v)


def attention_in_numpy(x, normalise, query, key, value):
    results = []
    for image, normalised in zip(np.array(x), np.array(normalise(x))):
        q, k, v = (np.array(part(normalised)).reshape(-1, 5) for part in (query, key, value))
        weights = np.exp(q @ k.T / math.sqrt(5))
        weights /= weights.sum(axis=1, keepdims=True)
        results.append(image + (weights @ v).reshape(image.shape))
    return np.stack(results)


RIGHT += right(checks.pixel_attention, by_the_package, by_einsum, attention_in_numpy)
WRONG += wrong(
    checks.pixel_attention,
    {
        "flatten the pixels": lambda x, normalise, query, key, value: ops.matmul(
            query(x), ops.transpose(key(x), (0, 1, 2, 3))
        ),
        "should be (2, 3, 4, 5)": lambda x, normalise, query, key, value: ops.reshape(
            by_the_package(x, normalise, query, key, value), (2, 12, 5)
        ),
        "there is a mistake in": lambda x, normalise, query, key, value: x + value(query(key(x))),
        "it returns nothing": lambda x, normalise, query, key, value: None,
        "Not done yet: exercise 5.5": not_done,
    },
)


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)
