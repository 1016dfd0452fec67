"""FID against closed forms of Gaussians."""

import numpy as np
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.metrics import frechet_inception_distance

FEATURES = np.random.default_rng(0).normal(size=(40, 6)) @ np.diag([1, 2, 3, 0.5, 1, 0.1])


def test_equal_sets_have_distance_zero():
    assert frechet_inception_distance(FEATURES, FEATURES) == pytest.approx(0, abs=1e-9)


def test_a_shift_counts_with_its_square():
    shift = np.arange(6.0)
    found = frechet_inception_distance(FEATURES, FEATURES + shift)
    assert found == pytest.approx(np.square(shift).sum())


def test_a_scale_counts_with_the_squared_difference_of_the_standard_deviations():
    centred = FEATURES - FEATURES.mean(axis=0)
    variance = np.trace(np.cov(centred, rowvar=False))
    found = frechet_inception_distance(centred, 1.5 * centred)
    assert found == pytest.approx(0.5**2 * variance)


def test_gaussians_that_are_turned_against_each_other():
    """Against (C1^½ C2 C1^½)^½ by eigenvectors; C1 and C2 do not commute here."""
    turned = FEATURES[:, [1, 0, 3, 2, 5, 4]] + 0.3 * FEATURES[:, [2, 3, 4, 5, 0, 1]]

    def root(matrix):
        values, vectors = np.linalg.eigh(matrix)
        return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T

    first, second = (np.cov(features, rowvar=False) for features in (FEATURES, turned))
    half = root(first)
    difference = FEATURES.mean(axis=0) - turned.mean(axis=0)
    expected = difference @ difference + np.trace(first + second - 2 * root(half @ second @ half))
    assert frechet_inception_distance(FEATURES, turned) == pytest.approx(expected)


def test_fewer_rows_make_it_larger_on_average():
    draw = np.random.default_rng(1).normal
    few, many = (
        np.mean([frechet_inception_distance(*draw(size=(2, n, 6))) for _ in range(20)])
        for n in (10, 100)
    )
    assert few > 3 * many > 0


def test_sets_of_different_widths_are_refused():
    with pytest.raises(UserError, match="features per image"):
        frechet_inception_distance(FEATURES, FEATURES[:, :3])
