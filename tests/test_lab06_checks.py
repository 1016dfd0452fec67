"""Lab 06: right answers in every style pass, each known misconception gets its own hint, and the step by hand is fit's."""

import jupytext
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from diffusion_lab import checks
from diffusion_lab.gaussian_diffusion import GaussianDiffusion, at
from diffusion_lab.models.ddpm import DDPM
from diffusion_lab.networks import attention_unet
from tests.misconceptions import assert_correct, assert_hint, not_done, right, wrong
from tests.test_labs import ROOT


def sample_but(sign=-1, before="alphas_cumprod_prev", clip=True, weights=lambda pair: pair, spread=None, finish=None,
               last=False):
    """The right answer with one thing in it replaced."""

    def p_sample(self, pred_noise, x, t, noise):
        beta, bar, previous = (at(table, t, x) for table in (self.betas, self.alphas_cumprod, self.alphas_cumprod_prev))
        image = (x + sign * ops.sqrt(1 - bar) * pred_noise) / ops.sqrt(bar)
        image = ops.clip(image, self.clip_min, self.clip_max) if clip else image
        used = at(getattr(self, before), t, x)
        for_image, for_x = weights((ops.sqrt(used) * beta, ops.sqrt(1 - beta) * (1 - used)))
        mean = (for_image * image + for_x * x) / (1 - bar)
        variance = beta * (1 - previous) / (1 - bar)
        scale = ops.sqrt(variance) if spread is None else spread(variance, beta)
        moving = 1.0 if last else ops.cast(ops.reshape(t, (-1, 1, 1, 1)) > 0, "float32")
        return (finish or (lambda image, mean, shake: mean + shake))(image, mean, moving * scale * noise)

    return p_sample


def sample_image_by_image(self, pred_noise, x, t, noise):
    result = []
    for e, y, step, z in zip(*map(np.array, (pred_noise, x, t, noise))):
        bar, previous, beta = self.alphas_cumprod[step], self.alphas_cumprod_prev[step], self.betas[step]
        image = np.clip(y / np.sqrt(bar) - np.sqrt(1 / bar - 1) * e, -1, 1)
        mean = np.sqrt(previous) * beta / (1 - bar) * image + np.sqrt(1 - beta) * (1 - previous) / (1 - bar) * y
        result.append(mean + (np.sqrt((1 - previous) / (1 - bar) * beta) * z if step else 0))
    return np.stack(result)


def sample_in_tensorflow(self, pred_noise, x, t, noise):
    gather = lambda table: tf.reshape(tf.gather(tf.constant(table), t), (-1, 1, 1, 1))  # noqa: E731
    beta, bar, previous = gather(self.betas), gather(self.alphas_cumprod), gather(self.alphas_cumprod_prev)
    image = tf.clip_by_value((x - tf.sqrt(1 - bar) * pred_noise) / tf.sqrt(bar), self.clip_min, self.clip_max)
    mean = (tf.sqrt(previous) * beta * image + tf.sqrt(1 - beta) * (1 - previous) * x) / (1 - bar)
    return mean + tf.sqrt(beta * (1 - previous) / (1 - bar)) * noise  # whose variance is 0 at t = 0


def with_misplaced_bars(self, pred_noise, x, t, noise):
    beta, bar, previous = (at(table, t, x) for table in (self.betas, self.alphas_cumprod, self.alphas_cumprod_prev))
    mean = (x - (1 - bar) / ops.sqrt(1 - bar) * pred_noise) / ops.sqrt(bar)
    return mean + ops.sqrt(beta * (1 - previous) / (1 - bar)) * noise


def as_printed_in_the_paper(self, pred_noise, x, t, noise):
    beta, bar, previous = (at(table, t, x) for table in (self.betas, self.alphas_cumprod, self.alphas_cumprod_prev))
    mean = (x - beta / ops.sqrt(1 - bar) * pred_noise) / ops.sqrt(1 - beta)
    return mean + ops.sqrt(beta * (1 - previous) / (1 - bar)) * noise


def without_gather(self, pred_noise, x, t, noise):
    return (x - ops.sqrt(1 - ops.take(self.alphas_cumprod, t)) * pred_noise) / ops.sqrt(ops.take(self.alphas_cumprod, t))


