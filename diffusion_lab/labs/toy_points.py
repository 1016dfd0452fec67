"""Points of a flower in the plane: the toy data of several labs."""

import numpy as np


def flower_points(count, seed=0):
    """Returns `count` points on the outline of a flower with five petals.

    They are images (count, 1, 1, 2) of mean 0 and variance 1.
    """
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, count)
    radius = 1 + 0.45 * np.cos(5 * angle) + 0.03 * rng.normal(size=count)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    points = (points - points.mean(0)) / points.std(0)
    return points.reshape(count, 1, 1, 2).astype("float32")
