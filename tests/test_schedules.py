"""Schedules against their closed forms and against DDPM's product."""

import numpy as np
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.schedules import (
    SCHEDULES,
    cosine_diffusion_schedule,
    linear_diffusion_schedule,
    offset_cosine_diffusion_schedule,
)


def test_linear_schedule_agrees_with_the_product_of_ddpm_at_unsorted_times():
    alpha_bars = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    order = np.random.default_rng(0).permutation(1000)
    times = ((order + 1) / 1000).astype("float32").reshape(-1, 1, 1, 1)
    noise_rates, signal_rates = (np.asarray(rate) for rate in linear_diffusion_schedule(times))
    np.testing.assert_allclose(signal_rates.ravel() ** 2, alpha_bars[order], atol=2e-3)
    np.testing.assert_allclose(noise_rates.ravel() ** 2, 1 - alpha_bars[order], atol=2e-3)


@pytest.mark.parametrize("schedule", SCHEDULES.values())
def test_every_schedule_keeps_the_variance_and_replaces_image_by_noise(schedule):
    times = np.linspace(0, 1, 101).reshape(-1, 1, 1, 1)
    noise_rates, signal_rates = (np.asarray(rate) for rate in schedule(times))
    assert noise_rates.shape == signal_rates.shape == times.shape
    np.testing.assert_allclose(noise_rates**2 + signal_rates**2, 1, atol=1e-6)
    assert np.all(np.diff(noise_rates.ravel()) > 0) and np.all(np.diff(signal_rates.ravel()) < 0)


def test_cosine_schedules_at_their_ends_and_in_the_middle():
    ends = np.array([0.0, 0.5, 1.0])
    noise_rates, signal_rates = cosine_diffusion_schedule(ends)
    np.testing.assert_allclose(signal_rates, [1, 0.5**0.5, 0], atol=1e-6)
    np.testing.assert_allclose(noise_rates, [0, 0.5**0.5, 1], atol=1e-6)
    noise_rates, signal_rates = offset_cosine_diffusion_schedule(ends)
    np.testing.assert_allclose(np.asarray(signal_rates)[[0, 2]], [0.95, 0.02], atol=1e-6)
    middle = (np.arccos(0.95) + np.arccos(0.02)) / 2
    np.testing.assert_allclose(
        [noise_rates[1], signal_rates[1]], [np.sin(middle), np.cos(middle)], atol=1e-6
    )


def test_rates_that_no_schedule_can_have_get_one_sentence():
    with pytest.raises(UserError, match=r"max_signal_rate must be in \[0, 1\]"):
        offset_cosine_diffusion_schedule(np.array([0.5]), max_signal_rate=1.2)
    with pytest.raises(UserError, match="some of these are NaN"):
        cosine_diffusion_schedule(np.array([0.5, np.nan]))


@pytest.mark.parametrize("schedule", SCHEDULES.values())
@pytest.mark.parametrize("times", [[-0.01], [1.01], [0.5, float("nan")], [500]])
def test_times_outside_the_unit_interval_get_one_sentence(schedule, times):
    with pytest.raises(UserError, match=r"\[0, 1\]"):
        schedule(np.array(times))
