"""The toy energy of lab 01."""

from keras import ops


def two_valleys(points):
    """Returns an energy (B, 1) of points (B, 1, 1, 2) with two valleys, the right one deeper."""
    x, y = points[:, 0, 0, 0], points[:, 0, 0, 1]
    energies = 4.0 * ops.square(ops.square(x) - 1.0) - 0.6 * x + 2.0 * ops.square(y - 0.4 * x)
    return energies[:, None]
