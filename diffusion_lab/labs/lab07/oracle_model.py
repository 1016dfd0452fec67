"""Lab 07: a model whose perfect `denoise` is a formula, and which records its calls."""

import numpy as np
from keras import ops

from diffusion_lab.ideal_denoisers import gaussian_denoiser
from diffusion_lab.labs.diffusion_models import MyDiffusionModel
from diffusion_lab.labs.exercise import CheckFailed


class OracleModel(MyDiffusionModel):
    """A model of normally distributed images, for which the perfect `denoise` is a formula.

    Attributes:
        times: those with which `diffusion_schedule` was called.
        first_images: the images with which `denoise` was called first, or None.
        called_at, flags: the noise rates and the `training` with which `denoise` was called.
    """

    def __init__(self, mean, deviation):
        super().__init__()
        self._ideal_denoise = gaussian_denoiser(float(mean), float(deviation))
        self.network = self.ema.network = _refuse_network
        self.first_images = None
        self.times = self.called_at = self.flags = ()

    def diffusion_schedule(self, diffusion_times):
        """Returns rates that differ from those of exercise 7.1 and from their mirror image.

        So no wrong answer is right by accident.
        """
        diffusion_times = _one_per_image(diffusion_times, "diffusion_schedule takes times")
        self.times = (*self.times, float(diffusion_times[0, 0, 0, 0]))
        variances = noise_variance(ops.clip(diffusion_times, 0, 1))
        return ops.sqrt(variances), ops.sqrt(1 - variances)

    def denoise(
        self, noisy_images=None, noise_rates=None, signal_rates=None, training=None, **others
    ):
        if others or noisy_images is None or signal_rates is None:
            raise CheckFailed(
                "You called `self.denoise` with the wrong arguments. Write "
                "`self.denoise(noisy_images, noise_rates, signal_rates, training=False)`."
            )
        if training is None:
            raise CheckFailed("You called `self.denoise` without `training`. Pass training=False.")
        self.flags = (*self.flags, bool(training))
        noise_rates = _one_per_image(noise_rates, "denoise takes rates")
        signal_rates = _one_per_image(signal_rates, "denoise takes rates")
        self.called_at = (*self.called_at, float(noise_rates[0, 0, 0, 0]))
        noisy_images = ops.convert_to_tensor(noisy_images, "float32")
        self.first_images = noisy_images if self.first_images is None else self.first_images
        return self._ideal_denoise(noisy_images, noise_rates, signal_rates)


def noise_variance(times):
    """Returns the variance of the noise at these times, in the schedule of `OracleModel`."""
    return 0.01 + 0.98 * (0.3 * times + 0.7 * times * times)


def _refuse_network(*_, **__):
    """Raises CheckFailed: the sampler calls `denoise`, which calls the network."""
    raise CheckFailed(
        "You called a network. Call `self.denoise`, which calls the right one and returns"
        " pred_noises, pred_images."
    )


def _one_per_image(values, what):
    """Returns `values` as a tensor. Raises CheckFailed unless there is one for each image."""
    if len(np.shape(values)) != 4 or tuple(np.shape(values))[1:] != (1, 1, 1):
        raise CheckFailed(
            f"{what} of shape (num_images, 1, 1, 1), but received {tuple(np.shape(values))}."
            " Write `ops.ones((num_images, 1, 1, 1)) * time`."
        )
    return ops.convert_to_tensor(values, "float32")
