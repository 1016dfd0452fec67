"""Closed-form denoisers: what a perfect network would return for data that are known.

They are the oracles of the tests and the first toys of the labs. Each function returns a `denoise`
function, as described in `diffusion_lab.samplers`, that needs no network.
"""

import math

from keras import ops


def gaussian_denoiser(mean=0.0, standard_deviation=1.0):
    """Returns the ideal denoiser for images whose pixels are independent and normal.

    x = signal * image + noise_rate * noise is normal as well, so the expected image is linear in x:
    mean + signal * variance / (signal**2 * variance + noise_rate**2) * (x - signal * mean).
    """

    def denoise(noisy_images, noise_rates, signal_rates):
        variance = standard_deviation**2
        gain = signal_rates * variance / (signal_rates**2 * variance + noise_rates**2)
        pred_images = mean + gain * (noisy_images - signal_rates * mean)
        return (noisy_images - signal_rates * pred_images) / noise_rates, pred_images

    return denoise


def gaussian_ode_solution(
    initial_noise, noise_rates, signal_rates, mean=0.0, standard_deviation=1.0
):
    """Returns the exact solution of the deterministic samplers' equation for Gaussian images.

    `initial_noise` is the state at signal rate 0. Each noisy pixel keeps its distance to the mean
    in units of the standard deviation at that time.
    """
    return (
        signal_rates * mean
        + (signal_rates**2 * standard_deviation**2 + noise_rates**2) ** 0.5 * initial_noise
    )


def dataset_denoiser(images):
    """Returns the ideal denoiser for a small set of images, (N, H, W, C).

    It predicts the average of these images, weighted by how likely each one is. So the perfect
    network for a finite set has memorised it.
    """
    images = ops.convert_to_tensor(images)

    def denoise(noisy_images, noise_rates, signal_rates):
        members = ops.cast(images, noisy_images.dtype)
        differences = noisy_images[:, None] - signal_rates[:, None] * members[None]
        square_distances = ops.sum(ops.square(differences), axis=(2, 3, 4))
        weights = ops.softmax(
            -square_distances / (2 * ops.reshape(noise_rates, (-1, 1)) ** 2), axis=-1
        )
        pred_images = ops.einsum("bn,nhwc->bhwc", weights, members)
        return (noisy_images - signal_rates * pred_images) / noise_rates, pred_images

    return denoise


def mixture_denoiser(means, standard_deviation, weights=None):
    """Returns the ideal denoiser for a mixture of Gaussians of one common standard deviation.

    The predictions of the components, as in `gaussian_denoiser`, are averaged with their
    responsibilities as weights. `means` has the shape (N, H, W, C).
    """
    all_means = ops.convert_to_tensor(means)
    log_weights = (
        [math.log(weight) if weight > 0 else -math.inf for weight in weights]
        if weights is not None
        else [0.0] * all_means.shape[0]
    )

    def denoise(noisy_images, noise_rates, signal_rates):
        means = ops.cast(all_means, noisy_images.dtype)
        total = signal_rates**2 * standard_deviation**2 + noise_rates**2
        differences = noisy_images[:, None] - signal_rates[:, None] * means[None]
        square_distances = ops.sum(ops.square(differences), axis=(2, 3, 4))
        scores = ops.convert_to_tensor(log_weights, noisy_images.dtype) - square_distances / (
            2 * ops.reshape(total, (-1, 1))
        )
        gains = (signal_rates * standard_deviation**2 / total)[:, None]
        component_images = means[None] + gains * differences
        pred_images = ops.einsum("bn,bnhwc->bhwc", ops.softmax(scores, axis=-1), component_images)
        return (noisy_images - signal_rates * pred_images) / noise_rates, pred_images

    return denoise
