"""Lab 02: right answers in every style pass; unknown mistakes are named."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from diffusion_lab import checks
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong


def step_by_step(images, noises, beta):
    result = np.empty_like(images)
    for index, (image, noise) in enumerate(zip(images, noises)):
        result[index] = (1 - beta) ** 0.5 * image + beta**0.5 * noise
    return result


def in_place(images, noises, beta):
    images *= np.sqrt(1 - beta)
    return images + np.sqrt(beta) * noises


def jump_by_steps(images, t, noises, betas):
    """Handles one image at a time, with the factor as an explicit product."""
    result = []
    for image, step, noise in zip(images, t, noises):
        kept = np.prod([1 - beta for beta in betas[: step + 1]])
        result.append(np.sqrt(kept) * image + np.sqrt(1 - kept) * noise)
    return np.array(result)


def jump_in_tensorflow(images, t, noises, betas):
    kept = tf.gather(tf.math.cumprod(1.0 - betas), t)[:, None, None, None]
    return tf.sqrt(kept) * images + tf.sqrt(1.0 - kept) * noises


def jump_in_keras(images, t, noises, betas):
    kept = keras.ops.reshape(keras.ops.take(keras.ops.cumprod(1 - betas), t), (-1, 1, 1, 1))
    return keras.ops.sqrt(kept) * images + keras.ops.sqrt(1 - kept) * noises


def mixed(kept, images, noises):
    kept = np.reshape(kept, (-1, 1, 1, 1))
    return np.sqrt(kept) * images + np.sqrt(1 - kept) * noises


def walks(images, t, noises, betas):
    for step in range(t):
        images = np.sqrt(1 - betas[step]) * images + np.sqrt(betas[step]) * noises
    return images


def one_further(images, t, noises, betas):
    kept = np.cumprod(1 - betas)
    return mixed(kept[t + 1], images, noises)


RIGHT = [
    *right(
        checks.forward_step,
        lambda images, noises, beta: np.sqrt(1 - beta) * images + np.sqrt(beta) * noises,
        lambda images, noises, beta: (
            keras.ops.sqrt(1 - beta) * images + keras.ops.sqrt(beta) * noises
        ),
        lambda images, noises, beta: tf.sqrt(1 - beta) * images + tf.sqrt(beta) * noises,
        step_by_step,
    ),
    *right(checks.q_sample, jump_by_steps, jump_in_tensorflow, jump_in_keras),
]

WRONG = [  # besides the known mistakes, which tests/test_mistakes.py tries
    *wrong(
        checks.forward_step,
        {
            "in place": in_place,
            "instead of drawing your own": lambda x, e, beta: (
                (1 - beta) ** 0.5 * x + beta**0.5 * np.random.normal(size=x.shape)
            ),
            "`return` missing": lambda x, e, beta: None,
            "the shape of ": lambda x, e, beta: (1 - beta) ** 0.5 * x[0] + beta**0.5 * e[0],
            "Not done yet: exercise 2.1, forward_step.": not_done,
            "NameError": lambda x, e, beta: undefined * x,  # noqa: F821
        },
    ),
    *wrong(
        checks.q_sample,
        {
            "of drawing your own": lambda x, t, e, betas: mixed(
                np.cumprod(1 - betas)[t], x, np.random.normal(size=x.shape)
            ),
            "cannot be the end of a slice or a range": lambda x, t, e, betas: mixed(
                np.prod(1 - betas[:t]), x, e
            ),
            "holds one step for each image": walks,
            "`t` is already the index": one_further,
            "reshape it to (B, 1, 1, 1)": lambda x, t, e, betas: np.cumprod(1 - betas)[t] * x,
        },
    ),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)
