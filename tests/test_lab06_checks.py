"""Lab 06: right answers in every style pass, and the training step by hand equals `fit`."""

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


def sample_image_by_image(self, pred_noise, x, t, noise):
    result = []
    for e, y, step, z in zip(*map(np.array, (pred_noise, x, t, noise))):
        bar, previous, beta = (
            self.alphas_cumprod[step],
            self.alphas_cumprod_prev[step],
            self.betas[step],
        )
        image = np.clip(y / np.sqrt(bar) - np.sqrt(1 / bar - 1) * e, -1, 1)
        mean = (
            np.sqrt(previous) * beta / (1 - bar) * image
            + np.sqrt(1 - beta) * (1 - previous) / (1 - bar) * y
        )
        result.append(mean + (np.sqrt((1 - previous) / (1 - bar) * beta) * z if step else 0))
    return np.stack(result)


def sample_in_tensorflow(self, pred_noise, x, t, noise):
    gather = lambda table: tf.reshape(tf.gather(tf.constant(table), t), (-1, 1, 1, 1))  # noqa: E731
    beta, bar, previous = (
        gather(self.betas),
        gather(self.alphas_cumprod),
        gather(self.alphas_cumprod_prev),
    )
    image = tf.clip_by_value(
        (x - tf.sqrt(1 - bar) * pred_noise) / tf.sqrt(bar), self.clip_min, self.clip_max
    )
    mean = (tf.sqrt(previous) * beta * image + tf.sqrt(1 - beta) * (1 - previous) * x) / (1 - bar)
    return mean + tf.sqrt(beta * (1 - previous) / (1 - bar)) * noise  # 0 at t = 0


def without_gather(self, pred_noise, x, t, noise):
    return (x - ops.sqrt(1 - ops.take(self.alphas_cumprod, t)) * pred_noise) / ops.sqrt(
        ops.take(self.alphas_cumprod, t)
    )


def step_on_the_ema_network(
    network, ema_network, optimizer, diffusion, images, t, noises, ema_decay
):
    return step_in_keras(
        ema_network, network, keras.optimizers.SGD(0.3), diffusion, images, t, noises, 1.0
    )


def step_in_keras(network, ema_network, optimizer, diffusion, images, t, noises, ema_decay):
    with tf.GradientTape() as tape:
        pred_noises = network([diffusion.q_sample(images, t, noises), t], training=True)
        loss = keras.losses.MeanSquaredError()(noises, pred_noises)
    optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
    ema_network.set_weights(
        [
            ema_decay * mean + (1 - ema_decay) * weight
            for mean, weight in zip(ema_network.get_weights(), network.get_weights())
        ]
    )
    return float(loss)


RIGHT = [
    *right(checks.p_sample, sample_image_by_image, sample_in_tensorflow),
    *right(checks.train_step, step_in_keras),
]

WRONG = [  # besides the known mistakes, which tests/test_mistakes.py tries
    *wrong(
        checks.p_sample,
        {"gives (B, 1, 1, 1)": without_gather, "Not done yet: exercise 6.1": not_done},
    ),
    *wrong(
        checks.train_step,
        {
            "Only the EMA network changes": step_on_the_ema_network,
            "`return` missing": lambda *arguments: None,
            "Not done yet: exercise 6.2": not_done,
        },
    ),
]


@pytest.mark.parametrize("check, answer", RIGHT)
def test_right_answers(check, answer, capsys):
    assert_correct(check, answer, capsys)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)


def answer_of_lab_06(name):
    """Returns the function of the lab's source."""
    space = {"ops": ops, "tf": tf, "keras": keras, "np": np, "at": at}
    for cell in jupytext.read(ROOT / "solutions" / "06_ddpm.py").cells:
        if cell.metadata.get("exercise") == name:
            exec(cell.source, space)
    return space[name]


def test_the_labs_p_sample_equals_the_packages_at_every_timestep():
    diffusion = GaussianDiffusion(timesteps=12, beta_start=0.01, beta_end=0.3)
    rng = np.random.default_rng(0)
    x, pred_noise = (
        ops.convert_to_tensor(rng.normal(size=(12, 2, 2, 1)).astype("float32")) for _ in range(2)
    )
    t = ops.arange(12)
    noise = keras.random.normal(x.shape, seed=keras.random.SeedGenerator(3))
    by_hand = answer_of_lab_06("p_sample")(diffusion, pred_noise, x, t, noise)
    ours = diffusion.p_sample(pred_noise, x, t, seed=keras.random.SeedGenerator(3))
    np.testing.assert_allclose(by_hand, ours, atol=2e-5)


@pytest.mark.slow
def test_the_labs_step_by_hand_equals_fit():
    """The same initial weights, images and noise give the same weights; EMA is one step behind."""
    keras.utils.set_random_seed(0)
    sizes = {
        "image_size": 4,
        "base_channels": 8,
        "channel_multipliers": (1,),
        "attention_levels": (True,),
        "num_res_blocks": 1,
    }
    model = DDPM(attention_unet(**sizes), ema_decay=0.5, seed=7)
    network, ema_network = (keras.models.clone_model(model.network) for _ in range(2))
    network.set_weights(model.network.get_weights())
    ema_network.set_weights(model.network.get_weights())
    images = np.random.default_rng(1).random((5, 4, 4, 4, 3)).astype("float32")

    seed, optimizer, averages = keras.random.SeedGenerator(7), keras.optimizers.Adam(1e-2), []
    for step, batch in enumerate(images):
        x = 2 * batch - 1
        noises = keras.random.normal(x.shape, seed=seed)
        t = keras.random.randint((4,), 0, 1000, seed=seed)
        # the package warms up its EMA, and its count is one step ahead
        decay = min(0.5, (2 + step) / (11 + step))
        answer_of_lab_06("train_step")(
            network, ema_network, optimizer, model.diffusion, x, t, noises, decay
        )
        averages.append(ema_network.get_weights())

    model.compile(keras.optimizers.Adam(1e-2), loss="mse", jit_compile=False)
    model.fit(images.reshape(-1, 4, 4, 3), batch_size=4, shuffle=False, verbose=0)
    for by_hand, weight in zip(network.get_weights(), model.network.get_weights()):
        np.testing.assert_allclose(by_hand, weight, atol=2e-4)
    for by_hand, weight in zip(averages[-2], model.ema_network.get_weights()):
        np.testing.assert_allclose(by_hand, weight, atol=2e-4)
