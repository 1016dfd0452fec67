"""Right answers in unusual styles, for every exercise; the checks must accept all of them."""

import math
from functools import partial, reduce
from operator import add, itemgetter

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from diffusion_lab.gaussian_diffusion import at
from diffusion_lab.labs.lab04.experiments import value_and_gradients
from diffusion_lab.samplers import ddim

VARIANTS = {}


def variants(name, *answers):
    VARIANTS[name] = [*VARIANTS.get(name, []), *answers]


# 1.1, 1.2


def persistent_tape(network, images, noises, step_size):
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(images)
        energies = tf.reduce_sum(network(images, training=False))
    slope = tape.gradient(energies, images)
    return tf.maximum(
        tf.minimum(images - step_size * tf.clip_by_value(slope, -0.03, 0.03) + noises, 1.0), -1.0
    )


def by_tf_gradients(network, images, noises, step_size):
    with tf.GradientTape() as tape:
        tape.watch(images)
        energies = network(inputs=images)
    (slope,) = tape.gradient(energies, [images])
    images = images + ops.negative(step_size) * ops.minimum(ops.maximum(slope, -0.03), 0.03)
    return ops.clip(ops.add(images, noises), x_min=-1, x_max=1)


def whole_batch_call(network, images, noises, step_size):
    with tf.GradientTape() as tape:
        tape.watch(images)
        energies = network.call(images)
    return ops.clip(
        images - step_size * ops.clip(tape.gradient(energies, images), -0.03, 0.03) + noises, -1, 1
    )


variants("langevin_step", persistent_tape, by_tf_gradients, whole_batch_call)
variants(
    "contrastive_divergence_loss",
    lambda real_energies, fake_energies, regularization: ops.mean(
        real_energies
        + regularization * real_energies**2
        - fake_energies
        + regularization * fake_energies**2
    ),
    lambda r, f, w: tf.reduce_mean(r - f) + w * tf.reduce_mean(r * r + f * f),
    lambda r, f, w: (
        ops.sum(r - f + w * (ops.power(r, 2) + ops.power(f, 2))) / ops.cast(ops.size(r), "float32")
    ),
    lambda r, f, w: reduce(
        add, [ops.mean(r), -ops.mean(f), w * ops.mean(ops.square(r)), w * ops.mean(ops.square(f))]
    ),
)

# 2.1, 2.2

variants(
    "forward_step",
    lambda images, noises, beta: (1 - beta) ** 0.5 * images + beta**0.5 * noises,
    lambda x, e, b: math.sqrt(1 - b) * x + math.sqrt(b) * e,
    lambda x, e, b: np.add(np.sqrt(1 - b) * x, np.sqrt(b) * e),
    lambda x, e, b: np.sum([np.sqrt(1 - b) * x, np.sqrt(b) * e], axis=0),
    lambda x, e, b: ops.sqrt(1 - b) * x + ops.sqrt(b) * e,
    lambda x, e, b: tf.sqrt(1.0 - b) * x + tf.sqrt(b) * e,
    lambda x, e, b: np.array(
        [math.sqrt(1 - b) * image + math.sqrt(b) * noise for image, noise in zip(x, e)]
    ),
    lambda x, e, b: np.einsum("k,kbhwc->bhwc", np.sqrt([1 - b, b]), np.stack([x, e])),
    lambda x, e, b: (1 - b).__pow__(0.5) * x + pow(b, 0.5) * e,
    tf.function(lambda x, e, b: tf.sqrt(1.0 - b) * x + tf.sqrt(b) * e),
    lambda images, noises, beta=None: (
        np.exp(0.5 * np.log1p(-beta)) * images + np.exp(0.5 * np.log(beta)) * noises
    ),
)


def mixed(kept, x, e):
    kept = np.reshape(kept, (-1, 1, 1, 1))
    return np.sqrt(kept) * x + np.sqrt(1 - kept) * e


variants(
    "q_sample",
    lambda images, t, noises, betas: mixed(np.cumprod(1 - betas)[t], images, noises),
    lambda x, t, e, b: mixed(np.take(np.cumprod(1 - b), t), x, e),
    lambda x, t, e, b: mixed(np.exp(np.cumsum(np.log(1 - b)))[t], x, e),
    lambda x, t, e, b: mixed(np.multiply.accumulate(1 - b)[t], x, e),
    lambda x, t, e, b: mixed([np.prod(1 - b[: step + 1]) for step in t], x, e),
    lambda x, t, e, b: np.stack(
        [mixed(np.prod((1 - b)[: k + 1]), i, n)[0] for i, k, n in zip(x, t, e)]
    ),
    lambda x, t, e, b: (
        (k := np.cumprod(1 - b)[t][:, None, None, None]) ** 0.5 * x + (1 - k) ** 0.5 * e
    ),
    lambda x, t, e, b: mixed(ops.convert_to_numpy(ops.take(ops.cumprod(1 - b), t)), x, e),
    lambda x, t, e, b: mixed(np.array(list(map(np.cumprod(1.0 - b).__getitem__, t))), x, e),
)

# 3.1, 3.2, 3.3


def linear(diffusion_times, beta_start=1e-4, beta_end=0.02, timesteps=1000):
    area = (
        timesteps * diffusion_times * (beta_start + (beta_end - beta_start) * diffusion_times / 2)
    )
    return np.sqrt(1 - np.exp(-area)), np.exp(-area / 2)


def keyword_only_linear(diffusion_times, *, beta_start=1e-4, beta_end=0.02, timesteps=1000):
    return linear(diffusion_times, beta_start, beta_end, timesteps)


