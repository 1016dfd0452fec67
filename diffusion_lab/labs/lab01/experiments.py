"""The toy energy of lab 01."""

from keras import ops


def two_valleys(points):
    """Returns the energy (B, 1) of points (B, 1, 1, 2).

    It has a deep valley on the right and a shallow one on the left.
    """
    x, y = points[:, 0, 0, 0], points[:, 0, 0, 1]
    return (ops.square(ops.square(x) - 1.0) * 4.0 - 0.6 * x + 2.0 * ops.square(y - 0.4 * x))[
        :, None
    ]
