"""The Fréchet inception distance (FID) of two sets of features."""

import numpy as np

from diffusion_lab.metrics.kid import checked_features


def frechet_inception_distance(real_features, generated_features):
    """Returns FID (Heusel et al. 2017, equation 6): the squared distance of two fitted Gaussians.

    It is `|m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁C₂)^½)`, with the means m and the covariances C of the two
    sets. With few rows it is too large, because the covariances are then uncertain; compare only
    values for equal numbers of rows.

    Args:
        real_features: (n, d), n at least 2.
        generated_features: (m, d), m at least 2.

    Raises:
        UserError: for features of another shape, or with NaN or infinity.
    """
    real, generated, _ = checked_features(real_features, generated_features)
    difference = np.mean(real, axis=0) - np.mean(generated, axis=0)
    covariances = [np.atleast_2d(np.cov(features, rowvar=False)) for features in (real, generated)]
    # the eigenvalues of the product are real and not negative, but for rounding
    eigenvalues = np.linalg.eigvals(covariances[0] @ covariances[1]).real
    roots = np.sqrt(np.maximum(eigenvalues, 0))
    return float(difference @ difference + sum(map(np.trace, covariances)) - 2 * roots.sum())