def at_zero_too(self, pred_noise, x, t, noise):
    beta, bar, previous = (at(table, t, x) for table in (self.betas, self.alphas_cumprod, self.alphas_cumprod_prev))
    variance = ops.where(previous == 1, beta, beta * (1 - previous) / (1 - bar))
    return sample_but(last=True, spread=lambda *_: ops.sqrt(variance))(self, pred_noise, x, t, noise)


SAMPLES_WRONG = {
    "at t = 0, too": at_zero_too,
    "the standard deviation, the square root": sample_but(spread=lambda variance, beta: variance),
    "of the forward step": sample_but(spread=lambda variance, beta: ops.sqrt(beta)),
    "bars are misplaced": with_misplaced_bars,
    "does not clip": as_printed_in_the_paper,
    "you clip the result": sample_but(clip=False, finish=lambda image, mean, shake: ops.clip(mean + shake, -1, 1)),
    "should use ᾱ_{t-1}": sample_but(before="alphas_cumprod"),
    "the noise is missing": sample_but(finish=lambda image, mean, shake: mean),
    "this is the predicted image": sample_but(finish=lambda image, mean, shake: image),
    "added where it should be subtracted": sample_but(sign=1),
    "weights of the mean are swapped": sample_but(weights=lambda pair: pair[::-1]),
    "subtracted, not added": sample_but(finish=lambda image, mean, shake: mean - shake),
    "gives (B, 1, 1, 1)": without_gather,
    "Not done yet: exercise 6.1": not_done,
}


def step_but(seen=None, target=lambda x, noisy, e: e, told=lambda t: t, error=None, sign=1, apply=1, trained=None,
             average=None, early=False, returned=None):
    """The right answer with one thing in it replaced."""
    error = error or (lambda difference: tf.reduce_mean(tf.square(difference)))
    average = average or (lambda old, new, decay: decay * old + (1 - decay) * new)

    def follow(ema_network, network, decay):
        for mean, weight in zip(ema_network.weights, network.weights):
            mean.assign(average(mean, weight, decay))

    def train_step(network, ema_network, optimizer, diffusion, images, t, noises, ema_decay):
        noisy = diffusion.q_sample(images, t, noises)
        learner = ema_network if trained == "ema" else network
        if early:
            follow(ema_network, network, ema_decay)
        for _ in range(max(apply, 1)):
            with tf.GradientTape() as tape:
                prediction = learner([(seen or (lambda x, noisy, e: noisy))(images, noisy, noises), told(t)], training=True)
                loss = error(prediction - target(images, noisy, noises))
            gradients = [sign * gradient for gradient in tape.gradient(loss, learner.trainable_weights)]
            if apply:
                optimizer.apply_gradients(zip(gradients, learner.trainable_weights))
        if not early and trained != "ema":
            follow(ema_network, network, ema_decay)
        if returned == "after":
            return error(network([noisy, t]) - noises)
        return loss

    return train_step


STEPS_WRONG = {
    "only the averaged network changes": lambda network, ema, optimizer, *others: step_but(trained="ema")(
        network, ema, keras.optimizers.SGD(0.3), *others),
    "weights never change": step_but(apply=0, average=lambda old, new, decay: old),
    "you climb": step_but(sign=-1),
    "sees the clean images": step_but(seen=lambda x, noisy, e: x),
    "sees the bare noise": step_but(seen=lambda x, noisy, e: e),
    "compares with the images": step_but(target=lambda x, noisy, e: x),
    "compares with the noisy images": step_but(target=lambda x, noisy, e: noisy),
    "t = 0 for all": step_but(told=lambda t: 0 * t),
    "sum of the squares": step_but(error=lambda difference: tf.reduce_sum(difference**2)),
    "absolute error": step_but(error=lambda difference: tf.reduce_mean(tf.abs(difference))),
    "applied twice": step_but(apply=2),
    "average never moves": step_but(average=lambda old, new, decay: old),
    "on the wrong side": step_but(average=lambda old, new, decay: (1 - decay) * old + decay * new),
    "of before the step": step_but(early=True),
    "plain copy": step_but(average=lambda old, new, decay: new),
    "must shrink to make room": step_but(average=lambda old, new, decay: old + (1 - decay) * new),
    "the loss after the step": step_but(returned="after"),
    "`return` missing": lambda *arguments: None,
    "Not done yet: exercise 6.2": not_done,
}


