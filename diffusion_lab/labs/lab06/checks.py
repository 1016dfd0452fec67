"""Lab 06: a step of ancestral sampling, and a training step written out by hand."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import BACKEND
from diffusion_lab.gaussian_diffusion import at
from diffusion_lab.labs.exercise import (
    CheckFailed,
    Exercise,
    Method,
    Mistake,
    array,
    arrays,
    numbered,
)
from diffusion_lab.labs.rehearsal import noise_like


class MyDiffusion:
    """What lab 06 shows of a GaussianDiffusion: tables, each of the shape (T,), and two limits."""

    has = (
        "it",
        "betas, alphas_cumprod, alphas_cumprod_prev, timesteps, clip_min, clip_max and the method "
        "q_sample",
    )
    clip_min, clip_max = -1.0, 1.0

    def __init__(self, betas):
        self.betas, self.alphas_cumprod, self.timesteps = betas, np.cumprod(1 - betas), len(betas)
        self.alphas_cumprod_prev = np.append(np.float32(1), self.alphas_cumprod[:-1])

    def q_sample(self, x_start, t, noise):
        kept = ops.reshape(ops.take(self.alphas_cumprod, t), (-1, 1, 1, 1))
        return ops.sqrt(kept) * x_start + ops.sqrt(1 - kept) * noise


class PSample(Method):
    name, takes = "p_sample", "self, pred_noise, x, t, noise"
    praise = "guess the image, aim for the step before, and shake by just the right amount."
    shape_hint = "t has the shape (B,): `at(table, t, x)` gives (B, 1, 1, 1)"

    def draw(self, rng):
        shape = (5, 4, 4, 3)
        return {
            "pred_noise": rng.normal(size=shape).astype("float32"),
            "x": rng.normal(size=shape).astype("float32"),
            "noise": rng.normal(size=shape).astype("float32"),
            "t": np.array([7, 0, 3, 1, 5]),
            "betas": np.sort(rng.uniform(0.05, 0.4, 8)).astype("float32"),
        }

    def measure(self, answer, inputs):
        tensors = [
            ops.convert_to_tensor(inputs[name]) for name in ("pred_noise", "x", "t", "noise")
        ]
        return arrays(self.call(answer, MyDiffusion(inputs["betas"]), *tensors), "x_{t-1}")

    def rehearse(self, answer, inputs):
        diffusion = MyDiffusion(np.linspace(0.1, 0.3, 3, dtype="float32"))
        images = ops.ones((2, 3, 3, 1))
        network = line_network([0.5, 0.1, 0.0])
        for step in (2, 1, 0):
            t = ops.full((2,), step, dtype="int32")  # the lab's own kind
            pred_noise = network([ops.convert_to_tensor(images), t], training=False)
            images = answer(diffusion, pred_noise, images, t, ops.ones((2, 3, 3, 1)))
        ops.convert_to_numpy(ops.clip(0.5 + 0.5 * images, 0, 1))

    results = {"x_{t-1}": "x_{t-1}"}

    @staticmethod
    def right(model, pred_noise, x, t, noise):
        beta, kept = at(model.betas, t, x), at(model.alphas_cumprod, t, x)
        kept_before = at(model.alphas_cumprod_prev, t, x)
        image = (x - ops.sqrt(1 - kept) * pred_noise) / ops.sqrt(kept)
        image = ops.clip(image, model.clip_min, model.clip_max)
        variance = beta * (1 - kept_before) / (1 - kept)
        weighted_image = ops.sqrt(kept_before) * beta * image
        weighted_x = ops.sqrt(1 - beta) * (1 - kept_before) * x
        mean = (weighted_image + weighted_x) / (1 - kept)
        return mean + ops.sqrt(variance) * noise

    mistakes = [
        Mistake(
            "You added noise at t = 0, too. Leave it out there: the result is the clean image.",
            ("ops.sqrt(variance)", "ops.sqrt(ops.where(variance > 0, variance, beta))"),
        ),
        Mistake(
            "You multiplied the noise by the variance. Its factor is the standard deviation: "
            "take the square root.",
            ("ops.sqrt(variance)", "variance"),
        ),
        Mistake(
            "You took β_t, the variance of the forward step. Take that of the posterior, β_t · "
            "(1 - ᾱ_{t-1}) / (1 - ᾱ_t).",
            ("variance = beta * (1 - kept_before) / (1 - kept)", "variance = beta"),
        ),
        Mistake(
            "You took β_t, the variance of the forward step. Take that of the posterior, β_t · "
            "(1 - ᾱ_{t-1}) / (1 - ᾱ_t).",
            (
                "variance = beta * (1 - kept_before) / (1 - kept)",
                "variance = beta * ops.cast(t > 0, beta.dtype)[:, None, None, None]",
            ),
        ),
        Mistake(
            "You wrote 1/√ᾱ_t and 1 - ᾱ_t, a known misprint. The paper has 1/√α_t and β_t.",
            ("return mean", "return (x - ops.sqrt(1 - kept) * pred_noise) / ops.sqrt(kept)"),
        ),
        Mistake(
            "The predicted image is not clipped, as in the paper's short form. Clip it to "
            "[clip_min, clip_max] before you take the mean.",
            ("ops.clip(image, model.clip_min, model.clip_max)", "image"),
        ),
        Mistake(
            "You clipped the result. Clip the predicted *image*, and then take the mean.",
            lambda model, *arrays: ops.clip(
                short_form(model, *arrays), model.clip_min, model.clip_max
            ),
        ),
        Mistake(
            "You used ᾱ_t in place of ᾱ_{t-1}, that of the step before. Take "
            "`alphas_cumprod_prev`.",
            ("alphas_cumprod_prev", "alphas_cumprod"),
        ),
        Mistake(
            "You used ᾱ_t in place of ᾱ_{t-1}, that of the step before. Take "
            "`alphas_cumprod_prev`.",
            ("weighted_image = ", "kept_before = kept\n    weighted_image = "),
        ),
        Mistake(
            "The noise is missing: you returned the mean, and the samples come out blurred. Add "
            "√variance · noise.",
            (" + ops.sqrt(variance) * noise", ""),
        ),
        Mistake(
            "You returned the predicted image. Go only a little of the way there: return the "
            "weighted mean, plus noise.",
            ("mean + ops.sqrt(variance) * noise", "image"),
        ),
        Mistake(
            "You added the predicted noise to x. Subtract it: image = (x - √(1 - ᾱ) · noise) / √ᾱ.",
            ("x - ops.sqrt", "x + ops.sqrt"),
        ),
        Mistake(
            "You swapped the two weights of the mean. β_t · √ᾱ_{t-1} belongs to the predicted "
            "image.",
            ("weighted_image = ", "image, x = x, image\n    weighted_image = "),
        ),
        Mistake("You subtracted the noise. Add it.", ("mean + ", "mean - ")),
    ]


def short_form(model, pred_noise, x, t, noise):
    """Returns x_{t-1} as in the paper's Algorithm 2, where the predicted image is not clipped."""
    beta, kept = at(model.betas, t, x), at(model.alphas_cumprod, t, x)
    mean = (x - beta / ops.sqrt(1 - kept) * pred_noise) / ops.sqrt(1 - beta)
    return mean + ops.sqrt(beta * (1 - at(model.alphas_cumprod_prev, t, x)) / (1 - kept)) * noise


