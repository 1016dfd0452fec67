"""Lab 07: right answers in every style pass, and each known misconception gets its own hint."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from diffusion_lab import checks
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong


def angles_of(self, times, start=None, end=None):
    start = math.acos(self.max_signal_rate) if start is None else start
    end = math.acos(self.min_signal_rate) if end is None else end
    return start + times * (end - start)


def schedule_in_keras(self, times):
    return ops.sin(angles_of(self, times)), ops.cos(angles_of(self, times))


def schedule_in_tensorflow(self, times):
    start, end = tf.acos(self.max_signal_rate), tf.acos(self.min_signal_rate)
    angles = start * (1.0 - times) + end * times
    return tf.sin(angles), tf.cos(angles)


def schedule_in_numpy(self, times):
    signal_rates = np.cos(angles_of(self, np.array(times)))
    return [np.sqrt(1 - signal_rates**2), signal_rates]


def schedule_one_time_at_a_time(self, times):
    rates = [(math.sin(angles_of(self, float(time))), math.cos(angles_of(self, float(time)))) for time in np.ravel(times)]
    noise_rates, signal_rates = np.array(rates).T
    return noise_rates.reshape(times.shape), signal_rates.reshape(times.shape)


def schedule_by_pythagoras(self, times):
    signal_rates = ops.cos(angles_of(self, times))
    return [ops.sqrt(1 - ops.square(signal_rates)), signal_rates]


def straight_signal(self, times):
    signal = self.max_signal_rate + times * (self.min_signal_rate - self.max_signal_rate)
    return ops.sqrt(1 - signal**2), signal


def degrees(self, times):
    return np.sin(np.degrees(angles_of(self, np.array(times)))), np.cos(np.degrees(angles_of(self, np.array(times))))


SCHEDULES_WRONG = {
    "wrong order": lambda self, t: schedule_in_keras(self, t)[::-1],
    "these are variances": lambda self, t: [rate**2 for rate in schedule_in_keras(self, t)],
    "the wrong way": lambda self, t: schedule_in_keras(self, 1 - t),
    "without the offset": lambda self, t: (ops.sin(t * math.pi / 2), ops.cos(t * math.pi / 2)),
    "the angle starts at 0": lambda self, t: (ops.sin(t * math.acos(self.min_signal_rate)),
                                              ops.cos(t * math.acos(self.min_signal_rate))),
    "ends too far": lambda self, t: (
        ops.sin(math.acos(self.max_signal_rate) + t * math.acos(self.min_signal_rate)),
        ops.cos(math.acos(self.max_signal_rate) + t * math.acos(self.min_signal_rate))),
    "arcsin in place of arccos": lambda self, t: [
        wave(angles_of(self, t, math.asin(self.max_signal_rate), math.asin(self.min_signal_rate)))
        for wave in (ops.sin, ops.cos)],
    "in a straight line; it is the angle": straight_signal,
    "degrees": degrees,
    "times themselves are no angles": lambda self, t: (ops.sin(t), ops.cos(t)),
    "the signal rate is not right yet. At time 1.00 it is 0, but should be": lambda self, t: (
        schedule_in_keras(self, t)[0], ops.where(t == 1, 0.0, schedule_in_keras(self, t)[1])),
    "noise rate is not 1 - signal rate": lambda self, t: (1 - schedule_in_keras(self, t)[1], schedule_in_keras(self, t)[1]),
    "0.02 and 0.95": lambda self, t: [wave(angles_of(self, t, math.acos(0.95), math.acos(0.02)))
                                      for wave in (ops.sin, ops.cos)],
    "that of the times": lambda self, t: [ops.reshape(rate, (-1,)) for rate in schedule_in_keras(self, t)],
    "must return 2 values": lambda self, t: schedule_in_keras(self, t)[0],
    "Not done yet: exercise 7.1": not_done,
    "AttributeError": lambda self, t: t * self.max_rate,
    "in a graph, in which NumPy": schedule_in_numpy,
    "and `float(...)` cannot calculate": schedule_one_time_at_a_time,
    "`self` is missing": lambda t: t,
    "the functions of `math` take one number": lambda self, t: (math.sin(angles_of(self, t)), math.cos(angles_of(self, t))),
    "or the notebook's variables": lambda self, t: [wave(angles_of(self, t, math.acos(0.95), math.acos(0.02)))
                                                    for wave in (ops.sin, ops.cos)],
}


def denoise_in_keras(self, noisy, noise_rates, signal_rates, training):
    network = self.network if training else self.ema_network
    noises = network([noisy, noise_rates**2], training=training)
    return noises, (noisy - noise_rates * noises) / signal_rates


def denoise_in_tensorflow(self, noisy, noise_rates, signal_rates, training):
    if training:
        noises = self.network((noisy, tf.square(noise_rates)), training=True)
    else:
        noises = self.ema_network((noisy, tf.square(noise_rates)), training=False)
    return noises, tf.math.divide(noisy - noise_rates * noises, signal_rates)


def denoise_image_by_image(self, noisy, noise_rates, signal_rates, training):
    network = self.network if training else self.ema_network
    noises = np.array(network([noisy, noise_rates**2], training=training))
    images = [(image - n * noise) / s for image, noise, n, s in zip(*map(np.array, (noisy, noises, noise_rates, signal_rates)))]
    return noises, np.stack(images)


def denoise_but(part=None, told=None, network=None, flag=None, ordered=lambda noises, images: (noises, images)):
    """The right answer with one thing in it replaced."""
    told = told or (lambda noise_rates, signal_rates: noise_rates**2)
    network = network or (lambda self, training: self.network if training else self.ema_network)
    part = part or (lambda noisy, noises, n, s: (noisy - n * noises) / s)

    def denoise(self, noisy, noise_rates, signal_rates, training):
        keywords = {"training": training} if flag is None else flag
        noises = network(self, training)([noisy, told(noise_rates, signal_rates)], **keywords)
        return ordered(noises, part(noisy, noises, noise_rates, signal_rates))

    return denoise


def asks_both(self, noisy, noise_rates, signal_rates, training):
    self.network([noisy, noise_rates**2], training=training)
    return denoise_in_keras(self, noisy, noise_rates, signal_rates, False)


DENOISE_WRONG = {
    "the wrong way round": denoise_but(network=lambda self, training: self.ema_network if training else self.network),
    "its averaged weights sample much better": denoise_but(network=lambda self, training: self.network),
    "cannot learn by itself": denoise_but(network=lambda self, training: self.ema_network),
    "exactly one network": asks_both,
    "is told the noise rate": denoise_but(told=lambda n, s: n),
    "is told the signal rate": denoise_but(told=lambda n, s: s),
    "variance of the signal": denoise_but(told=lambda n, s: s**2),
    "hand `training` on": denoise_but(flag={}),
    "wrong order": denoise_but(ordered=lambda noises, images: (images, noises)),
    "the noisy image as the predicted one": denoise_but(lambda noisy, e, n, s: noisy),
    "divide by the signal rate": denoise_but(lambda noisy, e, n, s: noisy - n * e),
    "multiply by the signal rate at the end": denoise_but(lambda noisy, e, n, s: (noisy - n * e) * s),
    "scaled by its rate": denoise_but(lambda noisy, e, n, s: (noisy - e) / s),
    "the two rates are swapped": denoise_but(lambda noisy, e, n, s: (noisy - s * e) / n),
    "added once more": denoise_but(lambda noisy, e, n, s: (noisy + n * e) / s),
    "subtract with the variance": denoise_but(lambda noisy, e, n, s: (noisy - n**2 * e) / s),
    "brackets around": denoise_but(lambda noisy, e, n, s: noisy - n * e / s),
    "1 - noise rate is not": denoise_but(lambda noisy, e, n, s: (noisy - n * e) / (1 - n)),
    "must return 2 values": denoise_but(ordered=lambda noises, images: images),
    "`predict` is slow": lambda self, x, n, s, training: (
        (self.network if training else self.ema_network).predict([x, n**2]), x),
    "one list of two things": lambda self, x, n, s, training: (
        (self.network if training else self.ema_network)(x, training=training), x),
    "one list of two things": lambda self, x, n, s, training: (
        (self.network if training else self.ema_network)(x, n**2, training=training), x),
    "in a graph": denoise_image_by_image,
    "`.numpy()`": lambda self, x, n, s, training: [
        ops.convert_to_tensor(part.numpy()) for part in denoise_in_keras(self, x, n, s, training)],
    "for the image: it predicts the *noise*": lambda self, x, n, s, training: (
        lambda answer: ((x - s * answer) / n, answer))(denoise_in_keras(self, x, n, s, training)[0]),
    "you divide by the noise rate": denoise_but(lambda noisy, e, n, s: (noisy - n * e) / n),
    "you clip": denoise_but(lambda noisy, e, n, s: ops.clip((noisy - n * e) / s, -1, 1)),
    "pred_images is not right yet": denoise_but(lambda noisy, e, n, s: (noisy - n * e) / s + 1),
    "multiply the images as they are": denoise_but(lambda noisy, e, n, s: (noisy - ops.reshape(n, (-1,)) * e) / s),
    "Not done yet: exercise 7.2": not_done,
}


def sampler_but(times=None, remix=None, returned="images", training=False, start=lambda noise: noise, keep=False,
                next_time=None):
    """The right answer with one thing in it replaced."""
    times = times or (lambda steps: [1 - step / steps for step in range(steps)])
    remix = remix or (lambda noises, images, now, then, initial: then[1] * images + then[0] * noises)

    def reverse_diffusion(self, initial_noise, diffusion_steps):
        ones = ops.ones((initial_noise.shape[0], 1, 1, 1))
        noisy = start(initial_noise)
        grid = times(diffusion_steps)
        for time, later in zip(grid, [*grid[1:], grid[-1] - 1 / diffusion_steps]):
            later = next_time(time, diffusion_steps) if next_time else later
            now, then = self.diffusion_schedule(ones * time), self.diffusion_schedule(ones * later)
            noises, images = self.denoise(initial_noise if keep else noisy, *now, training)
            noisy = remix(noises, images, now, then, initial_noise)
        return {"images": images, "noisy": noisy, "noises": noises}[returned]

    return reverse_diffusion


def swapping(schedule=False, denoise=False):
    """The right answer around a model whose return values, or arguments, the student takes in the wrong order."""
    def reverse_diffusion(self, initial_noise, diffusion_steps):
        def rates(times):
            return self.diffusion_schedule(times)[::-1] if schedule else self.diffusion_schedule(times)

        def parts(noisy, noise_rates, signal_rates, training):
            return self.denoise(noisy, *((signal_rates, noise_rates) if denoise else (noise_rates, signal_rates)), training)

        return sampler_but()(SimpleNamespace(diffusion_schedule=rates, denoise=parts), initial_noise, diffusion_steps)

    return reverse_diffusion


def never_runs(self, initial_noise, diffusion_steps):
    for _ in range(diffusion_steps - 3):
        pred_images = initial_noise
    return pred_images


def as_in_the_book(self, initial_noise, diffusion_steps):
    step_size = 1.0 / diffusion_steps
    current_images = initial_noise
    for step in range(diffusion_steps):
        diffusion_times = tf.ones((initial_noise.shape[0], 1, 1, 1)) - step * step_size
        noise_rates, signal_rates = self.diffusion_schedule(diffusion_times)
        pred_noises, pred_images = self.denoise(current_images, noise_rates, signal_rates, training=False)
        next_noise_rates, next_signal_rates = self.diffusion_schedule(diffusion_times - step_size)
        current_images = next_signal_rates * pred_images + next_noise_rates * pred_noises
    return pred_images


def only_numpy(self, initial_noise, diffusion_steps):
    images = noisy = np.array(initial_noise)
    for time in np.arange(diffusion_steps, 0, -1) / diffusion_steps:
        if time < 1:
            n, s = map(np.array, self.diffusion_schedule(np.full((len(noisy), 1, 1, 1), time, "float32")))
            noisy = s * images + n * noises  # noqa: F821  of the step before
        n, s = self.diffusion_schedule(np.full((len(noisy), 1, 1, 1), time, "float32"))
        noises, images = map(np.array, self.denoise(noisy, n, s, False))
    return images


def asks_twice(self, initial_noise, diffusion_steps):
    sampler_but()(self, initial_noise, diffusion_steps)
    return sampler_but()(self, initial_noise, diffusion_steps)


SAMPLERS_WRONG = {
    "is handed a NumPy array together with tensors": only_numpy,
    "last *noisy* image": sampler_but(returned="noisy"),
    "you return the predicted noise": sampler_but(returned="noises"),
    "the first step is left out": sampler_but(times=lambda steps: [1 - (step + 1) / steps for step in range(steps)]),
    "one step too many": sampler_but(times=lambda steps: [1 - step / steps for step in range(steps + 1)]),
    "one step too few": sampler_but(times=lambda steps: [1 - step / steps for step in range(max(1, steps - 1))]),
    "time runs upwards: begin": sampler_but(times=lambda steps: [(step + 1) / steps for step in range(steps)]),
    "those of this time give back": sampler_but(remix=lambda e, x, now, then, z: now[1] * x + now[0] * e),
    "rates are swapped where you remix": sampler_but(remix=lambda e, x, now, then, z: then[0] * x + then[1] * e),
    "every step sees the initial noise again": sampler_but(keep=True),
    "remix with the *initial* noise": sampler_but(remix=lambda e, x, now, then, z: then[1] * x + then[0] * z),
    "the noise is missing where you remix": sampler_but(remix=lambda e, x, now, then, z: then[1] * x),
    "the predicted image on as it is": sampler_but(remix=lambda e, x, now, then, z: x),
    "the steps are too long": sampler_but(times=lambda steps: [1 - step / max(1, steps - 1) for step in range(steps)]),
    "nothing has been done to it": lambda self, noise, steps: noise,
    "draws no new noise": sampler_but(start=lambda noise: keras.random.normal(noise.shape)),
    "training=False": sampler_but(training=True),
    "once per step is enough": asks_twice,
    "has the shape": lambda self, noise, steps: sampler_but()(self, noise, steps)[0],
    "denoise returns (pred_noises, pred_images)": sampler_but(remix=lambda e, x, now, then, z: then[1] * e + then[0] * x,
                                                              returned="noises"),
    "diffusion_schedule returns (noise_rates, signal_rates)": swapping(schedule=True),
    "denoise takes noise_rates first": swapping(denoise=True),
    "`return` stand inside the loop": lambda self, noise, steps: sampler_but()(self, noise, 1),
    "`1 // diffusion_steps`, which is 0": sampler_but(times=lambda steps: [1 - step * (1 // steps) for step in range(steps)],
                                         next_time=lambda time, steps: time - 1 // steps),
    "the noise is subtracted where you remix": sampler_but(remix=lambda e, x, now, then, z: then[1] * x - then[0] * e),
    "only steps - 1 intervals": sampler_but(times=lambda steps: list(np.linspace(1, 0, steps)[:-1]) or [1]),
    "begin at 1, where the noise is": sampler_but(times=lambda steps: [(step + 1) / steps for step in range(steps)],
                                                      next_time=lambda time, steps: time - 1 / steps),
    "runs upwards": sampler_but(times=lambda steps: [step / steps for step in range(steps)],
                                              next_time=lambda time, steps: max(0, time - 1 / steps)),
    "step number k begins at 1 - k/steps": sampler_but(times=lambda steps: [1 - step / max(1, steps - 1) for step in range(steps)],
                                                       next_time=lambda time, steps: max(0, time - 1 / steps)),
    "you ask for the rates at time 1.33": sampler_but(next_time=lambda time, steps: time + 1 / steps),
    "is called with `self.` in front": lambda self, noise, steps: (lambda self, times: times)(1),
    "a loop that did not run even once": never_runs,
    "times of the shape (num_images, 1, 1, 1)": lambda self, noise, steps: self.diffusion_schedule(1.0),
    "`return` missing": lambda self, noise, steps: None,
    "Not done yet: exercise 7.3": not_done,
}

RIGHT = [
    *right(checks.diffusion_schedule, schedule_in_keras, schedule_in_tensorflow, schedule_by_pythagoras),
    *right(checks.denoise, denoise_in_keras, denoise_in_tensorflow),
    *right(checks.reverse_diffusion, sampler_but(), as_in_the_book),
]
WRONG = [
    *wrong(checks.diffusion_schedule, SCHEDULES_WRONG),
    *wrong(checks.denoise, DENOISE_WRONG),
    *wrong(checks.reverse_diffusion, SAMPLERS_WRONG),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_misconceptions(check, answer, hint):
    assert_hint(check, answer, hint)