def angles(t, low=0.02, high=0.95):
    return np.arccos(high) + t * (np.arccos(low) - np.arccos(high))


def keyword_only_offset(diffusion_times, *, min_signal_rate=0.02, max_signal_rate=0.95):
    turned = angles(diffusion_times, min_signal_rate, max_signal_rate)
    return np.sin(turned), np.cos(turned)


def generated(diffusion_times):
    yield np.sin(diffusion_times * np.pi / 2)
    yield np.cos(diffusion_times * np.pi / 2)


half_pi = math.pi / 2
variants(
    "linear_diffusion_schedule",
    linear,
    keyword_only_linear,
    lambda *a, **k: list(linear(*a, **k)),
    lambda *a, **k: np.stack(linear(*a, **k)),
    lambda *a, **k: iter(linear(*a, **k)),
    lambda *a, **k: ops.stack(linear(*a, **k)),
    lambda *a, **k: map(ops.convert_to_tensor, linear(*a, **k)),
    lambda t, first=1e-4, last=0.02, steps=1000: linear(t, first, last, steps),
    lambda t, *parameters: linear(t.astype("float64"), *parameters),
    lambda t, beta_start=1e-4, beta_end=0.02, timesteps=1000: (
        np.sqrt(
            1
            - (
                k := np.exp(
                    -timesteps
                    * np.vectorize(lambda x: beta_start * x + (beta_end - beta_start) * x * x / 2)(
                        t
                    )
                )
            )
        ),
        np.sqrt(k),
    ),
)
variants(
    "cosine_diffusion_schedule",
    generated,
    lambda t: np.stack([np.sin(t * half_pi), np.cos(t * half_pi)]),
    lambda t: ops.stack([ops.sin(t * half_pi), ops.cos(t * half_pi)]),
    lambda t: map(lambda wave: wave(t * half_pi), (np.sin, np.cos)),
    lambda t: (wave(t * half_pi) for wave in (np.sin, np.cos)),
    lambda t: [np.cos(half_pi - t * half_pi), np.sin(half_pi - t * half_pi)],
    lambda t: (np.exp(1j * half_pi * t).imag, np.exp(1j * half_pi * t).real),
    lambda t: (np.sin(np.deg2rad(90 * t)), np.cos(np.deg2rad(90 * t))),
    lambda t: itemgetter(1, 0)([np.cos(t * half_pi), np.sin(t * half_pi)]),
    lambda diffusion_times, steps=1: tuple(
        f(diffusion_times * np.arccos(0)) for f in (np.sin, np.cos)
    ),
    tf.function(lambda t: (tf.sin(t * half_pi), tf.cos(t * half_pi))),
)
variants(
    "offset_cosine_diffusion_schedule",
    keyword_only_offset,
    lambda t, *p, **k: np.array(
        keyword_only_offset(t, **k) if not p else (np.sin(angles(t, *p)), np.cos(angles(t, *p)))
    ),
    lambda t, low=0.02, high=0.95: map(lambda wave: wave(angles(t, low, high)), [np.sin, np.cos]),
    lambda t, low=0.02, high=0.95: ((1 - (s := np.cos(angles(t, low, high))) ** 2) ** 0.5, s),
    lambda t, min_signal_rate=0.02, max_signal_rate=0.95: (
        np.sin(a := np.interp(t, [0, 1], np.arccos([max_signal_rate, min_signal_rate]))),
        np.cos(a),
    ),
    lambda t, low=0.02, high=0.95: (ops.sin(angles(t, low, high)), tf.cos(angles(t, low, high))),
    partial(
        lambda scale, t, min_signal_rate=0.02, max_signal_rate=0.95: keyword_only_offset(
            scale * t, min_signal_rate=min_signal_rate, max_signal_rate=max_signal_rate
        ),
        1,
    ),
)

# 4.1 to 4.6

variants(
    "training_pair",
    lambda images, noises, noise_rates, signal_rates: (
        noise_rates * noises + signal_rates * images,
        noises,
    ),
    lambda x, e, n, s: np.stack([np.array(s) * x + np.array(n) * e, e]),
    lambda x, e, n, s: ops.stack([s * x + n * e, e]),
    lambda x, e, n, s: iter((s * x + n * e, e)),
    lambda x, e, n, s: map(ops.convert_to_tensor, (s * x + n * e, e)),
    lambda x, e, n, s: (ops.einsum("bhwc,b->bhwc", x, ops.reshape(s, (-1,))) + n * e, 1 * e),
    lambda x, e, n, s: (ops.sum(ops.stack([s * x, n * e]), axis=0), ops.convert_to_tensor(e)),
    lambda x, e, n, s: (np.asarray(s * x) + np.asarray(n * e), np.array(e)),
    tf.function(lambda x, e, n, s: (s * x + n * e, e)),
)


@tf.function
def compiled_loss(noises, pred_noises):
    return tf.reduce_mean((noises - pred_noises) ** 2)


variants(
    "noise_loss",
    lambda noises, pred_noises: ops.mean((noises - pred_noises) ** 2),
    lambda e, p: tf.reduce_mean(tf.math.squared_difference(e, p)),
    lambda e, p: ops.sum(ops.square(e - p)) / ops.cast(ops.size(e), "float32"),
    lambda e, p: ops.mean(ops.mean(ops.square(e - p), axis=-1)),
    lambda e, p: ops.mean(e * e - 2 * e * p + p * p),
    lambda e, p: keras.losses.mean_squared_error(ops.reshape(e, (1, -1)), ops.reshape(p, (1, -1)))[
        0
    ],
    lambda e, p: ops.var(d := e - p) + ops.mean(d) ** 2,
    keras.losses.MeanSquaredError(),
    compiled_loss,
)


