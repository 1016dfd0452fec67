"""Lab 09: right answers in every style pass; mistakes outside the tables get a hint as well."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from diffusion_lab import checks
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong


def solver_as_in_the_paper(x, pred, last_pred, last, now, then):
    """Lu et al. 2022, algorithm 2, with r = last h / h."""
    lambdas = [
        None if rates is None else np.log(rates[1]) - np.log(rates[0])
        for rates in (last, now, then)
    ]
    h = lambdas[2] - lambdas[1]
    if last_pred is None:
        combined = np.array(pred)
    else:
        r = (lambdas[1] - lambdas[0]) / h
        combined = (1 + 1 / (2 * r)) * np.array(pred) - 1 / (2 * r) * np.array(last_pred)
    return then[0] / now[0] * np.array(x) - then[1] * (np.exp(-h) - 1) * combined


def forgetting_the_first_step(x, pred, last_pred, last, now, then):
    return pred - last_pred


def loss_in_tensorflow(network, images, noises, times):
    velocities = network([images + times * (noises - images), times], training=True)
    return tf.reduce_mean(tf.math.squared_difference(velocities, noises - images))


def loss_in_numpy(network, images, noises, times):
    images, noises, times = map(np.array, (images, noises, times))
    velocities = np.array(
        network((((1 - times) * images + times * noises).astype("float32"), times))
    )
    return np.mean([np.mean((a - (e - x)) ** 2) for a, e, x in zip(velocities, noises, images)])


RIGHT = [
    *right(checks.dpmpp_2m_step, solver_as_in_the_paper),
    *right(
        checks.guide,
        lambda c, u, w: w * c + (1 - w) * u,
        lambda c, u, w: np.array([(1 - w) * b + w * a for a, b in zip(np.array(c), np.array(u))]),
    ),
    *right(checks.flow_matching_loss, loss_in_tensorflow),
]

WRONG = [  # besides the known mistakes, which tests/test_mistakes.py tries
    *wrong(
        checks.dpmpp_2m_step,
        {
            "`return pred - last_pred` with ValueError": forgetting_the_first_step,
            "Not done yet: exercise 9.1": not_done,
        },
    ),
    *wrong(checks.guide, {"Not done yet: exercise 9.2": not_done}),
    *wrong(
        checks.flow_matching_loss,
        {
            "the lab runs this function in a graph": loss_in_numpy,
            "You called the network 0 times": lambda network, x, e, t: ops.mean((e - x) ** 2),
            "one list of two arrays": lambda network, x, e, t: network((1 - t) * x + t * e),
            "Not done yet: exercise 9.3": not_done,
        },
    ),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)
