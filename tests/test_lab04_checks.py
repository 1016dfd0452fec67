"""Lab 04: right answers in every style pass, and each known misconception gets its own hint."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from diffusion_lab import checks
from diffusion_lab.errors import UserError
from diffusion_lab.labs.lab04.experiments import influence, likeness, value_and_gradients
from diffusion_lab.models.config import ModelConfig
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong


# 4.1


def pair_one_by_one(images, noises, noise_rates, signal_rates):
    noisy = [signal * image + noise * grain for image, grain, noise, signal in zip(
        np.array(images), np.array(noises), np.ravel(noise_rates), np.ravel(signal_rates))]
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

WRONG_PAIRS = {
    "images do not come in": lambda x, e, n, s: (s * e + n * e, e),
    "nothing but the noise": lambda x, e, n, s: (e, e),
    "rates are swapped": lambda x, e, n, s: (n * x + s * e, e),
    "you square the rates": lambda x, e, n, s: (s**2 * x + n**2 * e, e),
    "rates are missing": lambda x, e, n, s: (x + e, e),
    "keep their full size": lambda x, e, n, s: (x + n * e, e),
    "come in at full size": lambda x, e, n, s: (s * x + e, e),
    "the root of the rates": lambda x, e, n, s: (s**0.5 * x + n**0.5 * e, e),
    "subtracted": lambda x, e, n, s: (s * x - n * e, e),
    "the target is the image": lambda x, e, n, s: (s * x + n * e, x),
    "the noise times its rate": lambda x, e, n, s: (s * x + n * e, n * e),
    "difference of noisy and clean": lambda x, e, n, s: (s * x + n * e, s * x + n * e - x),
    "learn to do nothing": lambda x, e, n, s: (s * x + n * e, s * x + n * e),
    "wrong order": lambda x, e, n, s: (e, s * x + n * e),
    "draw none": own_noise,
    "must return 2 values": lambda x, e, n, s: s * x + n * e,
    "multiply the images as they are": lambda x, e, n, s: (ops.reshape(s, (-1,)) * x + n * e, e),
    "Not done yet: exercise 4.1, training_pair.": not_done,
}

# 4.2


def loss_by_numbers(noises, pred_noises):
    total, differences = 0.0, ops.reshape(noises - pred_noises, (-1,))
    for difference in ops.unstack(differences):
        total = total + difference**2
    return total / differences.shape[0]


def cross_entropy(noises, pred_noises):
    return tf.nn.softmax_cross_entropy_with_logits(labels=noises, logits=pred_noises)


LOSSES = [
    lambda e, p: ops.mean(ops.square(e - p)),
    lambda e, p: tf.reduce_mean((p - e) ** 2),
    lambda e, p: keras.losses.MeanSquaredError()(e, p),
    lambda e, p: ops.mean(keras.losses.mean_squared_error(e, p)),
]

WRONG_LOSSES = {
    "script's softmax": lambda e, p: tf.reduce_mean(cross_entropy(e, p)),
    "for each pixel: noise has no classes": cross_entropy,
    "cancel: square each": lambda e, p: ops.mean(e - p),
    "turned round": lambda e, p: ops.mean(p - e),
    "average first and square then": lambda e, p: ops.square(ops.mean(e - p)),
    "mean *absolute* error": lambda e, p: ops.mean(ops.abs(e - p)),
    "you add the squares up": lambda e, p: ops.sum(ops.square(e - p)),
    "you add up within an image": lambda e, p: ops.mean(ops.sum(ops.square(e - p), axis=(1, 2, 3))),
    "the root of the mean square": lambda e, p: ops.sqrt(ops.mean(ops.square(e - p))),
    "a factor 1/2": lambda e, p: tf.nn.l2_loss(e - p) / tf.size(e, tf.float32),
    "one number for each image": lambda e, p: ops.mean(ops.square(e - p), axis=(1, 2, 3)),
    "one number for each pixel (Keras": lambda e, p: keras.losses.mean_squared_error(e, p),
    "no gradient flows": lambda e, p: np.mean(np.square(np.array(e) - np.array(p))),
    "where the lab uses your function it stops in the line": loss_by_numbers,
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


def without_brackets(make_network, batches, step):
    return make_network, [step(make_network, images) for images in batches]


def with_losses(change):
    def answer(make_network, batches, step):
        network, losses = loop(make_network, batches, step)
        return network, change(losses)

    return answer


LOOPS = [
    loop,
    counting_loop,
    lambda make, batches, step: (lambda network: (network, [step(network, images) for images in batches]))(make()),
]

WRONG_LOOPS = {
    "*before* the loop": fresh_for_each,
    "return the one that has been trained": fresh_at_the_end,
    "stand inside the loop": returns_in_the_loop,
    "once is enough": made_twice,
    "one batch at a time": all_at_once,
    "the network first": arguments_turned,
    "never called": never_steps,
    "with brackets": without_brackets,
    "wrong order": lambda make, batches, step: loop(make, batches, step)[::-1],
    "two things": lambda make, batches, step: loop(make, batches, step)[1],
    "each batch once": lambda make, batches, step: loop(make, batches[:-1], step),
    "the last loss alone": with_losses(lambda losses: losses[-1]),
    "the mean of the losses": with_losses(np.mean),
    "the sum of the losses": with_losses(sum),
    "the trained network itself": lambda make, batches, step: ("network", loop(make, batches, step)[1]),
    "that `make_network()` returned": lambda make, batches, step: loop(lambda: "network", batches, step),
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


def changed_step(change=lambda gradients: gradients, only=slice(None), training=True, target=None):
    def answer(network, optimizer, loss_function, inputs, noises):
        noises = inputs if target == "inputs" else noises
        loss, gradients = gradients_by_tape(network, loss_function, inputs, noises, training)
        optimizer.apply(change(gradients)[only], network.trainable_variables[only])
        return loss

    return answer


def twice(*arguments):
    step_with_tape(*arguments)
    return step_with_tape(*arguments)


def loss_afterwards(network, optimizer, loss_function, inputs, noises):
    step_with_tape(network, optimizer, loss_function, inputs, noises)
    return loss_function(noises, network(inputs, training=True))


def by_hand(scale):
    def answer(network, optimizer, loss_function, inputs, noises):
        loss, gradients = gradients_by_tape(network, loss_function, inputs, noises)
        for variable, gradient in zip(network.trainable_variables, gradients):
            variable.assign(variable - scale(optimizer) * gradient)
        return loss

    return answer


def assigned(network, optimizer, loss_function, inputs, noises):
    loss, gradients = gradients_by_tape(network, loss_function, inputs, noises)
    for variable, gradient in zip(network.trainable_variables, gradients):
        variable.assign(gradient)
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
    "nobody applies": lambda network, optimizer, loss, x, e: gradients_by_tape(network, loss, x, e)[0],
    "uphill": changed_step(lambda gradients: [-gradient for gradient in gradients]),
    "two steps": twice,
    "compares with the inputs": changed_step(target="inputs"),
    "the whole gradient": by_hand(lambda optimizer: 1.0),
    "become the gradient": assigned,
    "only the first variable": changed_step(only=slice(0, 1)),
    "only the last variable": changed_step(only=slice(1, 2)),
    "made no step": by_hand(lambda optimizer: optimizer.learning_rate),
    "with training=True": changed_step(training=False),
    "not trainable has moved": drifts,
    "the loss after the step": loss_afterwards,
    "the loss is negative": lambda *arguments: -step_with_tape(*arguments),
    "no way from the loss back": outside_the_tape,
    "that is differentiated": outside_the_function,
    "never asked": lambda network, optimizer, loss, x, e: loss(e, x),
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
        noise, signal, next_noise, next_signal = (float(np.ravel(rate)[index]) for rate in (*rates, *next_rates))
        image = np.minimum(3, np.maximum(-3, (noisy[index] - noise * noises[index]) / signal))
        result[index] = next_signal * image + next_noise * noises[index]
    return result


def image_of(x, e, now):
    return (x - now[0] * e) / now[1]


def clip(x, limit=3):
    return ops.clip(x, -limit, limit)


def drawn_by_lot(x, e, now, then):
    return keras.random.categorical(ops.reshape(x, (-1, 3)), 1)


BACKS = [
    back,
    back_in_numpy,
    lambda x, e, now, then: then[1] * tf.clip_by_value((x - now[0] * e) / now[1], -3.0, 3.0) + then[0] * e,
]

WRONG_BACKS = {
    "is not clipped: where": lambda x, e, now, then: then[1] * image_of(x, e, now) + then[0] * e,
    "all noise gone at once": lambda x, e, now, then: clip(image_of(x, e, now)),
    "and not clipped: clip it": lambda x, e, now, then: image_of(x, e, now),
    "stay where you are": lambda x, e, now, then: back(x, e, now, now),
    "next rates are swapped": lambda x, e, now, then: back(x, e, now, then[::-1]),
    "both pairs of rates are swapped": lambda x, e, now, then: back(x, e, now[::-1], then[::-1]),
    "divide by the signal rate after": lambda x, e, now, then: back(x, e, (now[0], 1.0), then),
    "multiply by the signal rate where": lambda x, e, now, then: (
        then[1] * clip((x - now[0] * e) * now[1]) + then[0] * e),
    "away at full size": lambda x, e, now, then: then[1] * clip((x - e) / now[1]) + then[0] * e,
    "the noise does not come back": lambda x, e, now, then: then[1] * clip(image_of(x, e, now)),
    "mix with the noisy image": lambda x, e, now, then: then[1] * clip(image_of(x, e, now)) + then[0] * x,
    "clip the result": lambda x, e, now, then: clip(then[1] * image_of(x, e, now) + then[0] * e),
    "clip at ±1": lambda x, e, now, then: then[1] * clip(image_of(x, e, now), 1) + then[0] * e,
    "square the rates": lambda x, e, now, then: back(x, e, [r**2 for r in now], [r**2 for r in then]),
    "no fresh noise": lambda x, e, now, then: then[1] * clip(image_of(x, e, now))
    + then[0] * keras.random.normal(x.shape),
    "drawn by lot": drawn_by_lot,
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


def with_plane(x, plane, axis=-1):
    return ops.concatenate([x, ops.broadcast_to(plane, (*x.shape[:3], 1))], axis)


LABELS = [
    label,
    label_in_numpy,
    lambda x, n: tf.concat([x, tf.broadcast_to(n**2, tf.shape(x[..., :1]))], -1),
    lambda x, n: ops.concatenate([x, ops.tile(n**2, (1, x.shape[1], x.shape[2], 1))], -1),
]

WRONG_LABELS = {
    "the noise *rate*": lambda x, n: with_plane(x, n),
    "1 - noise_rates**2": lambda x, n: with_plane(x, 1 - n**2),
    "holds the signal rate": lambda x, n: with_plane(x, (1 - n**2) ** 0.5),
    "the root of the noise rate": lambda x, n: with_plane(x, n**0.5),
    "the level of the first one": lambda x, n: with_plane(x, n[:1] ** 2),
    "the same mean level": lambda x, n: with_plane(x, ops.mean(n**2)),
    "the plane comes first": lambda x, n: ops.concatenate([n**2 * ops.ones_like(x[..., :1]), x], -1),
    "added to the colours": lambda x, n: x + n**2,
    "multiplied by the level": lambda x, n: x * n**2,
    "three times": lambda x, n: ops.concatenate([x, n**2 * ops.ones_like(x)], -1),
    "the plane alone": lambda x, n: n**2 * ops.ones_like(x[..., :1]),
    "stuck to the side": lambda x, n: ops.concatenate([x, n**2 * ops.ones_like(x)], 2),
    "varies from pixel to pixel": lambda x, n: with_plane(x, n * keras.random.normal((*x.shape[:3], 1))),
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
def test_misconceptions(check, answer, hint):
    assert_hint(check, answer, hint)


def test_gradients_are_those_of_the_loss_and_batch_statistics_move():
    network = keras.Sequential(
        [keras.Input((2,)), keras.layers.BatchNormalization(), keras.layers.Dense(1, use_bias=False)])
    x = ops.convert_to_tensor([[1.0, 0.0], [3.0, 4.0]])
    loss, gradients = value_and_gradients(lambda: ops.sum(network(x, training=True)), network)
    gamma, beta, kernel = network.trainable_variables
    assert len(gradients) == 3
    np.testing.assert_allclose(gradients[1], 2 * ops.convert_to_numpy(kernel)[:, 0], rtol=1e-5)  # two rows of beta
    np.testing.assert_allclose(gradients[2], np.zeros((2, 1)), atol=1e-5)  # normalised rows add to zero
    assert ops.convert_to_numpy(network.layers[0].moving_mean).tolist() == pytest.approx([0.02, 0.02])


def test_a_loss_without_gradient_is_refused():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(UserError, match="carries no gradient"):
        value_and_gradients(lambda: float(ops.sum(network(ops.ones((1, 2))))), network)


def test_a_plain_stack_sees_as_far_as_its_convolutions_reach():
    model = ModelConfig("plain_cnn", {"image_size": 12, "width": 8, "depth": 2}).build(seed=0)
    model.ema_network.set_weights([np.abs(weight) + 0.01 for weight in model.ema_network.get_weights()])
    seen = np.argwhere(influence(model, np.zeros((2, 12, 12, 3), "float32")) > 0)
    assert (seen.min(), seen.max(), len(seen)) == (4, 8, 25)


def test_likeness_falls_with_the_distance_at_which_pixels_part():
    rng = np.random.default_rng(0)
    blocks = rng.normal(size=(400, 4, 4, 1)).repeat(4, 1).repeat(4, 2)  # 16 by 16, patches of four pixels
    assert likeness(blocks, [1, 2, 4, 8]) == pytest.approx([0.8, 4 / 7, 0, 0], abs=0.03)
