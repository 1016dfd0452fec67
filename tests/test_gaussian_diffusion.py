"""GaussianDiffusion against the equations of Ho et al. 2020 in float64 NumPy, step by step."""

import math

import keras
import numpy as np
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.gaussian_diffusion import GaussianDiffusion

T = 1000
TIMESTEPS = np.array([0, 1, 2, 10, 100, 500, 998, 999], dtype="int64")


def reference(beta_start=1e-4, beta_end=0.02):
    """Returns the tables from plain loops over floats, independently of the package."""
    tables = {
        name: []
        for name in [
            "betas",
            "alphas_cumprod",
            "alphas_cumprod_prev",
            "sqrt_alphas_cumprod",
            "sqrt_one_minus_alphas_cumprod",
            "log_one_minus_alphas_cumprod",
            "sqrt_recip_alphas_cumprod",
            "sqrt_recipm1_alphas_cumprod",
            "posterior_variance",
            "posterior_log_variance_clipped",
            "posterior_mean_coef1",
            "posterior_mean_coef2",
        ]
    }
    previous = 1.0
    for t in range(T):
        beta = beta_start + (beta_end - beta_start) * t / (T - 1)
        bar = previous * (1 - beta)
        variance = (1 - previous) / (1 - bar) * beta
        row = (
            beta,
            bar,
            previous,
            math.sqrt(bar),
            math.sqrt(1 - bar),
            math.log(1 - bar),
            bar**-0.5,
            math.sqrt((1 - bar) / bar),
            variance,
            math.log(max(variance, 1e-20)),
            math.sqrt(previous) * beta / (1 - bar),
            math.sqrt(1 - beta) * (1 - previous) / (1 - bar),
        )
        for column, value in zip(tables.values(), row):
            column.append(value)
        previous = bar
    return {name: np.array(column) for name, column in tables.items()}


REFERENCE = reference()


def column(name, t=TIMESTEPS, rank=4):
    return REFERENCE[name][t].reshape((-1,) + (1,) * (rank - 1))


def draw(count=2, shape=(len(TIMESTEPS), 3, 4, 2), seed=0):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape).astype("float32") for _ in range(count)]


def assert_equal(actual, expected):
    """Asserts equality to 1e-5 of the largest value at each timestep.

    The terms reach 157 at one timestep and 0.0001 at another.
    """
    actual = np.asarray(keras.ops.convert_to_numpy(actual), dtype="float64")
    assert actual.shape == expected.shape
    scale = np.abs(expected).max(axis=tuple(range(1, expected.ndim)), keepdims=True)
    np.testing.assert_array_less(np.abs(actual - expected) / (scale + 1e-30), 1e-5)


@pytest.mark.parametrize("name", REFERENCE)
def test_every_table_equals_the_reference(name):
    table = getattr(GaussianDiffusion(), name)
    assert table.dtype == "float32"
    np.testing.assert_allclose(table, REFERENCE[name], rtol=1e-5)


def test_known_values_of_the_schedule():
    diffusion = GaussianDiffusion()
    assert diffusion.betas[0] == np.float32(1e-4) and diffusion.betas[-1] == np.float32(0.02)
    # quoted by the literature as 4e-5
    assert diffusion.alphas_cumprod[-1] == pytest.approx(4.0358e-5, rel=1e-4)
    assert diffusion.posterior_variance[0] == 0
    # the last step returns the predicted image itself
    assert diffusion.posterior_mean_coef1[0] == 1
    assert diffusion.posterior_mean_coef2[0] == 0


def test_q_mean_variance():
    x_start, _ = draw()
    mean, variance, log_variance = GaussianDiffusion().q_mean_variance(x_start, TIMESTEPS)
    assert_equal(mean, column("sqrt_alphas_cumprod") * x_start)
    assert_equal(variance, 1 - column("alphas_cumprod"))
    assert_equal(log_variance, np.log(1 - column("alphas_cumprod")))


def test_q_sample():
    x_start, noise = draw()
    bar = column("alphas_cumprod")
    assert_equal(
        GaussianDiffusion().q_sample(x_start, TIMESTEPS, noise),
        np.sqrt(bar) * x_start + np.sqrt(1 - bar) * noise,
    )


