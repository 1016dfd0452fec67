"""Sources that are downloaded once: those of keras.datasets, and Oxford Flowers 102 through
TensorFlow Datasets.
"""

import contextlib
import io
import logging
import os
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from diffusion_lab.data.images import ImagesAndLabels, read_image, resize_array
from diffusion_lab.data.progress import track
from diffusion_lab.data.splits import split_by_name
from diffusion_lab.errors import UserError


class Original(NamedTuple):
    """Where a source of Keras comes from, and the last file of it that Keras writes."""

    url: str
    last_file: str


KERAS_ORIGINALS = {
    "mnist": Original(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz", "mnist.npz"
    ),
    "fashion_mnist": Original(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/t10k-images-idx3-ubyte.gz",
        "fashion-mnist/t10k-images-idx3-ubyte.gz",
    ),
    "cifar10": Original(
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "cifar-10-batches-py-target_archive",
    ),
}


def keras_folder() -> Path:
    """Return the folder in which Keras keeps the data sets that it has downloaded."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets"


def keras_originals(name: str) -> list[Path]:
    """Return the downloaded file of a keras.datasets source: a list of one path, or of none."""
    return list(keras_folder().glob(KERAS_ORIGINALS[name].last_file))


def tfds_folder() -> Path:
    """Return the folder in which TensorFlow Datasets keeps what it has prepared."""
    return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def tfds_originals(name: str) -> list[Path]:
    """Return the folders that hold a version of a tfds data set, prepared to its end."""
    return [info.parent for info in tfds_folder().glob(f"{name}/*/dataset_info.json")]


def read_keras(
    name: str, split: str, image_size: int, count: int | None, seed: int
) -> Iterator[ImagesAndLabels]:
    """Yield `(images, labels)` of a keras.datasets source; its test images are "validation".

    `seed` has no effect.
    """
    import keras

    if not keras_originals(name):
        require_connection(name, KERAS_ORIGINALS[name].url, f"copy its files to {keras_folder()}")
    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises bare Exception when a download fails
        raise UserError(
            f"{name} cannot be read ({_first_line(error)}): delete its files in {keras_folder()}"
            " and try again, or take 'procedural_flowers', which needs no download."
        ) from error
    images, labels = train if split == "train" else test
    for image, label in track(list(zip(images[:count], labels[:count])), f"reading {name}"):
        yield resize_array(image, image_size)[None], np.reshape(label, 1)


def read_oxford_flowers(
    split: str, image_size: int, count: int | None, seed: int
) -> Iterator[ImagesAndLabels]:
    """Yield `(images, labels)` of Oxford Flowers 102, its three splits pooled and a fixed fifth set
    aside.

    Nilsback and Zisserman, "Automated Flower Classification over a Large Number of Classes", 2008.
    The official train split holds only 1,020 of the 8,189 images. `seed` has no effect.
    """
    import tensorflow_datasets as tfds

    builder = _prepared("oxford_flowers102", tfds)
    _leave_gpu_to_keras()
    with _quiet():
        pooled = builder.as_dataset(
            split="train+validation+test", decoders={"image": tfds.decode.SkipDecoding()}
        )
    total = sum(builder.info.splits[part].num_examples for part in ("train", "validation", "test"))
    chosen = set(split_by_name(range(total), split)[:count])
    for position, example in enumerate(track(pooled, "reading oxford_flowers102", total)):
        if position in chosen:
            image = read_image(io.BytesIO(example["image"].numpy()), image_size)
            yield image[None], example["label"].numpy().reshape(1)


def _prepared(name: str, tfds: Any) -> Any:
    """Return the tfds builder of a data set that has been downloaded and prepared, now or
    earlier.
    """
    with _quiet():
        builder = tfds.builder(name, data_dir=tfds_folder())
        if builder.is_prepared():
            return builder
    help_offline = f"set TFDS_DATA_DIR to a folder that holds it already (now {tfds_folder()})"
    require_connection(name, builder.info.homepage, help_offline)
    print(
        f"Downloading {name} from {builder.info.homepage} to {tfds_folder()}, which may take"
        " minutes ..."
    )
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        with _quiet():
            builder.download_and_prepare()
    except (
        Exception
    ) as error:  # network, disk, checksum, damaged archive: each has its own exceptions
        raise UserError(
            f"{name} cannot be prepared in {tfds_folder()} ({_first_line(error)}): try again, "
            f"{help_offline}, or take 'procedural_flowers', which needs no download."
        ) from error
    return builder


def _leave_gpu_to_keras() -> None:
    """Keep TensorFlow, where it only reads files, from reserving the memory of the GPU for
    itself.
    """
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # it has done so already
            tf.config.set_visible_devices([], "GPU")


def require_connection(name: str, url: str, help_offline: str, seconds: float = 8) -> None:
    """Raise UserError unless `url` begins to answer within `seconds`; the system's proxies are
    used.

    Those who download for us wait for minutes without a network. The attempt has a thread of its
    own because looking up a host's name obeys no timeout.
    """
    failure = [f"no answer in {seconds} seconds"]

    def attempt() -> None:
        try:
            urllib.request.urlopen(url, timeout=seconds / 2).close()
            failure.clear()
        except Exception as error:
            failure[:] = [_first_line(getattr(error, "reason", error))]

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise UserError(
            f"{name} cannot be fetched from {urlsplit(url).netloc} ({failure[0]}): connect to the"
            f" internet, {help_offline}, or take 'procedural_flowers' or a folder of images, which"
            " need no download."
        )


def _first_line(error: object) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the notices of TensorFlow Datasets off the screen."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
