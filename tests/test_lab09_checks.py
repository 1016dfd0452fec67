"""Lab 09: right answers in every style pass, and each known misconception gets its own hint."""

import math

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from diffusion_lab import checks
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong


def solver_but(clock=lambda rates: math.log(rates[1] / rates[0]), share=lambda h, last_h: 0.5 * h / last_h, ahead=None,
               step=None):
    """The right answer with one thing in it replaced."""
    ahead = ahead or (lambda pred, last_pred, share: pred + share * (pred - last_pred))
    step = step or (lambda x, pred, h, now, then: then[0] / now[0] * x - then[1] * math.expm1(-h) * pred)

    def dpmpp_2m_step(x, pred, last_pred, last, now, then):
        h = clock(then) - clock(now)
        if last_pred is not None:
            pred = ahead(pred, last_pred, share(h, clock(now) - clock(last)))
        return step(x, pred, h, now, then)

    return dpmpp_2m_step


def solver_as_in_the_paper(x, pred, last_pred, last, now, then):
    """Lu et al. 2022, algorithm 2, with r = last h / h."""
    lambdas = [None if rates is None else np.log(rates[1]) - np.log(rates[0]) for rates in (last, now, then)]
    h = lambdas[2] - lambdas[1]
    if last_pred is None:
        combined = np.array(pred)
    else:
        r = (lambdas[1] - lambdas[0]) / h
        combined = (1 + 1 / (2 * r)) * np.array(pred) - 1 / (2 * r) * np.array(last_pred)
    return then[0] / now[0] * np.array(x) - then[1] * (np.exp(-h) - 1) * combined


def ignoring_unequal_steps(x, pred, last_pred, last, now, then):
    return solver_but(share=lambda h, last_h: 0.5)(x, pred, last_pred, last, now, then)


def measured_in_noise(x, pred, last_pred, last, now, then):
    ahead = pred if last_pred is None else (
        pred + 0.5 * (then[0] - now[0]) / (now[0] - last[0]) * (pred - last_pred))
    return solver_but()(x, ahead, None, None, now, then)


SOLVERS_WRONG = {
    "first order": solver_but(ahead=lambda pred, last_pred, share: pred),
    "go *on*": solver_but(share=lambda h, last_h: -0.5 * h / last_h),
    "by the whole difference": solver_but(share=lambda h, last_h: h / last_h),
    "upside down": solver_but(share=lambda h, last_h: 0.5 * last_h / h),
    "not equally wide": ignoring_unequal_steps,
    "you average": solver_but(ahead=lambda pred, last_pred, share: 0.5 * (pred + last_pred)),
    "in place of this one": solver_but(ahead=lambda pred, last_pred, share: last_pred),
    "measured in the noise rate": measured_in_noise,
    "with their squares it is twice": solver_but(clock=lambda rates: math.log(rates[1] ** 2 / rates[0] ** 2)),
    "minus times minus": solver_but(step=lambda x, pred, h, now, then: (
        then[0] / now[0] * x + then[1] * math.expm1(-h) * pred)),
    "expm1(-h), with a minus": solver_but(step=lambda x, pred, h, now, then: (
        then[0] / now[0] * x - then[1] * math.expm1(h) * pred)),
    "signal rate of *now*": solver_but(step=lambda x, pred, h, now, then: (
        then[0] / now[0] * x - now[1] * math.expm1(-h) * pred)),
    "the other way round": solver_but(step=lambda x, pred, h, now, then: (
        now[0] / then[0] * x - then[1] * math.expm1(-h) * pred)),
    "noise first": lambda x, pred, last_pred, last, now, then: solver_but()(
        x, pred, last_pred, last and last[::-1], now[::-1], then[::-1]),
    "TypeError": lambda x, pred, last_pred, last, now, then: pred - last_pred,  # forgets the first step
    "Not done yet: exercise 9.1": not_done,
}