def with_map(make_network, batches, step):
    network = make_network()
    return network, list(map(partial(step, network), batches))


def with_while(make_network, batches, step):
    network, losses, waiting = make_network(), [], list(batches)[::-1]
    while waiting:
        losses += [step(network, waiting.pop())]
    return iter([network, np.array(losses)])


def emptying(make_network, batches, step):
    network, losses = make_network(), []
    while batches:
        losses.append(step(network, batches.pop(0)))
    return network, losses


variants(
    "training_loop",
    with_map,
    emptying,
    with_while,
    lambda make, batches, step: (n := make(), [step(n, batch) for batch in batches]),
    lambda make_network, batches, step: [
        (n := make_network()),
        tuple(step(n, b) for _, b in enumerate(batches)),
    ],
)


def step_by_names(network, optimizer, loss_function, inputs, noises):
    with tf.GradientTape() as tape:
        pred_noises = network(inputs=inputs, training=True)
        loss = loss_function(noises, pred_noises)
    optimizer.apply_gradients(
        zip(tape.gradient(loss, network.trainable_weights), network.trainable_weights)
    )
    return loss


def step_by_call(network, optimizer, loss_function, inputs, noises):
    loss, slopes = value_and_gradients(
        lambda: loss_function(noises, network.call(inputs, training=True)), network
    )
    optimizer.apply(slopes, network.trainable_variables)
    return loss.numpy()


def step_with_list(network, optimizer, loss_function, inputs, noises):
    weights = network.trainable_variables
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        [tape.watch(weight.value) for weight in weights]
        loss = loss_function(noises, network(inputs, training=True))
    optimizer.apply_gradients(list(zip(tape.gradient(loss, weights), weights)))
    return float(loss)


variants("gradient_step", step_by_names, step_by_call, step_with_list, tf.function(step_by_names))


def back(noisy_images, pred_noises, rates, next_rates):
    (n, s), (next_n, next_s) = rates, next_rates
    return next_s * ops.clip((noisy_images - n * pred_noises) / s, -3, 3) + next_n * pred_noises


def back_one_by_one(noisy, noises, rates, next_rates):
    images = [
        np.clip((x - n * e) / s, -3, 3) for x, e, n, s in zip(noisy, noises, *map(np.ravel, rates))
    ]
    return np.stack(
        [s * i + n * e for i, e, n, s in zip(images, noises, *map(np.ravel, next_rates))]
    )


variants(
    "step_back",
    back,
    back_one_by_one,
    tf.function(back),
    lambda x, e, r, q: q[1] * tf.clip_by_value((x - r[0] * e) / r[1], -3.0, 3.0) + q[0] * e,
    lambda x, e, r, q: ops.maximum(-3, ops.minimum(3, (x - r[0] * e) / r[1])) * q[1] + e * q[0],
    lambda x, e, r, q: (
        np.asarray(q[1]) * np.clip((np.asarray(x) - r[0] * e) / r[1], -3, 3) + np.asarray(q[0] * e)
    ),
)


def by_channels(noisy_images, noise_rates):
    height, width = noisy_images.shape[1:3]
    plane = ops.repeat(ops.repeat(noise_rates**2, height, axis=1), width, axis=2)
    return ops.stack([*ops.unstack(noisy_images, axis=-1), plane[..., 0]], axis=-1)


variants(
    "with_noise_level",
    by_channels,
    lambda x, n: layers.Concatenate()([x, n**2 + ops.zeros_like(x[..., :1])]),
    lambda x, n: np.concatenate([x, np.full((*x.shape[:3], 1), 1.0) * np.array(n) ** 2], axis=-1),
    lambda x, n: ops.append(x, n * n * ops.ones((*x.shape[:3], 1)), axis=-1),
    lambda x, n: tf.concat((x, tf.ones_like(x)[..., 0:1] * tf.square(n)), axis=3),
    lambda x, n: (
        ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1)))
        + ops.pad(n**2 * ops.ones_like(x[..., :1]), ((0, 0), (0, 0), (0, 0), (3, 0)))
    ),
)

# 5.1 to 5.5

variants(
    "sinusoidal_embedding",
    lambda v: np.concatenate(
        [f(2 * np.pi * np.geomspace(1, 1000, 16) * v) for f in (np.sin, np.cos)], -1
    ),
    lambda v: ops.concatenate(
        [f(v * ops.cast(2 * np.pi * np.logspace(0, 3, 16), "float32")) for f in (ops.sin, ops.cos)],
        -1,
    ),
    lambda v: ops.concatenate(
        [
            f(v * ops.exp(ops.linspace(0.0, math.log(1000), 16)) * math.tau)
            for f in (ops.sin, ops.cos)
        ],
        3,
    ),
    lambda v: tf.concat(
        [tf.sin(a := v * tf.constant([math.tau * 10 ** (k / 5) for k in range(16)])), tf.cos(a)], -1
    ),
    lambda v: ops.sin(
        ops.tile(
            v * np.float32(2 * np.pi) * np.geomspace(1, 1000, 16).astype("float32"), (1, 1, 1, 2)
        )
        + np.repeat([0, np.pi / 2], 16).astype("float32")
    ),
)


class OwnBlock(layers.Layer):
    """A residual block as a custom layer whose second convolution is created first."""

    def __init__(self, width, narrow):
        super().__init__()
        self.last = layers.Conv2D(width, 3, padding="same")
        self.first = layers.Conv2D(width, 3, padding="same", activation="swish")
        self.norm = layers.BatchNormalization(center=False, scale=False)
        self.shortcut = layers.Conv2D(width, 1) if narrow else layers.Identity()

    def call(self, x, training=None):
        return self.shortcut(x) + self.last(self.first(self.norm(x, training=training)))


