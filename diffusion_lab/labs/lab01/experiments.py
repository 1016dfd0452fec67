"""The toy energy of lab 01."""

from keras import ops


def two_valleys(points):
    """A toy energy of points (B, 1, 1, 2): a deep valley on the right, a shallow one on the left; (B, 1)."""
    x, y = points[:, 0, 0, 0], points[:, 0, 0, 1]
    return (ops.square(ops.square(x) - 1.0) * 4.0 - 0.6 * x + 2.0 * ops.square(y - 0.4 * x))[:, None]
