"""A function with the right numbers that would stop its lab gets no ✓.

Checks print no warnings and restore all settings.
"""

import math
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from diffusion_lab import checks
from diffusion_lab.labs.outputs import decode_sentence, encode_sentence
from tests.misconceptions import assert_hint, wrong
from tests.right_variants import (
    VARIANTS,
    back,
    by_channels,
    invert,
    linear,
    sample_by_names,
    solver,
    step_by_names,
)

GRAPH = "the lab runs this function in a graph"


def turned(self, times, cast=lambda rates: rates):
    start, end = math.acos(self.max_signal_rate), math.acos(self.min_signal_rate)
    angles = start + ops.clip(times, 0, 1) * (end - start)
    return cast(ops.sin(angles)), cast(ops.cos(angles))


def denoise(part=lambda x: x):
    def denoise(self, noisy_images, noise_rates, signal_rates, training):
        pred_noises = part(
            (self.network if training else self.ema_network)(
                [noisy_images, noise_rates**2], training=training
            )
        )
        return pred_noises, (noisy_images - noise_rates * pred_noises) / signal_rates

    return denoise


def sampler(ones=ops.ones, each=lambda x: x, batch=lambda noise: noise.shape[0]):
    def reverse_diffusion(self, initial_noise, diffusion_steps):
        ones_, noisy_images = ones((batch(initial_noise), 1, 1, 1)), initial_noise
        for k in range(diffusion_steps, 0, -1):
            now, then = (self.diffusion_schedule(ones_ * j / diffusion_steps) for j in (k, k - 1))
            pred_noises, pred_images = self.denoise(noisy_images, *now, training=False)
            noisy_images = each(then[1] * pred_images + then[0] * pred_noises)
        return pred_images

    return reverse_diffusion


def named_layers(x, width):
    kept = x if x.shape[-1] == width else layers.Conv2D(width, 1, name="shortcut")(x)
    x = layers.BatchNormalization(center=False, scale=False, name="norm")(x)
    x = layers.Conv2D(width, 3, padding="same", activation="swish", name="first")(x)
    return kept + layers.Conv2D(width, 3, padding="same", name="second")(x)


def renamed_width(x, channels):
    return VARIANTS["residual_block"][0](x, channels)


def only_for_six(images, noises, beta):
    return np.stack([(1 - beta) ** 0.5 * images[k] + beta**0.5 * noises[k] for k in range(6)])


def for_three_colours(images, t, noises, betas):
    kept = np.cumprod(1 - betas)[t].reshape(-1, 1, 1, 1) * np.ones((1, 1, 1, 3))
    return np.sqrt(kept) * images + np.sqrt(1 - kept) * noises


def in_order_of_time(diffusion_times, beta_start=1e-4, beta_end=0.02, timesteps=1000):
    rates = [
        linear(diffusion_times[k], beta_start, beta_end, timesteps)
        for k in range(max(6, len(diffusion_times)))
    ]
    return np.stack([pair[0] for pair in rates]), np.stack([pair[1] for pair in rates])


def invert_in_float64(denoise, schedule, images, steps):
    rates = [(np.zeros((len(images), 1, 1, 1)), np.ones((len(images), 1, 1, 1)))]
    rates += [
        tuple(map(np.array, schedule(ops.ones((len(images), 1, 1, 1)) * (k + 1) / steps)))
        for k in range(steps)
    ]
    images = np.array(images, "float64")
    for (n, s), (next_n, next_s) in zip(rates, rates[1:]):
        e = np.array(denoise(images, next_n, next_s)[0])
        images = next_s * (images - n * e) / s + next_n * e
    return images


def step_needing_inputs_of(size):
    def gradient_step(network, optimizer, loss_function, inputs, noises):
        return step_by_names(
            network, optimizer, loss_function, ops.reshape(inputs, (6, size, size, 3)), noises
        )

    return gradient_step


def loop_in_a_graph(make_network, batches, step):
    network = make_network()
    return network, [step(network, images) for images in batches]


