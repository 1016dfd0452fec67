"""Samplers: from noise to images, one function per paper.

A sampler only needs two functions::

    denoise(noisy_images, noise_rates, signal_rates) -> (pred_noises, pred_images)
    schedule(diffusion_times)                        -> (noise_rates, signal_rates)

All samplers share these arguments:

* initial_noise: float, (B, H, W, C), standard normal. The samples have the same dtype.
  Intermediate results are computed in float32, or in float64 for float64 noise. A network that
  belongs to a Keras model always receives float32.
* steps: number of steps, at least 1. The first begins at time 1, the last at time 1/steps and ends
  at the clean image.
* spacing: in [0.5, 4]. With 1 the times between are 1 - i/steps, so all steps have the same length.
  With more, steps are shorter where there is more noise. There the colour of a whole image is
  decided, and large steps let it fade (lab 08).
* seed: integer or `keras.random.SeedGenerator` for the noise that a random sampler adds.
* on_step: called as on_step(step, diffusion_time, noisy_images, pred_images) at each of the times;
  step counts from 0.

They return the last predicted images, (B, H, W, C). The number of network evaluations (NFE) is
`steps`; Heun's method costs 2 * steps - 1. A `denoise` that belongs to a Keras model is compiled,
any other runs unchanged.

All raise `UserError` for a number out of range, for noise that is not a batch of images or does not
have the model's shape, and for a `denoise` or `schedule` whose result does not fit the description
above.
"""

import inspect
import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import compiled, owner_of, seed_generator, to_numpy_or_none
from diffusion_lab.errors import (
    LEAST_SPACING,
    MOST_SPACING,
    MOST_STEPS,
    UserError,
    finite_number,
    whole_number,
)

MIN_SIGNAL_RATE = 1e-3  # the smallest to divide by; a cosine schedule ends at 0


def ddim(denoise, schedule, initial_noise, steps=20, eta=0.0, seed=None, on_step=None, spacing=1.0):
    """Samples with DDIM (Song et al. 2021, equation 12): separate, then remix at the next rates.

    The name stands for denoising diffusion implicit models. With `eta` = 0 only the initial noise
    is random; with `eta` = 1 it is DDPM with the small variance.
    """
    eta = finite_number("eta", eta, 0, 1)
    run = Run(denoise, schedule, initial_noise, steps, seed, on_step, spacing)
    images = run.initial_noise
    for now, then in run.path:
        pred_noises, pred_images = run.separate(images, now)
        fresh_rate = (
            eta
            * then.noise_rate
            / now.noise_rate
            * square_root(1 - (now.signal_rate / then.signal_rate) ** 2)
        )
        kept_rate = square_root(then.noise_rate**2 - fresh_rate**2)
        images = then.signal_rate * pred_images + kept_rate * pred_noises
        if fresh_rate > 0:
            images = images + fresh_rate * run.draw_noise()
    return run.samples(images)


def ddpm(
    denoise,
    schedule,
    initial_noise,
    steps=20,
    seed=None,
    on_step=None,
    spacing=1.0,
    variance="small",
):
    """Samples with DDPM's ancestral sampling (Ho et al. 2020, equations 6 and 7).

    For any two times s < t, the posterior q(x_s | x_t, x_0) is a Gaussian. `variance` is "small"
    for the variance of this Gaussian, or "large" for that of q(x_t | x_s), which is beta in DDPM.
    These are the two extremes in section 3.2 of the paper.
    """
    if variance not in ("small", "large"):
        raise UserError(f"variance must be 'small' or 'large', not {variance!r}.")
    run = Run(denoise, schedule, initial_noise, steps, seed, on_step, spacing)
    images = run.initial_noise
    for now, then in run.path:
        _, pred_images = run.separate(images, now)
        # of q(x_t | x_s) = N(forward_rate * x_s, forward_variance)
        forward_rate = now.signal_rate / then.signal_rate
        forward_variance = now.noise_rate**2 - (forward_rate * then.noise_rate) ** 2
        shrinkage = (then.noise_rate / now.noise_rate) ** 2
        image_weight = then.signal_rate * forward_variance / now.noise_rate**2
        images = image_weight * pred_images + forward_rate * shrinkage * images
        if then.noise_rate > 0:
            posterior_variance = forward_variance * (shrinkage if variance == "small" else 1)
            images = images + square_root(posterior_variance) * run.draw_noise()
    return run.samples(images)


