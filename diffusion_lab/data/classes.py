"""The classes of each data set, which a conditional model takes as labels."""

from pathlib import Path

import numpy as np

from diffusion_lab.data.flowers import COLOURS
from diffusion_lab.data.folder import class_of_each, list_images
from diffusion_lab.data.sources import SOURCES

COUNTS = {"digits": 10, "mnist": 10, "fashion_mnist": 10, "cifar10": 10, "oxford_flowers102": 102}


def class_names(name: str | Path) -> tuple[str, ...]:
    """Returns the names of the classes of a data set, in the order of their numbers.

    For procedural flowers they are the colours, for a folder its sub-folders, and for all other
    data sets the numbers that the source uses.

    Raises:
        UserError: for a folder without images.
    """
    if name == "procedural_flowers":
        return COLOURS
    if name in SOURCES:
        return tuple(str(number) for number in range(COUNTS[str(name)]))
    folder = Path(name).expanduser().resolve()
    return tuple(sorted(set(class_of_each(list_images(folder), folder))))


def class_numbers(name: str | Path, labels: np.ndarray) -> np.ndarray:
    """Converts the labels (N,) of the data set `name` to class numbers, int32 (N,)."""
    if name == "procedural_flowers":
        return labels["colour"]
    if name in SOURCES:
        return labels.astype("int32")
    return np.searchsorted(class_names(name), labels).astype("int32")
