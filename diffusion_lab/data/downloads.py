"""Data sets that are downloaded once, with keras.datasets or TensorFlow Datasets (tfds)."""

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
    """Where Keras downloads a data set from, and the last file of it that Keras writes."""

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
    """Returns the folder in which Keras stores the data sets that it has downloaded."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets"


def keras_originals(name: str) -> list[Path]:
    """Returns the paths of what Keras has downloaded of a data set: one or none."""
    return list(keras_folder().glob(KERAS_ORIGINALS[name].last_file))


def tfds_folder() -> Path:
    """Returns the folder in which tfds stores the data sets that it has prepared."""
    return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def tfds_originals(name: str) -> list[Path]:
    """Returns the folders of all completely prepared versions of a tfds data set."""
    return [info.parent for info in tfds_folder().glob(f"{name}/*/dataset_info.json")]


def read_keras(
    name: str, split: str, image_size: int, count: int | None, seed: int
) -> Iterator[ImagesAndLabels]:
    """Yields `(images, labels)` of a data set from keras.datasets.

    Its test images are the split "validation". `seed` has no effect.
    """
    import keras

    if not keras_originals(name):
        require_connection(name, KERAS_ORIGINALS[name].url, f"copy its files to {keras_folder()}")
    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises bare Exception when a download fails
        raise UserError(
            f"{name} cannot be read ({_first_line(error)}): delete its files in {keras_folder()}"
            " and try again, or use 'procedural_flowers', which needs no download."
        ) from error
    images, labels = train if split == "train" else test
    for image, label in track(list(zip(images[:count], labels[:count])), f"reading {name}"):
        yield resize_array(image, image_size)[None], np.reshape(label, 1)


def read_oxford_flowers(
    split: str, image_size: int, count: int | None, seed: int
) -> Iterator[ImagesAndLabels]:
    """Yields `(images, labels)` of Oxford Flowers 102.

    The three official splits are pooled, and a fixed fifth of the images is used for validation,
    because the official training split has only 1,020 of the 8,189 images. `seed` has no effect.
    Nilsback and Zisserman, "Automated Flower Classification over a Large Number of Classes", 2008.
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
    """Returns the tfds builder of a data set; downloads and prepares it if necessary."""
    with _quiet():
        builder = tfds.builder(name, data_dir=tfds_folder())
        if builder.is_prepared():
            return builder
    help_offline = f"set TFDS_DATA_DIR to a folder that has it already (now {tfds_folder()})"
    require_connection(name, builder.info.homepage, help_offline)
    print(
        f"Downloading {name} from {builder.info.homepage} to {tfds_folder()}. This may take"
        " minutes ..."
    )
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        with _quiet():
            builder.download_and_prepare()
    except Exception as error:  # network, disk, checksum and archive have their own exceptions
        raise UserError(
            f"{name} cannot be prepared in {tfds_folder()} ({_first_line(error)}): try again, "
            f"{help_offline}, or use 'procedural_flowers', which needs no download."
        ) from error
    return builder


def _leave_gpu_to_keras() -> None:
    """Keeps TensorFlow from reserving all GPU memory when it is not Keras's backend."""
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # it has reserved the memory already
            tf.config.set_visible_devices([], "GPU")


def require_connection(name: str, url: str, help_offline: str, seconds: float = 8) -> None:
    """Raises UserError unless `url` starts to answer within `seconds`.

    Without a network, the downloaders that we use would try for minutes. The request runs in a
    thread because the lookup of a host name has no timeout. The system's proxies are used.
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
            f"{name} cannot be downloaded from {urlsplit(url).netloc} ({failure[0]}): connect to"
            f" the internet, {help_offline}, or use 'procedural_flowers' or a folder of images,"
            " which need no download."
        )


def _first_line(error: object) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides the messages of TensorFlow Datasets."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
