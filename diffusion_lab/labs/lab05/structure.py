"""Lab 05: the layers in a student's residual block, and known values for their weights."""

import numpy as np
from keras import layers

STRUCTURE = (
    "3 × 3 convolutions",
    "1 × 1 convolutions",
    "biases",
    "normalisations",
    "centres and scales",
)


def _layers_in(layer):
    """Returns the layers that a layer or a model consists of, at any depth."""
    # a student's own layer has no public list of its parts
    inner = layer._flatten_layers(include_self=False, recursive=False)
    return [part for child in inner for part in _layers_in(child)] or [layer]


def _kernel_size(part):
    return tuple(part.kernel.shape[:-2]) or (1, 1)  # a Dense layer is a 1 × 1 convolution


def structure_of(block):
    """Returns {kind: how many of it a model has} for each kind in STRUCTURE."""
    parts = _layers_in(block)
    norms = [part for part in parts if isinstance(part, layers.BatchNormalization)]
    sizes = [_kernel_size(part) for part in parts if hasattr(part, "kernel")]
    return dict(
        zip(
            STRUCTURE,
            (
                sizes.count((3, 3)),
                sizes.count((1, 1)),
                sum(getattr(part, "bias", None) is not None for part in parts),
                len(norms),
                sum(len(norm.trainable_weights) for norm in norms),
            ),
        )
    )


def give_known_weights(block, numbers):
    """Gives every weight known values, so that two ways to write the same block agree.

    Both 3 × 3 convolutions get the same values, because a student's own layer may create the second
    one first.
    """
    for part in _layers_in(block):
        offset = 37 * sum(_kernel_size(part)) if hasattr(part, "kernel") else 0
        for weight in part.weights:
            values = np.resize(np.roll(numbers, -offset), weight.shape)
            weight.assign(0.5 + np.abs(values) if weight.name == "moving_variance" else values)
