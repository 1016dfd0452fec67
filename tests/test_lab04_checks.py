"""Lab 04: right answers in every style pass; unknown mistakes are named."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from diffusion_lab import checks
from diffusion_lab.errors import UserError
from diffusion_lab.labs.lab04.experiments import (
    influence_on_image,
    pixel_correlations,
    value_and_gradients,
)
from diffusion_lab.models.config import ModelConfig
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong

# 4.1


def pair_one_by_one(images, noises, noise_rates, signal_rates):
    noisy = [
        signal * image + noise * grain
        for image, grain, noise, signal in zip(
            np.array(images), np.array(noises), np.ravel(noise_rates), np.ravel(signal_rates)
        )
    ]
    return np.array(noisy), noises


def own_noise(images, noises, noise_rates, signal_rates):
    noises = keras.random.normal(images.shape)
    return signal_rates * images + noise_rates * noises, noises


def pair(x, e, n, s):
    return s * x + n * e, e


PAIRS = [
    pair,
    lambda x, e, n, s: (tf.add(tf.multiply(x, s), tf.multiply(e, n)), tf.identity(e)),
    lambda x, e, n, s: [ops.add(s * x, n * e), e],
    pair_one_by_one,
]

WRONG_PAIRS = {  # besides the known mistakes, which tests/test_mistakes.py tries
    "wrong order": lambda x, e, n, s: (e, s * x + n * e),
    "instead of drawing your own": own_noise,
    "must return 2 values": lambda x, e, n, s: s * x + n * e,
    "multiply by them directly": lambda x, e, n, s: (ops.reshape(s, (-1,)) * x + n * e, e),
    "Not done yet: exercise 4.1, training_pair.": not_done,
}

# 4.2


def loss_by_numbers(noises, pred_noises):
    total, differences = 0.0, ops.reshape(noises - pred_noises, (-1,))
    for difference in ops.unstack(differences):
        total = total + difference**2
    return total / differences.shape[0]


LOSSES = [
    lambda e, p: ops.mean(ops.square(e - p)),
    lambda e, p: tf.reduce_mean((p - e) ** 2),
    lambda e, p: keras.losses.MeanSquaredError()(e, p),
    lambda e, p: ops.mean(keras.losses.mean_squared_error(e, p)),
]

WRONG_LOSSES = {
    "no gradient flows": lambda e, p: np.mean(np.square(np.array(e) - np.array(p))),
    "when the lab uses your function, it stops in the line": loss_by_numbers,
    "`float` and `stop_gradient` forget": lambda e, p: float(ops.mean(ops.square(e - p))),
    "`return` missing": lambda e, p: None,
    "Not done yet: exercise 4.2, noise_loss.": not_done,
}

# 4.3


def loop(make_network, batches, step):
    network, losses = make_network(), []
    for images in batches:
        losses.append(step(network, images))
    return network, losses


def counting_loop(make_network, batches, step):
    losses = np.zeros(len(batches))
    network = make_network()
    for index in range(len(batches)):
        losses[index] = step(network, batches[index])
    return network, losses


def fresh_for_each(make_network, batches, step):
    losses = [step(make_network(), images) for images in batches]
    return make_network(), losses


def fresh_at_the_end(make_network, batches, step):
    return make_network(), loop(make_network, batches, step)[1]


def returns_in_the_loop(make_network, batches, step):
    network = make_network()
    for images in batches:
        return network, [step(network, images)]


def made_twice(make_network, batches, step):
    make_network()
    return loop(make_network, batches, step)


def all_at_once(make_network, batches, step):
    network = make_network()
    return network, [step(network, batches)]


def arguments_turned(make_network, batches, step):
    network = make_network()
    return network, [step(images, network) for images in batches]


def never_steps(make_network, batches, step):
    return make_network(), [0.0 for _ in batches]


def without_parentheses(make_network, batches, step):
    return make_network, [step(make_network, images) for images in batches]


LOOPS = [
    loop,
    counting_loop,
    lambda make, batches, step: (
        lambda network: (network, [step(network, images) for images in batches])
    )(make()),
]


def turns_its_batches(make_network, batches, step):
    batches.reverse()
    return loop(make_network, batches, step)


WRONG_LOOPS = {
    "before the loop": fresh_for_each,
    "Return the one that has been trained": fresh_at_the_end,
    "is inside the loop": returns_in_the_loop,
    "2 times. Call it once.": made_twice,
    "one batch at a time": all_at_once,
    "the network first": arguments_turned,
    "never called": never_steps,
    "with parentheses": without_parentheses,
    "wrong order": lambda make, batches, step: loop(make, batches, step)[::-1],
    "something other than two values": lambda make, batches, step: loop(make, batches, step)[1],
    "Use each batch once": lambda make, batches, step: loop(make, batches[:-1], step),
    "Use each batch once, in": turns_its_batches,
    "other than the trained network": lambda make, batches, step: (
        "network",
        loop(make, batches, step)[1],
    ),
    "what `make_network()` returned": lambda make, batches, step: loop(
        lambda: "network", batches, step
    ),
    "Not done yet: exercise 4.3, training_loop.": not_done,
}

# 4.4


def gradients_by_tape(network, loss_function, inputs, noises, training=True):
    with tf.GradientTape() as tape:
        loss = loss_function(noises, network(inputs, training=training))
    return loss, tape.gradient(loss, [variable.value for variable in network.trainable_variables])


def step_with_tape(network, optimizer, loss_function, inputs, noises):
    loss, gradients = gradients_by_tape(network, loss_function, inputs, noises)
    optimizer.apply_gradients(zip(gradients, network.trainable_variables))
    return float(loss)


def step_with_helper(network, optimizer, loss_function, inputs, noises):
    def loss_of():
        return loss_function(noises, network(inputs, training=True))

    loss, gradients = value_and_gradients(loss_of, network)
    optimizer.apply(gradients, network.trainable_variables)
    return loss


def step_of_keras(network, optimizer, loss_function, inputs, noises):
    network.compile(optimizer, loss_function, run_eagerly=True)
    return network.train_on_batch(inputs, noises)


def untrained(network, optimizer, loss_function, inputs, noises):
    loss, gradients = gradients_by_tape(network, loss_function, inputs, noises, training=False)
    optimizer.apply(gradients, network.trainable_variables)
    return loss


def by_hand(network, optimizer, loss_function, inputs, noises):
    loss, gradients = gradients_by_tape(network, loss_function, inputs, noises)
    for variable, gradient in zip(network.trainable_variables, gradients):
        variable.assign(variable - optimizer.learning_rate * gradient)
    return loss


def outside_the_tape(network, optimizer, loss_function, inputs, noises):
    loss = loss_function(noises, network(inputs, training=True))
    with tf.GradientTape() as tape:
        pass
    gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
    optimizer.apply(gradients, network.trainable_variables)
    return loss


def outside_the_function(network, optimizer, loss_function, inputs, noises):
    loss = loss_function(noises, network(inputs, training=True))
    loss, gradients = value_and_gradients(lambda: loss, network)
    optimizer.apply(gradients, network.trainable_variables)
    return loss


def drifts(network, optimizer, loss_function, inputs, noises):
    network.moving_mean.assign_add(0.5)
    network.bias.assign_sub([0.5] * 3)
    loss, gradients = gradients_by_tape(network, loss_function, inputs, noises)
    network.bias.assign_add([0.5] * 3)
    optimizer.apply(gradients, network.trainable_variables)
    return loss


STEPS = [step_with_tape, step_with_helper, step_of_keras]

WRONG_STEPS = {
    "the optimizer made 0 steps": by_hand,
    "with training=True": untrained,
    "not trainable": drifts,
    "No gradient flows": outside_the_tape,
    "that is differentiated": outside_the_function,
    "never called": lambda network, optimizer, loss, x, e: loss(e, x),
    "Not done yet: exercise 4.4, gradient_step.": not_done,
}

# 4.5


def back(noisy, noises, rates, next_rates):
    images = ops.clip((noisy - rates[0] * noises) / rates[1], -3, 3)
    return next_rates[1] * images + next_rates[0] * noises


def back_in_numpy(noisy, noises, rates, next_rates):
    noisy, noises = np.array(noisy), np.array(noises)
    result = np.empty_like(noisy)
    for index in range(len(noisy)):
        noise, signal, next_noise, next_signal = (
            float(np.ravel(rate)[index]) for rate in (*rates, *next_rates)
        )
        image = np.minimum(3, np.maximum(-3, (noisy[index] - noise * noises[index]) / signal))
        result[index] = next_signal * image + next_noise * noises[index]
    return result


def with_fresh_noise(noisy, noises, rates, next_rates):
    return back(noisy, noises, rates, next_rates) + next_rates[0] * keras.random.normal(noisy.shape)


BACKS = [
    back,
    back_in_numpy,
    lambda x, e, now, then: (
        then[1] * tf.clip_by_value((x - now[0] * e) / now[1], -3.0, 3.0) + then[0] * e
    ),
]

WRONG_BACKS = {
    "instead of fresh noise": with_fresh_noise,
    "class numbers": lambda x, e, now, then: keras.random.categorical(ops.reshape(x, (-1, 3)), 1),
    "Not done yet: exercise 4.5, step_back.": not_done,
}

# 4.6


def label(x, n):
    return ops.concatenate([x, ops.square(n) * ops.ones_like(x[..., :1])], axis=-1)


def label_in_numpy(x, n):
    x, result = np.array(x), np.zeros((*x.shape[:3], 4), "float32")
    result[..., :3] = x
    for index, rate in enumerate(np.ravel(n)):
        result[index, :, :, 3] = rate**2
    return result


LABELS = [
    label,
    label_in_numpy,
    lambda x, n: tf.concat([x, tf.broadcast_to(n**2, tf.shape(x[..., :1]))], -1),
    lambda x, n: ops.concatenate([x, ops.tile(n**2, (1, x.shape[1], x.shape[2], 1))], -1),
]

WRONG_LABELS = {
    "varies from pixel to pixel": lambda x, n: ops.concatenate(
        [x, n * keras.random.normal((*x.shape[:3], 1))], -1
    ),
    "spread the variances": lambda x, n: ops.concatenate([x, n**2], -1),
    "to one number per pixel": lambda x, n: np.concatenate([np.array(x), np.array(n) ** 2], -1),
    "Not done yet: exercise 4.6, with_noise_level.": not_done,
}

TABLES = {
    checks.training_pair: (PAIRS, WRONG_PAIRS),
    checks.noise_loss: (LOSSES, WRONG_LOSSES),
    checks.training_loop: (LOOPS, WRONG_LOOPS),
    checks.gradient_step: (STEPS, WRONG_STEPS),
    checks.step_back: (BACKS, WRONG_BACKS),
    checks.with_noise_level: (LABELS, WRONG_LABELS),
}


RIGHT = [case for check, (answers, _) in TABLES.items() for case in right(check, *answers)]
WRONG = [case for check, (_, table) in TABLES.items() for case in wrong(check, table)]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)


def test_gradients_are_those_of_the_loss_and_batch_statistics_move():
    network = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1, use_bias=False),
        ]
    )
    x = ops.convert_to_tensor([[1.0, 0.0], [3.0, 4.0]])
    loss, gradients = value_and_gradients(lambda: ops.sum(network(x, training=True)), network)
    gamma, beta, kernel = network.trainable_variables
    assert len(gradients) == 3
    # two rows of beta
    np.testing.assert_allclose(gradients[1], 2 * ops.convert_to_numpy(kernel)[:, 0], rtol=1e-5)
    # normalised rows add to zero
    np.testing.assert_allclose(gradients[2], np.zeros((2, 1)), atol=1e-5)
    assert ops.convert_to_numpy(network.layers[0].moving_mean).tolist() == pytest.approx(
        [0.02, 0.02]
    )


def test_a_loss_without_gradient_is_refused():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(UserError, match="carries no gradient"):
        value_and_gradients(lambda: float(ops.sum(network(ops.ones((1, 2))))), network)


def test_a_plain_stack_sees_as_far_as_its_convolutions_reach():
    model = ModelConfig("plain_cnn", {"image_size": 12, "width": 8, "depth": 2}).build(seed=0)
    model.ema_network.set_weights(
        [np.abs(weight) + 0.01 for weight in model.ema_network.get_weights()]
    )
    seen = np.argwhere(influence_on_image(model, np.zeros((2, 12, 12, 3), "float32")) > 0)
    assert (seen.min(), seen.max(), len(seen)) == (4, 8, 25)


def test_pixel_correlations_fall_with_the_distance():
    rng = np.random.default_rng(0)
    # 16 by 16, patches of four pixels
    blocks = rng.normal(size=(400, 4, 4, 1)).repeat(4, 1).repeat(4, 2)
    assert pixel_correlations(blocks, [1, 2, 4, 8]) == pytest.approx([0.8, 4 / 7, 0, 0], abs=0.03)
