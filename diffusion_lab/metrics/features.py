"""Feature extractors: networks that turn images into the vectors that KID compares.

There are two, and KID has a different scale with each. InceptionV3 is the one in the literature,
and must be downloaded. The other, a small network trained on procedural flowers, comes with the
package.
"""

import contextlib
import functools
import os
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.backend import compiled
from diffusion_lab.errors import UserError
from diffusion_lab.models.weights import shipped_file

INCEPTION_WEIGHTS = (  # the address that Keras downloads from; its copy has the same name
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
    "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
)


@contextlib.contextmanager
def float32_policy():
    """Makes layers that are created inside compute in float32, whatever the global policy.

    KID needs that precision.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


class FeatureExtractor(keras.Model):
    """Turns images (B, H, W, C) in [0, 1], grey or RGB, of any size, into features (B, d).

    It resizes the images to the network's input size (bilinear, antialiased) and scales them to
    [-1, 1]. The network always runs in inference mode.
    """

    def __init__(self, network, name):
        super().__init__(name=name, dtype="float32")
        self.network = network
        self.image_size = network.input_shape[1]

    def call(self, images):
        images = ops.cast(images, "float32")
        if images.shape[1:3] != (self.image_size, self.image_size):
            images = resize(images, self.image_size)
        if images.shape[-1] == 1:
            images = ops.repeat(images, 3, axis=-1)
        return self.network(2 * images - 1, training=False)


def resize(images, image_size):
    """Resizes (B, H, W, C) to (B, image_size, image_size, C), bilinear and antialiased.

    Uses one matrix per axis. The result equals `keras.ops.image.resize(..., antialias=True)`, which
    XLA cannot compile on TensorFlow (measured: 2.21).
    """
    for axis, equation in ((1, "oh,bhwc->bowc"), (2, "ow,bhwc->bhoc")):
        size = images.shape[axis]
        scale = size / image_size
        # centres of the new pixels, in units of the old ones
        centres = (np.arange(image_size) + 0.5) * scale
        distance = np.abs(centres[:, None] - (np.arange(size) + 0.5)) / max(scale, 1)
        weights = np.maximum(0, 1 - distance)
        weights /= weights.sum(axis=1, keepdims=True)
        images = ops.einsum(equation, ops.convert_to_tensor(weights, "float32"), images)
    return images


def encode(feature_extractor, images, batch_size=128):
    """Returns the features of many images, computed batch by batch.

    A memory map is also read batch by batch, so it may have any length.

    Args:
        feature_extractor: a `FeatureExtractor`.
        images: (N, H, W, C); uint8, or float in [0, 1].
        batch_size: images per batch.

    Returns:
        float32 NumPy array, (N, d).

    Raises:
        UserError: if there are no images, they are not 4-D with one or three channels, or they are
            not in [0, 1]; NaN is an error as well.
    """
    shape = np.shape(images)
    if len(shape) != 4 or shape[-1] not in (1, 3) or 0 in shape:
        raise UserError(
            f"Features are computed for images of shape (N, H, W, 1 or 3), not {shape}."
        )
    features = []
    for start in range(0, len(images), batch_size):
        batch = ops.convert_to_numpy(images[start : start + batch_size])
        batch = (
            batch / np.float32(255)
            if batch.dtype == np.uint8
            else batch.astype(np.float32, copy=False)
        )
        if not (batch.min() >= -1e-3 and batch.max() <= 1.001):  # written so that NaN fails as well
            raise UserError(
                f"Images must be uint8 or in [0, 1], but these run from {batch.min():g} to"
                f" {batch.max():g}. Denormalise a model's images; NaN means that its training has"
                " diverged."
            )
        features.append(
            ops.convert_to_numpy(compiled(feature_extractor.call)(ops.convert_to_tensor(batch)))
        )
    return np.concatenate(features)


def flower_features():
    """Returns the feature extractor "flowers": 128 features of 32 x 32 images.

    Its weights come with the package. `train_features` trained it to predict the parameters of
    procedural flowers, and how an image was corrupted. It must not be retrained, because KID would
    then have another scale.

    Raises:
        UserError: if the weights are missing, damaged or changed.
    """
    network = flower_network()
    network.load_weights(shipped_file("flower_features"))
    return FeatureExtractor(network, name="flowers")


@float32_policy()
def flower_network():
    """Returns the network of `flower_features`: 32 x 32 RGB in [-1, 1] to 128 features.

    It has 271,137 parameters and no batch normalisation, so training and inference agree. The last
    layer gives every feature zero mean and unit variance over clean and corrupted images;
    otherwise the kernel's x . y / d would depend on arbitrary scales.
    """
    convolution = functools.partial(
        layers.Conv2D,
        kernel_size=3,
        padding="same",
        activation="swish",
        kernel_initializer="he_normal",
    )
    images = x = keras.Input((32, 32, 3))
    x = convolution(32)(x)
    for width in (48, 96):
        x = convolution(width, strides=2)(x)
        x = layers.Add()([x, convolution(width)(x)])
    x = convolution(128, strides=2)(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    features = layers.Normalization(name="features")(x)
    return keras.Model(images, features)


@float32_policy()
def inception_features(image_size=75, weights="imagenet"):
    """Returns the literature's feature extractor: InceptionV3 without its top, 2,048 features.

    Args:
        image_size: 75, 150 or 299. KID has a different scale with each, so the extractor's name
            contains it ("inception_75").
        weights: "imagenet" (downloaded once, 88 MB), the path of a .h5 file, or None for random
            ones.

    Raises:
        UserError: for another image size, or if the weights cannot be downloaded or read.
    """
    if image_size not in (75, 150, 299):
        raise UserError(
            f"KID is measured with InceptionV3 at 75, 150 or 299 pixels, not at {image_size}."
        )
    if weights == "imagenet":
        _require_inception_weights()
    elif weights is not None and not Path(weights).is_file():
        raise UserError(
            f"There is no weights file {weights}: give the path of one, or leave `weights` out."
        )
    try:
        network = keras.applications.InceptionV3(
            include_top=False,
            pooling="avg",
            input_shape=(image_size, image_size, 3),
            weights=weights,
        )
    except Exception as error:  # Keras raises a bare Exception when a download breaks off
        raise UserError(
            f'The InceptionV3 weights "{weights}" cannot be read ({error}): download them again,'
            ' or use the features "flowers", which come with the package.'
        ) from error
    return FeatureExtractor(network, name=f"inception_{image_size}")


def _require_inception_weights():
    """Raises UserError if the weights are neither on this machine nor downloadable.

    This takes seconds, whereas Keras would retry for minutes.
    """
    from diffusion_lab.data.downloads import require_connection

    file = (
        Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
        / "models"
        / Path(INCEPTION_WEIGHTS).name
    )
    if file.exists():
        return
    try:
        require_connection("InceptionV3", INCEPTION_WEIGHTS, "")
    except UserError as error:
        raise UserError(
            "The InceptionV3 weights (88 MB) cannot be downloaded: use the features"
            ' "flowers", which come with the package, connect to the internet, or copy'
            f" {file.name} to {file.parent}."
        ) from error
