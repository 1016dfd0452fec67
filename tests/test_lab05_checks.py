"""Lab 05: right answers in every style pass, and each known misconception gets its own hint."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from diffusion_lab import checks
from diffusion_lab.networks.blocks import NoiseEmbedding
from diffusion_lab.networks.residual_unet import residual_block as package_block
from tests.misconceptions import assert_correct, assert_hint, right, wrong

# --- 5.1 ---


def embed(frequencies=None, turn=2 * math.pi, join=lambda s, c: ops.concatenate([s, c], axis=-1), first=ops.sin,
          second=ops.cos, prepare=lambda x: x):
    frequencies = np.geomspace(1, 1000, 16) if frequencies is None else frequencies

    def sinusoidal_embedding(noise_variances):
        angles = prepare(noise_variances) * ops.cast(turn * np.asarray(frequencies), "float32")
        return join(first(angles), second(angles))

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
            result[index, 0, 0, number], result[index, 0, 0, 16 + number] = math.sin(angle), math.cos(angle)
    return result


def alternating(s, c):
    return ops.reshape(ops.stack([s, c], axis=-1), (-1, 1, 1, 32))


EVEN = np.linspace(0, 1, 16)
RIGHT = right(
    checks.sinusoidal_embedding, embed(), as_in_the_example, in_numpy, wave_by_wave, NoiseEmbedding(32),
    embed(np.exp(np.linspace(np.log(1), np.log(1000), 16))),
)
WRONG = wrong(checks.sinusoidal_embedding, {
    "the factor 2π is missing": embed(turn=1),
    "yours is π": embed(turn=math.pi),
    "angles are in degrees": embed(turn=360),
    "are spaced evenly, so nearly all": embed(np.linspace(1, 1000, 16)),
    "still logarithms": embed(np.linspace(np.log(1), np.log(1000), 16)),
    "here exp meets log10": embed(np.exp(np.linspace(np.log10(1), np.log10(1000), 16))),
    "here 10** meets log": embed(10 ** np.linspace(np.log(1), np.log(1000), 16)),
    "the highest frequency, 1000 itself": embed(np.geomspace(1, 1000, 16, endpoint=False)),
    "the lowest frequency, 1 itself": embed(np.geomspace(1, 1000, 17)[1:]),
    "from fast to slow": embed(np.geomspace(1000, 1, 16)),
    "the Transformer's frequencies": embed(np.geomspace(1, 1 / 10_000, 16), turn=1),
    "you divide by the frequencies": embed(1 / np.geomspace(1, 1000, 16)),
    "the cosines come first": embed(first=ops.cos, second=ops.sin),
    "sines and cosines alternate": embed(join=alternating),
    "both halves are sines": embed(second=ops.sin),
    "both halves are cosines": embed(first=ops.cos),
    "the cosines are missing": embed(join=lambda s, c: s),
    "the sines are missing": embed(join=lambda s, c: c),
    "these are 64 numbers": embed(np.geomspace(1, 1000, 32)),
    "of which only sines": embed(np.geomspace(1, 1000, 32), join=lambda s, c: s),
    "along the batch": embed(join=lambda s, c: ops.concatenate([s, c], axis=0)),
    "along the height": embed(join=lambda s, c: ops.concatenate([s, c], axis=1)),
    "along the width": embed(join=lambda s, c: ops.concatenate([s, c], axis=2)),
    "you take the root first": embed(prepare=ops.sqrt),
    "you square the input": embed(prepare=ops.square),
    "but the shape is (B, 32)": embed(join=lambda s, c: ops.reshape(ops.concatenate([s, c], -1), (-1, 32))),
    "the frequencies have the shape (16,)": embed(np.geomspace(1, 1000, 16).reshape(-1, 1, 1, 1)),
    "it returns nothing": lambda noise_variances: None,
})


# --- 5.2 ---


def conv(width, size=3, **arguments):
    return layers.Conv2D(width, size, **{"padding": "same"} | arguments)


def norm():
    return layers.BatchNormalization(center=False, scale=False)


def swish():
    return layers.Activation("swish")


def block(make, shortcut=None, join=None, after=None):
    """A residual block of `make(width)`, a list of layers; `None` in it stands for nothing."""
    def residual_block(x, width):
        kept = (shortcut or plain_shortcut)(x, width)
        y = x
        for layer in make(width):
            y = layer(y)
        y = (join or (lambda kept, y: layers.Add()([kept, y])))(kept, y)
        return after(y) if after else y

    return residual_block


def plain_shortcut(x, width):
    return x if x.shape[-1] == width else conv(width, 1)(x)


def standard(width):
    return [norm(), conv(width, activation="swish"), conv(width)]


def with_operators(x, width):
    y = keras.activations.silu(conv(width)(norm()(x)))
    return conv(width, kernel_initializer="zeros")(y) + (x if x.shape[-1] == width else layers.Dense(width)(x))


def nested(x, width):
    kept = x
    if x.shape[-1] != width:
        kept = layers.Conv2D(width, kernel_size=1)(x)
    return ops.add(kept, keras.Sequential([norm(), conv(width), layers.Activation("silu"), conv(width)])(x))


def epsilon_of_others(x, width):
    kept = plain_shortcut(x, width)
    x = layers.BatchNormalization(center=False, scale=False, epsilon=1e-3, momentum=0.9)(x)
    x = layers.Conv2D(width, kernel_size=3, padding="same", activation=keras.activations.swish)(x)
    return layers.add([layers.Conv2D(width, kernel_size=3, padding="same")(x), kept])


def normalised_kept(x, width):
    x = norm()(x)
    return layers.Add()([plain_shortcut(x, width), conv(width)(conv(width, activation="swish")(x))])


def widened_first(x, width):
    x = kept = plain_shortcut(x, width)
    for layer in standard(width):
        x = layer(x)
    return layers.Add()([kept, x])


def nothing_to_do_with_x(x, width):
    other = keras.Input(x.shape[1:])
    return package_block(other, width)


RIGHT += right(checks.residual_block, package_block, block(standard), with_operators, nested, epsilon_of_others)
WRONG += wrong(checks.residual_block, {
    "x is never added": block(standard, join=lambda kept, y: y),
    "you add the *normalised* x": normalised_kept,
    "there is an activation behind the second convolution, too":
        block(lambda w: [norm(), conv(w, activation="swish"), conv(w, activation="swish")]),
    "the activation is behind the wrong convolution": block(lambda w: [norm(), conv(w), conv(w, activation="swish")]),
    "there is no activation": block(lambda w: [norm(), conv(w), conv(w)]),
    "the activation is ReLU": block(lambda w: [norm(), conv(w, activation="relu"), conv(w)]),
    "the activation is a sigmoid": block(lambda w: [norm(), conv(w, activation="sigmoid"), conv(w)]),
    "the activation comes before the first convolution; it": block(lambda w: [norm(), swish(), conv(w), conv(w)]),
    "an activation before the first convolution, too": block(lambda w: [norm(), swish(), *standard(w)[1:]]),
    "an activation behind the addition: x must": block(standard, after=swish()),
    "the activation is behind the addition only": block(lambda w: [norm(), conv(w), conv(w)], after=swish()),
    "the normalisation comes after the first convolution": block(lambda w: [conv(w), norm(), swish(), conv(w)]),
    "between the activation and the second": block(lambda w: [conv(w, activation="swish"), norm(), conv(w)]),
    "the normalisation comes last": block(lambda w: [conv(w, activation="swish"), conv(w), norm()]),
    "you normalise the sum": block(lambda w: standard(w)[1:], after=lambda y: norm()(y)),
    "the shortcut is laid beside": block(standard, join=lambda kept, y: layers.Concatenate()([kept, y])),
    "the result is laid beside": block(standard, join=lambda kept, y: layers.Concatenate()([y, kept])),
    "you multiply with the shortcut": block(standard, join=lambda kept, y: kept * y),
    "you subtract x from the result": block(standard, join=lambda kept, y: y - kept),
    "you subtract the result from x": block(standard, join=lambda kept, y: kept - y),
    "there is an activation in the shortcut": block(
        standard, shortcut=lambda x, w: x if x.shape[-1] == w else conv(w, 1, activation="swish")(x)),
    "the shortcut's convolution changed x before": widened_first,
    "the shortcut is x itself": block(standard, shortcut=lambda x, w: conv(w, 1)(x)),
    "the shortcut's convolution is 3 × 3": block(
        standard, shortcut=lambda x, w: x if x.shape[-1] == w else conv(w)(x)),
    "x needs a 1 × 1 convolution": block(standard, shortcut=lambda x, w: x),
    "3 × 3 convolutions keep the size": block(lambda w: [norm(), conv(w, padding="valid"), conv(w, padding="valid")]),
    "the BatchNormalization is missing": block(lambda w: standard(w)[1:]),
    "there are 2 normalisations": block(lambda w: [norm(), conv(w, activation="swish"), norm(), conv(w)]),
    "center=False, scale=False": block(lambda w: [layers.BatchNormalization(), *standard(w)[1:]]),
    "there should be two, but there are 1": block(lambda w: standard(w)[:2]),
    "there should be two, but there are 3": block(lambda w: [*standard(w), conv(w)]),
    "there should be two, but there are 0": block(lambda w: [norm(), conv(w, 5, activation="swish"), conv(w, 5)]),
    "a convolution has no bias": block(lambda w: [norm(), conv(w, activation="swish", use_bias=False), conv(w)]),
    "not a layer, a model or a list": lambda x, width: keras.Model(x, package_block(x, width)),
    "has no connection with x": nothing_to_do_with_x,
    "it returns nothing": lambda x, width: None,
})

# --- 5.3 ---


def enlarged(x):
    return layers.UpSampling2D(2)(x)


def joined(x, skip):
    return layers.Concatenate()([x, skip])


def way_up(enlarge=enlarged, join=joined, take=lambda skips: skips.pop()):
    def up_block(x, skips, block, block_depth):
        x = enlarge(x)
        for _ in range(block_depth):
            x = block(join(x, take(skips)))
        return x

    return up_block


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


def enlarged_every_time(x, skips, block, block_depth):
    for _ in range(block_depth):
        x = block(joined(enlarged(x), skips.pop()))
    return x


def in_order(x, skips, block, block_depth):
    x, taken = enlarged(x), skips[-block_depth:]
    del skips[-block_depth:]
    for skip in taken:
        x = block(joined(x, skip))
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


RIGHT += right(checks.up_block, way_up(), by_index)
WRONG += wrong(checks.up_block, {
    "A KerasTensor cannot be used as input to a TensorFlow function": as_tensorflow,
    "you take the oldest skip first": way_up(take=lambda skips: skips.pop(0)),
    "in the wrong order": in_order,
    "the same skip comes back each time": way_up(take=lambda skips: skips[-1]),
    "the oldest skip comes back each time": way_up(take=lambda skips: skips[0]),
    "the skip stands in front of x": way_up(join=lambda x, skip: joined(skip, x)),
    "the skip is added to x": way_up(join=lambda x, skip: x + skip),
    "the skips are missing": way_up(join=lambda x, skip: x),
    "x is missing": way_up(join=lambda x, skip: skip),
    "x is copied in tiles": way_up(enlarge=lambda x: ops.tile(x, (1, 2, 2, 1))),
    "the enlargement is bilinear": way_up(enlarge=layers.UpSampling2D(2, interpolation="bilinear")),
    "the block gets a tensor of the shape (2, 6, 6, 15)": all_at_once,
    "matching shapes except": way_up(enlarge=lambda x: x),
    "the block is called 1 times": once,
    "4 skips are left": left_in_place,
    "with matching shapes": enlarged_every_time,
})


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_misconceptions(check, answer, hint):
    assert_hint(check, answer, hint)