def sequential_block(x, width):
    way = keras.Sequential(
        [
            layers.BatchNormalization(center=False, scale=False),
            layers.Conv2D(
                filters=width, kernel_size=(3, 3), padding="SAME", activation=keras.activations.silu
            ),
            layers.Conv2D(filters=width, kernel_size=(3, 3), padding="same"),
        ]
    )
    return layers.add(
        [way(x), x if x.shape[-1] == width else layers.Conv2D(width, (1, 1), padding="same")(x)]
    )


def overwritten(x, width):
    kept = x
    if (channels := x.shape[3]) != width:
        kept = layers.Dense(width)(x)
    for layer in (
        layers.BatchNormalization(center=False, scale=False),
        layers.Conv2D(width, 3, padding="same"),
        layers.Activation("swish"),
        layers.Conv2D(width, 3, 1, "same"),
    ):
        x = layer(x)
    return kept + x


variants(
    "residual_block",
    sequential_block,
    overwritten,
    lambda x, width: OwnBlock(width, x.shape[-1] != width)(x),
)


def popped_in_front(x, skips, block, block_depth):
    return reduce(
        lambda x, _: block(layers.Concatenate()([x, skips.pop()])),
        range(block_depth),
        layers.UpSampling2D()(x),
    )


def sliced(x, skips, block, block_depth):
    x = layers.UpSampling2D(size=(2, 2), interpolation="nearest")(x)
    taken, skips[len(skips) - block_depth :] = skips[len(skips) - block_depth :], []
    for skip in reversed(taken):
        x = block(ops.concatenate((x, skip), -1))
    return x


def recursive(x, skips, block, block_depth, first=True):
    x = layers.UpSampling2D(2)(x) if first else x
    return (
        recursive(block(layers.concatenate([x, skips.pop()])), skips, block, block_depth - 1, False)
        if block_depth
        else x
    )


variants("up_block", popped_in_front, sliced, recursive)


class Film(layers.Layer):
    """Scale and shift as a custom layer that makes its dense layers when it is built."""

    def build(self, x_shape, embedding_shape):
        self.both = [layers.Dense(x_shape[-1]) for _ in range(2)]
        for dense in self.both:
            dense.build(embedding_shape)

    def call(self, x, embedding):
        shift, scale = (dense(embedding) for dense in self.both)
        return (1 + scale) * x + shift


def in_halves(x, embedding):
    both = layers.Dense(units=2 * x.shape[-1])(embedding)
    return x * (both[..., : x.shape[-1]] + 1) + both[..., x.shape[-1] :]


def flat_embedding(x, embedding):
    flat = layers.Flatten()(embedding)
    scale, shift = (layers.Reshape((1, 1, -1))(layers.Dense(x.shape[-1])(flat)) for _ in range(2))
    return layers.Add()([x, layers.Multiply()([scale, x]), shift])


variants("modulate", lambda x, embedding: Film()(x, embedding), in_halves, flat_embedding)


def with_nine_names(x, normalise, query, key, value):
    x_n = normalise(x)
    b, h, w, c = ops.shape(x)
    rows = lambda a: tf.reshape(a, [b, h * w, c])  # noqa: E731
    scores = tf.matmul(rows(query(x_n)) / c**0.5, rows(key(x_n)), transpose_b=True)
    return tf.reshape(tf.nn.softmax(scores, axis=2) @ rows(value(x_n)), x.shape) + x


def with_keras_attention(x, normalise, query, key, value):
    shape, normalised = x.shape, normalise(x)
    q, k, v = (
        ops.reshape(part(normalised), (shape[0], -1, shape[-1])) for part in (query, key, value)
    )
    collected = layers.Attention()([q / math.sqrt(shape[-1]), v, k])
    return layers.add([x, ops.reshape(collected, shape)])


variants(
    "pixel_attention",
    with_nine_names,
    with_keras_attention,
    lambda x, normalise, query, key, value: tf.add(
        x,
        ops.einsum(
            "bhwij,bijc->bhwc",
            ops.softmax(
                ops.einsum("bhwc,bijc->bhwij", query(normalise(x)), key(normalise(x)))
                * x.shape[-1] ** -0.5,
                axis=(3, 4),
            ),
            value(normalise(x)),
        ),
    ),
)

# 6.1 to 6.4


def sample_by_coefficients(self, pred_noise, x, t, noise):
    beta, bar, before = (
        at(table, t, x) for table in (self.betas, self.alphas_cumprod, self.alphas_cumprod_prev)
    )
    image = ops.clip(
        x / ops.sqrt(bar) - ops.sqrt(1 / bar - 1) * pred_noise, self.clip_min, self.clip_max
    )
    mean = (before**0.5 * beta * image + (1 - beta) ** 0.5 * (1 - before) * x) / (1 - bar)
    return ops.where(
        at(np.arange(self.timesteps), t, x) > 0,
        mean + ops.sqrt(beta * (1 - before) / (1 - bar)) * noise,
        mean,
    )


def sample_in_numpy(self, pred_noise, x, t, noise):
    e, x, z = (np.asarray(part) for part in (pred_noise, x, noise))
    beta, bar, before = (
        np.asarray(table)[np.asarray(t)].reshape(-1, 1, 1, 1)
        for table in (self.betas, self.alphas_cumprod, self.alphas_cumprod_prev)
    )
    image = np.clip((x - np.sqrt(1 - bar) * e) / np.sqrt(bar), -1, 1)
    return (np.sqrt(before) * beta * image + np.sqrt(1 - beta) * (1 - before) * x) / (
        1 - bar
    ) + np.sqrt(beta * (1 - before) / (1 - bar)) * z


