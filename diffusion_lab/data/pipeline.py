"""Batches of images for `fit`, out of any source."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np

from diffusion_lab.backend import without_tf_autotuning
from diffusion_lab.data.cache import cache_folder, cached
from diffusion_lab.data.classes import class_numbers
from diffusion_lab.data.sources import FIRST_VALIDATION_FLOWER, SOURCES, find_source
from diffusion_lab.errors import MOST_PIXELS, UserError, seed_number, whole_number

SPLITS = ("train", "validation")
CACHE_VERSION = (
    2  # raise it when crop, resize or splits change, so that old caches are no longer found
)


@without_tf_autotuning
class ImageDataset(keras.utils.PyDataset):
    """Batches of float32 images (B, H, W, C) in [0, 1], out of a uint8 array (N, H, W, C) that may
    lie on disk.

    `labels` are what the source says about each image, in any form. With `classes`, int (N,), a
    batch is {"images": (B, H, W, C), "labels": int32 (B,)}, which a conditional model trains on.

    Order and flips of an epoch follow from `seed` and `epoch` alone, so a run that resumes can see
    what it would have seen. Call `fit(dataset, shuffle=False,
    callbacks=[dataset.epoch_callback()])` for that; by default Keras shuffles the batches once
    more, by a generator that no resumed run can restore.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        *,
        classes: np.ndarray | None = None,
        flip: bool = False,
        shuffle: bool = False,
        drop_remainder: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.images = images
        self.labels = labels
        self.classes = classes
        self.image_shape = images.shape[1:]
        self.batch_size = batch_size
        self.flip = flip
        self.shuffle = shuffle
        self.drop_remainder = drop_remainder
        self.seed = seed
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """The number of the epoch, from 0; order and flips follow from it."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        count = len(self.images)
        self._order = (
            np.random.default_rng([self.seed, epoch]).permutation(count)
            if self.shuffle
            else np.arange(count)
        )

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def contents(self) -> str:
        """Return a hash of all images and classes: equal for equal data, wherever they lie."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        for first in range(0, len(self.images), 256):
            digest.update(np.ascontiguousarray(self.images[first : first + 256]).data)
        if self.classes is not None:
            digest.update(np.asarray(self.classes, "int32").tobytes())
        return digest.hexdigest()[:16]

    def epoch_callback(self) -> keras.callbacks.Callback:
        """Return a callback that keeps `epoch` equal to fit's, `initial_epoch` included.

        Without it every epoch has an order of its own too, but which one is left to Keras, which
        ends an epoch more than it begins.
        """
        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: setattr(self, "epoch", epoch)
        )

    def __len__(self) -> int:
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + (rest > 0 and not self.drop_remainder)

    def __getitem__(self, index: int) -> np.ndarray | dict[str, np.ndarray]:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        batch = self.images[rows].astype("float32") / 255
        if self.flip:
            mirrored = (
                np.random.default_rng([self.seed, self.epoch, 1 + index]).random(len(rows)) < 0.5
            )
            batch[mirrored] = batch[mirrored, :, ::-1]
        return (
            batch
            if self.classes is None
            else {"images": batch, "labels": self.classes[rows].astype("int32")}
        )


def load_dataset(
    name: str | Path,
    split: str = "train",
    image_size: int = 64,
    batch_size: int = 64,
    *,
    count: int | None = None,
    flip: bool | None = None,
    shuffle: bool | None = None,
    seed: int = 0,
    labels: bool = False,
    cache_dir: str | Path | None = None,
) -> ImageDataset:
    """Return an ImageDataset: centre-cropped, resized, antialiased, cached on disk.

    `name` is a key of SOURCES or the path of a folder of images; `split` is "train" or
    "validation". `count` limits the number of images. By default, training sets of flowers and
    photographs are flipped at random and training sets are shuffled; `flip` and `shuffle` (True or
    False) say otherwise. Training drops an incomplete last batch. `seed` determines the order, the
    flips, and which procedural flowers are drawn, but never which images validate. With `labels`,
    batches are {"images", "labels"}: the number of each image's class, in the order of
    `class_names(name)`. `cache_dir` takes the place of $DIFFUSION_LAB_CACHE.

    Raises UserError for a name, split or number that cannot be, for images that cannot be read or
    fetched, and for a cache that cannot be written.
    """
    if split not in SPLITS:
        raise UserError(f"There is no split {split!r}: choose 'train' or 'validation'.")
    image_size, batch_size = (
        whole_number("image_size", image_size, most=MOST_PIXELS),
        whole_number("batch_size", batch_size),
    )
    seed = seed_number(seed)
    source = find_source(name)
    count = (
        source.counts.get(split)
        if count is None
        else whole_number("count", count, most=FIRST_VALIDATION_FLOWER)
    )

    title = str(name) if name in SOURCES else Path(name).expanduser().resolve().name
    folder = cache_folder(cache_dir) / _cache_name(
        title, split, image_size, count, source.fingerprint(seed)
    )
    images, source_labels = cached(folder, lambda: source.read(split, image_size, count, seed))

    training = split == "train"
    if training and len(images) < batch_size:
        raise UserError(
            f"The training set of {title} has {len(images)} image(s), fewer than one batch of "
            f"{batch_size}: choose a batch size (--batch-size) of at most {len(images)}."
        )
    return ImageDataset(
        images,
        source_labels,
        batch_size,
        classes=class_numbers(name, source_labels) if labels else None,
        flip=training and source.flips if flip is None else flip,
        shuffle=training if shuffle is None else shuffle,
        drop_remainder=training,
        seed=seed,
    )


def _cache_name(title: str, split: str, image_size: int, *others: Any) -> str:
    """Return a folder's name: readable at its beginning, and different whenever an argument
    differs.
    """
    key = json.dumps([CACHE_VERSION, title, split, image_size, *others])
    readable = re.sub(r"[^A-Za-z0-9_]+", "_", title)[:40]
    return f"{readable}-{split}-{image_size}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
