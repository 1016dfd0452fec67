"""The measurements of lab 03 on schedules."""

import numpy as np
from keras import ops

from diffusion_lab.ideal_denoisers import dataset_denoiser


def rates_at(schedule, diffusion_times):
    """Returns (noise_rates, signal_rates) of a schedule at any times, each (T,), NumPy."""
    rates = schedule(np.reshape(np.asarray(diffusion_times, "float32"), (-1, 1, 1, 1)))
    return tuple(np.ravel(ops.convert_to_numpy(part)) for part in rates)


def log_snrs(noise_rates, signal_rates):
    """Returns the natural logarithm of the signal's variance over the noise's."""
    return 2 * (np.log(signal_rates) - np.log(noise_rates))


def share_known(schedule, diffusion_times, points, seed=0):
    """Returns the share of the clean points' variance that the best guess explains: (T,).

    It guesses from noisy points at each time, in closed form for one half of the points (N, 1, 1,
    2); the other half is made noisy.
    """
    known, hidden = points[::2], points[1::2]
    denoise = dataset_denoiser(known)
    noises = np.random.default_rng(seed).normal(size=hidden.shape).astype("float32")
    shares = []
    for noise_rate, signal_rate in zip(*rates_at(schedule, diffusion_times)):
        rates = [
            np.full((len(hidden), 1, 1, 1), rate, "float32") for rate in (noise_rate, signal_rate)
        ]
        pred_images = denoise(ops.convert_to_tensor(rates[1] * hidden + rates[0] * noises), *rates)[
            1
        ]
        shares.append(1 - np.mean((ops.convert_to_numpy(pred_images) - hidden) ** 2) / hidden.var())
    return np.clip(shares, 0, 1)


def finished(schedules):
    """Returns those of the schedules, {name: function}, that are written; prints the others.

    Raises:
        Exception: that of the first schedule, if none is written, because there is nothing to show.
    """
    there, missing = {}, []
    for name, schedule in schedules.items():
        try:
            schedule(np.zeros((1, 1, 1, 1), "float32"))
            there[name] = schedule
        except NotImplementedError as error:
            missing.append((name, error))
    if missing and not there:
        raise missing[0][1]
    for name, _ in missing:
        print(f"{name} is not written yet, so it is left out below.")
    return there