variants("p_sample", sample_by_coefficients, sample_in_numpy, tf.function(sample_by_coefficients))


def kl_from_p_mean(self, x_start, x_t, t, pred_noise):
    mean, variance, _ = self.q_posterior(x_start=x_start, x_t=x_t, t=t)
    image = self.predict_start_from_noise(x_t, t, noise=pred_noise)
    difference = mean - self.q_posterior(image, x_t, t)[0]
    return 0.5 * ops.sum(difference * difference / variance, axis=[-1, -2, -3])


def kl_in_tensorflow(self, x_start, x_t, t, pred_noise):
    mean, variance, log_variance = self.q_posterior(x_start, x_t, t)
    image = self.predict_start_from_noise(x_t, t, pred_noise)
    scaled = (mean - self.q_posterior(image, x_t, t)[0]) * tf.exp(-0.5 * log_variance)
    return tf.reduce_sum(scaled**2, axis=(1, 2, 3)) / 2


variants("kl_term", kl_from_p_mean, kl_in_tensorflow, tf.function(kl_from_p_mean))


def score_by_tweedie(denoise, noisy_images, noise_rates, signal_rates):
    images = denoise(noisy_images, noise_rates, signal_rates)[1]
    return (signal_rates * images - noisy_images) / ops.square(noise_rates)


def score_by_negative(denoise, noisy_images, noise_rates, signal_rates):
    noises, _ = denoise(noisy_images, noise_rates, signal_rates)
    return ops.negative(ops.divide(noises, noise_rates))


variants("score_from_noise", score_by_tweedie, score_by_negative, tf.function(score_by_negative))


def train_by_names(network, ema_network, optimizer, diffusion, images, t, noises, ema_decay):
    with tf.GradientTape() as tape:
        noisy = diffusion.q_sample(x_start=images, t=t, noise=noises)
        loss = ops.mean((network(inputs=[noisy, t], training=True) - noises) ** 2)
    optimizer.apply(tape.gradient(loss, network.trainable_weights), network.trainable_weights)
    for average, weight in zip(ema_network.weights, network.weights):
        average.assign_add((1 - ema_decay) * (weight - average))
    return loss


def train_by_call(network, ema_network, optimizer, diffusion, images, t, noises, ema_decay):
    noisy = diffusion.q_sample(images, t, noises)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
            keras.losses.mean_squared_error(noises, network.call([noisy, t], training=True))
        )
    variables = network.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
    [
        mean.assign(ema_decay * mean + (1 - ema_decay) * new)
        for mean, new in zip(ema_network.variables, network.variables)
    ]
    return loss


variants("train_step", train_by_names, train_by_call, tf.function(train_by_call))

# 7.1, 7.2, 7.3, 7.4


def turned(self, times):
    first, last = math.acos(self.max_signal_rate), math.acos(self.min_signal_rate)
    return first + (last - first) * ops.minimum(ops.maximum(times, 0), 1)


def turned_and_clipped(self, times):
    first, last = math.acos(self.max_signal_rate), math.acos(self.min_signal_rate)
    return tf.clip_by_value(first + (last - first) * times, first, last)


def looked_up(self, times):
    times = tf.where(times < 0, 0.0, tf.where(times > 1, 1.0, times))
    return turned(self, times)


variants(
    "diffusion_schedule",
    lambda self, diffusion_times: (
        tf.sin(turned(self, diffusion_times)),
        tf.cos(turned(self, diffusion_times)),
    ),
    lambda self, t: [ops.sin(turned_and_clipped(self, t)), ops.cos(turned_and_clipped(self, t))],
    lambda self, t: (ops.sin(a := looked_up(self, t)), ops.cos(a)),
    lambda self, t: ops.stack([ops.sin(turned(self, t)), ops.cos(turned(self, t))]),
    lambda self, t: map(lambda wave: wave(turned(self, t)), (ops.sin, ops.cos)),
    lambda self, t: (wave(turned(self, t)) for wave in (ops.sin, ops.cos)),
    lambda self, t: (ops.sqrt(1 - (s := ops.cos(turned(self, t))) ** 2), s),
    lambda self, t: (
        ops.sin(
            a := (1 - (t := ops.clip(t, 0.0, 1.0))) * np.arccos(self.max_signal_rate)
            + t * np.arccos(self.min_signal_rate)
        ),
        ops.cos(a),
    ),
    lambda self, t, /: (ops.sin(turned(self, t)), ops.cos(turned(self, t))),
    lambda self, t: (
        ops.sin(
            a := ops.arccos(self.max_signal_rate) * (1 - (t := tf.clip_by_value(t, 0, 1)))
            + t * ops.arccos(self.min_signal_rate)
        ),
        ops.cos(a),
    ),
)


def denoise_with(call):
    def denoise(self, noisy_images, noise_rates, signal_rates, training):
        pred_noises = call(
            self.network if training else self.ema_network, [noisy_images, noise_rates**2], training
        )
        return pred_noises, (noisy_images - noise_rates * pred_noises) / signal_rates

    return denoise


def denoise_by_name(self, noisy_images, noise_rates, signal_rates, *, training):
    network = {True: self.network, False: self.ema.network}[training]
    e = network(inputs=(noisy_images, ops.square(noise_rates)), training=training)
    return ops.stack([e, (noisy_images - noise_rates * e) / signal_rates])