class TrainStep(Exercise):
    name = "train_step"
    takes = "network, ema_network, optimizer, diffusion, images, t, noises, ema_decay"
    praise = "mix, predict, compare, descend, and let the average follow: that is all `fit` does."

    def __call__(self, answer):
        if BACKEND != "tensorflow":
            return print(
                f"Exercise {self.number}, {self.name}, is about TensorFlow's tape; "
                f"this notebook runs on {BACKEND}."
            )
        return super().__call__(answer)

    def draw(self, rng):
        return {
            "images": rng.uniform(-1, 1, (4, 3, 3, 1)).astype("float32"),
            "t": np.array([0, 6, 2, 7]),
            "noises": rng.normal(size=(4, 3, 3, 1)).astype("float32"),
            "weights": rng.normal(size=3).astype("float32"),
            "ema_weights": rng.normal(size=3).astype("float32"),
            "ema_decay": np.float32(0.7),
            "learning_rate": np.float32(0.3),
            "betas": np.linspace(0.02, 0.4, 8).astype("float32"),
        }

    def measure(self, answer, inputs):
        network, ema_network = (line_network(inputs[name]) for name in ("weights", "ema_weights"))
        optimizer = keras.optimizers.SGD(float(inputs["learning_rate"]))
        optimizer.build(network.trainable_variables)
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("images", "t", "noises")]
        diffusion, ema_decay = MyDiffusion(inputs["betas"]), float(inputs["ema_decay"])
        loss = self.call(answer, network, ema_network, optimizer, diffusion, *tensors, ema_decay)
        return {
            "loss": array(loss, "the loss"),
            "weights": weights_of(network),
            "ema_weights": weights_of(ema_network),
        }

    def rehearse(self, answer, inputs):
        if BACKEND == "tensorflow":
            networks = [line_network([0.5, 0.1, 0.0]) for _ in range(2)]
            optimizer = keras.optimizers.Adam(0.01)
            diffusion = MyDiffusion(np.linspace(0.1, 0.3, 3, dtype="float32"))
            images, noises = noise_like(2, 3, 3, 1), ops.ones((2, 3, 3, 1))
            for _ in range(2):
                t = ops.convert_to_tensor([0, 2], "int32")
                answer(*networks, optimizer, diffusion, images, t, noises, 0.1)

    def examine(self, inputs, outputs):
        names = "weights", "ema_weights"
        still, average_still = (
            np.allclose(outputs[name], inputs[name], atol=1e-6) for name in names
        )
        if still and not average_still:
            raise CheckFailed(
                "Only the EMA network changes. Apply the gradients to `network`, and let the "
                "average follow it."
            )
        super().examine(inputs, outputs)

    results = {
        "weights": "the network's weights",
        "ema_weights": "the EMA weights",
        "loss": "the loss",
    }

    @staticmethod
    def right(network, ema_network, optimizer, diffusion, images, t, noises, ema_decay):
        import tensorflow as tf

        noisy_images = diffusion.q_sample(images, t, noises)
        with tf.GradientTape() as tape:
            pred_noises = network([noisy_images, t], training=True)
            loss = tf.reduce_mean(tf.square(pred_noises - noises))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables))
        for average, weight in zip(ema_network.weights, network.weights):
            average.assign(ema_decay * average + (1 - ema_decay) * weight)
        return loss

    mistakes = [
        # what leaves the network's weights right comes first: the others spoil the average, too
        Mistake(
            "The average never moves. For each pair of weights, assign ema_decay · average + (1 "
            "- ema_decay) · weight.",
            ("average.assign(ema_decay * average + (1 - ema_decay) * weight)", "pass"),
        ),
        Mistake(
            "The decay is on the wrong side. The average keeps *most* of itself: ema_decay · "
            "average + (1 - ema_decay) · weight.",
            (
                "ema_decay * average + (1 - ema_decay) * weight",
                "(1 - ema_decay) * average + ema_decay * weight",
            ),
        ),
        Mistake(
            "The average follows the weights from before the step. Update it after the optimizer.",
            lambda *arguments: average_first(*arguments),
        ),
        Mistake(
            "The EMA network is a plain copy of the other. Let it follow slowly: ema_decay · "
            "average + (1 - ema_decay) · weight.",
            ("ema_decay * average + (1 - ema_decay) * weight", "weight"),
        ),
        Mistake(
            "You added the new share and kept all of the old average. Shrink the old one: "
            "ema_decay · average.",
            ("ema_decay * average", "average"),
        ),
        Mistake(
            "You returned the loss after the step. Return the one that you took the gradient of.",
            (
                "return loss",
                "return tf.reduce_mean(tf.square(network([noisy_images, t]) - noises))",
            ),
        ),
        Mistake(
            "The weights never change. Take the gradient with the tape, and pass it to "
            "optimizer.apply_gradients.",
            (
                "optimizer.apply_gradients(zip(gradients, network.trainable_variables))",
                "return loss",
            ),
        ),
        Mistake(
            "You climbed. The optimizer itself goes against the gradient, so keep the sign of "
            "the gradient.",
            ("zip(gradients,", "zip([-gradient for gradient in gradients],"),
        ),
        Mistake(
            "The network receives the clean images. Mix the noise in first, with "
            "diffusion.q_sample.",
            ("diffusion.q_sample(images, t, noises)", "images"),
        ),
        Mistake(
            "The network receives the bare noise. Mix it with the images, with diffusion.q_sample.",
            ("diffusion.q_sample(images, t, noises)", "noises"),
        ),
        Mistake(
            "Your loss compares with the images. Compare with the *noise*, which this network "
            "predicts.",
            ("pred_noises - noises", "pred_noises - images"),
        ),
        Mistake(
            "Your loss compares with the noisy images. Compare with the *noise*, which this "
            "network predicts.",
            ("pred_noises - noises", "pred_noises - noisy_images"),
        ),
        Mistake(
            "The network receives t = 0 for all images. Pass each image's own t.",
            ("noisy_images, t]", "noisy_images, 0 * t]"),
        ),
        Mistake("You summed the squares. Take their mean.", ("tf.reduce_mean", "tf.reduce_sum")),
        Mistake(
            "You took the absolute error. Take the square, as DDPM does.", ("tf.square", "tf.abs")
        ),
        Mistake(
            "You applied the optimizer twice. Apply it once in each step.",
            ("optimizer.apply", "for _ in range(2): optimizer.apply"),
        ),
        Mistake(
            "You applied the optimizer twice. Apply it once in each step.",
            lambda *arguments: [TrainStep.right(*arguments) for _ in range(2)][1],
        ),
    ]


def average_first(network, ema_network, *others):
    """Does a training step, but updates the average before the weights. Returns the loss."""
    *others, ema_decay = others
    for average, weight in zip(ema_network.weights, network.weights):
        average.assign(ema_decay * average + (1 - ema_decay) * weight)
    return TrainStep.right(network, ema_network, *others, 1.0)


def line_network(weights):
    """Returns a network of three weights, called as network([images, t])."""
    images, t = keras.Input((3, 3, 1)), keras.Input((), dtype="int64")
    times = keras.layers.Reshape((1, 1, 1))(keras.layers.Rescaling(0.1)(ops.cast(t, "float32")))
    slope, time_slope = keras.layers.Dense(1, use_bias=False), keras.layers.Dense(1)
    network = keras.Model([images, t], keras.layers.Add()([slope(images), time_slope(times)]))
    a, b, c = np.asarray(weights, "float32")
    slope.set_weights([np.array([[a]])])
    time_slope.set_weights([np.array([[b]]), np.array([c])])
    return network


def weights_of(network):
    """Returns the weights of a `line_network`, (3,)."""
    return np.array([float(np.squeeze(weight)) for weight in network.get_weights()])


p_sample, train_step = numbered(6, PSample, TrainStep)
