"""Precision and recall of generated images: are they good, and are they varied?"""

import numpy as np

from diffusion_lab.errors import UserError
from diffusion_lab.metrics.kid import checked_features


def precision_recall(real_features, generated_features, k=3):
    """Returns (precision, recall), both in [0, 1] (Kynkäänniemi et al. 2019, algorithm 1).

    Around each row of a set lies a ball that reaches to its k-th neighbour in the set. Precision is
    the share of the generated rows that lie in a ball of the real ones, and recall is the share of
    the real rows that lie in a ball of the generated ones.

    Args:
        real_features: (n, d), n larger than k.
        generated_features: (m, d), m larger than k.
        k: the neighbour to which the balls reach.

    Raises:
        UserError: for features of another shape, with NaN or infinity, or too few of them.
    """
    real, generated, _ = checked_features(real_features, generated_features)
    if not 1 <= k < min(len(real), len(generated)):
        raise UserError(f"Each set must have more than k = {k} rows, and k must be at least 1.")
    return _share_inside(generated, real, k), _share_inside(real, generated, k)


def _share_inside(points, centres, k):
    # each centre is its own nearest neighbour, at place 0
    radii = np.sort(_squared_distances(centres, centres), axis=1)[:, k]
    return float(np.mean(np.any(_squared_distances(points, centres) <= radii, axis=1)))


def _squared_distances(rows, others):
    return np.square(rows).sum(1)[:, None] + np.square(others).sum(1) - 2 * rows @ others.T
