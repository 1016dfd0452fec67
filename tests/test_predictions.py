"""Each prediction type, given the truth, must recover both components."""

from functools import partial

import numpy as np
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.ideal_denoisers import gaussian_denoiser, mixture_denoiser
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.networks import plain_cnn
from diffusion_lab.predictions import (
    PREDICTIONS,
    autoguide,
    guide_within,
    velocity,
    weighted_velocities,
)
from diffusion_lab.samplers import SAMPLERS
from diffusion_lab.schedules import cosine_diffusion_schedule

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


@pytest.mark.parametrize("weight, mean", [(0, 1.0), (1, 3.0), (2, 5.0), (-1, -1.0)])
def test_autoguidance_of_two_gaussians_is_a_gaussian_further_away(weight, mean):
    """The ideal prediction is linear in the mean, so the guided mean is 1 + weight * (3 - 1)."""
    inputs = RNG.normal(size=IMAGES.shape), NOISE_RATES, SIGNAL_RATES
    guided = autoguide(gaussian_denoiser(3.0, 0.7), gaussian_denoiser(1.0, 0.7), weight)
    for component, expected in zip(guided(*inputs), gaussian_denoiser(mean, 0.7)(*inputs)):
        np.testing.assert_allclose(component, expected, atol=1e-9)


@pytest.mark.parametrize("rate, inside", [(0.1, False), (0.3, True), (0.7, True), (0.9, False)])
def test_guidance_in_an_interval_of_a_mixture_with_two_labels(rate, inside):
    """Each label is a Gaussian; guidance leads from the mixture towards the one around 1.5."""
    means = np.array([-1.5, 1.5]).reshape(2, 1, 1, 1)
    labelled, unlabelled = gaussian_denoiser(1.5, 0.5), mixture_denoiser(means, 0.5)
    guided = autoguide(labelled, unlabelled, 3.0)
    rates = np.full((5, 1, 1, 1), rate)
    inputs = RNG.normal(size=rates.shape), rates, np.sqrt(1 - rates**2)
    expected, other = (guided, labelled) if inside else (labelled, guided)
    for part, same, different in zip(
        guide_within(guided, labelled, 0.25, 0.75)(*inputs), expected(*inputs), other(*inputs)
    ):
        np.testing.assert_array_equal(part, same)
        assert not np.allclose(part, different, atol=1e-3)


def small_model(size=4, mean=0.5):
    model = DiffusionModel(plain_cnn(size, width=8, depth=2), seed=0)
    model.adapt(np.clip(RNG.normal(mean, 0.1, (8, size, size, 3)), 0, 1))
    return model


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_can_be_autoguided(name):
    model, weaker = small_model(), small_model()
    guided = autoguide(*(partial(each.denoise, training=False) for each in (model, weaker)))
    noise = NOISES.astype("float32")
    samples = SAMPLERS[name](guided, cosine_diffusion_schedule, noise, steps=3, seed=0)
    assert samples.shape == noise.shape and np.isfinite(samples).all()


@pytest.mark.parametrize(
    "weaker, weight, sentence",
    [
        (small_model(), float("nan"), "weight must be in"),
        (small_model(), "much", "weight must be in"),
        (small_model(size=8), 2, "images of shape (8, 8, 3)"),
        (small_model(mean=0.1), 2, "trained on other images"),
    ],
)
def test_a_model_that_cannot_guide_gets_one_sentence(weaker, weight, sentence):
    with pytest.raises(UserError) as error:
        autoguide(small_model().denoise, weaker.denoise, weight)
    assert sentence in str(error.value)
