"""Written for the inside of the sandbox, as `measuring`: a student's functions and a student's weights draw images."""

import os
from pathlib import Path
from types import MethodType, SimpleNamespace

import numpy as np
from keras import ops

from diffusion_lab.networks.adapters import predicting_noise
from diffusion_lab.networks.residual_unet import residual_unet
from diffusion_lab.networks.unet import unet
from diffusion_lab.storage import assign_arrays, read_arrays

NETWORKS = {"unet": unet, "residual_unet": residual_unet}
METHODS = ("diffusion_schedule", "denoise", "reverse_diffusion")


def generate(namespace, seed, count, steps, batch_size=64):
    """Writes `results/images`: `count` images as bytes, one after the other; the file says no more about them."""
    box = Path(os.environ["DIFFUSION_LAB_BOX"])
    groups, about = read_arrays(box / "inputs" / "weights.h5")
    config = about["config"]
    network = NETWORKS[config["network"]](**config["network_arguments"])
    assign_arrays(network.weights, groups["network"], "weights.h5")
    mean, variance = groups["normalizer"][:2]
    network = predicting_noise(network)
    student = SimpleNamespace(network=network, ema_network=network, min_signal_rate=0.02, max_signal_rate=0.95)
    for name in METHODS:
        setattr(student, name, MethodType(namespace[name], student))

    noise = np.random.default_rng(seed).standard_normal((count, *network.inputs[0].shape[1:]))
    noise = ops.convert_to_tensor(noise, "float32")
    batches = [student.reverse_diffusion(noise[start : start + batch_size], steps) for start in range(0, count, batch_size)]
    images = np.clip(mean + np.concatenate(batches) * np.sqrt(variance), 0, 1)
    (box / "results" / "images").write_bytes(np.rint(255 * np.nan_to_num(images)).astype("uint8").tobytes())