CRASHES = [
    *wrong(
        checks.langevin_step,
        {
            GRAPH: lambda network, x, e, step: np.clip(
                np.array(VARIANTS["langevin_step"][0](network, x, e, step)), -1, 1
            ),
            "the lab uses your function": lambda network, x, e, step: ops.stack(
                ops.unstack(VARIANTS["langevin_step"][0](network, x, e, step))
            ),
        },
    ),
    *wrong(
        checks.contrastive_divergence_loss,
        {
            GRAPH: lambda r, f, w: float(ops.mean(r - f + w * (r**2 + f**2))),
            "no gradient flows": lambda r, f, w: tf.stop_gradient(
                ops.mean(r - f + w * (r**2 + f**2))
            ),
        },
    ),
    *wrong(checks.forward_step, {"the lab uses your function": only_for_six}),
    *wrong(checks.q_sample, {"could not be broadcast together": for_three_colours}),
    *wrong(checks.linear_diffusion_schedule, {"IndexError": in_order_of_time}),
    *wrong(
        checks.training_pair,
        {
            "AttributeError": lambda x, e, n, s: (s * x.numpy() + n * e, e),
            "the numbers are right": lambda x, e, n, s: (s * x + n * e, ops.cast(e, "float64")),
        },
    ),
    *wrong(
        checks.noise_loss,
        {
            "no gradient flows": lambda e, p: ops.mean(ops.square(e - ops.stop_gradient(p))),
            "Cannot infer": lambda e, p: (
                sum(ops.unstack(ops.mean(ops.square(e - p), axis=(1, 2, 3)))) / 4
            ),
        },
    ),
    *wrong(checks.training_loop, {"the lab uses your function": tf.function(loop_in_a_graph)}),
    *wrong(checks.gradient_step, {"the lab uses your function": step_needing_inputs_of(4)}),
    *wrong(checks.step_back, {"float64": lambda x, e, r, q: ops.cast(back(x, e, r, q), "float64")}),
    *wrong(checks.with_noise_level, {"'numpy'": lambda x, n: by_channels(x.numpy(), n)}),
    *wrong(
        checks.sinusoidal_embedding,
        {
            "the lab uses your function": lambda v: ops.reshape(
                VARIANTS["sinusoidal_embedding"][1](v), (7, 1, 1, 32)
            )
        },
    ),
    *wrong(
        checks.residual_block,
        {"should be unique": named_layers, "it has no argument named `width`": renamed_width},
    ),
    *wrong(
        checks.up_block,
        {
            "A KerasTensor": lambda x, skips, block, depth: VARIANTS["up_block"][0](
                tf.identity(x), skips, block, depth
            )
        },
    ),
    *wrong(
        checks.diffusion_schedule,
        {
            GRAPH: lambda self, t: turned(self, np.array(t)),
            "they are float64": lambda self, t: turned(
                self, t, lambda rates: ops.cast(rates, "float64")
            ),
            "the lab uses your function": lambda self, t: turned(
                self, t, lambda rates: ops.reshape(rates, (8, 1, 1, 1))
            ),
        },
    ),
    *wrong(
        checks.denoise,
        {
            GRAPH: denoise(lambda x: ops.convert_to_tensor(np.array(x))),
            "`.numpy()`": denoise(lambda x: x.numpy()),
            "no gradient flows": denoise(ops.stop_gradient),
            "the lab uses your function": denoise(lambda x: ops.reshape(x, (4, 6, 6, 3))),
        },
    ),
    *wrong(
        checks.reverse_diffusion,
        {
            "write `ops.ones` instead of `np.ones`": sampler(np.ones),
            "a NumPy array together with tensors": sampler(each=np.array),
            "which Keras refuses": sampler(each=lambda x: ops.convert_to_numpy(x)),
            "the lab uses your function": sampler(batch=lambda noise: 3),
        },
    ),
    *wrong(checks.invert, {"the numbers are right, but": invert_in_float64}),
    *wrong(
        checks.dpmpp_2m_step,
        {"the numbers are right, but": lambda x, *others: ops.cast(solver(x, *others), "float64")},
    ),
    *wrong(
        checks.guide, {"the numbers are right, but": lambda c, u, w: u + tf.constant(w) * (c - u)}
    ),
    *wrong(
        checks.flow_matching_loss,
        {
            GRAPH: lambda network, x, e, t: np.mean(
                (np.array(network([(1 - t) * x + t * e, t])) - (e - x)) ** 2
            ),
            "no gradient flows": lambda network, x, e, t: ops.mean(
                (ops.stop_gradient(network([(1 - t) * x + t * e, t])) - e + x) ** 2
            ),
        },
    ),
]


@pytest.mark.parametrize("check, answer, hint", CRASHES)
def test_right_numbers_that_would_stop_the_lab_get_no_tick(check, answer, hint):
    assert_hint(check, answer, hint)


def test_run_and_judge_agree_with_the_check():
    check, answer = checks.reverse_diffusion, sampler(np.ones)
    inputs = check.draw(np.random.default_rng(3))
    outputs = check.run(answer, inputs)
    check.examine(inputs, outputs)
    with pytest.raises(checks.CheckFailed, match="instead of `np.ones`"):
        check.judge(inputs, outputs)


def test_a_sentence_comes_through_as_an_array_of_fixed_size():
    for sentence in ("", "ᾱ is right: √(1 - ᾱ).", "x" * 1000):
        assert (
            encode_sentence(sentence).shape == encode_sentence("").shape
            and decode_sentence(encode_sentence(sentence)) == sentence[:400]
        )
    assert decode_sentence(np.array([np.nan, -1, 1e9, 27, 65])) == "A", "whatever numbers are there"


def test_many_checks_in_a_row_warn_of_nothing_and_leave_the_settings_alone(capfd, caplog):
    """TensorFlow's warning about retracing would come before the message."""
    for _ in range(7):
        checks.reverse_diffusion(tf.function(sample_by_names))
        with pytest.raises(checks.CheckFailed):
            checks.diffusion_schedule(tf.function(lambda self, times: (times, times)))
    assert not caplog.records and "retracing" not in "".join(capfd.readouterr())
    assert not tf.config.functions_run_eagerly() and keras.config.is_traceback_filtering_enabled()
    assert tf.debugging.is_traceback_filtering_enabled()


def test_judging_in_several_threads_leaves_the_settings_alone():
    """A grader judges in threads, and TensorFlow's settings belong to the process."""
    denoise = checks.denoise
    inputs = denoise.draw(np.random.default_rng(0))

    def measure_often():
        for _ in range(15):
            denoise.measured(denoise.right, inputs)

    threads = [threading.Thread(target=measure_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not tf.config.functions_run_eagerly()


def test_invert_is_right_with_its_own_schedule():
    checks.invert(invert)
