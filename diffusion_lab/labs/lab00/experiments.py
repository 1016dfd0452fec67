"""The measurement of lab 00: are samples near the data, and is all of the data near samples?"""

import numpy as np


def distance_to_nearest(points, others):
    """Returns the mean distance of `points` (N, 2) to the nearest of `others` (M, 2), a float."""
    differences = np.asarray(points)[:, None] - np.asarray(others)[None]
    return float(np.linalg.norm(differences, axis=-1).min(axis=1).mean())
