"""Lab 08: right answers in every style pass; mistakes outside the tables get a hint as well."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from diffusion_lab import checks
from diffusion_lab.ideal_denoisers import gaussian_denoiser, gaussian_ode_solution
from diffusion_lab.metrics import kernel_inception_distance, polynomial_kernel
from diffusion_lab.samplers import ddim
from diffusion_lab.schedules import cosine_diffusion_schedule
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong


def angle_of(a, b, axis=(1, 2, 3)):
    dots = np.sum(a * b, axis, keepdims=True)
    lengths = np.linalg.norm(a.reshape(len(a), -1), axis=1) * np.linalg.norm(
        b.reshape(len(b), -1), axis=1
    )
    return np.arccos(np.clip(dots / lengths.reshape(-1, 1, 1, 1), -1, 1))


def on_arrays(function):
    """Returns `function` as an answer that computes with float64 arrays."""
    return lambda a, b, share: function(np.array(a, "float64"), np.array(b, "float64"), share)


def slerp_in_keras(a, b, share):
    def dot(x, y):
        return ops.sum(x * y, axis=(1, 2, 3), keepdims=True)

    cosine = ops.clip(dot(a, b) / ops.sqrt(dot(a, a) * dot(b, b)), -1, 1)
    angle = ops.arccos(cosine)
    straight = angle < 1e-3
    safe = ops.where(straight, 1.0, angle)
    weight_a = ops.where(straight, 1 - share, ops.sin((1 - share) * safe) / ops.sin(safe))
    weight_b = ops.where(straight, share, ops.sin(share * safe) / ops.sin(safe))
    return weight_a * a + weight_b * b


def slerp_by_pairs(a, b, share):
    results = []
    for first, second in zip(np.array(a), np.array(b)):
        cosine = np.vdot(first, second) / np.linalg.norm(first) / np.linalg.norm(second)
        angle = np.arccos(min(1.0, cosine))
        if np.sin(angle) < 1e-3:
            results.append(first + share * (second - first))
        else:
            results.append(
                (np.sin((1 - share) * angle) * first + np.sin(share * angle) * second)
                / np.sin(angle)
            )
    return np.stack(results)


def slerp_in_tensorflow(a, b, share):
    unit_a, unit_b = (
        tf.reshape(tf.math.l2_normalize(tf.reshape(x, (len(x), -1)), axis=1), x.shape)
        for x in (a, b)
    )
    angle = tf.acos(
        tf.clip_by_value(tf.reduce_sum(unit_a * unit_b, axis=(1, 2, 3), keepdims=True), -1.0, 1.0)
    )
    arc = (tf.sin((1 - share) * angle) * a + tf.sin(share * angle) * b) / tf.sin(
        tf.maximum(angle, 1e-7)
    )
    return tf.where(angle < 1e-3, (1 - share) * a + share * b, arc)


def slerp_along_the_circle(a, b, share):
    """Rotates a towards b by the share of their angle, with the sine of a difference expanded."""
    a, b = np.array(a, "float64"), np.array(b, "float64")
    angle = angle_of(a, b)
    angle = np.where(angle < 1e-4, 1e-4, angle)
    sine, cosine = np.sin(share * angle), np.cos(share * angle)
    return a * (cosine - sine / np.tan(angle)) + b * sine / np.sin(angle)


def slerp_but(angle=angle_of):
    """Returns the right answer with another way to measure the angle."""

    @on_arrays
    def slerp(a, b, share):
        theta = np.maximum(angle(a, b), 1e-4)
        return (np.sin((1 - share) * theta) * a + np.sin(share * theta) * b) / np.sin(theta)

    return slerp


def dot(a, b):
    return np.sum(a * b, (1, 2, 3), keepdims=True)


@np.errstate(invalid="ignore")
def nan_for_equal_noises(a, b, share):
    angle = np.arccos(
        dot(a, b)
        / np.sqrt(dot(a, a) * dot(a, a) if np.array_equal(a, b) else dot(a, a) * dot(b, b))
    )
    return (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)


def zero_for_equal_noises(a, b, share):
    return np.zeros_like(a) if np.array_equal(a, b) else slerp_by_pairs(a, b, share)


SLERPS_WRONG = {  # besides the known mistakes, which tests/test_mistakes.py tries
    "divided by both lengths": slerp_but(
        angle=np.errstate(invalid="ignore")(lambda a, b: np.arccos(dot(a, b)))
    ),
    "Between two equal noise arrays you get NaN": on_arrays(nan_for_equal_noises),
    "Between two equal noise arrays you get zeros": on_arrays(zero_for_equal_noises),
    "one angle for each pair": lambda a, b, s: a * ops.sum(a * b, axis=(1, 2, 3)),
    "returns nothing": lambda a, b, s: None,
    "Not done yet: exercise 8.2": not_done,
}


def invert_in_keras(denoise, schedule, images, steps):
    ones = ops.ones((images.shape[0], 1, 1, 1))
    noisy, noise_rates, signal_rates = images, 0 * ones, ones
    for step in range(1, steps + 1):
        next_noise_rates, next_signal_rates = schedule(ones * step / steps)
        pred_noises, _ = denoise(noisy, next_noise_rates, next_signal_rates)
        pred_images = (noisy - noise_rates * pred_noises) / signal_rates
        noisy = next_signal_rates * pred_images + next_noise_rates * pred_noises
        noise_rates, signal_rates = next_noise_rates, next_signal_rates
    return noisy


def invert_in_numpy(denoise, schedule, images, steps):
    """Computes all rates at once, and keeps them as plain numbers."""
    times = np.arange(1, steps + 1, dtype="float32").reshape(-1, 1, 1, 1) / steps
    noise_rates, signal_rates = (
        np.append(first, np.array(rates)) for first, rates in zip((0.0, 1.0), schedule(times))
    )
    x = np.array(images)
    for now in range(steps):
        full = [
            np.full((len(x), 1, 1, 1), rates[now + 1], "float32")
            for rates in (noise_rates, signal_rates)
        ]
        noises = np.array(denoise(x.astype("float32"), *full)[0])
        x = (
            signal_rates[now + 1] * (x - noise_rates[now] * noises) / signal_rates[now]
            + noise_rates[now + 1] * noises
        )
    return x


def invert_in_tensorflow(denoise, schedule, images, steps):
    """Steps in x / signal rate, where a step is an addition (Song et al. 2021, equation 14)."""
    scaled, ratio, signal = images, 0.0, 1.0
    for time in tf.linspace(0.0, 1.0, steps + 1)[1:]:
        n, s = schedule(tf.fill((len(images), 1, 1, 1), tf.minimum(time, 1.0)))
        noises = denoise(scaled * signal, n, s)[0]
        scaled, ratio, signal = scaled + (n / s - ratio) * noises, n / s, s
    return scaled * signal


def invert_but(
    times=lambda steps: [(step + 1) / steps for step in range(steps)],
    own_rates=False,
    first=None,
    remix=lambda i, e, n, s: s * i + n * e,
):
    """Returns the right answer with one part of it replaced."""

    def invert(denoise, schedule, images, steps):
        ones = ops.ones((images.shape[0], 1, 1, 1))
        x, n, s = images, *(schedule(ones * first) if first is not None else (0 * ones, ones))
        for time in times(steps):
            next_n, next_s = schedule(ones * time)
            e, _ = denoise(x, *((n, s) if own_rates else (next_n, next_s)))
            x = remix((x - n * e) / s, e, next_n, next_s)
            n, s = next_n, next_s
        return x

    return invert


def invert_adding_noise(denoise, schedule, images, steps):
    noise = keras.random.normal(images.shape)
    return invert_but(remix=lambda i, e, n, s: s * i + n * noise)(denoise, schedule, images, steps)


def forward_process(denoise, schedule, images, steps):
    n, s = schedule(ops.ones((images.shape[0], 1, 1, 1)))
    return s * images + n * keras.random.normal(images.shape)


def scalar_rates(denoise, schedule, images, steps):
    return denoise(images, 0.5, 0.5)[0]


INVERSIONS_WRONG = {
    "Your time runs backwards": lambda denoise, schedule, images, steps: ddim(
        denoise, schedule, images, steps
    ),
    "at the time that you come from": invert_but(own_rates=True, first=0.0),
    "asked the schedule for time 1.25": invert_but(
        times=lambda steps: [step / steps for step in range(1, steps + 2)]
    ),
    "used the clean image as if it were already the noisy image": invert_but(
        times=lambda steps: [step / steps for step in range(2, steps + 1)],
        own_rates=True,
        first=0.25,
    ),
    "never called": forward_process,
    "different noise each time": invert_adding_noise,
    "They must be (B, 1, 1, 1)": scalar_rates,
    "Not done yet: exercise 8.3": not_done,
}


def mmd_with_masks(real_features, generated_features):
    """Averages over a boolean mask of different pairs, in float64."""
    x, y = (np.asarray(features, "float64") for features in (real_features, generated_features))

    def mean(a, b, different=False):
        kernel = (1 + np.inner(a, b) / a.shape[-1]) ** 3
        return kernel[~np.eye(len(a), dtype=bool)].mean() if different else kernel.mean()

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y)


def mmd_pair_by_pair(real_features, generated_features):
    def mean(a, b):
        values = [np.polyval([1 / len(x), 1], x @ y) ** 3 for x in a for y in b if x is not y]
        return sum(values) / len(values)

    real, generated = list(real_features), list(generated_features)
    copies = [features.copy() for features in generated]
    return mean(real, real) + mean(generated, generated) - 2 * mean(real, copies)


def mmd_in_keras(real_features, generated_features):
    kernel = lambda x, y: polynomial_kernel(*map(ops.convert_to_tensor, (x, y)))  # noqa: E731
    within = [
        (ops.sum(kernel(x, x)) - ops.sum(ops.diagonal(kernel(x, x)))) / (len(x) ** 2 - len(x))
        for x in (real_features, generated_features)
    ]
    return sum(within) - 2 * ops.mean(kernel(real_features, generated_features))


MMDS_WRONG = {
    "Return one number": lambda x, y: (x @ y.T / x.shape[1] + 1) ** 3,
    "of shape (6,)": lambda x, y: x.mean(0) - y.mean(0),
    "times the transpose": lambda x, y: np.mean((x @ y / x.shape[1] + 1) ** 3),
    "there is a mistake in": lambda x, y: np.mean(x) - np.mean(y) + 0.1,
    "returns nothing": lambda x, y: None,
    "Not done yet: exercise 8.1": not_done,
}

RIGHT = [
    *right(
        checks.polynomial_mmd,
        kernel_inception_distance,
        mmd_with_masks,
        mmd_pair_by_pair,
        mmd_in_keras,
    ),
    *right(
        checks.slerp,
        slerp_in_keras,
        slerp_by_pairs,
        slerp_in_tensorflow,
        slerp_along_the_circle,
        slerp_but(),
    ),
    *right(checks.invert, invert_in_keras, invert_in_numpy, invert_in_tensorflow, invert_but()),
]
WRONG = [
    *wrong(checks.polynomial_mmd, MMDS_WRONG),
    *wrong(checks.slerp, SLERPS_WRONG),
    *wrong(checks.invert, INVERSIONS_WRONG),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)


def test_the_right_inversion_converges_to_the_exact_noise():
    """With twice as many steps, half the error is left, compared with the closed form."""
    images = keras.random.normal((2, 3, 3, 2), seed=0) * 0.6 + 0.4
    toy = {"mean": 0.4, "standard_deviation": 0.6}
    n, s = cosine_diffusion_schedule(np.ones((1, 1, 1, 1), "float32"))
    exact = (images - 0.4) / 0.6
    errors = []
    for steps in (40, 80):
        noise = invert_in_keras(gaussian_denoiser(**toy), cosine_diffusion_schedule, images, steps)
        errors.append(float(ops.max(ops.abs(gaussian_ode_solution(exact, n, s, **toy) - noise))))
        there_and_back = ddim(gaussian_denoiser(**toy), cosine_diffusion_schedule, noise, steps)
        assert float(ops.max(ops.abs(there_and_back - images))) < 4 / steps
    assert errors[0] < 0.2 and 0.4 < errors[1] / errors[0] < 0.6
