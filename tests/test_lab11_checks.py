"""Lab 11: right answers in every style pass; the lab's functions agree with the package's."""

import keras
import numpy as np
import pytest
from keras import ops

from diffusion_lab import checks
from diffusion_lab.ideal_denoisers import gaussian_denoiser
from diffusion_lab.labs.lab11.loss import ConsistencyLoss, adjustable_denoiser
from diffusion_lab.labs.lab11.sampling import SampleConsistency
from diffusion_lab.schedules import offset_cosine_diffusion_schedule
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong


def loss_by_a_residual(denoise, schedule, images, noises, times, gap):
    def look(when):
        noise_rates, signal_rates = schedule(when)
        return denoise(noise_rates * noises + signal_rates * images, noise_rates, signal_rates)[-1]

    near = ops.cast(times - gap < 0, "float32")
    target = near * images + (1 - near) * look(ops.relu(times - gap))
    return ops.mean((look(times) - ops.stop_gradient(target)) ** 2)


def sample_recursively(denoise, schedule, noises, total=None):
    total = total or len(noises)
    *earlier, noise = noises
    noise_rates, signal_rates = schedule(
        ops.ones((len(noise), 1, 1, 1)) * (1 - len(earlier) / total)
    )
    noisy = noise
    if earlier:
        images = sample_recursively(denoise, schedule, earlier, total)
        noisy = signal_rates * images + noise_rates * noise
    return denoise(noisy, noise_rates, signal_rates)[1]


RIGHT = [
    *right(checks.consistency_loss, loss_by_a_residual),
    *right(checks.sample_consistency, sample_recursively),
]
WRONG = [  # besides the known mistakes, which tests/test_mistakes.py tries
    *wrong(checks.consistency_loss, {"Not done yet: exercise 11.1": not_done}),
    *wrong(checks.sample_consistency, {"Not done yet: exercise 11.2": not_done}),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)


def test_with_a_gap_of_one_it_is_the_loss_of_a_diffusion_model():
    images, noises = (keras.random.normal((64, 2, 2, 1), seed=seed) for seed in (1, 2))
    times = keras.random.uniform((64, 1, 1, 1), 0.0, 0.999, seed=3)
    denoise = adjustable_denoiser(ops.ones((1, 1, 1, 1)))
    noise_rates, signal_rates = offset_cosine_diffusion_schedule(times)
    noisy_images = signal_rates * images + noise_rates * noises
    _, pred_images = denoise(noisy_images, noise_rates, signal_rates)
    loss = ConsistencyLoss.right(
        denoise, offset_cosine_diffusion_schedule, images, noises, times, gap=1.0
    )
    np.testing.assert_allclose(loss, np.mean((pred_images - images) ** 2), rtol=1e-5)


def test_one_step_is_the_guess_at_time_one():
    noise = keras.random.normal((3, 2, 2, 1), seed=0)
    denoise = gaussian_denoiser(mean=0.5, standard_deviation=0.8)
    rates = offset_cosine_diffusion_schedule(ops.ones((3, 1, 1, 1)))
    images = SampleConsistency.right(denoise, offset_cosine_diffusion_schedule, [noise])
    np.testing.assert_allclose(images, denoise(noise, *rates)[1], rtol=1e-5)