GUIDES_WRONG = {
    "other way of counting": lambda c, u, w: c + w * (c - u),
    "pushes away": lambda c, u, w: u + w * (u - c),
    "are swapped": lambda c, u, w: c + w * (u - c),
    "difference alone": lambda c, u, w: w * (c - u),
    "ignores how much": lambda c, u, w: c,
    "yours add to 1 + guidance": lambda c, u, w: u + w * c,
    "averages instead": lambda c, u, w: (u + w * c) / (1 + w),
    "Not done yet: exercise 9.2": not_done,
}


def loss_but(mix=lambda x, e, t: (1 - t) * x + t * e, told=lambda t: t, target=lambda x, e, t: e - x,
             error=lambda difference: ops.mean(ops.square(difference))):
    """The right answer with one thing in it replaced."""
    return lambda network, x, e, t: error(network([mix(x, e, t), told(t)]) - target(x, e, t))


def loss_in_tensorflow(network, images, noises, times):
    velocities = network([images + times * (noises - images), times], training=True)
    return tf.reduce_mean(tf.math.squared_difference(velocities, noises - images))


def loss_in_numpy(network, images, noises, times):
    images, noises, times = map(np.array, (images, noises, times))
    velocities = np.array(network((((1 - times) * images + times * noises).astype("float32"), times)))
    return np.mean([np.mean((a - (e - x)) ** 2) for a, e, x in zip(velocities, noises, images)])


LOSSES_WRONG = {
    "the lab runs this function in a graph": loss_in_numpy,
    "time runs the wrong way": loss_but(mix=lambda x, e, t: t * x + (1 - t) * e),
    "quarter circle": loss_but(mix=lambda x, e, t: ops.cos(t * math.pi / 2) * x + ops.sin(t * math.pi / 2) * e),
    "sees the clean images": loss_but(mix=lambda x, e, t: x),
    "sees the bare noise": loss_but(mix=lambda x, e, t: e),
    "must shrink": loss_but(mix=lambda x, e, t: x + t * e),
    "square of the time": loss_but(told=lambda t: t**2),
    "told 1 - t": loss_but(told=lambda t: 1 - t),
    "target points the wrong way": loss_but(target=lambda x, e, t: x - e),
    "trains for the noise": loss_but(target=lambda x, e, t: e),
    "trains for the image": loss_but(target=lambda x, e, t: x),
    "mean absolute": loss_but(error=lambda d: ops.mean(ops.abs(d))),
    "sum of the squares": loss_but(error=lambda d: ops.sum(d**2)),
    "root is too much": loss_but(error=lambda d: ops.sqrt(ops.mean(d**2))),
    "diffusion's velocity": loss_but(target=lambda x, e, t: ops.cos(t * math.pi / 2) * e - ops.sin(t * math.pi / 2) * x),
    "one number, please": loss_but(error=lambda d: ops.mean(d**2, axis=(1, 2, 3))),
    "wrong brackets": lambda network, x, e, t: ops.mean(network([(1 - t) * x + t * e, t]) ** 2 - (e - x) ** 2),
    "ask the network once": lambda network, x, e, t: ops.mean((e - x) ** 2),
    "one list of two things": lambda network, x, e, t: network((1 - t) * x + t * e),
    "Not done yet: exercise 9.3": not_done,
}

RIGHT = [
    *right(checks.dpmpp_2m_step, solver_but(), solver_as_in_the_paper),
    *right(checks.guide, lambda c, u, w: u + w * (c - u), lambda c, u, w: w * c + (1 - w) * u,
           lambda c, u, w: np.array([(1 - w) * b + w * a for a, b in zip(np.array(c), np.array(u))])),
    *right(checks.flow_matching_loss, loss_but(), loss_in_tensorflow),
]
WRONG = [
    *wrong(checks.dpmpp_2m_step, SOLVERS_WRONG),
    *wrong(checks.guide, GUIDES_WRONG),
    *wrong(checks.flow_matching_loss, LOSSES_WRONG),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_misconceptions(check, answer, hint):
    assert_hint(check, answer, hint)
