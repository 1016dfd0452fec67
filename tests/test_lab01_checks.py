"""Lab 01: right answers in every style pass; unknown mistakes are named."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from diffusion_lab import checks
from diffusion_lab.backend import input_gradient
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong


def step_in_tensorflow(network, images, noises, step_size):
    with tf.GradientTape() as tape:
        tape.watch(images)
        energies = network(images)
    gradients = tf.clip_by_value(tape.gradient(energies, images), -0.03, 0.03)
    return tf.clip_by_value(images + noises - step_size * gradients, -1.0, 1.0)


def step_image_by_image(network, images, noises, step_size):
    result = []
    for image, noise in zip(images, noises):
        gradient = np.array(input_gradient(network, image[None]))[0]
        result.append(
            np.clip(
                np.array(image) - step_size * np.clip(gradient, -0.03, 0.03) + np.array(noise),
                -1,
                1,
            )
        )
    return np.stack(result)


def loss_in_numpy(real, fake, weight):
    return float(
        np.mean([r - f + weight * (r * r + f * f) for r, f in zip(np.ravel(real), np.ravel(fake))])
    )


RIGHT = [
    *right(checks.langevin_step, step_in_tensorflow),
    *right(
        checks.contrastive_divergence_loss,
        lambda real, fake, weight: (
            tf.reduce_mean(real)
            - tf.reduce_mean(fake)
            + weight * (tf.reduce_mean(real**2) + tf.reduce_mean(fake**2))
        ),
    ),
]

WRONG = [  # besides the known mistakes, which tests/test_mistakes.py tries
    *wrong(
        checks.langevin_step,
        {
            "the lab runs this function in a graph": step_image_by_image,
            "the shape of ": lambda network, x, e, step: network(x),
            "Not done yet: exercise 1.1": not_done,
        },
    ),
    *wrong(
        checks.contrastive_divergence_loss,
        {
            "in a graph, where NumPy (`np.`)": loss_in_numpy,
            "two numbers for each image": lambda real, fake, weight: ops.concatenate(
                [real, -fake], axis=-1
            ),
            "Not done yet: exercise 1.2": not_done,
        },
    ),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)
