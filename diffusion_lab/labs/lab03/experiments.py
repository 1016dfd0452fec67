"""Measurements of schedules in lab 03."""

import numpy as np
from keras import ops

from diffusion_lab.ideal_denoisers import dataset_denoiser
from diffusion_lab.labs.rates import rates_at


def share_known(schedule, diffusion_times, points, seed=0):
    """Returns the share of the clean points' variance that the best guess explains: (T,).

    At each time, one half of the points (N, 1, 1, 2) gets noise. The best guess has a closed form,
    which knows the other half.
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
    """Returns the schedules, {name: function}, that are written; prints the names of the others.

    Raises:
        NotImplementedError: that of the first schedule, if none is written.
    """
    written, missing = {}, []
    for name, schedule in schedules.items():
        try:
            schedule(np.zeros((1, 1, 1, 1), "float32"))
            written[name] = schedule
        except NotImplementedError as error:
            missing.append((name, error))
    if missing and not written:
        raise missing[0][1]
    for name, _ in missing:
        print(f"{name} is not written yet, so it is left out below.")
    return written
