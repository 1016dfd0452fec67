"""Counts the floating-point operations of a network, and measures those of the machine.

It works with any backend.
"""

import time

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.backend import compiled


def forward_flops(network):
    """Returns the FLOP of one image's forward pass through a functional network.

    It counts the additions and multiplications of convolutions, dense layers and attention, which
    are nearly all. Training needs three times as many: the forward pass, and two gradients.
    """
    return float(sum(_layer_flops(layer) for layer in network.layers))


def _layer_flops(layer):
    if isinstance(layer, (layers.Conv2D, layers.Dense)):
        return (
            2
            * np.prod(layer.kernel.shape, dtype=float)
            * np.prod(layer.output.shape[1:-1], dtype=float)
        )
    if type(layer).__name__ == "PixelAttention":
        _, height, width, channels = layer.output.shape
        return 4 * (height * width) ** 2 * channels
    return 0


def convolution_peak(
    shapes=((64, 64), (32, 128), (16, 256)), batch_size=32, seconds=1.0, dtype="float32"
):
    """Returns the FLOP/s of the fastest of some 3 × 3 convolutions.

    This is the maximum that this machine and this backend reach in isolation. `shapes` are (width
    and height in pixels, channels); each convolution is repeated for `seconds`.
    """
    return max(
        _convolution_speed(size, channels, batch_size, seconds, dtype) for size, channels in shapes
    )


def _convolution_speed(size, channels, batch_size, seconds, dtype):
    images = x = keras.Input((size, size, channels), dtype=dtype)
    for _ in range(4):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, dtype=dtype)(x)
    network = keras.Model(images, layers.GlobalAveragePooling2D(dtype=dtype)(x))
    run, batch = compiled(network.call), ops.ones((batch_size, size, size, channels), dtype)
    ops.convert_to_numpy(run(batch))  # compiles
    count, begin = 0, time.perf_counter()
    while time.perf_counter() < begin + seconds:
        ops.convert_to_numpy(run(batch))  # waits for the result, which is small
        count += 1
    return count * batch_size * forward_flops(network) / (time.perf_counter() - begin)