def heun(denoise, schedule, initial_noise, steps=20, seed=None, on_step=None, spacing=1.0):
    """Samples with Heun's second-order method (after Karras et al. 2022, algorithm 1).

    Each step looks ahead and then corrects itself. Along the angle whose sine is the noise rate,
    the noisy image moves with the velocity signal_rate * noise - noise_rate * image. DDIM treats
    both components as constant during the step, and so misses half of the velocity's change.
    """
    run = Run(denoise, schedule, initial_noise, steps, seed, on_step, spacing)
    images = run.initial_noise
    for now, then in run.path:
        pred_noises, pred_images = run.separate(images, now)
        images = then.signal_rate * pred_images + then.noise_rate * pred_noises
        if then.noise_rate > 0:
            noises_ahead, images_ahead = run.denoise(images, then)
            change = then.signal_rate * (noises_ahead - pred_noises) - then.noise_rate * (
                images_ahead - pred_images
            )
            images = images - 0.5 * (now.angle - then.angle) * change
    return run.samples(images)


def dpmpp_2m(denoise, schedule, initial_noise, steps=20, seed=None, on_step=None, spacing=1.0):
    """Samples with DPM-Solver++(2M) (Lu et al. 2022, algorithm 2).

    It is a multistep method of second order in the logarithm of the signal-to-noise ratio.
    """
    run = Run(denoise, schedule, initial_noise, steps, seed, on_step, spacing)
    images, last_pred_images, last_width = run.initial_noise, None, None
    for now, then in run.path:
        _, pred_images = run.separate(images, now)
        if then.noise_rate == 0:
            return run.samples(pred_images)
        width = then.half_log_snr - now.half_log_snr
        extrapolated = pred_images
        if last_width:
            extrapolated = pred_images + 0.5 * width / last_width * (pred_images - last_pred_images)
        images = (
            then.noise_rate / now.noise_rate * images
            - then.signal_rate * math.expm1(-width) * extrapolated
        )
        last_pred_images, last_width = pred_images, width


def adams_bashforth(
    denoise, schedule, initial_noise, steps=20, seed=None, on_step=None, spacing=1.0
):
    """Samples with the two-step Adams-Bashforth method (after Liu et al. 2022, PNDM, section 3).

    It solves DDIM's equation: the predicted noise is extrapolated half a step ahead, along the
    angle whose sine is the noise rate.
    """
    run = Run(denoise, schedule, initial_noise, steps, seed, on_step, spacing)
    images, last_pred_noises, last_width = run.initial_noise, None, None
    for now, then in run.path:
        current_pred_noises, pred_images = run.separate(images, now)
        if then.noise_rate == 0:
            return run.samples(pred_images)
        width = now.angle - then.angle
        pred_noises = current_pred_noises
        if last_width:
            pred_noises = pred_noises + 0.5 * width / last_width * (pred_noises - last_pred_noises)
            pred_images = (images - now.noise_rate * pred_noises) / max(
                now.signal_rate, MIN_SIGNAL_RATE
            )
        images = then.signal_rate * pred_images + then.noise_rate * pred_noises
        last_pred_noises, last_width = current_pred_noises, width


SAMPLERS = {
    "ddim": ddim,
    "ddpm": ddpm,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "adams_bashforth": adams_bashforth,
}


def square_root(variance):
    """Returns the square root, and 0 for a variance that only rounding made negative."""
    return math.sqrt(max(variance, 0.0))


def find_sampler(sampler, arguments=()):
    """Returns the sampler of that name, or the function itself.

    Raises:
        UserError: if there is no such sampler, or it does not take the `arguments`.
    """
    function = SAMPLERS.get(sampler, sampler) if isinstance(sampler, str) else sampler
    if not callable(function):
        raise UserError(f"There is no sampler {sampler!r}: choose one of {', '.join(SAMPLERS)}.")
    try:
        inspect.signature(function).bind(None, None, None, **dict.fromkeys(arguments))
    except TypeError as error:
        raise UserError(
            f"{getattr(function, '__name__', 'This sampler')} {error}: leave it out, or choose"
            " another sampler or model."
        ) from None
    return function


class Point(NamedTuple):
    """A point of the time grid. Its rates are Python floats, so images keep their dtype."""

    step: int
    diffusion_time: float
    noise_rate: float
    signal_rate: float

    @property
    def half_log_snr(self):
        """Half of the logarithm of the signal-to-noise ratio, λ in the paper of DPM-Solver."""
        return math.log(max(self.signal_rate, MIN_SIGNAL_RATE) / self.noise_rate)

    @property
    def angle(self):
        return math.atan2(self.noise_rate, self.signal_rate)


