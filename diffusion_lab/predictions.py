"""What a network predicts, how that separates a noisy image, and how two predictions guide.

noisy_images = signal_rates * images + noise_rates * noises, so any one of noise, image and velocity
gives the others. Each function `from_...` takes (prediction, noisy_images, noise_rates,
signal_rates) and returns (pred_noises, pred_images). All images have shape (B, H, W, C), all rates
(B, 1, 1, 1). A network predicts in float32; the components get the dtype of the noisy images.
"""

import numpy as np
from keras import ops

from diffusion_lab.backend import compiled, owner_of
from diffusion_lab.errors import MOST_GUIDANCE, UserError, finite_number

MIN_RATE = 1e-3  # the smallest rate to divide by


def demand_rates(noise_rates, signal_rates):
    """Raises UserError unless both have the shape (B, 1, 1, 1)."""
    for name, rates in (("noise_rates", noise_rates), ("signal_rates", signal_rates)):
        if rates.shape[1:] != (1, 1, 1):
            raise UserError(f"{name} must have the shape (B, 1, 1, 1), not {tuple(rates.shape)}.")


def from_noise(pred_noises, noisy_images, noise_rates, signal_rates):
    """Separates with predicted noise (Ho et al. 2020); the rest, scaled up, is the image."""
    pred_noises = ops.cast(pred_noises, noisy_images.dtype)
    return pred_noises, (noisy_images - noise_rates * pred_noises) / ops.maximum(
        signal_rates, MIN_RATE
    )


def from_image(pred_images, noisy_images, noise_rates, signal_rates):
    """Separates with a predicted image; the rest, scaled up, is the noise."""
    pred_images = ops.cast(pred_images, noisy_images.dtype)
    return (noisy_images - signal_rates * pred_images) / ops.maximum(
        noise_rates, MIN_RATE
    ), pred_images


def from_velocity(pred_velocities, noisy_images, noise_rates, signal_rates):
    """Separates with a predicted velocity (Salimans & Ho 2022, appendix D), without a division.

    The velocity is signal * noise - noise_rate * image.
    """
    pred_velocities = ops.cast(pred_velocities, noisy_images.dtype)
    pred_noises = noise_rates * noisy_images + signal_rates * pred_velocities
    pred_images = signal_rates * noisy_images - noise_rates * pred_velocities
    return pred_noises, pred_images


def velocity(noises, images, noise_rates, signal_rates):
    """Returns the velocity of two components.

    It is the noisy image's derivative with respect to the angle whose sine is the noise rate.
    """
    return signal_rates * noises - noise_rates * images


def weighted_velocities(velocities, noise_rates, signal_rates, max_snr=5.0):
    """Returns velocities scaled so that their squared error has the min-SNR weights.

    The squared error is multiplied by min(SNR, max_snr) / (SNR + 1), where SNR = (signal_rates /
    noise_rates)^2 is the signal-to-noise ratio. Nearly pure noise, in which the image cannot be
    known, counts less, and so do nearly clean images. Hang et al. 2023, section 3.4.
    """
    # signal_rates^2 + noise_rates^2 = 1
    weights = ops.minimum(signal_rates**2, max_snr * noise_rates**2)
    return tuple(ops.sqrt(weights) * velocity for velocity in velocities)


def extrapolate(weaker, stronger, weight):
    """Returns weaker + weight * (stronger - weaker), for both components of two predictions.

    It does not matter whether noise, images or velocities are combined: the weights sum to 1, so
    the components still mix to the noisy images.
    """
    return tuple(a + ops.cast(weight, a.dtype) * (b - a) for a, b in zip(weaker, stronger))


def autoguide(denoise, weaker_denoise, weight=1.75):
    """Returns a `denoise` for any sampler that leads away from the errors of a weaker model.

    A model that is smaller, or was trained for a shorter time, makes the same errors, but larger
    ones. Autoguidance extrapolates from its prediction through that of the better model. Each step
    needs an evaluation of both networks. Karras et al. 2024, "Guiding a Diffusion Model with a Bad
    Version of Itself".

    Args:
        denoise: that of the better model, `partial(model.denoise, training=False)`.
        weaker_denoise: that of a model trained on the same images.
        weight: 1 is the better model alone; values from 1.5 to 2.5 are usual.

    Raises:
        UserError: for a weight outside [-100, 100], or for models of images that differ in shape or
            in normalisation.
    """
    weight = finite_number("weight", weight, -MOST_GUIDANCE, MOST_GUIDANCE)
    _demand_same_images(owner_of(denoise), owner_of(weaker_denoise))
    denoise, weaker_denoise = compiled(denoise), compiled(weaker_denoise)

    def guided(noisy_images, noise_rates, signal_rates):
        inputs = noisy_images, noise_rates, signal_rates
        return extrapolate(weaker_denoise(*inputs), denoise(*inputs), weight)

    return guided


def guide_within(guided, unguided, lowest, highest):
    """Returns a `denoise` that is `guided` in an interval of noise rates, and `unguided` elsewhere.

    At high noise levels, guidance pushes all images towards the same few; at low ones, it changes
    nothing that can be seen. Kynkäänniemi et al. 2024, "Applying Guidance in a Limited Interval
    Improves Sample and Distribution Quality in Diffusion Models"; the paper's noise level is the
    noise rate divided by the signal rate.

    Args:
        guided: the `denoise` in the interval.
        unguided: the `denoise` elsewhere.
        lowest: the smallest noise rate with guidance; 0 has no lower end.
        highest: the largest noise rate with guidance; 1 has no upper end.
    """

    def denoise(noisy_images, noise_rates, signal_rates):
        noise_rate = float(ops.max(noise_rates))  # in a sampler, all images have the same
        chosen = guided if lowest <= noise_rate <= highest else unguided
        return chosen(noisy_images, noise_rates, signal_rates)

    return denoise


def _demand_same_images(model, weaker):
    if model is None or weaker is None:  # plain functions do not say what they were made for
        return
    if model.image_shape != weaker.image_shape:
        raise UserError(
            f"The weaker model was made for images of shape {weaker.image_shape}, but it is to"
            f" guide a model for {model.image_shape}: choose one trained on the same images."
        )
    statistics = [
        np.stack([ops.convert_to_numpy(part) for part in (scale.mean, scale.variance)])
        for scale in (model.normalizer, weaker.normalizer)
    ]
    if not np.allclose(*statistics, atol=0.1):
        raise UserError(
            "The weaker model was trained on other images, or normalises them differently: choose"
            " one trained as the model that it is to guide."
        )


PREDICTIONS = {"noise": from_noise, "image": from_image, "velocity": from_velocity}
LOSSES = (*PREDICTIONS, "weighted_velocity")
