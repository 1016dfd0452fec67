"""Training and measurements of lab 04: manual gradients, and what a network sees."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import BACKEND
from diffusion_lab.errors import NoGradient
from diffusion_lab.labs.influence import influence
from diffusion_lab.schedules import offset_cosine_diffusion_schedule


def sample_with(with_noise_level, step_back, network, noise, steps):
    """Returns normalised images that a network makes from noise, step by step, with DDIM.

    Args:
        with_noise_level: the function of exercise 4.6.
        step_back: the function of exercise 4.5.
        network: returns the noise, from images with a fourth channel.
        noise: standard normal, (B, H, W, 3).
        steps: network evaluations, from time 1 down to 1 / steps.
    """
    rates = [
        offset_cosine_diffusion_schedule(np.full((len(noise), 1, 1, 1), time, "float32"))
        for time in np.linspace(1, 0, steps, endpoint=False)
    ]
    # at the end: no noise, all image
    rates.append((ops.zeros((len(noise), 1, 1, 1)), ops.ones((len(noise), 1, 1, 1))))
    noisy_images = noise
    for now, then in zip(rates, rates[1:]):
        pred_noises = network(with_noise_level(noisy_images, now[0]), training=False)
        noisy_images = step_back(noisy_images, pred_noises, now, then)
    return noisy_images


def value_and_gradients(loss_of, network):
    """Returns the loss and its gradients with respect to the network's variables.

    Args:
        loss_of: takes no arguments, calls the network, and returns the loss.
        network: the gradients are with respect to its trainable variables, in their order.

    Returns:
        (loss, list of gradients).

    Raises:
        UserError: if the loss does not depend on the network in a differentiable way.
    """
    loss, gradients = _DIFFERENTIATE[BACKEND](loss_of, network)
    if all(gradient is None for gradient in gradients):
        raise NoGradient(
            "The loss carries no gradient back to the network: call the network and compute the"
            " loss with keras.ops, both inside the function that you pass."
        )
    return loss, gradients


def _with_tensorflow(loss_of, network):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = loss_of()
    variables = [variable.value for variable in network.trainable_variables]
    return loss, tape.gradient(loss, variables) if tf.is_tensor(loss) else [None] * len(variables)


def _with_jax(loss_of, network):
    import jax

    def pure(values):  # JAX differentiates with respect to arguments only
        with keras.StatelessScope(
            state_mapping=list(zip(network.trainable_variables, values))
        ) as scope:
            loss = loss_of()
        return loss, [
            scope.get_current_value(variable) for variable in network.non_trainable_variables
        ]

    values = [variable.value for variable in network.trainable_variables]
    (loss, moved), gradients = jax.value_and_grad(pure, has_aux=True)(values)
    # for example the statistics of BatchNormalization
    for variable, value in zip(network.non_trainable_variables, moved):
        if value is not None:
            variable.assign(value)
    return loss, gradients


def _with_torch(loss_of, network):
    network.zero_grad()
    loss = loss_of()
    if getattr(loss, "requires_grad", False):
        loss.backward()
    return loss, [variable.value.grad for variable in network.trainable_variables]


_DIFFERENTIATE = {"tensorflow": _with_tensorflow, "jax": _with_jax, "torch": _with_torch}


class Examples(keras.utils.PyDataset):
    """The examples for `fit`: `make_examples(images, rng)` returns (inputs, targets) of a batch."""

    def __init__(self, dataset, make_examples, seed=0):
        super().__init__()
        self.dataset, self.make_examples, self.rng = (
            dataset,
            make_examples,
            np.random.default_rng(seed),
        )

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return tuple(
            ops.convert_to_numpy(part) for part in self.make_examples(self.dataset[index], self.rng)
        )

    def on_epoch_end(self):
        self.dataset.on_epoch_end()


def influence_on_image(model, images, noise_rate=0.7):
    """Returns the `influence` of each noisy pixel on the middle pixel of the predicted image.

    `model` is a DiffusionModel; the normalised images (N, H, W, C) all get the same noise.
    """
    noises = np.random.default_rng(0).normal(size=images.shape)
    signal_rate = (1 - noise_rate**2) ** 0.5
    noisy_images = (signal_rate * images + noise_rate * noises).astype("float32")
    rates = [
        ops.full((len(images), 1, 1, 1), rate, "float32") for rate in (noise_rate, signal_rate)
    ]
    return influence(lambda x: model.denoise(x, *rates, training=False)[1], noisy_images)


def pixel_correlations(images, distances):
    """Returns the correlation of two pixels of images (N, H, W, C) at each distance, in [-1, 1].

    It averages over horizontal and vertical neighbours. The mean image is subtracted first, because
    all images share it.
    """
    images = np.asarray(images, "float64")
    images = images - images.mean(axis=0)
    deviation = images.std()
    across = [np.mean(images[:, :, distance:] * images[:, :, :-distance]) for distance in distances]
    down = [np.mean(images[:, distance:] * images[:, :-distance]) for distance in distances]
    return [float(a + d) / (2 * deviation**2) for a, d in zip(across, down)]
