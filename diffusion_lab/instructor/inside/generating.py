"""Runs in the sandbox, as `measuring` does: draws images with a student's functions and weights."""

import os
from collections.abc import Callable
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import numpy as np
from keras import ops

from diffusion_lab.errors import UserError
from diffusion_lab.models.weights import assign_arrays, read_arrays
from diffusion_lab.networks.adapters import predicting_noise
from diffusion_lab.networks.residual_unet import residual_unet
from diffusion_lab.networks.unet import unet

NETWORKS = {"unet": unet, "residual_unet": residual_unet}
METHODS = ("diffusion_schedule", "denoise", "reverse_diffusion")
MOST_BYTES = 2**28  # of all weights
LARGEST_ARGUMENTS = {"image_size": 128, "block_depth": 8, "channels": 3}


class Counted:
    """Counts how often a network is called. This is only a hint: an answer can change it."""

    def __init__(self, network: Any) -> None:
        self.network, self.calls = network, 0

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.calls += 1
        return self.network(*arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)


def generate(namespace: dict[str, Any], seed: int, count: int, steps: int) -> None:
    """Draws `count` images and writes their bytes, without a header, to `results/images`.

    Also writes how often the network was called to `results/calls`.
    """
    network, denormalize, _ = trained_network()
    network = Counted(network)
    student = SimpleNamespace(
        network=network, ema_network=network, min_signal_rate=0.02, max_signal_rate=0.95
    )
    for name in METHODS:
        setattr(student, name, MethodType(namespace[name], student))
    shape, sample = network.inputs[0].shape[1:], student.reverse_diffusion
    write_images("images", denormalize, shape, sample, seed, count, steps)
    Path(os.environ["DIFFUSION_LAB_BOX"], "results", "calls").write_text(str(network.calls))


def write_images(
    name: str,
    denormalize: Callable[[np.ndarray], np.ndarray],
    shape: tuple[int, ...],
    sample: Callable[[Any, int], Any],
    seed: int,
    count: int,
    steps: int,
    batch_size: int = 64,
) -> None:
    """Writes the images that `sample(initial_noise, steps)` returns, as bytes, to `name`."""
    noise = ops.convert_to_tensor(
        np.random.default_rng(seed).standard_normal((count, *shape)), "float32"
    )
    images = denormalize(
        np.concatenate(
            [
                sample(noise[start : start + batch_size], steps)
                for start in range(0, count, batch_size)
            ]
        )
    )
    Path(os.environ["DIFFUSION_LAB_BOX"], "results", name).write_bytes(
        np.rint(255 * np.nan_to_num(np.clip(images, 0, 1))).astype("uint8").tobytes()
    )


def trained_network() -> tuple[Any, Callable[[np.ndarray], np.ndarray], list[np.ndarray]]:
    """Reads the file of weights that was handed in.

    Returns:
        (network that predicts noise, function that maps its images to [0, 1], the network's arrays)

    Raises:
        UserError: for a file that the lab's training cannot have written.
    """
    groups, about = read_arrays(
        Path(os.environ["DIFFUSION_LAB_BOX"], "inputs", "weights.h5"), most=MOST_BYTES
    )
    config = about.get("config")
    config = config if isinstance(config, dict) else {}
    name, arguments = str(config.get("network")), config.get("network_arguments")
    if name not in NETWORKS:
        raise UserError(f"These weights belong to none of the networks {', '.join(NETWORKS)}.")
    if not isinstance(arguments, dict) or not all(
        _plausible(name, value) for name, value in arguments.items()
    ):
        raise UserError(
            "These weights belong to a network of a size that the lab does not use. Hand in the"
            " file that the lab saves."
        )
    network = NETWORKS[name](**arguments)
    assign_arrays(network.weights, groups.get("network", []), "weights.h5")
    normalizer = groups.get("normalizer", [])[:2]
    if [np.size(values) for values in normalizer] != [3, 3]:
        raise UserError(
            "These weights lack the mean and the variance of the images that the model was"
            " trained on."
        )
    mean, variance = (np.reshape(values, (1, 1, 1, 3)).astype("float32") for values in normalizer)
    return (
        predicting_noise(network),
        lambda images: mean + images * np.sqrt(variance),
        groups["network"],
    )


def _plausible(name: str, value: Any) -> bool:
    """True if an argument of a network, a number or a list, is small enough for a laptop."""
    numbers = value if isinstance(value, list) else [value]
    most = LARGEST_ARGUMENTS.get(name, 512)
    return (
        name == "upsampling"
        or len(numbers) <= 8
        and all(
            number is None or isinstance(number, int | float) and 0 <= number <= most
            for number in numbers
        )
    )
