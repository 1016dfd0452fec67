"""Converts what a network predicts to noise, inside the network."""

import keras
from keras import ops

from diffusion_lab.networks.blocks import register


@register
class VelocityToNoise(keras.layers.Layer):
    """Computes the noise, noise_rate * noisy_image + signal_rate * velocity.

    Takes noisy images (B, H, W, C), noise variances (B, 1, 1, 1) and velocities (B, H, W, C).
    Salimans & Ho 2022, appendix D.
    """

    def call(self, noisy_images, noise_variances, velocities):
        signal_variances = ops.maximum(1.0 - noise_variances, 0.0)
        return ops.sqrt(noise_variances) * noisy_images + ops.sqrt(signal_variances) * velocities


def predicting_noise(network):
    """Returns the network with the same weights and inputs, but predicting noise, not velocity.

    Courses and books write their models for networks that return noise, but training for the
    velocity gives better ones.
    """
    noises = VelocityToNoise(dtype="float32")(*network.inputs, network.output)
    return keras.Model(network.inputs, noises, name=network.name)
