"""All data sets by name."""

import difflib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from diffusion_lab.data import flowers, painting
from diffusion_lab.data.cache import cache_folder
from diffusion_lab.data.downloads import (
    keras_originals,
    read_keras,
    read_oxford_flowers,
    tfds_originals,
)
from diffusion_lab.data.folder import list_fingerprint, read_folder
from diffusion_lab.data.images import ImagesAndLabels, resize_array
from diffusion_lab.data.progress import track
from diffusion_lab.data.splits import split_by_name
from diffusion_lab.errors import UserError

FIRST_VALIDATION_FLOWER = 1_000_000_000  # larger than any training set
FLOWERS_AT_ONCE = 64


@dataclass(frozen=True)
class Source:
    """Where images come from.

    `read(split, image_size, count, seed)` yields `(images, labels)` a few at a time, and at most
    `count` images altogether: uint8 (n, image_size, image_size, C), and n labels.
    """

    read: Callable[..., Iterator[ImagesAndLabels]]
    flips: bool = True  # True if a mirrored image is as plausible as the original
    # what the images depend on, apart from split, size and count
    fingerprint: Callable[[int], list | None] = lambda seed: None
    # default number of images of each split, for a source without a natural limit
    counts: dict[str, int] = field(default_factory=dict)
    # returns the downloads on this machine; None for a source that needs no download
    originals: Callable[[], list[Path]] | None = None


def read_procedural_flowers(
    split: str, image_size: int, count: int, seed: int
) -> Iterator[ImagesAndLabels]:
    """Yields procedural flowers and their parameters; no flower is in both splits."""
    begin = FIRST_VALIDATION_FLOWER if split == "validation" else 0
    for first in track(range(0, count, FLOWERS_AT_ONCE), "drawing flowers"):
        yield flowers.draw_flowers(
            min(FLOWERS_AT_ONCE, count - first), image_size, seed=seed, first=begin + first
        )


def flowers_fingerprint(seed: int) -> list:
    """Returns what the flowers depend on: the seed, and a hash of the code that draws them."""
    code = b"".join(Path(module.__file__ or "").read_bytes() for module in (flowers, painting))
    return [seed, hashlib.sha256(code).hexdigest()]


def read_digits(
    split: str, image_size: int, count: int | None, seed: int
) -> Iterator[ImagesAndLabels]:
    """Yields the 1,797 handwritten digits of scikit-learn, 8 x 8 pixels in 17 shades.

    `seed` has no effect.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    for position in split_by_name(range(len(digits.images)), split)[:count]:
        image = np.round(digits.images[position] * (255 / 16)).astype("uint8")
        yield resize_array(image, image_size)[None], digits.target[position : position + 1]


def _keras_source(name: str, flips: bool) -> Source:
    return Source(partial(read_keras, name), flips=flips, originals=partial(keras_originals, name))


SOURCES = {
    "procedural_flowers": Source(
        read_procedural_flowers,
        fingerprint=flowers_fingerprint,
        counts={"train": 8192, "validation": 1024},
    ),
    "digits": Source(read_digits, flips=False),
    "mnist": _keras_source("mnist", flips=False),
    "fashion_mnist": _keras_source("fashion_mnist", flips=False),
    "cifar10": _keras_source("cifar10", flips=True),
    "oxford_flowers102": Source(
        read_oxford_flowers, originals=partial(tfds_originals, "oxford_flowers102")
    ),
}


def find_source(name: str | Path) -> Source:
    """Returns the `Source` with this name, or for the folder of images at this path.

    Raises:
        UserError: if there is neither.
    """
    if name in SOURCES:
        return SOURCES[str(name)]
    folder = Path(name).expanduser()
    if folder.is_dir() and name != "":
        folder = folder.resolve()
        return Source(
            partial(read_folder, folder),
            fingerprint=lambda seed: [str(folder), list_fingerprint(folder)],
        )
    if folder.is_file():
        raise UserError(
            f"{folder} is a file: give the path of the folder that contains the images."
        )
    if isinstance(name, os.PathLike) or len(folder.parts) > 1:
        raise UserError(
            f"There is no folder {folder}: give the path of a folder of images, or one of "
            f"{', '.join(SOURCES)}."
        )
    near = difflib.get_close_matches(name, SOURCES, n=1)
    question = f" (did you mean '{near[0]}'?)" if near else ""
    raise UserError(
        f"There is no data set or folder '{name}'{question}: choose one of {', '.join(SOURCES)}, or"
        " give the path of a folder of images."
    )


def dataset_status(name: str) -> str:
    """Returns "embedded", "cached at ..." or "needs a download" for a name in `SOURCES`."""
    originals = SOURCES[name].originals
    if originals is None:
        return "embedded"
    found = [*originals(), *sorted(cache_folder().glob(f"{name}-*"))]
    return f"cached at {found[0]}" if found else "needs a download"
