"""Six families of generative models, each as small as possible, for points (B, 2) in the plane.

Each class has an `objective`, the loss that training minimises, and `sample`. Those that know how
likely a point is also have `log_likelihood`.
"""

import math

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.backend import compiled, input_gradient
from diffusion_lab.predictions import from_velocity, velocity
from diffusion_lab.samplers import ddim
from diffusion_lab.schedules import cosine_diffusion_schedule


def mlp(inputs, outputs, width=64, depth=3):
    """Builds a multilayer perceptron, called with (B, inputs); it returns (B, outputs)."""
    points = keras.Input((inputs,))
    # as in a sinusoidal embedding, waves let the network resolve fine detail
    angles = ops.concatenate([points, 2 * points, 4 * points], axis=-1)
    x = ops.concatenate([points, ops.sin(angles), ops.cos(angles)], axis=-1)
    for _ in range(depth):
        x = layers.Dense(width, activation="swish")(x)
    return keras.Model(points, layers.Dense(outputs)(x))


def log_normal(values, log_std=0.0):
    """Returns the log density of independent normal numbers of mean 0, (B,), for values (B, N)."""
    squares = ops.square(values * ops.exp(-log_std))
    return -ops.sum(0.5 * squares + log_std + 0.5 * math.log(2 * math.pi), axis=-1)


class Family(keras.Model):
    """What all six have in common: training, and a source of noise."""

    learning_rate, momentum = 5e-3, 0.9

    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(0)

    def learn(self, points, steps, batch_size=512):
        """Trains on `steps` random batches of points (N, 2). Returns the model."""
        chosen = np.random.default_rng(0).integers(0, len(points), steps * batch_size)
        decay = keras.optimizers.schedules.CosineDecay(self.learning_rate, steps)
        self.compile(optimizer=keras.optimizers.Adam(decay, self.momentum), jit_compile=False)
        self.fit(points[chosen], batch_size=batch_size, shuffle=False, verbose=0)
        return self

    def call(self, points):
        return points

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.objective(x)

    def normal(self, count, width=2):
        """Returns standard normal noise, (count, width)."""
        return keras.random.normal((count, width), seed=self.seed)


class Autoregressive(Family):
    """Two words make a point: p(x, y) = p(x) p(y | x), where a word is one of 64 short intervals.

    A language model does the same with more words (van den Oord et al. 2016 with pixels).
    """

    vocabulary, limit = 64, 2.25  # all points lie in [-limit, limit]

    def __init__(self):
        super().__init__()
        hidden = [layers.Dense(64, activation="swish") for _ in range(2)]
        embedding = layers.Embedding(self.vocabulary + 1, 64)  # one more word: nothing read yet
        output = layers.Dense(self.vocabulary)
        self.network = keras.Sequential([keras.Input((None,)), embedding, *hidden, output])
        self.length = 2 * self.limit / self.vocabulary  # of an interval

    def log_likelihood(self, points):
        """Returns log p(x, y) of points, (B,)."""
        words = ops.cast((points + self.limit) / self.length, "int32")
        read = ops.stack([ops.full_like(words[:, 0], self.vocabulary), words[:, 0]], axis=-1)
        log_p = ops.log_softmax(self.network(read)) * ops.one_hot(words, self.vocabulary)
        return ops.sum(log_p, axis=(1, 2)) - 2 * math.log(self.length)

    def objective(self, points):
        return -ops.mean(self.log_likelihood(points))

    def sample(self, count):
        """Returns `count` points, (count, 2): first all x, then all y."""
        words = [ops.full((count, 1), self.vocabulary, "int32")]
        for _ in range(2):
            logits = self.network(words[-1])[:, 0]
            words.append(keras.random.categorical(logits, 1, seed=self.seed))
        left = ops.cast(ops.concatenate(words[1:], axis=-1), "float32")
        within = keras.random.uniform((count, 2), seed=self.seed)
        return (left + within) * self.length - self.limit


class VAE(Family):
    """An encoder turns a point into a noisy code, and a decoder the code into a point.

    Kingma & Welling 2014.
    """

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = mlp(2, 4), mlp(2, 2)
        self.log_std = self.add_weight(shape=(), initializer=keras.initializers.Constant(-2.0))

    def log_likelihood(self, points):
        """Returns the evidence lower bound of points, (B,), estimated with one code for each."""
        mean, log_std = ops.split(self.encoder(points), 2, axis=-1)
        noises = self.normal(ops.shape(points)[0])
        codes = mean + ops.exp(log_std) * noises
        log_p_codes = log_normal(codes)
        log_q_codes = log_normal(noises) - ops.sum(log_std, axis=-1)
        return log_normal(points - self.decoder(codes), self.log_std) + log_p_codes - log_q_codes

    def objective(self, points):
        return -ops.mean(self.log_likelihood(points))

    def sample(self, count):
        """Returns `count` points, (count, 2), decoded from random codes."""
        return self.decoder(self.normal(count)) + ops.exp(self.log_std) * self.normal(count)


class GAN(Family):
    """A generator turns noise into points, and a discriminator tries to tell them from real ones.

    Goodfellow et al. 2014.
    """

    learning_rate, momentum = 1e-3, 0.5

    def __init__(self):
        super().__init__()
        self.generator, self.discriminator = mlp(2, 2), mlp(2, 1)

    def objective(self, points):
        fake_points = self.generator(self.normal(ops.shape(points)[0]))
        # the same points, but the gradient changes its sign on the way back to the generator,
        # which therefore learns to make this loss larger
        fake_points = 2 * ops.stop_gradient(fake_points) - fake_points
        real, fake = self.discriminator(points), self.discriminator(fake_points)
        return ops.mean(ops.softplus(-real) + ops.softplus(fake))

    def sample(self, count):
        """Returns `count` points, (count, 2)."""
        return self.generator(self.normal(count))