variants(
    "denoise",
    denoise_by_name,
    tf.function(denoise_by_name),
    denoise_with(lambda network, inputs, training: network(inputs=inputs, training=training)),
    denoise_with(lambda network, inputs, training: network.call(inputs, training=training)),
    denoise_with(
        lambda network, inputs, training: network.call(inputs=tuple(inputs), training=training)
    ),
    denoise_with(lambda network, inputs, training: network(tuple(inputs), training=training)),
    lambda *arguments, **named: iter(
        denoise_with(lambda network, inputs, training: network(inputs, training=training))(
            *arguments, **named
        )
    ),
    lambda self, x, n, s, training=False: (
        e := (self.network if training else self.ema_network)([x, tf.square(n)], training=training),
        tf.divide(x - tf.multiply(n, e), s),
    ),
)


def sample_by_names(self, initial_noise, diffusion_steps):
    x, ones = initial_noise, ops.ones_like(initial_noise[:, :1, :1, :1])
    for k in reversed(range(1, diffusion_steps + 1)):
        n, s = self.diffusion_schedule(diffusion_times=ones * k / diffusion_steps)
        e, i = self.denoise(noisy_images=x, noise_rates=n, signal_rates=s, training=False)
        n, s = self.diffusion_schedule(ones * (k - 1) / diffusion_steps)
        x = s * i + n * e
    return i


def sample_with_lists(self, initial_noise, diffusion_steps):
    times = [
        ops.full((len(initial_noise), 1, 1, 1), float(t))
        for t in np.linspace(1, 0, diffusion_steps + 1)
    ]
    rates, x = [self.diffusion_schedule(t) for t in times], initial_noise
    for now, (n, s) in zip(rates, rates[1:]):
        parts = self.denoise(x, *now, False)
        x = s * parts[1] + n * parts[0]
    return parts[1]


def sample_recursively(self, initial_noise, diffusion_steps, k=0):
    rates = [
        self.diffusion_schedule(
            tf.fill((tf.shape(initial_noise)[0], 1, 1, 1), 1 - j / diffusion_steps)
        )
        for j in (k, k + 1)
    ]
    e, i = self.denoise(initial_noise, *rates[0], training=False)
    return (
        i
        if k + 1 == diffusion_steps
        else sample_recursively(self, rates[1][1] * i + rates[1][0] * e, diffusion_steps, k + 1)
    )


def sample_with_float32_numpy(self, initial_noise, diffusion_steps):
    x, times = initial_noise, np.ones((initial_noise.shape[0], 1, 1, 1), "float32")
    while times[0, 0, 0, 0] > 1e-6:
        e, i = self.denoise(x, *self.diffusion_schedule(times), training=False)
        n, s = self.diffusion_schedule(
            times := np.maximum(times - np.float32(1 / diffusion_steps), 0)
        )
        x = s * i + n * e
    return i


variants(
    "reverse_diffusion",
    sample_by_names,
    sample_with_lists,
    sample_recursively,
    sample_with_float32_numpy,
    tf.function(sample_by_names),
    tf.function(sample_with_lists),
)


def remix_by_ddpm(e, x, z, rates, next_rates, eta):
    """With the letters of the paper."""
    (n, s), (next_n, next_s) = rates, next_rates
    bar, bar_before = ops.square(s), ops.square(next_s)
    beta_tilde = (1 - bar_before) / (1 - bar) * (1 - bar / bar_before)
    fresh = eta**2 * beta_tilde
    return ops.sqrt(bar_before) * x + ops.sqrt(1 - bar_before - fresh) * e + ops.sqrt(fresh) * z


def remix_in_numpy(*arguments):
    e, x, z, (n, s), (next_n, next_s), eta = (np.asarray(part) for part in arguments)
    sigma = eta * np.sqrt((n**2 * next_s**2 - s**2 * next_n**2) / next_s**2) * next_n / n
    return next_s * x + np.sqrt(next_n**2 - sigma**2) * e + sigma * z


def remix_by_angle(pred_noises, pred_images, fresh_noises, rates, next_rates, eta):
    """The kept and the fresh factor are two sides of a right triangle."""
    sigma = eta * next_rates[0] / rates[0] * tf.sqrt(1 - tf.square(rates[1] / next_rates[1]))
    angle = tf.asin(sigma / next_rates[0])
    noises = tf.cos(angle) * pred_noises + tf.sin(angle) * fresh_noises
    return next_rates[1] * pred_images + next_rates[0] * noises


variants("remix", remix_by_ddpm, remix_in_numpy, remix_by_angle, tf.function(remix_by_ddpm))

# 8.1, 8.2, 8.3


def slerp(noise_a, noise_b, share):
    shape = ops.shape(noise_a)
    a, b = ops.reshape(noise_a, (shape[0], -1)), ops.reshape(noise_b, (shape[0], -1))
    cosine = ops.sum(ops.normalize(a) * ops.normalize(b), axis=-1, keepdims=True)
    angle = ops.maximum(ops.arccos(ops.clip(cosine, -1.0, 1.0)), 1e-4)
    arc = (ops.sin((1 - share) * angle) * a + ops.sin(share * angle) * b) / ops.sin(angle)
    return ops.reshape(arc, shape)


def slerp_by_einsum(noise_a, noise_b, share):
    dot = lambda x, y: tf.einsum("bhwc,bhwc->b", x, y)[:, None, None, None]  # noqa: E731
    angle = tf.acos(
        tf.minimum(
            dot(noise_a, noise_b) * tf.math.rsqrt(dot(noise_a, noise_a) * dot(noise_b, noise_b)),
            1.0,
        )
    )
    safe = tf.where(angle > 1e-3, angle, 1.0)
    weights = [
        tf.where(angle > 1e-3, tf.sin(part * safe) / tf.sin(safe), part)
        for part in (1 - share, share)
    ]
    return weights[0] * noise_a + weights[1] * noise_b


