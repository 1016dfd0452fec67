"""Lab 03: right answers in every style pass, and each known misconception gets its own hint."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from diffusion_lab import checks, schedules
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong

LINEAR, COSINE = checks.linear_diffusion_schedule, checks.cosine_diffusion_schedule
OFFSET = checks.offset_cosine_diffusion_schedule


def area(t, first=1e-4, last=0.02, steps=1000):
    return steps * (first * t + (last - first) * t * t / 2)


def one_by_one(function):
    """An answer that loops over the batch and uses plain Python numbers."""

    def answer(times, *parameters):
        noise_rates, signal_rates = np.empty_like(times), np.empty_like(times)
        for index, time in np.ndenumerate(times):
            noise_rates[index], signal_rates[index] = function(float(time), *parameters)
        return noise_rates, signal_rates

    return answer


def looked_up(index_of, *before):
    """A linear schedule by a table of products; `index_of` turns times into indices, `before` are entries in front."""

    def answer(times, first=1e-4, last=0.02, steps=1000):
        table = np.array([*before, *np.cumprod(1 - np.linspace(first, last, steps))])
        kept = table[index_of(times, steps)]
        return np.sqrt(1 - kept), np.sqrt(kept)

    return answer


def interpolated(times, first=1e-4, last=0.02, steps=1000):
    table = np.cumprod(1 - np.linspace(first, last, steps))
    kept = np.interp(times, np.linspace(0, 1, steps), table)
    return (1 - kept) ** 0.5, kept**0.5


def in_keras(times, first=1e-4, last=0.02, steps=1000):
    integral = area(times, first, last, steps)
    return keras.ops.sqrt(1 - keras.ops.exp(-integral)), keras.ops.exp(-integral / 2)


def gathered_in_tensorflow(times, first=1e-4, last=0.02, steps=1000):
    kept = tf.gather(tf.math.cumprod(1.0 - tf.linspace(first, last, steps)), tf.cast(times * (steps - 1), tf.int32))
    return tf.cast(tf.sqrt(1 - kept), "float32"), tf.cast(tf.sqrt(kept), "float32")


def by_area(change):
    """A linear schedule with a mistake in it: `change(times, area)` is what stands in the exponent."""
    return lambda t, *p: (np.sqrt(1 - np.exp(-change(t, area(t, *p)))), np.exp(-change(t, area(t, *p)) / 2))


def by_kept(mix):
    """A linear schedule with a mistake in it: `mix(kept)` returns the two rates."""
    return lambda t, *p: mix(np.exp(-area(t, *p)))


def over_the_batch(root, axis):
    def answer(times, first=1e-4, last=0.02, steps=1000):
        kept = np.cumprod(1 - (first + times * (last - first)), axis)
        return root(1 - kept), root(kept)

    return answer


def cumulative_from(order):
    return lambda t, *p: by_area(lambda t, _: area(1, *p) - area(1 - t, *p) if order else area(1 - t, *p))(t, *p)


def offset(angle):
    """An offset cosine schedule with a mistake in it: `angle(t, low, high)`."""
    return lambda t, low=0.02, high=0.95: (np.sin(angle(t, low, high)), np.cos(angle(t, low, high)))


def evenly(t, low, high):
    return math.acos(high) + t * (math.acos(low) - math.acos(high))


def from_signal(signal, noise=lambda s, t: np.sqrt(1 - s**2)):
    """An offset cosine schedule with a mistake in it: `signal(t, low, high)`, and the noise rate from it."""
    return lambda t, low=0.02, high=0.95: (noise(signal(t, low, high), t), signal(t, low, high))


def right_linear(t, *p):
    return np.sqrt(-np.expm1(-area(t, *p))), np.exp(-area(t, *p) / 2)


quarter = math.pi / 2
on_a_line = lambda t, low, high: high + t * (low - high)
squeezed = lambda t, low, high: low + (high - low) * np.cos(t * quarter)
clipped = lambda t, low, high: np.clip(np.cos(t * quarter), low, high)
counted = lambda t: np.linspace(0, 1, len(t)).reshape(t.shape)

RIGHT = [
    *right(
        LINEAR, lambda t, *p: (np.sqrt(-np.expm1(-area(t, *p))), np.sqrt(np.exp(-area(t, *p)))),
        one_by_one(lambda t, *p: (math.sqrt(1 - math.exp(-area(t, *p))), math.exp(-area(t, *p) / 2))),
        looked_up(lambda t, steps: np.rint(t * steps).astype(int), 1.0),
        looked_up(lambda t, steps: np.minimum((t * steps).astype(int), steps - 1)),
        looked_up(lambda t, steps: np.maximum((t * steps).astype(int) - 1, 0)),
        looked_up(lambda t, steps: np.round(t * (steps - 1)).astype("int64")),
        interpolated, in_keras, gathered_in_tensorflow, schedules.linear_diffusion_schedule,
    ),
    *right(
        COSINE, lambda t: (np.sin(t * np.pi / 2), np.cos(t * np.pi / 2)),
        lambda t: [np.sqrt(1 - np.cos(t * np.pi / 2) ** 2), np.cos(t * np.pi / 2)],
        lambda t: (keras.ops.sin(t * quarter), keras.ops.cos(t * quarter)),
        lambda t: (tf.sin(t * quarter), tf.cos(t * quarter)),
        lambda t: (np.cos((1 - t.astype("float64")) * quarter), np.cos(np.radians(90 * t))),
        one_by_one(lambda t: (math.sin(t * quarter), math.cos(t * quarter))), schedules.cosine_diffusion_schedule,
    ),
    *right(
        OFFSET, offset(evenly), offset(lambda t, low, high: (1 - t) * np.arccos(high) + t * np.arccos(low)),
        lambda t, low=0.02, high=0.95: (keras.ops.sin(evenly(t, low, high)), keras.ops.cos(evenly(t, low, high))),
        lambda t, low=0.02, high=0.95: (tf.sin(evenly(t, low, high)), tf.cos(evenly(t, low, high))),
        one_by_one(lambda t, low=0.02, high=0.95: (math.sin(evenly(t, low, high)), math.cos(evenly(t, low, high)))),
        from_signal(lambda t, low, high: np.cos(evenly(t, low, high))), schedules.offset_cosine_diffusion_schedule,
    ),
]

WRONG = [
    *wrong(LINEAR, {
        "wrong order": by_kept(lambda kept: (np.sqrt(kept), np.sqrt(1 - kept))),
        "the variances": by_kept(lambda kept: (1 - kept, kept)),
        "one of its two halves": by_kept(lambda kept: (np.sqrt(1 - kept**2), kept)),
        "area is *half*": by_area(lambda t, _: 1000 * (1e-4 * t + 0.0199 * t**2)),
        "one root too many": by_kept(lambda kept: (np.sqrt(1 - kept**0.5), kept**0.25)),
        "noise rate still lacks": by_kept(lambda kept: (1 - kept, np.sqrt(kept))),
        "signal rate still lacks": by_kept(lambda kept: (np.sqrt(1 - kept), kept)),
        "not 1 - signal rate": by_kept(lambda kept: (1 - np.sqrt(kept), np.sqrt(kept))),
        "depends on its neighbours": over_the_batch(np.sqrt, axis=0),
        "neighbours: multiply over": over_the_batch(np.sqrt, axis=None),
        "besides, the rates are the square roots": over_the_batch(lambda kept: kept, axis=0),
        "*single* step": lambda t, *p: (np.sqrt(1e-4 + t * 0.0199), np.sqrt(1 - (1e-4 + t * 0.0199))),
        "`timesteps` is missing": by_area(lambda t, whole: whole / 1000),
        "the same at all times": by_area(lambda t, _: 1000 * (1e-4 + 0.02) / 2 * t),
        "take the *area* under β": lambda t, *p: (np.sqrt(1 - np.exp(-1000 * (1e-4 + t * 0.0199))),
                                                  np.exp(-500 * (1e-4 + t * 0.0199))),
        "(and forgets the root)": lambda t, *p: (np.sqrt(1 - np.exp(-2000 * (1e-4 + t * 0.0199))),
                                                 np.exp(-1000 * (1e-4 + t * 0.0199))),
        "1e-4 and 0.02 built in": lambda t, first=1e-4, last=0.02, steps=1000: right_linear(t, 1e-4, 0.02, steps),
        "the area has a t²": by_area(lambda t, _: 1000 * (1e-4 * t + 0.0199 / 2 * t)),
        "yours falls": cumulative_from(True),
        "the wrong way": cumulative_from(False),
        "minus sign": lambda t, *p: (np.sqrt(np.exp(area(t)) - 1), np.exp(area(t) / 2)),
        "needs a minus": lambda t, *p: (np.emath.sqrt(1 - np.exp(area(t))).real + np.nan, np.exp(area(t) / 2)),
        "not np.log10": lambda t, *p: by_area(lambda t, whole: whole * np.log10(math.e))(t, *p),
        "index -1": looked_up(lambda t, steps: np.rint(t * steps).astype(int) - 1),
        "round the time": looked_up(lambda t, steps: t.astype(int) * steps, 1.0),
        "the rates themselves do": lambda t, *p: (t, 1 - t),
        "the variances do": lambda t, *p: (np.sqrt(t), np.sqrt(1 - t)),
        "times of your own": lambda t, *p: in_keras(counted(t), *p),
        "put the times in order": lambda t, *p: in_keras(np.sort(t, axis=0), *p),
        "does not use its arguments": lambda t, *p: in_keras(t),
        "1000 steps built in": lambda t, first=1e-4, last=0.02, steps=1000: in_keras(t, first, last),
        "does not start at 0": lambda t, first=1e-4, last=0.02, steps=1000: by_area(
            lambda t, _: steps * (last - first) * t**2 / 2)(t),
        "by all of beta_end": lambda t, first=1e-4, last=0.02, steps=1000: in_keras(t, first, last + first, steps),
        "has the shape (10,), but should": lambda t, *p: [part.ravel() for part in in_keras(t, *p)],
        "(100,)": lambda t, *p: [np.repeat(part, len(part)) for part in in_keras(t, *p)],
        "the squares of the two rates must add to 1": lambda t, *p: (0.5 * t, 0.5 - 0.5 * t),
        "the noise rate is not right yet. At time 0.00 it is 0.795, but should be 0.": by_area(lambda t, whole: 1 + whole),
        "must return 2 values": lambda t, *p: np.exp(-area(t, *p) / 2),
        "is the `return` missing": lambda t, *p: None,
        "take a whole array": lambda t, *p: (math.sqrt(1 - math.exp(-area(t, *p))), math.exp(-area(t, *p) / 2)),
        "Not done yet: exercise 3.1, linear_diffusion_schedule.": not_done,
    }),
    *wrong(COSINE, {
        "changed places": lambda t: (np.cos(t * quarter), np.sin(t * quarter)),
        "at time 0 let them be 0": lambda t: (np.sin((1 - t) * quarter), np.cos((1 - t) * quarter)),
        "these are variances": lambda t: (np.sin(t * quarter) ** 2, np.cos(t * quarter) ** 2),
        "degrees": lambda t: (np.sin(90.0 * t), np.cos(90.0 * t)),
        "57 degrees": lambda t: (np.sin(t), np.cos(t)),
        "eighth of a turn": lambda t: (np.sin(np.pi / 4 * t), np.cos(np.pi / 4 * t)),
        "half a turn": lambda t: (np.sin(np.pi * t), np.cos(np.pi * t)),
        "full turn": lambda t: (np.sin(2 * np.pi * t), np.cos(2 * np.pi * t)),
        "not 1 - signal rate": lambda t: (1 - np.cos(t * quarter), np.cos(t * quarter)),
        "their squares do not add to 1": lambda t: (t, 1 - t),
        "the signal rate fall in a straight line": lambda t: (np.sqrt(1 - (1 - t) ** 2), 1 - t),
        "the noise rate grow in a straight line": lambda t: (t, np.sqrt(1 - t**2)),
        "one root too many": lambda t: (np.sin(t * quarter) ** 0.5, np.maximum(np.cos(t * quarter), 0) ** 0.5),
        "root too many: sine": lambda t: (
            np.sqrt(np.sin(t * quarter)), np.where(t < 1, np.sqrt(np.maximum(0, np.cos(t * quarter))), np.nan)),
        "the angle or the time itself": lambda t: (t * quarter, np.cos(t * quarter)),
        "times of your own": lambda t: (np.sin(counted(t) * quarter), np.cos(counted(t) * quarter)),
        "whole numbers": lambda t: (np.sin(t.astype(int) * quarter), np.cos(t.astype(int) * quarter)),
        "the signal rate is not right yet. At time 1.00 it is 0.0157, but should be 0.": lambda t: (
            np.sin(np.minimum(t, 0.99) * quarter), np.cos(np.minimum(t, 0.99) * quarter)),
        "has the shape (10, 1, 1), but": lambda t: (np.sin(t * quarter), np.cos(t * quarter)[..., 0]),
        "NaN or infinity at time 0.00": lambda t: (np.sin(t * quarter), np.where(t, np.cos(t * quarter), np.nan)),
        "take a whole array": lambda t: (math.sin(t * quarter), math.cos(t * quarter)),
    }),
    *wrong(OFFSET, {
        "the wrong way round: the last angle": offset(
            lambda t, low, high: math.acos(high) + t * (math.acos(high) - math.acos(low))),
        "changed places": lambda t, *p: offset(evenly)(t, *p)[::-1],
        "not its arcsin": offset(lambda t, low, high: math.asin(high) + t * (math.asin(low) - math.asin(high))),
        "these are variances": lambda t, *p: [part**2 for part in offset(evenly)(t, *p)],
        "degrees": offset(lambda t, *p: np.degrees(evenly(t, *p))),
        "time runs the wrong way": offset(lambda t, low, high: evenly(t, high, low)),
        "without the offset": offset(lambda t, low, high: t * quarter),
        "starts at 0": offset(lambda t, low, high: t * math.acos(low)),
        "ends at π / 2": offset(lambda t, low, high: math.acos(high) + t * (quarter - math.acos(high))),
        "the *difference*": offset(lambda t, low, high: math.acos(high) + t * math.acos(low)),
        "the cosine of the rates": offset(
            lambda t, low, high: math.cos(high) + t * (math.cos(low) - math.cos(high))),
        "as if they were angles": offset(on_a_line),
        "not 1 - signal rate": from_signal(lambda t, *p: np.cos(evenly(t, *p)), lambda s, t: 1 - s),
        "let the signal rate fall in a straight line": from_signal(on_a_line),
        "both rates go in straight lines": lambda t, low=0.02, high=0.95: (
            (1 - high**2) ** 0.5 + t * ((1 - low**2) ** 0.5 - (1 - high**2) ** 0.5), on_a_line(t, low, high)),
        "no further π / 2": offset(lambda t, *p: quarter * evenly(t, *p)),
        "you squeeze the cosine": from_signal(squeezed),
        "is the *angle*. Besides, the squares": from_signal(squeezed, lambda s, t: np.sin(t * quarter)),
        "you clip the rates": from_signal(clipped),
        "to the other. Besides, the squares": from_signal(clipped, lambda s, t: np.sin(t * quarter)),
        "times of your own": lambda t, *p: offset(evenly)(counted(t), *p),
        "does not use its arguments": lambda t, low=0.02, high=0.95: offset(evenly)(t),
        "with min_signal_rate=": lambda t, low=0.02, high=0.95: offset(evenly)(t, low),
        "has the shape (10,), but": lambda t, *p: [part.ravel() for part in offset(evenly)(t, *p)],
        "keep its first line as it was": lambda t: offset(evenly)(t),
        "changes its input in place": lambda t, *p: (t.__imul__(2), t),
    }),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_misconceptions(check, answer, hint):
    assert_hint(check, answer, hint)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("check", [LINEAR, COSINE, OFFSET], ids=lambda check: check.number)
def test_no_mistake_looks_like_another_or_like_the_right_answer(check, seed):
    inputs = check.draw(np.random.default_rng(seed))
    times = inputs["times"].astype("float64")
    tables = [{"right": check.right(times)} | check.mistakes(times)]
    if check.parameters:
        times, others = inputs["other_times"].astype("float64"), [inputs[name].item() for name in check.parameters]
        tables.append({"right": check.right(times, *others)} | check.careless(times, *others))
    for table in tables:
        for number, (hint, wrong_rates) in enumerate(table.items()):
            for other, others in list(table.items())[:number]:
                assert not np.allclose(wrong_rates, others, check.tolerance, check.tolerance), (hint, other)
