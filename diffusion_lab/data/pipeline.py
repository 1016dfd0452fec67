"""Batches of images for `fit`, from any data set."""

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
# increase this when cropping, resizing or splits change, so that old caches are no longer used
CACHE_VERSION = 2


@without_tf_autotuning
class ImageDataset(keras.utils.PyDataset):
    """Batches of float32 images (B, H, W, C) in [0, 1], from a uint8 array that may be on disk.

    Order and flips of an epoch depend on `seed` and `epoch` alone, so a resumed run sees what it
    would have seen without the interruption. This needs `fit(dataset, shuffle=False,
    callbacks=[dataset.epoch_callback()])`: by default, Keras shuffles the batches again, with a
    generator that a resumed run cannot restore.

    Args:
        images: uint8, (N, H, W, C).
        labels: what the source says about each image, in any form.
        batch_size: images per batch.
        classes: int (N,), or None. With classes, a batch is {"images": (B, H, W, C), "labels":
            int32 (B,)}, as a conditional model needs it.
        flip: True to mirror half of the images, chosen at random.
        shuffle: True for a random order.
        drop_remainder: True to drop an incomplete last batch.
        seed: of order and flips.
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
        """The number of the epoch, from 0. Order and flips depend on it."""
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
        """Returns a hash of all images and classes, which is equal for equal data."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        for first in range(0, len(self.images), 256):
            digest.update(np.ascontiguousarray(self.images[first : first + 256]).data)
        if self.classes is not None:
            digest.update(np.asarray(self.classes, "int32").tobytes())
        return digest.hexdigest()[:16]

    def epoch_callback(self) -> keras.callbacks.Callback:
        """Returns a callback that keeps `epoch` equal to that of `fit`, including `initial_epoch`.

        Without it, each epoch also has a different order, but `epoch` may not be the number of the
        epoch, because Keras calls `on_epoch_end` one time too many.
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
    """Returns an `ImageDataset` of centre-cropped, resized images, which are cached on disk.

    A training set drops an incomplete last batch.

    Args:
        name: a key of `SOURCES`, or the path of a folder of images.
        split: "train" or "validation".
        image_size: in pixels; images are antialiased when they are made smaller.
        batch_size: images per batch.
        count: the largest number of images; None for all.
        flip: whether to mirror images at random; by default, in training sets of flowers and
            photographs.
        shuffle: whether to shuffle the images; by default, in training sets.
        seed: of the order, the flips, and the procedural flowers. The split does not depend on it.
        labels: True for batches of {"images", "labels"}, where a label is the number of the image's
            class, in the order of `class_names(name)`.
        cache_dir: replaces $DIFFUSION_LAB_CACHE.

    Raises:
        UserError: for an unknown name or split, a number out of range, images that cannot be read
            or downloaded, and a cache that cannot be written.
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
    """Returns a folder name that begins readably, and is unique for these arguments."""
    key = json.dumps([CACHE_VERSION, title, split, image_size, *others])
    readable = re.sub(r"[^A-Za-z0-9_]+", "_", title)[:40]
    return f"{readable}-{split}-{image_size}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