class Run:
    """What all samplers share: the checked arguments, the pairs of points, and the noise."""

    def __init__(self, denoise, schedule, initial_noise, steps, seed, on_step, spacing):
        points = time_grid(schedule, steps, spacing)
        self.path = list(zip(points, points[1:]))
        model = owner_of(denoise)
        noise, self._samples_dtype = checked_noise(
            initial_noise, getattr(model, "image_shape", None)
        )
        self._dtype = "float64" if self._samples_dtype == "float64" else "float32"
        self._network_dtype = "float32" if model else self._dtype
        self.initial_noise = ops.cast(noise, self._dtype)
        self._denoise, self._on_step = compiled(denoise), on_step
        self._seed = seed_generator(seed)

    def denoise(self, images, point):
        """Returns (pred_noises, pred_images) of noisy images at a point of the grid."""
        shape, dtype = (images.shape[0], 1, 1, 1), self._network_dtype
        rates = (ops.full(shape, rate, dtype) for rate in (point.noise_rate, point.signal_rate))
        components = self._denoise(ops.cast(images, dtype), *rates)
        if not isinstance(components, tuple | list) or [
            np.shape(part) for part in components
        ] != 2 * [tuple(images.shape)]:
            raise UserError(
                "denoise must return (pred_noises, pred_images), both of shape"
                f" {tuple(images.shape)}."
            )
        return tuple(ops.cast(part, self._dtype) for part in components)

    def separate(self, images, point):
        """Calls `denoise`, then `on_step` with its result."""
        pred_noises, pred_images = self.denoise(images, point)
        if self._on_step is not None:
            self._on_step(point.step, point.diffusion_time, images, pred_images)
        return pred_noises, pred_images

    def draw_noise(self):
        return keras.random.normal(self.initial_noise.shape, dtype=self._dtype, seed=self._seed)

    def samples(self, images):
        """Returns the images in the dtype of the initial noise."""
        return ops.cast(images, self._samples_dtype)


def checked_noise(initial_noise, image_shape=None):
    """Returns (noise as a tensor, its dtype).

    Raises:
        UserError: unless it is a batch of images, of the shape `image_shape` if that is given.
    """
    try:
        noise = ops.convert_to_tensor(initial_noise)
        dtype = keras.backend.standardize_dtype(noise.dtype)
    except (TypeError, ValueError):
        raise UserError(
            "initial_noise must be an array of numbers of shape (B, H, W, C)."
        ) from None
    shape = tuple(noise.shape)
    if len(shape) != 4 or shape[0] == 0:
        raise UserError(f"initial_noise must have the shape (B, H, W, C), not {shape}.")
    if image_shape and shape[1:] != tuple(image_shape):
        raise UserError(
            f"initial_noise has images of shape {shape[1:]}, but this model generates"
            f" {tuple(image_shape)}."
        )
    if "float" not in dtype:
        raise UserError(
            f"initial_noise must contain normally distributed numbers, but its dtype is {dtype}:"
            " create it with keras.random.normal."
        )
    values = to_numpy_or_none(noise)
    if values is not None and not np.all(np.isfinite(values.astype("float32"))):
        raise UserError("initial_noise contains NaN or infinite numbers: create it again.")
    return noise, dtype


def time_grid(schedule, steps, spacing=1.0):
    """Returns the points at the times of `steps` and `spacing`, and that of the clean image."""
    steps = whole_number("steps", steps, most=MOST_STEPS)
    spacing = finite_number("spacing", spacing, LEAST_SPACING, MOST_SPACING)
    times = 1 - (1 - 1 / steps) * np.linspace(0, 1, steps) ** spacing
    times = times.astype("float32")
    rates = schedule(times.reshape(-1, 1, 1, 1))
    if not isinstance(rates, tuple | list) or [np.shape(rate) for rate in rates] != 2 * [
        (steps, 1, 1, 1)
    ]:
        raise UserError(
            "The schedule must return noise_rates and signal_rates, both of the shape of the times."
        )
    rates = [ops.convert_to_numpy(rate).astype("float64") for rate in rates]
    if not np.allclose(rates[0] ** 2 + rates[1] ** 2, 1, atol=1e-3):
        raise UserError(
            "The schedule's squared rates do not sum to 1: rates are standard deviations, not"
            " variances."
        )
    if np.any(np.diff(rates[1].ravel()) < -1e-6):
        raise UserError(
            "The schedule has more signal at later times, but noise must grow with time. A schedule"
            " returns (noise_rates, signal_rates), in this order."
        )
    if np.any(rates[0] <= 0):
        raise UserError(
            "The schedule has no noise at a time above 0, so there would be nothing to remove:"
            " noise must grow with time from the start."
        )
    # rounding may have turned a schedule round where it stands still
    noise_rates = np.minimum.accumulate(rates[0].ravel()).tolist()
    signal_rates = np.maximum.accumulate(rates[1].ravel()).tolist()
    return [
        Point(*point) for point in zip(range(steps), times.tolist(), noise_rates, signal_rates)
    ] + [Point(steps, 0.0, 0.0, 1.0)]
