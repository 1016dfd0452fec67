"""What a network predicts, turned into noise inside the network itself."""

import keras
from keras import ops

from diffusion_lab.networks.blocks import register


@register
class VelocityToNoise(keras.layers.Layer):
    """noise_rate * noisy_image + signal_rate * velocity, which is the noise (Salimans & Ho 2022, appendix D).

    Takes noisy images (B, H, W, C), noise variances (B, 1, 1, 1) and velocities (B, H, W, C).
    """

    def call(self, noisy_images, noise_variances, velocities):
        signal_variances = ops.maximum(1.0 - noise_variances, 0.0)
        return ops.sqrt(noise_variances) * noisy_images + ops.sqrt(signal_variances) * velocities


def predicting_noise(network):
    """The same network with the same weights, called in the same way, that returns noise instead of velocity.

    Courses and books write their models for networks that return noise; training for the velocity gives better ones.
    """
    noises = VelocityToNoise(dtype="float32")(*network.inputs, network.output)
    return keras.Model(network.inputs, noises, name=network.name)