def step_with_keras_words(network, ema_network, optimizer, diffusion, images, t, noises, ema_decay):
    with tf.GradientTape() as tape:
        pred_noises = network([diffusion.q_sample(images, t, noises), t], training=True)
        loss = keras.losses.MeanSquaredError()(noises, pred_noises)
    optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
    ema_network.set_weights([ema_decay * mean + (1 - ema_decay) * weight
                             for mean, weight in zip(ema_network.get_weights(), network.get_weights())])
    return float(loss)


RIGHT = [
    *right(checks.p_sample, sample_but(), sample_image_by_image, sample_in_tensorflow),
    *right(checks.train_step, step_but(), step_with_keras_words),
]
WRONG = [*wrong(checks.p_sample, SAMPLES_WRONG), *wrong(checks.train_step, STEPS_WRONG)]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_misconceptions(check, answer, hint):
    assert_hint(check, answer, hint)


def answer_of_lab_06(name):
    """The function as it stands in the lab's source."""
    space = {"ops": ops, "tf": tf, "keras": keras, "np": np, "at": at}
    for cell in jupytext.read(ROOT / "solutions" / "06_ddpm.py").cells:
        if cell.metadata.get("exercise") == name:
            exec(cell.source, space)
    return space[name]


def test_the_labs_p_sample_is_the_packages_at_every_timestep():
    diffusion, rng = GaussianDiffusion(timesteps=12, beta_start=0.01, beta_end=0.3), np.random.default_rng(0)
    x, pred_noise = (ops.convert_to_tensor(rng.normal(size=(12, 2, 2, 1)).astype("float32")) for _ in range(2))
    t = ops.arange(12)
    noise = keras.random.normal(x.shape, seed=keras.random.SeedGenerator(3))
    by_hand = answer_of_lab_06("p_sample")(diffusion, pred_noise, x, t, noise)
    ours = diffusion.p_sample(pred_noise, x, t, seed=keras.random.SeedGenerator(3))
    np.testing.assert_allclose(by_hand, ours, atol=2e-5)


@pytest.mark.slow
def test_the_labs_step_by_hand_is_what_fit_does():
    """Same start, same images, same noise: the same weights after five steps, and the average one step behind."""
    keras.utils.set_random_seed(0)
    sizes = {"image_size": 4, "base_channels": 8, "channel_multipliers": (1,), "attention_levels": (True,), "num_res_blocks": 1}
    model = DDPM(attention_unet(**sizes), ema_decay=0.5, seed=7)
    network, ema_network = keras.models.clone_model(model.network), keras.models.clone_model(model.network)
    network.set_weights(model.network.get_weights())
    ema_network.set_weights(model.network.get_weights())
    images = np.random.default_rng(1).random((5, 4, 4, 4, 3)).astype("float32")

    seed, optimizer, averages = keras.random.SeedGenerator(7), keras.optimizers.Adam(1e-2), []
    for step, batch in enumerate(images):
        x = 2 * batch - 1
        noises = keras.random.normal(x.shape, seed=seed)
        t = keras.random.randint((4,), 0, 1000, seed=seed)
        decay = min(0.5, (2 + step) / (11 + step))  # the package warms up, and counts the step before the first, too
        answer_of_lab_06("train_step")(network, ema_network, optimizer, model.diffusion, x, t, noises, decay)
        averages.append(ema_network.get_weights())

    model.compile(keras.optimizers.Adam(1e-2), loss="mse", jit_compile=False)
    model.fit(images.reshape(-1, 4, 4, 3), batch_size=4, shuffle=False, verbose=0)
    for by_hand, weight in zip(network.get_weights(), model.network.get_weights()):
        np.testing.assert_allclose(by_hand, weight, atol=2e-4)
    for by_hand, weight in zip(averages[-2], model.ema_network.get_weights()):
        np.testing.assert_allclose(by_hand, weight, atol=2e-4)