def test_predict_start_from_noise():
    x_t, noise = draw()
    bar = column("alphas_cumprod")
    assert_equal(
        GaussianDiffusion().predict_start_from_noise(x_t, TIMESTEPS, noise),
        (x_t - np.sqrt(1 - bar) * noise) / np.sqrt(bar),
    )


def test_the_true_noise_recovers_the_image():
    x_start, noise = draw()
    diffusion = GaussianDiffusion()
    x_t = diffusion.q_sample(x_start, TIMESTEPS, noise)
    recovered = keras.ops.convert_to_numpy(
        diffusion.predict_start_from_noise(x_t, TIMESTEPS, noise)
    )
    np.testing.assert_allclose(recovered, x_start, atol=2e-4)  # 157 times the rounding of x_t


def test_q_posterior():
    x_start, x_t = draw()
    mean, variance, log_variance = GaussianDiffusion().q_posterior(x_start, x_t, TIMESTEPS)
    assert_equal(
        mean, column("posterior_mean_coef1") * x_start + column("posterior_mean_coef2") * x_t
    )
    assert_equal(variance, column("posterior_variance"))
    assert_equal(log_variance, column("posterior_log_variance_clipped"))


@pytest.mark.parametrize("t", [1, 10, 500, 999])
def test_q_posterior_follows_from_bayes_rule(t):
    """The product of the Gaussians q(x_t | x_{t-1}) and q(x_{t-1} | x_0): precisions add."""
    (x_start, x_t), beta, previous = (
        draw(shape=(1, 2, 2, 1)),
        REFERENCE["betas"][t],
        REFERENCE["alphas_cumprod"][t - 1],
    )
    precision = (1 - beta) / beta + 1 / (1 - previous)
    expected = (
        math.sqrt(1 - beta) / beta * x_t + math.sqrt(previous) / (1 - previous) * x_start
    ) / precision
    mean, variance, _ = GaussianDiffusion().q_posterior(x_start, x_t, np.array([t]))
    assert_equal(mean, np.float64(expected))
    assert_equal(variance, np.full((1, 1, 1, 1), 1 / precision))


@pytest.mark.parametrize("clip_denoised", [True, False])
def test_p_mean_variance(clip_denoised):
    x_t, noise = draw()
    bar = column("alphas_cumprod")
    x_start = (x_t - np.sqrt(1 - bar) * noise) / np.sqrt(bar)
    if clip_denoised:
        x_start = np.clip(x_start, -0.5, 0.25)
    diffusion = GaussianDiffusion(clip_min=-0.5, clip_max=0.25)
    mean, variance, log_variance = diffusion.p_mean_variance(noise, x_t, TIMESTEPS, clip_denoised)
    assert_equal(
        mean, column("posterior_mean_coef1") * x_start + column("posterior_mean_coef2") * x_t
    )
    assert_equal(variance, column("posterior_variance"))
    assert_equal(log_variance, column("posterior_log_variance_clipped"))


