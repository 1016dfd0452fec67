"""Lab 07: right answers in every style pass; mistakes outside the tables get a hint as well."""

import contextlib
import math
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from diffusion_lab import checks
from diffusion_lab.data import load_dataset
from diffusion_lab.errors import UserError
from diffusion_lab.labs.diffusion_models import MyDiffusionModel
from diffusion_lab.labs.lab07.experiments import changed, compare_models, sample_with
from diffusion_lab.labs.training_panel import TrainingStopped
from diffusion_lab.metrics.validation import ValidationKID
from diffusion_lab.samplers import ddim
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong


def angles_of(self, times, start=None, end=None):
    start = math.acos(self.max_signal_rate) if start is None else start
    end = math.acos(self.min_signal_rate) if end is None else end
    return start + ops.clip(times, 0.0, 1.0) * (end - start)


def schedule_in_keras(self, times):
    return ops.sin(angles_of(self, times)), ops.cos(angles_of(self, times))


def schedule_in_tensorflow(self, times):
    start, end = tf.acos(self.max_signal_rate), tf.acos(self.min_signal_rate)
    times = tf.clip_by_value(times, 0.0, 1.0)
    angles = start * (1.0 - times) + end * times
    return tf.sin(angles), tf.cos(angles)


def schedule_in_numpy(self, times):
    signal_rates = np.cos(np.array(angles_of(self, times)))
    return [np.sqrt(1 - signal_rates**2), signal_rates]


def schedule_one_time_at_a_time(self, times):
    rates = [
        (math.sin(angle := angles_of(self, np.float32(float(time)))), math.cos(angle))
        for time in np.ravel(times)
    ]
    noise_rates, signal_rates = np.array(rates).T
    return noise_rates.reshape(times.shape), signal_rates.reshape(times.shape)


def schedule_by_pythagoras(self, times):
    signal_rates = ops.cos(angles_of(self, times))
    return [ops.sqrt(1 - ops.square(signal_rates)), signal_rates]


def refuses(self, times):
    """Checks the range as a program does, and a graph cannot."""
    if np.min(times) < 0 or np.max(times) > 1:
        raise ValueError("The times must be in [0, 1].")
    return schedule_in_keras(self, times)


def clips_the_signal(self, times):
    first, last = math.acos(self.max_signal_rate), math.acos(self.min_signal_rate)
    angles = first + times * (last - first)
    rates = ops.clip(ops.cos(angles), self.min_signal_rate, self.max_signal_rate)
    return ops.sin(angles), rates


def clips_in_vain(self, times):
    ops.clip(times, 0.0, 1.0)
    first, last = math.acos(self.max_signal_rate), math.acos(self.min_signal_rate)
    angles = first + times * (last - first)
    return ops.sin(angles), ops.cos(angles)


