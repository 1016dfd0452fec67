"""Lab 06: right answers in every style pass, and the training step by hand equals `fit`."""

import inspect
import textwrap

import jupytext
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from diffusion_lab import checks
from diffusion_lab.gaussian_diffusion import GaussianDiffusion, at
from diffusion_lab.ideal_denoisers import mixture_denoiser
from diffusion_lab.labs.lab06.training_step import TrainStep
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


def noise_unless_the_first_is_done(self, pred_noise, x, t, noise):
    """Looks at one timestep for the whole batch."""
    if t[0] > 0:
        return sample_in_tensorflow(self, pred_noise, x, t, noise)
    return sample_in_tensorflow(self, pred_noise, x, t, 0 * noise)


def own_noise(self, pred_noise, x, t, noise):
    return sample_in_tensorflow(self, pred_noise, x, t, keras.random.normal(noise.shape))


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


def kl_with_tables(self, x_start, x_t, t, pred_noise):
    """From the paper's Algorithm 2 and the noise in x_t, without q_posterior."""
    beta, bar, previous = (
        np.reshape(table[np.array(t)], (-1, 1, 1, 1))
        for table in (self.betas, self.alphas_cumprod, self.alphas_cumprod_prev)
    )
    noise = (np.array(x_t) - np.sqrt(bar) * np.array(x_start)) / np.sqrt(1 - bar)
    weight = beta * (1 - bar) / (1 - previous) / (2 * (1 - beta) * (1 - bar))
    return np.sum(weight * (noise - np.array(pred_noise)) ** 2, axis=(1, 2, 3))


def swapped_in_kl(self, x_start, x_t, t, pred_noise):
    return self.predict_start_from_noise(x_t, pred_noise, t)


def score_from_images(denoise, noisy_images, noise_rates, signal_rates):
    _, pred_images = denoise(noisy_images, noise_rates, signal_rates)
    return (signal_rates * pred_images - noisy_images) / noise_rates**2


def score_of_both(denoise, noisy_images, noise_rates, signal_rates):
    pred_noises = denoise(noisy_images, noise_rates, signal_rates)
    return -pred_noises / noise_rates


def test_the_score_is_the_gradient_of_the_log_density():
    """The closed form of a mixture, differentiated by TensorFlow."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(3, 1, 1, 2)).astype("float32")
    x = tf.constant(rng.normal(size=(5, 1, 1, 2)).astype("float32"))
    noise, signal = 0.6, 0.8
    with tf.GradientTape() as tape:
        tape.watch(x)
        squares = tf.reduce_sum((x[:, None] - signal * means[None]) ** 2, axis=(2, 3, 4))
        variance = signal**2 * 0.4**2 + noise**2
        log_density = tf.reduce_logsumexp(-squares / (2 * variance), axis=1)
    rates = [tf.fill((5, 1, 1, 1), rate) for rate in (noise, signal)]
    denoise = mixture_denoiser(means, standard_deviation=0.4)
    score = answer_of_lab_06("score_from_noise")(denoise, x, *rates)
    np.testing.assert_allclose(score, tape.gradient(log_density, x), atol=1e-4)


def altered_step(old, new):
    """Returns the right training step with a change in its source."""
    source = textwrap.dedent(inspect.getsource(TrainStep.right)).replace("@staticmethod\n", "")
    assert old in source
    space = {}
    exec(source.replace(old, new), space)
    return space["right"]


RIGHT = [
    *right(checks.kl_term, kl_with_tables),
    *right(checks.score_from_noise, score_from_images),
    *right(checks.p_sample, sample_image_by_image, sample_in_tensorflow),
    *right(checks.train_step, step_in_keras),
]

WRONG = [  # besides the known mistakes, which tests/test_mistakes.py tries
    *wrong(
        checks.p_sample,
        {
            "gives (B, 1, 1, 1)": without_gather,
            "a condition on t[0] would look at the first one only": noise_unless_the_first_is_done,
            "Use the noise that you are given, `noise`": own_noise,
            "`t` must be integers": lambda self, pred_noise, x, t, noise: at(self.betas, x, t),
            "Not done yet: exercise 6.1": not_done,
        },
    ),
    *wrong(
        checks.kl_term,
        {"`t` must be integers": swapped_in_kl, "Not done yet: exercise 6.2": not_done},
    ),
    *wrong(
        checks.score_from_noise,
        {
            "returns two arrays, pred_noises and pred_images": score_of_both,
            "Not done yet: exercise 6.4": not_done,
        },
    ),
    *wrong(
        checks.train_step,
        {
            "Only the EMA network changes": step_on_the_ema_network,
            "You passed the variables first": altered_step(
                "gradients, network.trainable_variables", "network.trainable_variables, gradients"
            ),
            "No gradient reaches": altered_step("network([noisy", "ema_network([noisy"),
            "Then write tape.gradient(loss, network.trainable_variables)": altered_step(
                "gradient(loss, network", "gradient(loss, ema_network"
            ),
            "The optimizer received weights of another network": altered_step(
                "zip(gradients, network", "zip(gradients, ema_network"
            ),
            "`get_weights` returns copies": altered_step(
                "zip(ema_network.weights, network.weights)",
                "zip(ema_network.get_weights(), network.get_weights())",
            ),
            "a fraction such as t / 1000 is rounded down": altered_step(
                "[noisy_images, t]", "[noisy_images, t / 1000]"
            ),
            "returned None in place of a list": altered_step(
                "gradient(loss, network.trainable_variables)",
                "gradient(network.trainable_variables, loss)",
            ),
            "Its `gradient` takes the loss first": altered_step(
                "gradients = tape.gradient(loss, network.trainable_variables)\n"
                "    optimizer.apply_gradients(zip(gradients, network.trainable_variables))",
                "gradients = tape.gradient(network.trainable_variables, loss)\n"
                "    optimizer.apply(gradients, network.trainable_variables)",
            ),
            "`optimizer.apply` takes the gradients and the variables, not pairs": altered_step(
                "apply_gradients(", "apply("
            ),
            "No gradient flows through the loss": altered_step(
                "tf.reduce_mean(tf.square(pred_noises - noises))",
                "float(tf.reduce_mean(tf.square(pred_noises - noises)))",
            ),
            "because NumPy (`np.`) and `float` forget": altered_step(
                "tf.reduce_mean(", "__import__('numpy').mean("
            ),
            "A network takes one list": altered_step("[noisy_images, t]", "noisy_images, t"),
            "the images and their timesteps, in this order": altered_step(
                "[noisy_images, t]", "[t, noisy_images]"
            ),
            "call it as network([noisy_images, t]": altered_step(
                "[noisy_images, t]", "noisy_images"
            ),
            "`t` must be integers": altered_step("(images, t, noises)", "(images, noises, t)"),
            "Make it one number": altered_step("tf.reduce_mean(", "("),
            "`return` missing": lambda *arguments: None,
            "Not done yet: exercise 6.3": not_done,
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