def mmd_of_all(real_features, generated_features):
    """Weights one large matrix of kernels: 1 / pairs within a set, -1 / pairs between them."""
    n, m = len(real_features), len(generated_features)
    features = np.concatenate([real_features, generated_features])
    kernel = np.power(features @ features.T / features.shape[-1] + 1, 3)
    weights = np.full((n + m, n + m), -1 / (n * m))
    weights[:n, :n], weights[n:, n:] = 1 / (n * (n - 1)), 1 / (m * (m - 1))
    np.fill_diagonal(weights, 0)
    return (weights * kernel).sum()


def mmd_in_tensorflow(real_features, generated_features):
    d = real_features.shape[1]
    k = lambda x, y: (tf.matmul(x, y, transpose_b=True) / d + 1.0) ** 3  # noqa: E731
    terms = [
        tf.reduce_sum(tf.linalg.set_diag(k(x, x), tf.zeros(len(x)))) / (len(x) * (len(x) - 1))
        for x in (real_features, generated_features)
    ]
    return (tf.add_n(terms) - 2 * tf.reduce_mean(k(real_features, generated_features))).numpy()


variants(
    "polynomial_mmd",
    mmd_of_all,
    mmd_in_tensorflow,
    lambda x, y: (
        sum(
            sign * (np.triu((a @ b.T / a.shape[1] + 1) ** 3, 1).mean() * 2 * len(a) / (len(a) - 1))
            for sign, a, b in ((1, x, x), (1, y, y))
        )
        - 2 * ((x @ y.T / x.shape[1] + 1) ** 3).mean()
    ),
)
variants(
    "slerp",
    slerp,
    slerp_by_einsum,
    tf.function(slerp_by_einsum),
    lambda a, b, s: np.stack([np.asarray(slerp(x[None], y[None], s))[0] for x, y in zip(a, b)]),
)


def invert(denoise, schedule, images, steps):
    ones = ops.ones_like(images[:, :1, :1, :1])
    pairs = [(0 * ones, ones), *(schedule(ones * (k / steps)) for k in range(1, steps + 1))]
    for (n, s), (next_n, next_s) in zip(pairs, pairs[1:]):
        e = denoise(images, next_n, next_s)[0]
        images = next_s * (images - n * e) / s + next_n * e
    return images


def invert_with_floats(denoise, schedule, images, steps):
    x, n, s, k = images, 0.0, 1.0, 0
    while (k := k + 1) <= steps:
        then = [rate for rate in schedule(tf.fill([images.shape[0], 1, 1, 1], k / steps))]
        noises, *_ = denoise(x, *then)
        x, n, s = then[1] * ((x - n * noises) / s) + then[0] * noises, *then
    return x


variants("invert", invert, invert_with_floats, tf.function(invert))

# 9.1, 9.2, 9.3


def solver(noisy_images, pred_images, last_pred_images, last, now, then):
    lam = [None if pair is None else np.log(pair[1] / pair[0]) for pair in (last, now, then)]
    h, d = float(lam[2] - lam[1]), pred_images
    if last_pred_images is not None:
        d = (1 + (r := float(h / (lam[1] - lam[0])) / 2)) * d - r * last_pred_images
    return then[0] / now[0] * noisy_images + then[1] * (1 - math.exp(-h)) * d


def solver_with_match(noisy_images, pred_images, last_pred_images, last, now, then):
    (n0, s0), (n1, s1) = now, then
    h = math.log(s1) - math.log(n1) - math.log(s0) + math.log(n0)
    slope = (
        0 * pred_images
        if last is None
        else (pred_images - last_pred_images) / (math.log(s0 / n0) - math.log(last[1] / last[0]))
    )
    return ops.multiply(noisy_images, n1 / n0) - s1 * math.expm1(-h) * (pred_images + h / 2 * slope)


variants("dpmpp_2m_step", solver, solver_with_match)
variants(
    "guide",
    lambda labelled, unlabelled, guidance: guidance * labelled + (1 - guidance) * unlabelled,
    lambda c, u, w: u - w * (u - c),
    lambda c, u, w: c + (w - 1) * (c - u),
    lambda c, u, w: ops.add(u, ops.multiply(float(w), ops.subtract(c, u))),
    lambda c, u, w: tf.add(tf.multiply(c, w), tf.multiply(u, 1 - w)),
    lambda c, u, w: ops.convert_to_tensor([b + w * (a - b) for a, b in zip(c, u)]),
    lambda c, u, w: np.asarray(u) + w * np.asarray(c - u),
    tf.function(lambda c, u, w: u + w * (c - u)),
)
variants(
    "flow_matching_loss",
    lambda network, images, noises, times: ops.mean(
        (network(inputs=[images + times * (noises - images), times]) - noises + images) ** 2
    ),
    lambda network, x, e, t: tf.reduce_mean(
        tf.square(network.call([(1 - t) * x + t * e, t]) - (e - x))
    ),
    lambda network, x, e, t: ops.mean(
        keras.losses.mean_squared_error(e - x, network((x * (1 - t) + e * t, t), training=True))
    ),
    lambda network, x, e, t: keras.losses.MeanSquaredError()(
        e - x, network([x + t * (v := e - x), t])
    ),
    tf.function(
        lambda network, x, e, t: tf.reduce_mean((network([(1 - t) * x + t * e, t]) - e + x) ** 2)
    ),
)

# 10.1, 10.2, 10.3


def inpaint_by_where(noisy_images, known_images, mask, noises, noise_rates, signal_rates):
    corrupted = ops.add(known_images * signal_rates, noises * noise_rates)
    return ops.where(ops.cast(mask, "bool"), corrupted, noisy_images)


