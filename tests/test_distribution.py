"""Training on two devices reproduces the losses and EMA weights of one.

The two devices are simulated on this CPU.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow

MODEL = """
import json, sys
{devices}
import keras, numpy as np
from keras import layers
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.networks.blocks import continuous_inputs, output_convolution

def small_network():
    noisy_images, noise_variances, embedding = continuous_inputs(8, 3, embedding_dims=32)
    x = layers.Concatenate()([noisy_images, embedding])
    x = layers.Conv2D(8, 3, padding="same", activation="swish")(x)
    return keras.Model([noisy_images, noise_variances], output_convolution(3)(x))

def train():
    keras.utils.set_random_seed(0)
    {scope}
        model = DiffusionModel(small_network(), loss_on="velocity", seed=0)
        images = np.random.default_rng(0).random((32, 8, 8, 3), "float32")
        model.adapt(images)
        model.compile(keras.optimizers.AdamW(1e-3), "mse", jit_compile="auto")
    losses = model.fit(images, batch_size=16, epochs=3, shuffle=False, verbose=0).history["loss"]
    to_numpy = keras.ops.convert_to_numpy
    weights = np.concatenate([to_numpy(weight).ravel() for weight in model.ema_network.weights])
    print(json.dumps([losses, weights.tolist(), float(to_numpy(model.ema.updates))]))

train()
"""
JAX_DEVICES = """
import jax
jax.config.update("jax_num_cpu_devices", {count})
"""
JAX_SCOPE = (
    "keras.distribution.set_distribution(keras.distribution.DataParallel()) if {count} > 1 else"
    " None\n    if True:"
)
TENSORFLOW_DEVICES = """
import diffusion_lab
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * {count},
)
"""
TENSORFLOW_SCOPE = (
    "with tf.distribute.MirroredStrategy([f'CPU:{{number}}' for number in range({count})]).scope()"
    " if {count} > 1 else tf.device('CPU:0'):"
)


def train(backend, count):
    devices, scope = {
        "jax": (JAX_DEVICES, JAX_SCOPE),
        "tensorflow": (TENSORFLOW_DEVICES, TENSORFLOW_SCOPE),
    }[backend]
    script = MODEL.format(devices=devices.format(count=count), scope=scope.format(count=count))
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": backend},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    losses, weights, updates = json.loads(result.stdout.splitlines()[-1])
    return np.array(losses), np.array(weights), updates


def test_the_distribution_of_keras_gives_the_same_losses_and_ema():
    (losses, weights, updates), (losses_of_two, weights_of_two, updates_of_two) = (
        train("jax", 1),
        train("jax", 2),
    )
    np.testing.assert_allclose(losses_of_two, losses, rtol=1e-5)
    np.testing.assert_allclose(weights_of_two, weights, atol=1e-5)
    assert updates == updates_of_two == 6


def test_the_distribution_of_tensorflow_gives_the_same_losses_and_ema():
    (losses, _, updates), (losses_of_two, _, updates_of_two) = (
        train("tensorflow", 1),
        train("tensorflow", 2),
    )
    assert updates == updates_of_two == 6
    np.testing.assert_allclose(losses_of_two, losses, rtol=0.1)
