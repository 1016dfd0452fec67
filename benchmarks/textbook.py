"""The textbook way, for comparison: a diffusion and an energy-based model as in books.

It was written from their descriptions (Keras's examples "Denoising Diffusion Implicit Models" and
"Denoising Diffusion Probabilistic Models"; Foster 2023, "Generative Deep Learning", chapters 7 and
8), with everything that makes them readable and slow: custom training steps, a `predict` for every
sampling step, and real images encoded at every validation. Like the originals, it needs TensorFlow.
"""

import math
import random

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from diffusion_lab.metrics import kernel_inception_distance
from diffusion_lab.models.ema import EMA


class TextbookDiffusion(keras.Model):
    """Predicts noise, with the absolute error as its loss, and keeps EMA weights.

    Images are in [0, 1]. `second_average` is not in the textbook: it adds the package's EMA, `ema`,
    which follows the weights faster at first.
    """

    def __init__(self, network, ema_decay=0.999, second_average=False):
        super().__init__()
        self.normalizer = keras.layers.Normalization()
        self.network, self.ema_decay = network, ema_decay
        self.ema_network = keras.models.clone_model(network)
        self.ema_network.set_weights(network.get_weights())
        self.ema = EMA(network, ema_decay) if second_average else None
        self.image_shape = tuple(network.inputs[0].shape[1:])
        self.noise_loss_tracker = keras.metrics.Mean(name="n_loss")

    @property
    def metrics(self):
        return [self.noise_loss_tracker]

    def denormalize(self, images):
        return ops.clip(self.normalizer.mean + images * self.normalizer.variance**0.5, 0.0, 1.0)

    def diffusion_schedule(self, diffusion_times):
        start, end = math.acos(0.95), math.acos(0.02)
        angles = start + diffusion_times * (end - start)
        return ops.sin(angles), ops.cos(angles)

    def denoise(self, noisy_images, noise_rates, signal_rates, training):
        network = self.network if training else self.ema_network
        pred_noises = network([noisy_images, noise_rates**2], training=training)
        return pred_noises, (noisy_images - noise_rates * pred_noises) / signal_rates

    def train_step(self, data):
        images = self.normalizer(keras.utils.unpack_x_y_sample_weight(data)[0])
        noises = keras.random.normal(ops.shape(images))
        diffusion_times = keras.random.uniform((ops.shape(images)[0], 1, 1, 1))
        noise_rates, signal_rates = self.diffusion_schedule(diffusion_times)
        with tf.GradientTape() as tape:
            noisy_images = signal_rates * images + noise_rates * noises
            pred_noises, _ = self.denoise(noisy_images, noise_rates, signal_rates, training=True)
            loss = self.loss(noises, pred_noises)
        gradients = tape.gradient(loss, self.network.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_weights))
        self.noise_loss_tracker.update_state(loss)
        self.update_average()
        return {"n_loss": self.noise_loss_tracker.result()}

    def update_average(self):
        if self.ema:
            self.ema.update(self.network)
        for weight, average in zip(self.network.weights, self.ema_network.weights):
            average.assign(self.ema_decay * average + (1 - self.ema_decay) * weight)

    def generate(self, num_images, diffusion_steps, seed=None, network=None):
        """Generates images with DDIM, with a `predict` at every step.

        It uses the EMA network, or `network` if given.
        """
        network = network or self.ema_network
        noisy_images = keras.random.normal((num_images, *self.image_shape), seed=seed)
        ones = np.ones((num_images, 1, 1, 1), "float32")
        for step in range(diffusion_steps):
            time = 1 - step / diffusion_steps
            noise_rates, signal_rates = self.diffusion_schedule(time * ones)
            pred_noises = network.predict(
                [noisy_images, noise_rates**2], batch_size=num_images, verbose=0
            )
            pred_images = (noisy_images - noise_rates * pred_noises) / signal_rates
            next_noise_rates, next_signal_rates = self.diffusion_schedule(
                (time - 1 / diffusion_steps) * ones
            )
            noisy_images = next_signal_rates * pred_images + next_noise_rates * pred_noises
        return self.denormalize(pred_images)


def compile_textbook(model):
    """Compiles with the textbook's optimizer and loss. As there, Keras decides about XLA."""
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-3, weight_decay=1e-4),
        loss=keras.losses.MeanAbsoluteError(),
    )
    return model


def generate_by_predict(model, num_images, seed=None):
    """Returns images in [0, 1], generated in all steps of a `DDPM`, with a `predict` at each.

    Ho et al. 2020, algorithm 2.
    """
    seed = keras.random.SeedGenerator(seed)
    images = keras.random.normal((num_images, *model.image_shape), seed=seed)
    for timestep in reversed(range(model.diffusion.timesteps)):
        t = np.full((num_images,), timestep, "int64")
        pred_noises = model.ema_network.predict([images, t], batch_size=num_images, verbose=0)
        images = model.diffusion.p_sample(pred_noises, images, t, seed=seed)
    return model.denormalize(images)


def kid_of_validation(extractor, real_images, generated_images, batch_size=128):
    """Returns KID; encodes the real images again in each call."""
    batches = [
        range(start, min(start + batch_size, len(real_images)))
        for start in range(0, len(real_images), batch_size)
    ]
    real, generated = (
        np.concatenate(
            [extractor.predict_on_batch(images[batch.start : batch.stop]) for batch in batches]
        )
        for images in (real_images, generated_images)
    )
    return kernel_inception_distance(real, generated)


class TextbookEnergyModel(keras.Model):
    """An energy-based model that keeps its chains in a Python list and runs eagerly.

    Images are in [0, 1].
    """

    def __init__(
        self, network, buffer_size=8192, langevin_steps=60, step_size=10.0, noise_std=0.005
    ):
        super().__init__()
        self.network, self.buffer_size = network, buffer_size
        self.langevin_steps, self.step_size, self.noise_std = langevin_steps, step_size, noise_std
        self.image_shape = tuple(network.inputs[0].shape[1:])
        self.examples = [tf.random.uniform((1, *self.image_shape), -1, 1) for _ in range(128)]

    def langevin(self, images):
        for _ in range(self.langevin_steps):
            images = tf.clip_by_value(
                images + tf.random.normal(tf.shape(images), 0, self.noise_std), -1, 1
            )
            with tf.GradientTape() as tape:
                tape.watch(images)
                energies = self.network(images)
            gradients = tf.clip_by_value(tape.gradient(energies, images), -0.03, 0.03)
            images = tf.clip_by_value(images - self.step_size * gradients, -1, 1)
        return images

    def draw_chains(self, count):
        fresh = np.random.binomial(count, 0.05)
        images = [
            tf.random.uniform((fresh, *self.image_shape), -1, 1),
            *random.choices(self.examples, k=count - fresh),
        ]
        images = self.langevin(tf.concat(images, axis=0))
        self.examples = (tf.split(images, count, axis=0) + self.examples)[: self.buffer_size]
        return images

    def train_step(self, data):
        images = 2 * keras.utils.unpack_x_y_sample_weight(data)[0] - 1
        images = tf.clip_by_value(
            images + tf.random.normal(tf.shape(images), 0, self.noise_std), -1, 1
        )
        fakes = self.draw_chains(len(images))
        with tf.GradientTape() as tape:
            real, fake = tf.split(self.network(tf.concat([images, fakes], axis=0)), 2, axis=0)
            loss = tf.reduce_mean(real - fake) + 0.1 * tf.reduce_mean(real**2 + fake**2)
        gradients = tape.gradient(loss, self.network.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables))
        return {"loss": loss}