def inpaint_by_difference(x, known, mask, noises, n, s):
    return x + mask * (s * known + n * noises - x)


def inpaint_in_numpy(x, known, mask, noises, n, s):
    x, known, mask, noises, n, s = map(np.asarray, (x, known, mask, noises, n, s))
    return np.where(np.broadcast_to(mask, x.shape) > 0.5, s * known + n * noises, x)


variants(
    "inpaint_step",
    inpaint_by_where,
    inpaint_by_difference,
    inpaint_in_numpy,
    tf.function(lambda x, k, m, e, n, s: tf.where(m == 1, s * k + n * e, x)),
)


def sdedit_by_names(denoise, schedule, images, noises, start, steps):
    def earlier(diffusion_times):
        return schedule(diffusion_times * start)

    rates = earlier(ops.ones_like(images[:, :1, :1, :1]))
    return ddim(
        denoise=denoise,
        schedule=earlier,
        initial_noise=ops.multiply(rates[1], images) + ops.multiply(rates[0], noises),
        steps=steps,
    )


def sdedit_by_hand(denoise, schedule, images, noises, start, steps):
    times = [start * k / steps for k in range(steps, 0, -1)]
    rates = [schedule(tf.fill((len(images), 1, 1, 1), time)) for time in times]
    x = rates[0][1] * images + rates[0][0] * noises
    for now, then in zip(rates, [*rates[1:], (0.0, 1.0)]):
        pred_noises, pred_images = denoise(x, *now)
        x = then[1] * pred_images + then[0] * pred_noises
    return x


def sdedit_with_numbers(denoise, schedule, images, noises, start, steps):
    n, s = (float(ops.squeeze(rate)) for rate in schedule(np.full((1, 1, 1, 1), start, "float32")))
    return ddim(denoise, lambda t: schedule(start * t), s * images + n * noises, steps, eta=0)


variants("sdedit", sdedit_by_names, sdedit_by_hand, sdedit_with_numbers)


def anagram_with_a_loop(denoise, views):
    def new_denoise(x, n, s):
        total = ops.zeros_like(x)
        for there, back in views:
            noises, _ = denoise(there(x), n, s)
            total = total + back(noises)
        noises = total / len(views)
        return noises, x / s - n / s * noises

    return new_denoise


def anagram_of_images(denoise, views):
    """Averages the images, from which the noise follows; this is the same."""

    def new_denoise(x, n, s):
        images = ops.mean(ops.stack([view[1](denoise(view[0](x), n, s)[1]) for view in views]), 0)
        return [(x - s * images) / n, images]

    return new_denoise


class Committee:
    def __init__(self, denoise, views):
        self.denoise, self.views = denoise, views

    def __call__(self, noisy_images, noise_rates, signal_rates):
        noises = 0
        for there, back in self.views:
            seen = self.denoise(there(noisy_images), noise_rates, signal_rates)[0]
            noises += back(seen) / len(self.views)
        return noises, (noisy_images - noise_rates * noises) / signal_rates


variants(
    "anagram_denoise",
    anagram_with_a_loop,
    anagram_of_images,
    Committee,
    lambda denoise, views: tf.function(anagram_with_a_loop(denoise, views)),
)

# 11.1, 11.2


def loss_by_a_mask(denoise, ema_denoise, teacher, schedule, noisy_images, times, gap):
    noise_rates, signal_rates = schedule(times)
    end_noises, ends = teacher(noisy_images, noise_rates, signal_rates)
    rates = schedule(ops.relu(times - gap))
    neighbours = sum(rate * part for rate, part in zip(rates, (end_noises, ends)))
    near = ops.cast(times - gap < 0, "float32")
    target = near * ends + (1 - near) * ema_denoise(neighbours, *rates)[-1]
    pred_images = denoise(noisy_images, noise_rates, signal_rates)[-1]
    return ops.mean((pred_images - ops.stop_gradient(target)) ** 2)


def loss_with_tensorflow(denoise, ema_denoise, teacher, schedule, x, t, gap):
    before, now = schedule(tf.clip_by_value(t - gap, 0.0, 1.0)), schedule(t)
    predicted = teacher(x, *now)
    neighbours = tf.add_n([rate * part for rate, part in zip(before, predicted)])
    target = tf.where(t < gap, predicted[1], ema_denoise(neighbours, *before)[1])
    return tf.reduce_mean(tf.math.squared_difference(denoise(x, *now)[1], target))


variants("consistency_loss", loss_by_a_mask, loss_with_tensorflow)


def consistency_recursively(denoise, schedule, noises, total=None):
    total = total or len(noises)
    *earlier, noise = noises
    time = 1 - len(earlier) / total
    noise_rates, signal_rates = schedule(ops.ones((len(noise), 1, 1, 1)) * time)
    noisy_images = noise
    if earlier:
        pred_images = consistency_recursively(denoise, schedule, earlier, total)
        noisy_images = signal_rates * pred_images + noise_rates * noise
    return denoise(noisy_images, noise_rates, signal_rates)[1]


def sample_from_nothing(denoise, schedule, noises):
    images, times = 0.0, np.linspace(1, 0, len(noises), endpoint=False)
    for time, noise in zip(times, noises):
        noise_rates, signal_rates = schedule(ops.full((noise.shape[0], 1, 1, 1), float(time)))
        x = noise if time == 1 else signal_rates * images + noise_rates * noise
        images = denoise(x, noise_rates, signal_rates)[1]
    return images


variants("sample_consistency", consistency_recursively, sample_from_nothing)