def test_p_sample_adds_no_noise_at_the_last_step():
    x_t, noise = draw(shape=(2, 3, 3, 1))
    t, diffusion = np.zeros(2, dtype="int64"), GaussianDiffusion()
    first, second = (diffusion.p_sample(noise, x_t, t, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(first, second)
    mean, _, _ = diffusion.p_mean_variance(noise, x_t, t)
    np.testing.assert_array_equal(first, mean)
    # with a mean of zero, not even exp(log 1e-20 / 2) is lost in rounding
    zero = np.zeros_like(x_t)
    np.testing.assert_array_equal(diffusion.p_sample(zero, zero, t, seed=1), zero)


def test_p_sample_has_the_mean_and_the_variance_of_the_posterior():
    x_t, noise = (np.broadcast_to(x, (4, 64, 64, 1)) for x in draw(shape=(1, 1, 1, 1), seed=3))
    t, diffusion = np.array([1, 30, 500, 999]), GaussianDiffusion()
    samples = keras.ops.convert_to_numpy(
        diffusion.p_sample(noise, x_t, t, clip_denoised=False, seed=4)
    )
    mean, variance, _ = (
        keras.ops.convert_to_numpy(x) for x in diffusion.p_mean_variance(noise, x_t, t, False)
    )
    deviations = (samples - mean) / np.sqrt(variance)
    # 4,096 draws: the mean's standard error is 1 / 64, the variance's √(2 / 4096) = 1 / 45; four of
    # each
    np.testing.assert_allclose(deviations.mean(axis=(1, 2, 3)), 0, atol=4 / 64)
    np.testing.assert_allclose(deviations.var(axis=(1, 2, 3)), 1, atol=4 / 45)


def test_p_sample_repeats_for_a_seed_and_clips_only_on_request():
    x_t, noise = draw(shape=(2, 3, 3, 1))
    t, diffusion = np.array([999, 400]), GaussianDiffusion()
    same = [np.array(diffusion.p_sample(noise, x_t, t, seed=5)) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert np.abs(same[0] - np.array(diffusion.p_sample(noise, x_t, t, seed=6))).max() > 0.1
    assert (
        np.abs(
            same[0] - np.array(diffusion.p_sample(noise, x_t, t, clip_denoised=False, seed=5))
        ).max()
        > 0.01
    )


def test_all_steps_with_the_true_noise_recover_the_image():
    # 2-D toy points are images of shape (1, 1, 2)
    x_start, noise = draw(shape=(2, 1, 1, 2), seed=7)
    x_start = np.clip(x_start, -1, 1)
    diffusion, seed = GaussianDiffusion(timesteps=50), keras.random.SeedGenerator(8)
    x = noise
    for step in reversed(range(50)):
        t = np.full(2, step)
        bar = diffusion.alphas_cumprod[step]
        x = diffusion.p_sample((x - np.sqrt(bar) * x_start) / np.sqrt(1 - bar), x, t, seed=seed)
    np.testing.assert_allclose(x, x_start, atol=1e-4)


def test_other_betas_and_one_timestep():
    np.testing.assert_allclose(
        GaussianDiffusion(2e-4, 0.03).alphas_cumprod,
        reference(2e-4, 0.03)["alphas_cumprod"],
        rtol=1e-5,
    )
    only = GaussianDiffusion(beta_start=0.5, beta_end=0.5, timesteps=1)
    np.testing.assert_allclose(only.alphas_cumprod, [0.5])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"beta_start": 0.03}, "beta_start"),
        ({"beta_start": 0.0}, "beta_start"),
        ({"beta_end": 1.0}, "beta_end"),
        ({"beta_end": float("nan")}, "beta_end"),
        ({"timesteps": 0}, "timesteps"),
        ({"timesteps": 2.5}, "timesteps must be a whole number"),
        ({"timesteps": "1000"}, "timesteps must be a whole number"),
        ({"clip_min": 1.0}, "clip_min"),
    ],
)
def test_impossible_constants_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        GaussianDiffusion(**arguments)


@pytest.mark.parametrize(
    "t, message",
    [
        (np.array([0, 1000]), "0 to 999"),
        (np.array([-1, 5]), "0 to 999"),
        (np.array([0.5, 0.7]), "whole numbers"),
        (np.array([1, 2, 3]), "one timestep for each"),
        (np.array([[1], [2]]), "one timestep for each"),
        (np.int64(3), "one timestep for each"),
    ],
)
def test_impossible_timesteps_are_refused(t, message):
    x_start, noise = draw(shape=(2, 3, 3, 1))
    with pytest.raises(UserError, match=message):
        GaussianDiffusion().q_sample(x_start, t, noise)


def test_images_and_noises_of_different_shapes_are_refused():
    (x,), (narrow,), (flat,) = draw(1, (2, 3, 3, 1)), draw(1, (2, 3, 1, 1)), draw(1, (2, 3, 3))
    t, diffusion = np.array([1, 2]), GaussianDiffusion()
    for other in (narrow, flat):
        for call in (
            lambda: diffusion.q_sample(x, t, other),
            lambda: diffusion.q_posterior(x, other, t),
            lambda: diffusion.predict_start_from_noise(x, t, other),
            lambda: diffusion.p_sample(other, x, t),
        ):
            with pytest.raises(UserError, match="the same shape"):
                call()
