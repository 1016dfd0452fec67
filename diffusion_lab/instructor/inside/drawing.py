"""Runs in a separate sandbox without student code: draws images with a student's weights.

It uses the package's own sampler and schedule, and none of the student's functions.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from diffusion_lab.predictions import from_noise
from diffusion_lab.samplers import ddim
from diffusion_lab.schedules import offset_cosine_diffusion_schedule

from .generating import trained_network, write_images  # the same folder in the box and outside

SAMPLES = 4096


def draw(seed: int, count: int, step_counts: Iterable[int]) -> None:
    """Writes images as `generate` does, for each number of steps, and `results/weights`.

    The files are `results/images-1` for one step and so on. `weights` is the fingerprint.
    """
    network, denormalize, arrays = trained_network()

    def denoise(noisy_images: Any, noise_rates: Any, signal_rates: Any) -> tuple[Any, Any]:
        return from_noise(
            network([noisy_images, noise_rates**2], training=False),
            noisy_images,
            noise_rates,
            signal_rates,
        )

    def sample(noise: Any, steps: int) -> Any:
        return ddim(denoise, offset_cosine_diffusion_schedule, noise, steps=steps)

    shape = network.inputs[0].shape[1:]
    for steps in step_counts:
        write_images(f"images-{steps}", denormalize, shape, sample, seed, count, steps)
    Path(os.environ["DIFFUSION_LAB_BOX"], "results", "weights").write_bytes(fingerprint(arrays))


def fingerprint(arrays: Iterable[np.ndarray]) -> bytes:
    """Returns how many numbers `arrays` hold, and a sample of them at fixed places, as float32."""
    numbers = np.concatenate([np.ravel(array) for array in arrays]).astype("float32")
    places = np.linspace(0, len(numbers) - 1, SAMPLES).astype(int)
    return np.append(np.float32(len(numbers)), numbers[places]).tobytes()
