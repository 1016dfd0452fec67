"""Makes a network that predicts velocity predict noise."""

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
    """Returns a network with the same weights and inputs that predicts noise, not velocity.

    Courses and books write their models for networks that predict noise, but networks that are
    trained to predict velocity are better.
    """
    noises = VelocityToNoise(dtype="float32")(*network.inputs, network.output)
    return keras.Model(network.inputs, noises, name=network.name)
