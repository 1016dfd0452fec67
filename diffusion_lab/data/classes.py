"""Which classes a data set has: what a conditional model can be told."""

from pathlib import Path

import numpy as np

from diffusion_lab.data.flowers import COLOURS
from diffusion_lab.data.folder import class_of_each, list_images
from diffusion_lab.data.sources import SOURCES

COUNTS = {"digits": 10, "mnist": 10, "fashion_mnist": 10, "cifar10": 10, "oxford_flowers102": 102}


def class_names(name: str | Path) -> tuple[str, ...]:
    """The names of the classes of a data set, in the order of their numbers: a tuple of strings.

    For procedural flowers these are the colours, for a folder its sub-folders, and for all others
    the numbers that the source itself uses. Raises UserError for a folder without images.
    """
    if name == "procedural_flowers":
        return COLOURS
    if name in SOURCES:
        return tuple(str(number) for number in range(COUNTS[str(name)]))
    folder = Path(name).expanduser().resolve()
    return tuple(sorted(set(class_of_each(list_images(folder), folder))))


def class_numbers(name: str | Path, labels: np.ndarray) -> np.ndarray:
    """The numbers, int32 (N,), of the labels (N,) that the data set of this name came with."""
    if name == "procedural_flowers":
        return labels["colour"]
    if name in SOURCES:
        return labels.astype("int32")
    return np.searchsorted(class_names(name), labels).astype("int32")
