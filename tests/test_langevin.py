"""Langevin dynamics of labs 01 and 06 in a bowl, where everything is known."""

import keras
import numpy as np
import pytest
from keras import ops

from diffusion_lab.labs.langevin import langevin

STEP = 0.1


def bowl(points):
    """Returns the slope of the energy of a standard normal distribution."""
    return points


def test_without_noise_each_step_goes_down_the_slope():
    points = ops.convert_to_tensor(np.arange(6, dtype="float32").reshape(3, 1, 1, 2))
    found = langevin(bowl, points, steps=3, step_size=STEP, noise_scale=0.0)
    np.testing.assert_allclose(ops.convert_to_numpy(found), points * (1 - STEP) ** 3, rtol=1e-5)


@pytest.mark.parametrize("noise_scale", [1.0, 0.5])
def test_long_walks_reach_the_distribution_of_the_energy(noise_scale):
    start = keras.random.uniform((4000, 1, 1, 2), 2, 3, seed=0)
    found = ops.convert_to_numpy(langevin(bowl, start, 60, STEP, noise_scale))
    # the variance that a step of this size leaves as it is; 1 for infinitely short steps
    variance = noise_scale**2 / (1 - STEP / 2)
    assert np.var(found) == pytest.approx(variance, rel=0.06)
    assert np.mean(found) == pytest.approx(0, abs=0.06)


def test_the_seed_determines_the_walk():
    start = ops.zeros((4, 1, 1, 2))
    first, again, other = (
        ops.convert_to_numpy(langevin(bowl, start, 3, STEP, seed=seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.allclose(first, other)
