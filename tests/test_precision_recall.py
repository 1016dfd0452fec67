"""Precision and recall where both are known."""

import numpy as np
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.metrics import precision_recall

REAL = np.random.default_rng(0).normal(size=(60, 4))


def test_equal_sets_are_precise_and_complete_and_distant_sets_neither():
    assert precision_recall(REAL, REAL) == (1, 1)
    assert precision_recall(REAL, REAL + 100) == (0, 0)


def test_one_good_image_again_and_again_is_precise_but_not_complete():
    same = REAL[:1] + np.random.default_rng(1).normal(size=REAL.shape, scale=1e-4)
    precision, recall = precision_recall(REAL, same)
    assert precision == 1 and recall <= 1 / 60


def test_half_of_the_images_are_useless():
    precision, recall = precision_recall(REAL, np.concatenate([REAL, REAL + 100]))
    assert (precision, recall) == (0.5, 1)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_against_the_definition(k):
    generated = 0.7 * np.random.default_rng(2).normal(size=(45, 4)) + 0.4

    def share(points, centres):
        inside = 0
        for point in points:
            for number, centre in enumerate(centres):
                others = np.delete(centres, number, axis=0)
                radius = sorted(np.linalg.norm(other - centre) for other in others)[k - 1]
                if np.linalg.norm(point - centre) <= radius:
                    inside += 1
                    break
        return inside / len(points)

    expected = share(generated, REAL), share(REAL, generated)
    assert precision_recall(REAL, generated, k) == pytest.approx(expected)


@pytest.mark.parametrize("k, rows", [(0, 60), (60, 60), (3, 3)])
def test_too_few_rows_are_refused(k, rows):
    with pytest.raises(UserError, match="more than k"):
        precision_recall(REAL, REAL[:rows], k)