class Flow(Family):
    """Invertible layers bend the plane until the data are normally distributed.

    Each layer scales and shifts one coordinate by amounts that depend on the other (Dinh et al.
    2017).
    """

    def __init__(self, depth=6):
        super().__init__()
        self.networks = [mlp(1, 2, depth=2) for _ in range(depth)]

    def scale_and_shift(self, network, other):
        """Returns the logarithm of the scale, and the shift, both (B, 1)."""
        log_scale, shift = ops.split(network(other), 2, axis=-1)
        return 2 * ops.tanh(log_scale), shift

    def to_noise(self, points):
        """Returns (noise (B, 2), the logarithm of the change of volume (B,)) of points."""
        x, y = ops.split(points, 2, axis=-1)
        log_volume = 0.0
        for network in self.networks:
            log_scale, shift = self.scale_and_shift(network, x)
            x, y = y * ops.exp(log_scale) + shift, x
            log_volume = log_volume + log_scale[:, 0]
        return ops.concatenate([x, y], axis=-1), log_volume

    def log_likelihood(self, points):
        """Returns log p of points, (B,): that of their noise, plus the change of volume."""
        noise, log_volume = self.to_noise(points)
        return log_normal(noise) + log_volume

    def objective(self, points):
        return -ops.mean(self.log_likelihood(points))

    def sample(self, count):
        """Returns `count` points, (count, 2): noise on the way back through all layers."""
        x, y = ops.split(self.normal(count), 2, axis=-1)
        for network in reversed(self.networks):
            log_scale, shift = self.scale_and_shift(network, y)
            x, y = y, (x - shift) * ops.exp(-log_scale)
        return ops.concatenate([x, y], axis=-1)


class EnergyBased(Family):
    """A network's output is low for likely points, and samples walk downhill. Lab 01 explains it.

    Du & Mordatch 2019.
    """

    learning_rate = 1e-3
    step_size, walk, restarts = 0.005, 20, 0.05

    def __init__(self, chains=256):
        super().__init__()
        self.network = mlp(2, 1)
        start = keras.initializers.RandomNormal(stddev=1.0, seed=0)
        self.chains = self.add_weight(shape=(chains, 2), initializer=start, trainable=False)

    def energy(self, points):
        """Returns the energy of points, (B,). The square keeps walks from running away."""
        return self.network(points)[:, 0] + 0.5 * ops.sum(ops.square(points), axis=-1)

    def langevin_step(self, points, noises):
        """Returns points one step downhill, shaken by the noise."""
        gradients = ops.clip(input_gradient(self.energy, points), -20, 20)
        return points - self.step_size * gradients + math.sqrt(2 * self.step_size) * noises

    def objective(self, points):
        count = self.chains.shape[0]
        fresh = keras.random.uniform((count, 1), seed=self.seed) < self.restarts
        chains = ops.convert_to_tensor(self.chains)  # JAX's `where` takes no variable
        chains = ops.where(fresh, self.normal(count), chains)
        noises = keras.random.normal((self.walk, count, 2), seed=self.seed)
        step = lambda number, points: self.langevin_step(points, noises[number])
        chains = ops.stop_gradient(ops.fori_loop(0, self.walk, step, chains))
        self.chains.assign(chains)
        real, fake = self.energy(points), self.energy(chains)
        squares = ops.mean(ops.square(real)) + ops.mean(ops.square(fake))
        return ops.mean(real) - ops.mean(fake) + 0.05 * squares

    def sample(self, count, steps=500):
        """Returns `count` points, (count, 2), at the end of a walk that starts from noise."""
        points, step = self.normal(count), compiled(self.langevin_step)
        for _ in range(steps):
            points = step(points, self.normal(count))
        return points


class Diffusion(Family):
    """A network separates noisy points into point and noise. Labs 02 to 07 explain it.

    Ho et al. 2020, with the sampler of Song et al. 2021.
    """

    def __init__(self):
        super().__init__()
        self.network = mlp(3, 2)

    def velocities(self, noisy_points, noise_rates):
        """Returns what the network predicts, (B, 2)."""
        return self.network(ops.concatenate([noisy_points, noise_rates], axis=-1))

    def objective(self, points):
        count = ops.shape(points)[0]
        times = keras.random.uniform((count, 1), seed=self.seed)
        noises, (noise_rates, signal_rates) = self.normal(count), cosine_diffusion_schedule(times)
        noisy_points = signal_rates * points + noise_rates * noises
        right = velocity(noises, points, noise_rates, signal_rates)
        return ops.mean(ops.square(self.velocities(noisy_points, noise_rates) - right))

    def denoise(self, noisy_images, noise_rates, signal_rates):
        """Separates points as the package's samplers need it: as images (B, 1, 1, 2)."""
        velocities = self.velocities(noisy_images[:, 0, 0], noise_rates[:, 0, 0])
        return from_velocity(velocities[:, None, None], noisy_images, noise_rates, signal_rates)

    def sample(self, count, steps=30, on_step=None):
        """Returns `count` points, (count, 2), from noise in `steps` steps of DDIM."""
        noises = self.normal(count)[:, None, None]
        points = ddim(self.denoise, cosine_diffusion_schedule, noises, steps, on_step=on_step)
        return points[:, 0, 0]
