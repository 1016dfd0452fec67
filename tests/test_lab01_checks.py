"""Lab 01: right answers in every style pass, and each known misconception gets its own hint."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from diffusion_lab import checks
from diffusion_lab.backend import input_gradient
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong


def step_but(slope=lambda gradient, step: ops.clip(gradient, -0.03, 0.03), sign=-1, finish=lambda x: ops.clip(x, -1, 1),
             shaken=lambda noise, step: noise, energy=lambda network: network, size=lambda step: step):
    """The right answer with one thing in it replaced."""

    def langevin_step(network, images, noises, step_size):
        gradients = slope(input_gradient(energy(network), images), step_size)
        return finish(images + sign * size(step_size) * gradients + shaken(noises, step_size))

    return langevin_step


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
        result.append(np.clip(np.array(image) - step_size * np.clip(gradient, -0.03, 0.03) + np.array(noise), -1, 1))
    return np.stack(result)


def gradient_after_noise(network, images, noises, step_size):
    images = ops.clip(images + noises, -1, 1)
    gradients = ops.clip(input_gradient(network, images), -0.03, 0.03)
    return ops.clip(images - step_size * gradients, -1, 1)


STEPS_WRONG = {
    "the lab runs this function in a graph": step_image_by_image,
    "you climb": step_but(sign=1),
    "the gradient is not clipped": step_but(slope=lambda gradient, step: gradient),
    "you clip the whole step": step_but(slope=lambda gradient, step: ops.clip(step * gradient, -0.03, 0.03) / step),
    "leave [-1, 1]": step_but(finish=lambda x: x),
    "clipped to [0, 1]": step_but(finish=lambda x: ops.clip(x, 0, 1)),
    "the noise is missing": step_but(shaken=lambda noise, step: 0.0),
    "multiplied by the step size, too": step_but(shaken=lambda noise, step: step * noise),
    "the noise is subtracted": step_but(shaken=lambda noise, step: -noise),
    "the step size is missing": step_but(size=lambda step: 1.0),
    "not of their mean": step_but(energy=lambda network: lambda x: ops.mean(network(x))),
    "after the noise has come in": gradient_after_noise,
    "this is the gradient": lambda network, x, e, step: input_gradient(network, x),
    "the clipped gradient": lambda network, x, e, step: ops.clip(input_gradient(network, x), -0.03, 0.03),
    "has the shape": lambda network, x, e, step: network(x),
    "Not done yet: exercise 1.1": not_done,
}


def loss_but(difference=lambda real, fake: real - fake, squares=lambda real, fake: real**2 + fake**2, sign=1,
             finish=ops.mean):
    """The right answer with one thing in it replaced."""
    return lambda real, fake, weight: finish(difference(real, fake) + sign * weight * squares(real, fake))


LOSSES_WRONG = {
    "in which NumPy (`np.`)": lambda real, fake, weight: float(np.mean(
        [r - f + weight * (r * r + f * f) for r, f in zip(np.ravel(real), np.ravel(fake))])),
    "that of a *score*": loss_but(lambda real, fake: fake - real),
    "the squares are missing": loss_but(squares=lambda real, fake: 0),
    "taken in full": lambda real, fake, weight: ops.mean(real - fake + real**2 + fake**2),
    "must be *added*": loss_but(sign=-1),
    "only the real energies": loss_but(squares=lambda real, fake: real**2),
    "only the generated energies": loss_but(squares=lambda real, fake: fake**2),
    "you square the difference": loss_but(squares=lambda real, fake: (real - fake) ** 2),
    "you square the mean energies": loss_but(squares=lambda real, fake: ops.mean(real) ** 2 + ops.mean(fake) ** 2),
    "the sum over the batch": loss_but(finish=ops.sum),
    "the mean over the batch.": loss_but(finish=lambda loss: loss),
    "the mean over the batch, too": loss_but(finish=lambda loss: loss[:, 0]),
    "must not be added": loss_but(lambda real, fake: real + fake),
    "absolute value": loss_but(lambda real, fake: ops.abs(real - fake)),
    "return one number": lambda real, fake, weight: ops.concatenate([real, -fake], axis=-1),
    "Not done yet: exercise 1.2": not_done,
}

RIGHT = [
    *right(checks.langevin_step, step_but(), step_in_tensorflow),
    *right(checks.contrastive_divergence_loss, loss_but(),
           lambda real, fake, weight: tf.reduce_mean(real) - tf.reduce_mean(fake)
           + weight * (tf.reduce_mean(real**2) + tf.reduce_mean(fake**2))),
]
WRONG = [*wrong(checks.langevin_step, STEPS_WRONG), *wrong(checks.contrastive_divergence_loss, LOSSES_WRONG)]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_misconceptions(check, answer, hint):
    assert_hint(check, answer, hint)
