"""Each prediction type, given the truth, must recover both components."""

import numpy as np
import pytest

from diffusion_lab.predictions import PREDICTIONS, velocity, weighted_velocities

RNG = np.random.default_rng(0)
IMAGES, NOISES = RNG.normal(size=(2, 5, 4, 4, 3))
ANGLES = RNG.uniform(0.05, 1.5, (5, 1, 1, 1))
NOISE_RATES, SIGNAL_RATES = np.sin(ANGLES), np.cos(ANGLES)
TRUTH = {
    "noise": NOISES,
    "image": IMAGES,
    "velocity": velocity(NOISES, IMAGES, NOISE_RATES, SIGNAL_RATES),
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_the_true_prediction_gives_the_true_components(name):
    noisy_images = SIGNAL_RATES * IMAGES + NOISE_RATES * NOISES
    pred_noises, pred_images = PREDICTIONS[name](
        TRUTH[name], noisy_images, NOISE_RATES, SIGNAL_RATES
    )
    np.testing.assert_allclose(pred_noises, NOISES, atol=1e-9)
    np.testing.assert_allclose(pred_images, IMAGES, atol=1e-9)


@pytest.mark.parametrize("name", PREDICTIONS)
@pytest.mark.parametrize("rates", [(0.0, 1.0), (1.0, 0.0)])
def test_nothing_divides_by_zero_at_the_ends(name, rates):
    noise_rates, signal_rates = (np.full((5, 1, 1, 1), rate) for rate in rates)
    noisy_images = signal_rates * IMAGES + noise_rates * NOISES
    assert all(
        np.isfinite(part).all()
        for part in PREDICTIONS[name](NOISES, noisy_images, noise_rates, signal_rates)
    )


def test_velocity_is_the_derivative_of_the_noisy_image_along_the_angle():
    step = 1e-6
    ahead, behind = (
        np.cos(ANGLES + d) * IMAGES + np.sin(ANGLES + d) * NOISES for d in (step, -step)
    )
    np.testing.assert_allclose((ahead - behind) / (2 * step), TRUTH["velocity"], atol=1e-8)


def test_weighted_velocities_have_the_loss_of_min_snr():
    """Hang et al. 2023 define it on the image.

    It is the image's squared error times the signal-to-noise ratio, or times 5 if that is less.
    """
    pred_images = IMAGES + RNG.normal(size=IMAGES.shape)
    noisy_images = SIGNAL_RATES * IMAGES + NOISE_RATES * NOISES
    pred_noises = (noisy_images - SIGNAL_RATES * pred_images) / NOISE_RATES
    velocities = TRUTH["velocity"], velocity(pred_noises, pred_images, NOISE_RATES, SIGNAL_RATES)
    true, predicted = weighted_velocities(velocities, NOISE_RATES, SIGNAL_RATES)
    expected = np.minimum((SIGNAL_RATES / NOISE_RATES) ** 2, 5) * (pred_images - IMAGES) ** 2
    assert len(set((expected / (pred_images - IMAGES) ** 2).ravel().round(6))) > 2, (
        "some are at 5, others below"
    )
    np.testing.assert_allclose((np.array(true) - np.array(predicted)) ** 2, expected, rtol=1e-6)
