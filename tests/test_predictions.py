"""Each prediction type, given the truth, must recover both components."""

import numpy as np
import pytest

from diffusion_lab.predictions import PREDICTIONS, velocity

RNG = np.random.default_rng(0)
IMAGES, NOISES = RNG.normal(size=(2, 5, 4, 4, 3))
ANGLES = RNG.uniform(0.05, 1.5, (5, 1, 1, 1))
NOISE_RATES, SIGNAL_RATES = np.sin(ANGLES), np.cos(ANGLES)
TRUTH = {"noise": NOISES, "image": IMAGES, "velocity": velocity(NOISES, IMAGES, NOISE_RATES, SIGNAL_RATES)}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_the_true_prediction_gives_the_true_components(name):
    noisy_images = SIGNAL_RATES * IMAGES + NOISE_RATES * NOISES
    pred_noises, pred_images = PREDICTIONS[name](TRUTH[name], noisy_images, NOISE_RATES, SIGNAL_RATES)
    np.testing.assert_allclose(pred_noises, NOISES, atol=1e-9)
    np.testing.assert_allclose(pred_images, IMAGES, atol=1e-9)


@pytest.mark.parametrize("name", PREDICTIONS)
@pytest.mark.parametrize("rates", [(0.0, 1.0), (1.0, 0.0)])
def test_nothing_divides_by_zero_at_the_ends(name, rates):
    noise_rates, signal_rates = (np.full((5, 1, 1, 1), rate) for rate in rates)
    noisy_images = signal_rates * IMAGES + noise_rates * NOISES
    assert all(np.isfinite(part).all() for part in PREDICTIONS[name](NOISES, noisy_images, noise_rates, signal_rates))


def test_velocity_is_the_derivative_of_the_noisy_image_along_the_angle():
    step = 1e-6
    ahead, behind = (np.cos(ANGLES + d) * IMAGES + np.sin(ANGLES + d) * NOISES for d in (step, -step))
    np.testing.assert_allclose((ahead - behind) / (2 * step), TRUTH["velocity"], atol=1e-8)
