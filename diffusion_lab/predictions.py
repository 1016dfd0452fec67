"""What a network predicts, and how that separates a noisy image into its two components.

noisy_images = signal_rates * images + noise_rates * noises, so any one of noise, image and velocity
gives the others. Each function takes (prediction, noisy_images, noise_rates, signal_rates) and
returns (pred_noises, pred_images). All images have shape (B, H, W, C), all rates (B, 1, 1, 1). A
network predicts in float32; the components get the dtype of the noisy images.
"""

from keras import ops

MIN_RATE = 1e-3  # the smallest rate to divide by


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


PREDICTIONS = {"noise": from_noise, "image": from_image, "velocity": from_velocity}
LOSSES = (*PREDICTIONS, "weighted_velocity")
