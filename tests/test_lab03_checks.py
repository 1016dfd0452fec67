"""Lab 03: right answers in every style pass; unknown mistakes are named."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from diffusion_lab import checks, schedules
from diffusion_lab.labs.failures import CheckFailed
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong

LINEAR, COSINE = checks.linear_diffusion_schedule, checks.cosine_diffusion_schedule
OFFSET = checks.offset_cosine_diffusion_schedule


def area(t, first=1e-4, last=0.02, steps=1000):
    return steps * (first * t + (last - first) * t * t / 2)


def one_by_one(function):
    """Returns an answer that loops over the batch and uses plain Python numbers."""

    def answer(times, *parameters):
        noise_rates, signal_rates = np.empty_like(times), np.empty_like(times)
        for index, time in np.ndenumerate(times):
            noise_rates[index], signal_rates[index] = function(float(time), *parameters)
        return noise_rates, signal_rates

    return answer


def looked_up(index_of, *before):
    """Returns a linear schedule that looks up a table of products.

    `index_of` turns times into indices; the table begins with the entries `before`.
    """

    def answer(times, first=1e-4, last=0.02, steps=1000):
        table = np.array([*before, *np.cumprod(1 - np.linspace(first, last, steps))])
        kept = table[index_of(times, steps)]
        return np.sqrt(1 - kept), np.sqrt(kept)

    return answer


def one_at_the_end(times, first=1e-4, last=0.02, steps=1000):
    table = np.append(np.cumprod(1 - np.linspace(first, last, steps)), 1)
    kept = table[np.rint(times * steps).astype(int)]
    return np.sqrt(1 - kept), np.sqrt(kept)


def flattened(times, first=1e-4, last=0.02, steps=1000):
    kept = np.cumprod(1 - first - (last - first) * times)
    return np.sqrt(1 - kept + 0.3 * kept), np.sqrt(0.7 * kept)


def interpolated(times, first=1e-4, last=0.02, steps=1000):
    table = np.cumprod(1 - np.linspace(first, last, steps))
    kept = np.interp(times, np.linspace(0, 1, steps), table)
    return (1 - kept) ** 0.5, kept**0.5


def in_keras(times, first=1e-4, last=0.02, steps=1000):
    integral = area(times, first, last, steps)
    return keras.ops.sqrt(1 - keras.ops.exp(-integral)), keras.ops.exp(-integral / 2)


def gathered_in_tensorflow(times, first=1e-4, last=0.02, steps=1000):
    kept = tf.gather(
        tf.math.cumprod(1.0 - tf.linspace(first, last, steps)),
        tf.cast(times * (steps - 1), tf.int32),
    )
    return tf.cast(tf.sqrt(1 - kept), "float32"), tf.cast(tf.sqrt(kept), "float32")


def by_area(change):
    """Returns a linear schedule with a mistake: `change(times, area)` replaces the exponent."""
    return lambda t, *p: (
        np.sqrt(1 - np.exp(-change(t, area(t, *p)))),
        np.exp(-change(t, area(t, *p)) / 2),
    )


def over_the_batch(times, first=1e-4, last=0.02, steps=1000):
    """Computes a running product, which flattens the times."""
    kept = np.cumprod(1 - (first + times * (last - first)))
    return np.sqrt(1 - kept), np.sqrt(kept)


def offset(angle):
    """Returns an offset cosine schedule with the angles `angle(t, low, high)`."""
    return lambda t, low=0.02, high=0.95: (np.sin(angle(t, low, high)), np.cos(angle(t, low, high)))


def evenly(t, low, high):
    return math.acos(high) + t * (math.acos(low) - math.acos(high))


def with_noise_by_the_circle(t, low=0.02, high=0.95):
    signal_rates = np.cos(evenly(t, low, high))
    return np.sqrt(1 - signal_rates**2), signal_rates


quarter = math.pi / 2

RIGHT = [
    *right(
        LINEAR,
        lambda t, *p: (np.sqrt(-np.expm1(-area(t, *p))), np.sqrt(np.exp(-area(t, *p)))),
        one_by_one(
            lambda t, *p: (math.sqrt(1 - math.exp(-area(t, *p))), math.exp(-area(t, *p) / 2))
        ),
        looked_up(lambda t, steps: np.rint(t * steps).astype(int), 1.0),
        looked_up(lambda t, steps: np.minimum((t * steps).astype(int), steps - 1)),
        looked_up(lambda t, steps: np.maximum((t * steps).astype(int) - 1, 0)),
        looked_up(lambda t, steps: np.round(t * (steps - 1)).astype("int64")),
        interpolated,
        in_keras,
        gathered_in_tensorflow,
        schedules.linear_diffusion_schedule,
    ),
    *right(
        COSINE,
        lambda t: (np.sin(t * np.pi / 2), np.cos(t * np.pi / 2)),
        lambda t: [np.sqrt(1 - np.cos(t * np.pi / 2) ** 2), np.cos(t * np.pi / 2)],
        lambda t: (keras.ops.sin(t * quarter), keras.ops.cos(t * quarter)),
        lambda t: (tf.sin(t * quarter), tf.cos(t * quarter)),
        lambda t: (np.cos((1 - t.astype("float64")) * quarter), np.cos(np.radians(90 * t))),
        one_by_one(lambda t: (math.sin(t * quarter), math.cos(t * quarter))),
        schedules.cosine_diffusion_schedule,
    ),
    *right(
        OFFSET,
        offset(evenly),
        offset(lambda t, low, high: (1 - t) * np.arccos(high) + t * np.arccos(low)),
        lambda t, low=0.02, high=0.95: (
            keras.ops.sin(evenly(t, low, high)),
            keras.ops.cos(evenly(t, low, high)),
        ),
        lambda t, low=0.02, high=0.95: (tf.sin(evenly(t, low, high)), tf.cos(evenly(t, low, high))),
        one_by_one(
            lambda t, low=0.02, high=0.95: (
                math.sin(evenly(t, low, high)),
                math.cos(evenly(t, low, high)),
            )
        ),
        with_noise_by_the_circle,
        schedules.offset_cosine_diffusion_schedule,
    ),
]

WRONG = [  # besides the known mistakes, which tests/test_mistakes.py tries
    *wrong(
        LINEAR,
        {
            "area of width times height": by_area(lambda t, _: 1000 * (1e-4 * t + 0.0199 * t**2)),
            "depends on its neighbours": over_the_batch,
            "lacks its minus sign": lambda t, *p: (np.full_like(t, np.nan), np.exp(area(t) / 2)),
            "index is -1": looked_up(lambda t, steps: np.rint(t * steps).astype(int) - 1),
            "begins with 0": looked_up(lambda t, steps: np.rint(t * steps).astype(int), 0.0),
            "in front of the products": one_at_the_end,
            "rounded the time": looked_up(lambda t, steps: t.astype(int) * steps, 1.0),
            "has the shape (10,), not that": lambda t, *p: [
                np.ravel(part) for part in in_keras(t, *p)
            ],
            "(100,)": lambda t, *p: [np.repeat(part, len(part)) for part in in_keras(t, *p)],
            "The squares of the two rates must add to 1": lambda t, *p: (0.5 * t, 0.5 - 0.5 * t),
            "in the noise rate. At time 0.00 it is 0.795, but should be 0.": by_area(
                lambda t, whole: 1 + whole
            ),
            "must return 2 values": lambda t, *p: np.exp(-area(t, *p) / 2),
            "is the `return` missing": lambda t, *p: None,
            "for a whole array use": lambda t, *p: (
                math.sqrt(1 - math.exp(-area(t, *p))),
                math.exp(-area(t, *p) / 2),
            ),
            "Not done yet: exercise 3.1, linear_diffusion_schedule.": not_done,
        },
    ),
    *wrong(
        COSINE,
        {
            "Leave the square roots out": lambda t: (
                np.sqrt(np.sin(t * quarter)),
                np.where(t < 1, np.sqrt(np.maximum(0, np.cos(t * quarter))), np.nan),
            ),
            "in the signal rate. At time 1.00 it is 0.0157, but should be 0.": (
                lambda t: (
                    np.sin(np.minimum(t, 0.99) * quarter),
                    np.cos(np.minimum(t, 0.99) * quarter),
                )
            ),
            "has the shape (10, 1, 1), not that": lambda t: (
                np.sin(t * quarter),
                np.cos(t * quarter)[..., 0],
            ),
            "NaN or infinity at time 0.00": lambda t: (
                np.sin(t * quarter),
                np.where(t, np.cos(t * quarter), np.nan),
            ),
            "for a whole array use": lambda t: (math.sin(t * quarter), math.cos(t * quarter)),
        },
    ),
    *wrong(
        OFFSET,
        {
            "arcsin swaps": offset(
                lambda t, low, high: math.asin(high) + t * (math.asin(low) - math.asin(high))
            ),
            "with min_signal_rate=": lambda t, low=0.02, high=0.95: offset(evenly)(t, low),
            "has the shape (10,), not that": lambda t, *p: [
                np.ravel(part) for part in offset(evenly)(t, *p)
            ],
            "keep its first line as it was": lambda t: offset(evenly)(t),
            "changes its input in place": lambda t, *p: (t.__imul__(2), t),
        },
    ),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)


def test_cumprod_is_named_only_if_the_answer_uses_it():
    assert_hint(LINEAR, flattened, "Return one number per image. `np.cumprod` flattens its input.")
    with pytest.raises(CheckFailed) as failure:
        LINEAR(lambda times, *_: (times.ravel(), times.ravel()))
    assert "cumprod" not in str(failure.value)
