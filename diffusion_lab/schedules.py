"""Diffusion schedules: how much noise and how much image there is at each time.

A schedule is a pure function of time. It takes `diffusion_times` in [0, 1], any shape, usually (B,
1, 1, 1), and returns `noise_rates, signal_rates` of the same shape. They are the standard
deviations of noise and image in the noisy image, with noise_rates**2 + signal_rates**2 == 1. They
all raise `UserError` for times outside [0, 1].
"""

import math

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import to_numpy_or_none
from diffusion_lab.errors import UserError, finite_number


def linear_diffusion_schedule(diffusion_times, beta_start=1e-4, beta_end=0.02, timesteps=1000):
    """Returns the rates of DDPM's schedule (Ho et al. 2020, section 4), where beta grows linearly.

    DDPM multiplies the factors 1 - beta_k to get alpha_bar_k, the *variance* of the image after k
    steps. In the limit of many small steps that product is exp(-integral of beta), a function of
    time alone (Song et al. 2021, "Score-based generative modeling through stochastic differential
    equations", equation 33). The rates are the square roots of alpha_bar and 1 - alpha_bar.
    """
    times = checked_times(diffusion_times)
    integral = timesteps * (beta_start * times + 0.5 * (beta_end - beta_start) * ops.square(times))
    return ops.sqrt(-ops.expm1(-integral)), ops.exp(-0.5 * integral)


def cosine_diffusion_schedule(diffusion_times):
    """Returns sine and cosine of a quarter turn (after Nichol & Dhariwal 2021).

    Angle 0 is the pure image, angle pi / 2 is pure noise.
    """
    angles = checked_times(diffusion_times) * (math.pi / 2)
    return ops.sin(angles), ops.cos(angles)


def offset_cosine_diffusion_schedule(diffusion_times, min_signal_rate=0.02, max_signal_rate=0.95):
    """Returns the cosine schedule without its two ends, where there is little to learn.

    The signal rate falls from `max_signal_rate` at time 0 to `min_signal_rate` at time 1.
    """
    start_angle, end_angle = (
        math.acos(finite_number(name, rate, 0, 1))
        for name, rate in (
            ("max_signal_rate", max_signal_rate),
            ("min_signal_rate", min_signal_rate),
        )
    )
    angles = start_angle + checked_times(diffusion_times) * (end_angle - start_angle)
    return ops.sin(angles), ops.cos(angles)


SCHEDULES = {
    "linear": linear_diffusion_schedule,
    "cosine": cosine_diffusion_schedule,
    "offset_cosine": offset_cosine_diffusion_schedule,
}


def checked_times(diffusion_times):
    """Returns the times as a tensor, and raises UserError if they are outside [0, 1].

    Only concrete values are checked: inside a compiled graph there are none yet.
    """
    values = to_numpy_or_none(diffusion_times)
    # written so that NaN fails as well
    if values is not None and not np.all((values >= 0) & (values <= 1)):
        if np.any(np.isnan(values)):
            raise UserError("Diffusion times must be in [0, 1], but some of these are NaN.")
        is_difference = values.min() < 0 and values.max() <= 1
        advice = (
            "cut them off with ops.maximum(times, 0)"
            if is_difference
            else "divide a timestep by the number of timesteps"
        )
        raise UserError(
            f"Diffusion times must be in [0, 1], but these run from {values.min():g} to"
            f" {values.max():g}: {advice}."
        )
    times = ops.convert_to_tensor(diffusion_times)
    return (
        ops.cast(times, "float32")
        if "int" in keras.backend.standardize_dtype(times.dtype)
        else times
    )
