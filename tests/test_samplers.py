"""Samplers against closed forms: Gaussian data, ancestral variances, perfect denoisers."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

from diffusion_lab.errors import UserError
from diffusion_lab.ideal_denoisers import (
    dataset_denoiser,
    gaussian_denoiser,
    gaussian_ode_solution,
    mixture_denoiser,
)
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.predictions import from_velocity
from diffusion_lab.samplers import (
    SAMPLERS,
    adams_bashforth,
    ddim,
    ddpm,
    dpmpp_2m,
    heun,
    time_grid,
)
from diffusion_lab.schedules import (
    SCHEDULES,
    cosine_diffusion_schedule,
    offset_cosine_diffusion_schedule,
)

# float64: order tests go below float32's resolution
NOISE = np.random.default_rng(0).normal(size=(64, 2, 2, 1))
GAUSSIAN = {"mean": 0.7, "standard_deviation": 0.5}


def error_at_last_point(sampler, schedule, steps):
    """Returns the distance of the noisy images at t = 1/steps from the exact solution."""
    seen = []
    sampler(
        gaussian_denoiser(**GAUSSIAN),
        schedule,
        NOISE,
        steps=steps,
        on_step=lambda *args: seen.append(args),
    )
    _, time, noisy_images, _ = seen[-1]
    assert len(seen) == steps and time == pytest.approx(1 / steps)
    noise_rate, signal_rate = (float(rate) for rate in schedule(np.float64(time)))
    start_noise_rate, start_signal_rate = (float(rate) for rate in schedule(np.float64(1.0)))
    # the noise need not be drawn at signal rate 0
    scale = (start_signal_rate**2 * 0.25 + start_noise_rate**2) ** 0.5
    exact = gaussian_ode_solution(
        (NOISE - start_signal_rate * 0.7) / scale, noise_rate, signal_rate, **GAUSSIAN
    )
    return np.abs(ops.convert_to_numpy(noisy_images) - exact).max()


# DPM-Solver++ steps in log signal-to-noise. Near the clean end of the cosine schedule its last
# steps are as wide as log 2, however many there are. So its order only shows where the noise rate
# stays above zero.
@pytest.mark.parametrize(
    "sampler, schedule, order",
    [
        (ddim, cosine_diffusion_schedule, 1),
        (ddim, offset_cosine_diffusion_schedule, 1),
        (heun, cosine_diffusion_schedule, 2),
        (heun, offset_cosine_diffusion_schedule, 2),
        (adams_bashforth, cosine_diffusion_schedule, 2),
        (adams_bashforth, offset_cosine_diffusion_schedule, 2),
        (dpmpp_2m, offset_cosine_diffusion_schedule, 2),
    ],
)
def test_error_falls_with_the_order_of_the_method(sampler, schedule, order):
    errors = [error_at_last_point(sampler, schedule, steps) for steps in (40, 80, 160)]
    ratios = [coarse / fine for coarse, fine in zip(errors, errors[1:])]
    assert 2 ** (order - 0.2) < min(ratios) and max(ratios) < 2 ** (order + 0.2), (errors, ratios)


def share_of_spread(times, spread, schedule=offset_cosine_diffusion_schedule):
    """Returns the closed form of how much of the data's `spread` DDIM keeps.

    Each step turns the angle between noise and image, measured in units of the spread. It keeps the
    cosine of this turn.
    """
    noise_rates, signal_rates = (
        np.append(rates, end) for rates, end in zip(schedule(times), (0, 1))
    )
    turns = np.diff(np.arctan2(noise_rates, signal_rates * spread))
    start = np.hypot(noise_rates[0], signal_rates[0] * spread)
    return np.prod(np.cos(turns)) / start


@pytest.mark.parametrize("spacing", [0.5, 1, 1.5, 4])
@pytest.mark.parametrize("steps", [1, 3, 20])
def test_ddim_keeps_the_cosine_of_every_turn(steps, spacing):
    denoise = gaussian_denoiser(0.0, 16.0)
    images = ddim(denoise, offset_cosine_diffusion_schedule, NOISE, steps=steps, spacing=spacing)
    times = [1 - (1 - 1 / steps) * (i / max(steps - 1, 1)) ** spacing for i in range(steps)]
    expected = 16 * share_of_spread(np.array(times, "float32"), spread=16) * NOISE
    np.testing.assert_allclose(images, expected, rtol=1e-4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_spacing_keeps_what_is_decided_in_the_noise(name):
    """The mean colour of 32 × 32 pixels: its noise is 32 times as small as that of a pixel."""
    noise = np.random.default_rng(5).normal(size=(5_000, 1, 1, 1))
    denoise = gaussian_denoiser(0.0, 16.0)
    run = partial(SAMPLERS[name], denoise, offset_cosine_diffusion_schedule, noise, 10, seed=0)
    error, equal_steps = (abs(np.std(run(spacing=spacing)) / 16 - 1) for spacing in (2, 1))
    assert error < 2 / 3 * equal_steps


def test_the_times_of_a_spacing():
    points = time_grid(offset_cosine_diffusion_schedule, 4, spacing=2)
    times = [point.diffusion_time for point in points]
    assert times == pytest.approx([1, 11 / 12, 2 / 3, 1 / 4, 0])


def test_ddim_with_eta_one_is_ddpm_with_small_variance():
    denoise = gaussian_denoiser(**GAUSSIAN)
    one = ddim(denoise, cosine_diffusion_schedule, NOISE, steps=25, eta=1.0, seed=7)
    other = ddpm(denoise, cosine_diffusion_schedule, NOISE, steps=25, variance="small", seed=7)
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert (
        np.abs(
            np.asarray(one) - np.asarray(ddim(denoise, cosine_diffusion_schedule, NOISE, steps=25))
        ).max()
        > 0.1
    )


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm_reaches_the_distribution_of_the_data(variance):
    noise = np.random.default_rng(1).normal(size=(20_000, 1, 1, 1))
    images = ddpm(
        gaussian_denoiser(**GAUSSIAN),
        cosine_diffusion_schedule,
        noise,
        steps=100,
        seed=0,
        variance=variance,
    )
    assert np.mean(images) == pytest.approx(0.7, abs=0.02)
    assert np.std(images) == pytest.approx(0.5, abs=0.03)


def test_large_variance_adds_more_noise_than_small():
    spread = {}
    # with a denoiser that always returns 0, only the added noise remains
    for variance in ("small", "large"):
        seen = []
        ddpm(
            lambda x, n, s: (x / n, 0 * x),
            cosine_diffusion_schedule,
            np.zeros((5_000, 1, 1, 1)),
            steps=2,
            seed=0,
            variance=variance,
            on_step=lambda step, time, noisy, pred: seen.append(np.std(noisy)),
        )
        spread[variance] = seen[-1]
    # at t = 1/2 of the cosine schedule both rates are sqrt(1/2); from t = 1, beta is 1 - 0 and the
    # variance of the posterior is 1/2
    assert spread["large"] == pytest.approx(1.0, abs=0.05) and spread["small"] == pytest.approx(
        0.5**0.5, abs=0.05
    )


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("schedule", SCHEDULES.values())
def test_a_perfect_denoiser_returns_the_image_in_any_number_of_steps(name, steps, schedule):
    image = np.random.default_rng(2).uniform(-1, 1, (3, 4, 4, 2))
    evaluations = []

    def denoise(noisy_images, noise_rates, signal_rates):
        assert noise_rates.shape == signal_rates.shape == (3, 1, 1, 1)
        evaluations.append(1)
        return (noisy_images - signal_rates * image) / noise_rates, ops.convert_to_tensor(image)

    result = SAMPLERS[name](
        denoise, schedule, np.random.default_rng(3).normal(size=image.shape), steps=steps, seed=0
    )
    np.testing.assert_allclose(result, image, atol=1e-5)
    assert len(evaluations) == (2 * steps - 1 if name == "heun" else steps)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_reaches_both_modes_of_a_mixture(name):
    # 2-D points are images of shape (1, 1, 2)
    means = np.array([[[[-1.0, 0.0]]], [[[1.0, 0.5]]]], "float32")
    noise = np.random.default_rng(4).normal(size=(2_000, 1, 1, 2)).astype("float32")
    denoise = mixture_denoiser(means, 0.1, weights=(0.25, 0.75))
    points = np.asarray(
        SAMPLERS[name](denoise, cosine_diffusion_schedule, noise, steps=40, seed=0)
    )[:, 0, 0]
    to_right = points[:, 0] > 0
    assert to_right.mean() == pytest.approx(0.75, abs=0.05)
    np.testing.assert_allclose(points[to_right].mean(0), [1.0, 0.5], atol=0.05)
    np.testing.assert_allclose(points[~to_right].mean(0), [-1.0, 0.0], atol=0.05)


def test_a_component_without_weight_counts_for_nothing():
    means = np.array([-1.0, 2.0]).reshape(2, 1, 1, 1)
    rates = np.full((len(NOISE), 1, 1, 1), 0.6), np.full((len(NOISE), 1, 1, 1), 0.8)
    x = NOISE.astype("float64")
    found = mixture_denoiser(np.broadcast_to(means, (2, *x.shape[1:])), 0.3, [1, 0])(x, *rates)
    alone = gaussian_denoiser(-1.0, 0.3)(x, *rates)
    np.testing.assert_allclose(np.stack(found), np.stack(alone), rtol=1e-5)


def test_the_ideal_denoiser_of_a_set_returns_its_members():
    images = np.random.default_rng(5).uniform(-1, 1, (4, 3, 3, 1)).astype("float32")
    noise = np.random.default_rng(6).normal(size=(8, 3, 3, 1)).astype("float32")
    samples = np.asarray(ddim(dataset_denoiser(images), cosine_diffusion_schedule, noise, steps=50))
    distances = np.abs(samples[:, None] - images[None]).max(axis=(2, 3, 4))
    assert distances.min(axis=1).max() < 1e-3


def test_the_same_seed_gives_the_same_samples_in_the_dtype_of_the_noise():
    run = partial(
        ddpm, gaussian_denoiser(), cosine_diffusion_schedule, NOISE.astype("float32"), steps=5
    )
    np.testing.assert_array_equal(run(seed=1), run(seed=1))
    assert np.abs(np.asarray(run(seed=1)) - np.asarray(run(seed=2))).max() > 0.1
    assert keras.backend.standardize_dtype(run(seed=1).dtype) == "float32"


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"steps": 0}, "at least 1"),
        ({"steps": -3}, "at least 1"),
        ({"steps": 2.5}, "whole number"),
        ({"initial_noise": NOISE[0]}, r"\(B, H, W, C\)"),
        ({"schedule": lambda t: (t, 1 - t)}, "do not sum to 1"),
        ({"schedule": lambda t: (t[0], t[0])}, "shape of the times"),
        ({"schedule": lambda t: (np.cos(t), np.sin(t))}, "more signal at later times"),
        ({"schedule": lambda t: None}, "shape of the times"),
        ({"schedule": lambda t: t}, "shape of the times"),
        (
            {"schedule": lambda t: (np.round(t, 1), np.sqrt(1 - np.round(t, 1) ** 2))},
            "has no noise",
        ),
        ({"denoise": lambda x, n, s: (x, x[:1])}, "both of shape"),
        ({"eta": 1.5}, "eta must be in"),
        ({"eta": float("nan")}, "eta must be in"),
        ({"eta": "1"}, "eta must be in"),
        ({"spacing": 0}, "spacing must be in"),
        ({"spacing": float("nan")}, "spacing must be in"),
        ({"spacing": "1"}, "spacing must be in"),
        ({"steps": "20"}, "whole number"),
        ({"steps": True}, "whole number"),
        ({"steps": float("nan")}, "whole number"),
        ({"steps": 10**9}, "at most"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"seed": 2**32}, "seed must be a whole number of at most"),
        ({"initial_noise": NOISE[:0]}, r"\(B, H, W, C\)"),
        ({"initial_noise": "noise"}, r"\(B, H, W, C\)"),
        ({"initial_noise": NOISE.astype(int)}, "its dtype is int64"),
        ({"initial_noise": NOISE.astype(object)}, "array of numbers"),
        ({"initial_noise": np.nan * NOISE}, "NaN"),
        ({"denoise": lambda x, n, s: x}, "both of shape"),
        ({"denoise": lambda x, n, s: None}, "both of shape"),
    ],
)
def test_bad_arguments_get_one_sentence(change, sentence):
    arguments = {
        "denoise": gaussian_denoiser(),
        "schedule": cosine_diffusion_schedule,
        "initial_noise": NOISE,
    }
    with pytest.raises(UserError, match=sentence):
        ddim(**arguments | change)


@pytest.mark.parametrize("jitter", [0, 1e-7])
@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_happens_while_the_schedule_stands_still(name, jitter):
    """Such as one that is clipped at its noisy end; rounding may even turn it round."""

    def schedule(diffusion_times):
        angles = np.minimum(diffusion_times, 0.6) * np.pi / 2
        angles = angles + jitter * np.where(diffusion_times > 0.6, 1 - diffusion_times, 0)
        return np.sin(angles), np.cos(angles)

    seen = []
    SAMPLERS[name](
        gaussian_denoiser(standard_deviation=0.1),
        schedule,
        NOISE.astype("float64"),
        steps=10,
        seed=0,
        on_step=lambda step, time, noisy_images, pred_images: seen.append(np.array(noisy_images)),
    )
    for images in seen[1:5]:
        np.testing.assert_allclose(images, NOISE, atol=1e-3)
    assert np.all(np.isfinite(seen)) and np.abs(seen[6] - NOISE).max() > 0.1


@pytest.fixture(scope="module")
def networks():
    """Returns a `denoise` of each kind: methods of models, which are compiled, and functions."""
    plain = ModelConfig("plain_cnn", {"image_size": 4, "width": 8, "depth": 1}).build(seed=0)
    labelled = ModelConfig("unet", {"image_size": 4, "widths": (8,)}, class_names=("a", "b")).build(
        seed=0
    )
    discrete = DDPM(
        ModelConfig("plain_cnn", {"image_size": 4, "width": 8, "depth": 1}).build(seed=0).network
    )
    return {
        "model": partial(plain.denoise, training=False),
        "function": lambda *arguments: from_velocity(
            plain.network([arguments[0], arguments[1] ** 2]), *arguments
        ),
        "discrete": partial(discrete.denoise, training=False),
        "discrete function": lambda *arguments: discrete.denoise(*arguments, training=False),
        "guided": labelled.guided(["a", "b"]),
        "set": dataset_denoiser(np.zeros((3, 4, 4, 3), "float32")),
        "mixture": mixture_denoiser(np.zeros((3, 4, 4, 3), "float32"), 0.5),
    }


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_have_the_dtype_of_the_noise_with_every_network(networks, name, dtype):
    exact = np.random.default_rng(0).normal(size=(2, 4, 4, 3))
    noise = exact if dtype == "float64" else ops.cast(exact, dtype)
    for kind, denoise in networks.items():
        samples = SAMPLERS[name](denoise, offset_cosine_diffusion_schedule, noise, steps=2, seed=0)
        assert keras.backend.standardize_dtype(samples.dtype) == dtype, kind
        expected = SAMPLERS[name](
            denoise, offset_cosine_diffusion_schedule, ops.cast(noise, "float32"), steps=2, seed=0
        )
        tolerance = {"float64": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}[dtype]
        # the noise that ddpm draws differs between float64 and float32
        if (name, dtype) != ("ddpm", "float64"):
            np.testing.assert_allclose(
                ops.cast(samples, "float32"), expected, atol=tolerance, rtol=tolerance, err_msg=kind
            )
