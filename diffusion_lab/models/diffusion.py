"""The continuous diffusion model, as in DDIM: one network for every noise level."""

import inspect
from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import seed_generator
from diffusion_lab.errors import MOST_IMAGES, UserError, whole_number
from diffusion_lab.models.ema import EMA
from diffusion_lab.predictions import LOSSES, PREDICTIONS, velocity, weighted_velocities
from diffusion_lab.samplers import ddim, find_sampler
from diffusion_lab.schedules import offset_cosine_diffusion_schedule


class DenoisingModel(keras.Model):
    """The part of a diffusion model that depends on neither schedule, `denoise` nor sampler.

    `call` samples the noise and the times, and `compute_loss` compares. There is no custom training
    step, so `fit` keeps all features of Keras. Subclasses add `diffusion_schedule`, `denoise` and
    `reverse_diffusion`.

    Args:
        network: a functional model called as network([noisy_images, noise_variances]).
        loss_on: whose error is the loss: "velocity", "noise", "image", or "weighted_velocity"
            (`weighted_velocities`).
        ema_decay: the decay of the weights that sample, see `EMA`.
        seed: of the noise and the times.
        config: the `ModelConfig` that describes the model, for `save_model`.
    """

    def __init__(self, network, loss_on="noise", ema_decay=0.999, seed=None, config=None, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.network = network
        self.ema = EMA(network, ema_decay)
        self.image_shape = tuple(network.inputs[0].shape[1:])
        self.normalizer = keras.layers.Normalization(dtype="float32")
        self.normalizer.build((None, *self.image_shape))
        self.loss_on = loss_on
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.noise_loss_tracker = keras.metrics.Mean(name="n_loss")
        self.image_loss_tracker = keras.metrics.Mean(name="i_loss")
        self.built = True  # lets `load_weights` work in a fresh process

    @property
    def ema_network(self):
        return self.ema.network

    def compile(self, *arguments, **options):
        """Compiles as Keras does, and builds the optimizer at once.

        Otherwise TensorFlow would trace the first step of `fit` twice: with and without creating
        the optimizer's variables.
        """
        super().compile(*arguments, **options)
        self.optimizer.build(self.trainable_variables)

    def adapt(self, images):
        """Learns the data's mean and standard deviation.

        Args:
            images: float in [0, 1] or uint8, (N, H, W, C).

        Raises:
            UserError: for images whose shape differs from the network's, NaN, or numbers outside
                [0, 1].
        """
        images = np.asarray(images)
        if images.dtype == np.uint8:
            images = images.astype("float32") / 255
        if images.shape[1:] != self.image_shape:
            raise UserError(
                f"The network takes images of the shape {self.image_shape}, not {images.shape[1:]}."
            )
        if not np.all((images >= 0) & (images <= 1)):  # written so that NaN fails as well
            raise UserError(
                "Images must be numbers in [0, 1] without NaN: divide by 255 and look for broken"
                " ones."
            )
        self.normalizer.adapt(images)

    def denormalize(self, images):
        """Converts from zero mean and unit variance back to [0, 1], clipped."""
        return ops.clip(
            self.normalizer.mean + images * ops.sqrt(self.normalizer.variance), 0.0, 1.0
        )

    def generate(self, num_images, diffusion_steps, seed=None):
        """Returns images in [0, 1], (num_images, H, W, C), made by `reverse_diffusion`.

        `seed` determines the initial noise.

        Raises:
            UserError: for a number out of range.
        """
        initial_noise = self.initial_noise(num_images, seed_generator(seed))
        return self.denormalize(self.reverse_diffusion(initial_noise, diffusion_steps))

    def initial_noise(self, num_images, seed):
        """Returns standard normal noise, (num_images, H, W, C), from a `SeedGenerator`."""
        num_images = whole_number("num_images", num_images, most=MOST_IMAGES)
        return keras.random.normal((num_images, *self.image_shape), seed=seed)

    def call(self, images, training=False):
        """Corrupts images in [0, 1] at random times and separates them; returns all components."""
        return self.corrupt_and_separate(images, partial(self.denoise, training=training))

    def corrupt_and_separate(self, images, denoise):
        """Does what `call` does, with any `denoise(noisy_images, noise_rates, signal_rates)`."""
        images = self.normalizer(images)
        noises = keras.random.normal(ops.shape(images), seed=self.seed_generator)
        diffusion_times = keras.random.uniform(
            (ops.shape(images)[0], 1, 1, 1), seed=self.seed_generator
        )
        noise_rates, signal_rates = self.diffusion_schedule(diffusion_times)
        noisy_images = signal_rates * images + noise_rates * noises
        pred_noises, pred_images = denoise(noisy_images, noise_rates, signal_rates)
        velocities = (
            velocity(noises, images, noise_rates, signal_rates),
            velocity(pred_noises, pred_images, noise_rates, signal_rates),
        )
        return {
            "noise": (noises, pred_noises),
            "image": (images, pred_images),
            "velocity": velocities,
            "weighted_velocity": weighted_velocities(velocities, noise_rates, signal_rates),
        }

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the loss on the component `loss_on`; in training, also updates the EMA."""
        self.noise_loss_tracker.update_state(ops.mean(ops.abs(ops.subtract(*y_pred["noise"]))))
        self.image_loss_tracker.update_state(ops.mean(ops.abs(ops.subtract(*y_pred["image"]))))
        if training:
            self.ema.update(self.network)
        target, prediction = y_pred[self.loss_on]
        return super().compute_loss(x, target, prediction, sample_weight, training)


class DiffusionModel(DenoisingModel):
    """Learns to separate noisy images into noise and image, and generates images step by step.

    After Song et al. 2021 and Béres 2022. Call `adapt(images)` once before training; compile with a
    loss such as "mse".

    Args:
        schedule: diffusion_times -> noise_rates, signal_rates.
        prediction: what the network returns: "velocity", "noise" or "image".
        network, loss_on, ema_decay, seed, config: as for `DenoisingModel`.
    """

    def __init__(
        self,
        network,
        schedule=offset_cosine_diffusion_schedule,
        prediction="velocity",
        loss_on="weighted_velocity",
        ema_decay=0.999,
        seed=None,
        **kwargs,
    ):
        if prediction not in PREDICTIONS:
            raise UserError(
                f"A network predicts one of {', '.join(PREDICTIONS)}, not {prediction!r}."
            )
        if loss_on not in LOSSES:
            raise UserError(f"The loss is on one of {', '.join(LOSSES)}, not on {loss_on!r}.")
        super().__init__(network, loss_on, ema_decay, seed, **kwargs)
        self.schedule, self.prediction = schedule, prediction

    def diffusion_schedule(self, diffusion_times):
        """Returns (noise_rates, signal_rates) at the times, all of shape (B, 1, 1, 1)."""
        return self.schedule(diffusion_times)

    def denoise(self, noisy_images, noise_rates, signal_rates, training):
        """Returns (pred_noises, pred_images), from the EMA network unless in training."""
        if noise_rates.shape[1:] != (1, 1, 1) or signal_rates.shape[1:] != (1, 1, 1):
            raise UserError(
                f"Rates must have the shape (B, 1, 1, 1), not {tuple(noise_rates.shape)}."
            )
        network = self.network if training else self.ema.network
        prediction = network([noisy_images, noise_rates**2], training=training)
        return PREDICTIONS[self.prediction](prediction, noisy_images, noise_rates, signal_rates)

    def reverse_diffusion(self, initial_noise, diffusion_steps):
        """Returns normalised images made from noise by DDIM: the last predicted images."""
        return self.sample(ddim, initial_noise, steps=diffusion_steps)

    def sample(self, sampler, initial_noise, **arguments):
        """Runs a sampler on this model; returns normalised images, (B, H, W, C).

        `sampler` is one of `diffusion_lab.samplers`, or its name.
        """
        sampler = find_sampler(sampler, arguments)
        return sampler(
            partial(self.denoise, training=False),
            self.diffusion_schedule,
            initial_noise,
            **arguments,
        )

    def generate(self, num_images, diffusion_steps, sampler=None, seed=None, **arguments):
        """Generates images from random noise.

        Args:
            num_images: a whole number, at least 1.
            diffusion_steps: a whole number, at least 1.
            sampler: one of `diffusion_lab.samplers`, or its name; by default the model's own
                `reverse_diffusion`.
            seed: of the noise.
            arguments: those of the sampler, such as `eta` of `ddim`.

        Returns:
            Images in [0, 1], (num_images, H, W, C).

        Raises:
            UserError: for a number out of range, an unknown name, or an argument that
                `reverse_diffusion` does not take.
        """
        seed = seed_generator(seed)
        initial_noise = self.initial_noise(num_images, seed)
        if sampler is not None:
            return self.denormalize(
                self.sample(sampler, initial_noise, steps=diffusion_steps, seed=seed, **arguments)
            )
        try:
            inspect.signature(self.reverse_diffusion).bind(
                initial_noise, diffusion_steps, **arguments
            )
        except TypeError as error:
            raise UserError(
                f"`reverse_diffusion` {error}: name a sampler that takes it, such as sampler=ddim."
            ) from None
        return self.denormalize(self.reverse_diffusion(initial_noise, diffusion_steps, **arguments))
