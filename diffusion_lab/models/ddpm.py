"""The discrete diffusion model: predicts the noise at one of T timesteps (Ho et al. 2020)."""

from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import compiled, forget_compiled, seed_generator
from diffusion_lab.errors import MOST_IMAGES, whole_number
from diffusion_lab.gaussian_diffusion import GaussianDiffusion, at
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.predictions import demand_rates, from_image, from_noise


class DDPM(DiffusionModel):
    """Learns to predict the noise in an image at a random timestep, and removes it in T steps.

    Its schedule interpolates the tables of `GaussianDiffusion`, so every sampler works with it, and
    `generate` takes any of them. `generate_images` is the paper's sampler. Images are in [0, 1]
    outside, in [-1, 1] inside. Compile with the paper's loss, "mse". There is no need to call
    `adapt`.

    Args:
        network: called as network([images, t]), or as network([noisy_images, noise_variances]);
            returns the noise.
        diffusion: the `GaussianDiffusion` whose timesteps it learns; by default the paper's, T =
            1000.
        ema_decay: the decay of the weights that sample, see `EMA`.
        seed: of the noise and the timesteps.
    """

    def __init__(self, network, diffusion=None, ema_decay=0.999, seed=None, **kwargs):
        diffusion = diffusion or GaussianDiffusion()
        super().__init__(network, diffusion.schedule, "noise", "noise", ema_decay, seed, **kwargs)
        self._diffusion = diffusion
        self.takes_timesteps = len(network.inputs[1].shape) == 1
        self.adapt(np.zeros((1, *self.image_shape)))

    @property
    def diffusion(self):
        """The `GaussianDiffusion`; you may assign another one."""
        return self._diffusion

    @diffusion.setter
    def diffusion(self, diffusion):
        self._diffusion, self.schedule = diffusion, diffusion.schedule
        forget_compiled(self)

    def adapt(self, images):
        """Only checks the images: this model always scales [0, 1] to [-1, 1]."""
        super().adapt(images)
        # One black and one white image have the mean 1/2 and the standard deviation 1/2.
        super().adapt(np.stack([np.zeros(self.image_shape), np.ones(self.image_shape)]))

    def predict_noises(self, noisy_images, t, training):
        """Returns the noise (B, H, W, C) that the network predicts at timesteps t (B,).

        The EMA network is used unless in training. A continuous network receives the variance of
        the noise, 1 - ᾱ_t, instead of t.
        """
        network = self.network if training else self.ema_network
        if not self.takes_timesteps:
            t = ops.square(at(self.diffusion.sqrt_one_minus_alphas_cumprod, t, noisy_images))
        return network(
            [ops.convert_to_tensor(noisy_images), ops.convert_to_tensor(t)], training=training
        )

    def denoise(self, noisy_images, noise_rates, signal_rates, training):
        """Returns (pred_noises, pred_images) for the timestep nearest to these rates, (B, 1, 1, 1).

        The predicted images are clipped to the range of images, as in `p_sample`; the rest is the
        noise.
        """
        demand_rates(noise_rates, signal_rates)
        t = self.diffusion.nearest_timesteps(noise_rates, signal_rates)
        pred_noises = self.predict_noises(noisy_images, t, training)
        _, pred_images = from_noise(pred_noises, noisy_images, noise_rates, signal_rates)
        pred_images = ops.clip(pred_images, self.diffusion.clip_min, self.diffusion.clip_max)
        return from_image(pred_images, noisy_images, noise_rates, signal_rates)

    def generate_images(self, num_images, seed=None, on_step=None):
        """Returns images in [0, 1], generated in all T steps with the EMA network (algorithm 2).

        Args:
            num_images: number of images.
            seed: of all noise.
            on_step: called as on_step(step, diffusion_time, noisy_images, pred_images), as in
                `diffusion_lab.samplers`.

        Returns:
            (num_images, H, W, C).

        Raises:
            UserError: for a number out of range.
        """
        num_images = whole_number("num_images", num_images, most=MOST_IMAGES)
        seed, diffusion = seed_generator(seed), self.diffusion
        remove_noise = self._noise_remover(seed)
        images = keras.random.normal((num_images, *self.image_shape), seed=seed)
        for step, timestep in enumerate(reversed(range(diffusion.timesteps))):
            t = ops.full((num_images,), timestep, dtype="int32")
            pred_noises, earlier_images = remove_noise(images, t)
            if on_step is not None:
                pred_images = diffusion.predict_start_from_noise(images, t, pred_noises)
                pred_images = ops.clip(pred_images, diffusion.clip_min, diffusion.clip_max)
                on_step(step, (timestep + 1) / diffusion.timesteps, images, pred_images)
            images = earlier_images
        return self.denormalize(images)

    def _noise_remover(self, seed):
        """Returns a function (images, t) -> (pred_noises, the images one timestep earlier).

        It runs in one graph if possible.
        """
        if type(self.diffusion) is GaussianDiffusion:
            step = compiled(self._remove_noise)
            return lambda images, t: step(
                images, t, keras.random.normal(ops.shape(images), seed=seed)
            )
        predict_noises = compiled(partial(self.predict_noises, training=False))

        def remove_noise(images, t):  # a student's `p_sample` may not work in a graph
            pred_noises = predict_noises(images, t)
            return pred_noises, self.diffusion.p_sample(pred_noises, images, t, seed=seed)

        return remove_noise

    def _remove_noise(self, images, t, noise):
        pred_noises = self.predict_noises(images, t, training=False)
        return pred_noises, self.diffusion.p_sample(pred_noises, images, t, noise=noise)

    def call(self, images, training=False):
        """Corrupts images in [0, 1] at random timesteps and separates them again (algorithm 1)."""
        images = self.normalizer(images)
        noises = keras.random.normal(ops.shape(images), seed=self.seed_generator)
        t = keras.random.randint(
            (ops.shape(images)[0],), 0, self.diffusion.timesteps, seed=self.seed_generator
        )
        noisy_images = self.diffusion.q_sample(images, t, noises)
        pred_noises = self.predict_noises(noisy_images, t, training)
        pred_images = self.diffusion.predict_start_from_noise(noisy_images, t, pred_noises)
        pred_images = ops.clip(pred_images, self.diffusion.clip_min, self.diffusion.clip_max)
        return {"noise": (noises, pred_noises), "image": (images, pred_images)}