SCHEDULES_WRONG = {
    "wrong order (or you wrote arcsin": lambda self, t: [
        wave(angles_of(self, t, math.asin(self.max_signal_rate), math.asin(self.min_signal_rate)))
        for wave in (ops.sin, ops.cos)
    ],
    "Your angles are in degrees": lambda self, t: (
        np.sin(np.degrees(np.array(angles_of(self, t)))),
        np.cos(np.degrees(np.array(angles_of(self, t)))),
    ),
    "in the signal rate. At time 1.00 it is 0, but should be": lambda self, t: (
        schedule_in_keras(self, t)[0],
        ops.where(t == 1, 0.0, schedule_in_keras(self, t)[1]),
    ),
    "noise_rates has the shape (8,)": lambda self, t: [
        ops.reshape(rate, (-1,)) for rate in schedule_in_keras(self, t)
    ],
    "must return 2 values": lambda self, t: schedule_in_keras(self, t)[0],
    "Not done yet: exercise 7.1": not_done,
    "AttributeError": lambda self, t: t * self.max_rate,
    "in a graph, where NumPy": schedule_in_numpy,
    "and `float(...)` do not work": schedule_one_time_at_a_time,
    "not those of the nearest end. Clip the times": refuses,
    "for times outside [0, 1]": clips_the_signal,
    "`clip` returns a new array, and you do not use it": clips_in_vain,
    "`self` is missing": lambda t: t,
    "(the functions of `math` take one number": lambda self, t: (
        math.sin(angles_of(self, t)),
        math.cos(angles_of(self, t)),
    ),
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
    images = [
        (image - n * noise) / s
        for image, noise, n, s in zip(*map(np.array, (noisy, noises, noise_rates, signal_rates)))
    ]
    return noises, np.stack(images)


def asks_both(self, noisy, noise_rates, signal_rates, training):
    self.network([noisy, noise_rates**2], training=training)
    return denoise_in_keras(self, noisy, noise_rates, signal_rates, False)


def altered(change):
    """Returns an answer that returns `change(noises, images)` of the right ones."""
    return lambda self, noisy, n, s, training: change(
        *denoise_in_keras(self, noisy, n, s, training)
    )


def asking(ask):
    """Returns a wrong answer that calls `ask(network, noisy, variances, training)`."""
    return lambda self, noisy, n, s, training: (
        ask(self.network if training else self.ema_network, noisy, n**2, training),
        noisy,
    )


DENOISE_WRONG = {
    "called a network 2 times": asks_both,
    "called a network 0 times": lambda self, noisy, n, s, training: (noisy, noisy),
    "must return 2 values": altered(lambda noises, images: images),
    "`predict`, which is slow": asking(
        lambda network, noisy, variances, training: network.predict([noisy, variances])
    ),
    "takes one list of two arrays": asking(
        lambda network, noisy, variances, training: network(noisy, training=training)
    ),
    "one list of two arrays, and": asking(
        lambda network, noisy, variances, training: network(noisy, variances, training=training)
    ),
    "a mistake in the network's first input": asking(
        lambda network, noisy, variances, training: network(
            [noisy + 1, variances], training=training
        )
    ),
    "a mistake in the network's second input": asking(
        lambda network, noisy, variances, training: network(
            [noisy, variances + 1], training=training
        )
    ),
    "in a graph": denoise_image_by_image,
    "`.numpy()`": lambda self, x, n, s, training: [
        ops.convert_to_tensor(part.numpy()) for part in denoise_in_keras(self, x, n, s, training)
    ],
    "there is a mistake in pred_images": altered(lambda noises, images: (noises, images + 1)),
    "there is a mistake in pred_noises": altered(lambda noises, images: (noises + 1, images)),
    "the shape of pred_images is": altered(lambda noises, images: (noises, images[:, 0])),
    "multiply the images by them unchanged": lambda self, noisy, n, s, training: (
        noisy,
        noisy - ops.reshape(n, (-1,)) * denoise_in_keras(self, noisy, n, s, training)[0],
    ),
    "Not done yet: exercise 7.2": not_done,
}


def down(steps):
    return [1 - step / steps for step in range(steps)]


def sampler(times=down, following=None, noise=lambda noise: noise):
    """Returns DDIM over the times `times(steps)`.

    Each step leads to the next of these times, or to `following(time, steps)`.
    """

    def reverse_diffusion(self, initial_noise, diffusion_steps):
        ones, noisy = ops.ones((initial_noise.shape[0], 1, 1, 1)), noise(initial_noise)
        starts = times(diffusion_steps)
        for time, later in zip(starts, [*starts[1:], starts[-1] - 1 / diffusion_steps]):
            later = following(time, diffusion_steps) if following else later
            then = self.diffusion_schedule(ones * later)
            noises, images = self.denoise(
                noisy, *self.diffusion_schedule(ones * time), training=False
            )
            noisy = then[1] * images + then[0] * noises
        return images

    return reverse_diffusion


def gives_self(self, initial_noise, diffusion_steps):
    return self.diffusion_schedule(self, ops.ones((3, 1, 1, 1)))


def gives_denoise_self(self, initial_noise, diffusion_steps):
    rates = self.diffusion_schedule(ops.ones((3, 1, 1, 1)))
    return self.denoise(self, initial_noise, *rates, training=False)


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
        pred_noises, pred_images = self.denoise(
            current_images, noise_rates, signal_rates, training=False
        )
        next_noise_rates, next_signal_rates = self.diffusion_schedule(diffusion_times - step_size)
        current_images = next_signal_rates * pred_images + next_noise_rates * pred_noises
    return pred_images


def only_numpy(self, initial_noise, diffusion_steps):
    images = noisy = np.array(initial_noise)
    for time in np.arange(diffusion_steps, 0, -1) / diffusion_steps:
        if time < 1:
            n, s = map(
                np.array, self.diffusion_schedule(np.full((len(noisy), 1, 1, 1), time, "float32"))
            )
            noisy = s * images + n * noises  # noqa: F821  from the previous step
        n, s = self.diffusion_schedule(np.full((len(noisy), 1, 1, 1), time, "float32"))
        noises, images = map(np.array, self.denoise(noisy, n, s, False))
    return images


def asks_twice(self, initial_noise, diffusion_steps):
    sampler()(self, initial_noise, diffusion_steps)
    return sampler()(self, initial_noise, diffusion_steps)


def erases_its_record(self, initial_noise, diffusion_steps):
    """Samples with the raw weights, and then calls all that might delete the record of it."""
    images = sampler()(self, initial_noise, diffusion_steps)
    self.denoise(initial_noise, *self.diffusion_schedule(np.ones((3, 1, 1, 1))), training=True)
    for name in vars(type(self)):
        if not name.startswith("__"):
            with contextlib.suppress(Exception):
                getattr(self, name)()
    return images


def but_for_one(change):
    """Returns an answer that is right for several steps and returns `change(images)` for one."""
    return lambda self, noise, steps: (change if steps == 1 else ops.copy)(
        sampler()(self, noise, steps)
    )


def never_right(times):
    """Returns a sampler over these times. Its images match no known mistake, only its times do."""
    return lambda self, noise, steps: 1.5 + sampler(times)(self, noise, steps)


SAMPLERS_WRONG = {
    "receives a NumPy array together with tensors": only_numpy,
    "left out the first step. Begin": sampler(
        lambda steps: [1 - (step + 1) / steps for step in range(steps)]
    ),
    "left out the first step, so there": never_right(lambda steps: down(steps)[1:] or [1]),
    "the first step and the last": never_right(lambda steps: down(steps)[1:-1] or [1]),
    "one step too many": never_right(lambda steps: [*down(steps), 0]),
    "one step too few": sampler(lambda steps: down(steps)[:-1] or [1]),
    "Your time runs upwards": sampler(lambda steps: [(step + 1) / steps for step in range(steps)]),
    "runs upwards. Begin at 1": sampler(
        lambda steps: [step / steps for step in range(steps)],
        lambda time, steps: max(0, time - 1 / steps),
    ),
    "You begin at time 0.667": sampler(lambda steps: [1 - 1 / steps, 0]),
    "Move the `return` out of the loop": sampler(
        lambda steps: [1 - step * (1 // steps) for step in range(steps)],
        lambda time, steps: time - 1 // steps,
    ),
    "step k begins at 1 - k/steps": sampler(
        lambda steps: [1 - step / max(1, steps - 1) for step in range(steps)],
        lambda time, steps: max(0, time - 1 / steps),
    ),
    "only steps - 1 intervals": sampler(lambda steps: list(np.linspace(1, 0, steps)[:-1]) or [1]),
    "asked for the rates at time -0.333": sampler(following=lambda time, steps: time - 2 / steps),
    "asked for the rates at time 3. Times lie between 0 and 1: divide": sampler(
        lambda steps: [steps - step for step in range(steps)]
    ),
    "at time 2. Times lie between 0 and 1: divide": sampler(
        lambda steps: list(range(steps)), lambda time, steps: max(0, time - 1)
    ),
    "your time does not depend on the variable of the loop": sampler(
        lambda steps: [1] * steps, lambda time, steps: 1 - 1 / steps
    ),
    "You called a network. Call `self.denoise`": lambda self, noise, steps: self.ema_network(
        [noise, ops.ones((3, 1, 1, 1))], training=False
    ),
    "which calls the right one": lambda self, noise, steps: self.network(noise),
    "Python passes `self` automatically": gives_self,
    "in `self.denoise(self, ...)`": gives_denoise_self,
    "You did not begin with `initial_noise`": sampler(
        noise=lambda noise: keras.random.normal(noise.shape, seed=1)
    ),
    "instead of noise of your own": sampler(noise=lambda noise: keras.random.normal(noise.shape)),
    "Instead of sampling new noise": lambda self, noise, steps: (
        sampler()(self, noise, steps) + keras.random.normal(noise.shape)
    ),
    "you called denoise 6 times": asks_twice,
    "You sampled with training=True": erases_its_record,
    "there is a mistake in the result for diffusion_steps=3": lambda self, noise, steps: (
        1.5 + sampler()(self, noise, steps)
    ),
    "there is a mistake in the result for diffusion_steps=1": but_for_one(
        lambda images: images + 1.5
    ),
    "For diffusion_steps=1: ": but_for_one(lambda images: images.nothing),
    "the shape of the result for": lambda self, noise, steps: sampler()(self, noise, steps)[0],
    "`self.denoise` without `training`": lambda self, noise, steps: self.denoise(noise, 1, 1),
    "with the wrong arguments": lambda self, noise, steps: self.denoise(noise),
    "is called with `self.` in front": lambda self, noise, steps: (lambda self, times: times)(1),
    "a loop that did not run even once": never_runs,
    "times of shape (num_images, 1, 1, 1)": lambda self, noise, steps: self.diffusion_schedule(1.0),
    "`return` missing": lambda self, noise, steps: None,
    "Not done yet: exercise 7.3": not_done,
}


def remix_in_keras(pred_noises, pred_images, fresh_noises, rates, next_rates, eta):
    (n, s), (next_n, next_s) = rates, next_rates
    sigma = eta * next_n / n * ops.sqrt(1 - (s / next_s) ** 2)
    return (
        next_s * pred_images + ops.sqrt(next_n**2 - sigma**2) * pred_noises + sigma * fresh_noises
    )


REMIXES_WRONG = {
    "there is a mistake in the result for eta=0.45": lambda *arguments: (
        remix_in_keras(*arguments) + 1
    ),
    "there is a mistake in the result for eta=1": lambda *arguments: (
        remix_in_keras(*arguments) + (arguments[-1] == 1)
    ),
    "the shape of the result for": lambda *arguments: remix_in_keras(*arguments)[0],
    "square root of a negative number": lambda e, x, z, rates, next_rates, eta: remix_in_keras(
        e, x, z, next_rates, rates, eta
    ),
    "use the `fresh_noises` that you receive": lambda e, x, z, *others: remix_in_keras(
        e, x, keras.random.normal(z.shape), *others
    ),
    "multiply the images by them unchanged": lambda e, x, z, rates, next_rates, eta: (
        ops.reshape(next_rates[1], (-1,)) * x
    ),
    "is the `return` missing": lambda *arguments: None,
    "Not done yet: exercise 7.4": not_done,
}

RIGHT = [
    *right(
        checks.diffusion_schedule, schedule_in_keras, schedule_in_tensorflow, schedule_by_pythagoras
    ),
    *right(checks.denoise, denoise_in_keras, denoise_in_tensorflow),
    *right(checks.reverse_diffusion, sampler(), as_in_the_book),
    *right(checks.remix, remix_in_keras),
]
WRONG = [
    *wrong(checks.diffusion_schedule, SCHEDULES_WRONG),
    *wrong(checks.denoise, DENOISE_WRONG),
    *wrong(checks.reverse_diffusion, SAMPLERS_WRONG),
    *wrong(checks.remix, REMIXES_WRONG),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)


def test_the_sampler_of_the_lab_is_the_packages_ddim_without_fresh_noise_and_a_family_with_it():
    model = MyDiffusionModel()
    noise = keras.random.normal((3, 4, 4, 3), seed=0)
    arguments = partial(model.denoise, training=False), model.diffusion_schedule, noise
    images = sample_with(checks.remix.right, model, noise, steps=4, eta=0)
    expected = model.denormalize(ddim(*arguments, steps=4))
    np.testing.assert_allclose(images, expected, atol=1e-5)
    others = [sample_with(checks.remix.right, model, noise, 4, 1, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(others[0], others[1])
    assert not np.allclose(others[0], others[2]) and not np.allclose(others[0], images)


def test_eta_1_remixes_with_the_moments_of_ddpms_posterior():
    """Against the two moments as the paper writes them (Ho et al. 2020, equation 7)."""
    rates, next_rates = (0.8, 0.6), (0.6, 0.8)
    bar, bar_before = rates[1] ** 2, next_rates[1] ** 2
    alpha = bar / bar_before
    image, noise = np.float32(0.7), np.float32(-1.3)
    noisy = rates[1] * image + rates[0] * noise
    mean = (bar_before**0.5 * (1 - alpha) * image + alpha**0.5 * (1 - bar_before) * noisy) / (
        1 - bar
    )
    variance = (1 - bar_before) / (1 - bar) * (1 - alpha)
    without, with_one = (
        float(checks.remix.right(noise, image, np.float32(z), rates, next_rates, 1)) for z in (0, 1)
    )
    np.testing.assert_allclose([without, with_one - without], [mean, variance**0.5], rtol=1e-5)


def test_an_experiment_changes_only_settings_that_exist():
    settings = {"loss_on": "velocity", "ema_decay": 0.999}
    assert changed(settings, {"ema_decay": 0.9}) == {"loss_on": "velocity", "ema_decay": 0.9}
    with pytest.raises(UserError, match="no setting 'loss': choose one of loss_on, ema_decay"):
        changed(settings, {"loss": "noise"})


@pytest.mark.parametrize(
    "change", [{}, {"loss_on": "velocity"}, {"loss_on": "noise", "ema_decay": 0.9}]
)
def test_an_experiment_makes_exactly_one_difference(change):
    with pytest.raises(UserError, match="change exactly one"):
        changed({"loss_on": "velocity", "ema_decay": 0.999}, change)


def test_an_interrupted_experiment_ends_in_one_sentence(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    few = load_dataset("procedural_flowers", "train", image_size=8, batch_size=2, count=2)
    model = MyDiffusionModel(size=8)
    monkeypatch.setattr(model, "fit", interrupted)
    with pytest.raises(TrainingStopped, match="run the cell again"):
        compare_models({"settings": model}, few, epochs=1, kid=None)


def test_two_equal_models_are_trained_on_the_same_images_and_get_the_same_kid(capsys):
    few = load_dataset("procedural_flowers", "train", image_size=8, batch_size=2, count=8)
    models = {name: MyDiffusionModel(size=8) for name in ("settings", "the same", "another loss")}
    models["another loss"].loss_on = "image"
    for model in models.values():
        model.adapt(few.images)
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
    compare_models(models, few, epochs=2, kid=ValidationKID(few.images, steps=2))
    kids = [line.split("KID ")[1].split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert kids[0] == kids[1] != kids[2] and "±" in kids[0]
