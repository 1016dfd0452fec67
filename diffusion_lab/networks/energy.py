"""The energy network: one number per image, low if the image is likely (LeCun et al. 2006)."""

import keras
from keras import layers

from diffusion_lab.networks.blocks import check_image_size, check_widths


def energy_network(image_size=32, channels=1, widths=(16, 32, 64, 64), dense_width=64):
    """Builds a CNN called as `network(images)`: (B, S, S, C) in [-1, 1] to energies (B, 1).

    The energy is low where images are likely. Each convolution (the first 5 × 5, then 3 × 3) halves
    the width and height of the image. The activation is swish, not ReLU, because Langevin sampling
    follows the gradient with respect to the image, and with ReLU that gradient is piecewise
    constant. LeCun et al. 2006, "A Tutorial on Energy-Based Learning".
    """
    check_widths(widths)
    check_image_size(image_size, halvings=0)
    images = x = keras.Input((image_size, image_size, channels), name="images")
    for index, width in enumerate(widths):
        x = layers.Conv2D(width, 3 if index else 5, strides=2, padding="same", activation="swish")(
            x
        )
    x = layers.Dense(dense_width, activation="swish")(layers.Flatten()(x))
    return keras.Model(images, layers.Dense(1, dtype="float32")(x), name="energy_network")
