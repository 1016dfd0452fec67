"""Batches, their order, and the errors of data sets; other files test cache and downloads."""

import io
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from diffusion_lab.data import (
    SOURCES,
    ImageDataset,
    class_names,
    dataset_status,
    flowers,
    load_dataset,
)
from diffusion_lab.data.images import resize_array
from diffusion_lab.data.progress import track
from diffusion_lab.data.splits import split_by_name
from diffusion_lab.errors import UserError


def numbered_images(count):
    """Returns images of 2 x 2 pixels: the left column is the image's number, the right one 255."""
    images = np.full((count, 2, 2, 1), 255, dtype="uint8")
    images[:, :, 0, 0] = np.arange(count)[:, None]
    return images


def numbers_in(batch):
    return np.round(batch.min(axis=(1, 2, 3)) * 255).astype(int).tolist()


def order_of_epoch(dataset):
    return [number for batch in dataset for number in numbers_in(batch)]


def test_digits_of_8_pixels_are_those_of_scikit_learn(tmp_path):
    training = load_dataset("digits", "train", image_size=8, cache_dir=tmp_path)
    validation = load_dataset("digits", "validation", image_size=8, cache_dir=tmp_path)
    digits = load_digits()
    assert 0.18 < len(validation.images) / len(digits.images) < 0.22
    read = sorted(
        (int(label), image.tobytes())
        for dataset in (training, validation)
        for image, label in zip(dataset.images, dataset.labels)
    )
    expected = sorted(
        (int(label), np.round(image * 255 / 16).astype("uint8").tobytes())
        for image, label in zip(digits.images, digits.target)
    )
    assert read == expected  # every image is in one of the splits, and none is in both
    batch = training[0]
    assert (batch.shape, batch.dtype) == ((64, 8, 8, 1), np.float32)
    assert batch.min() == 0 and batch.max() == 1


def test_a_data_set_of_procedural_flowers_is_what_draw_flowers_returns(tmp_path):
    dataset = load_dataset(
        "procedural_flowers", image_size=8, batch_size=4, count=70, seed=3, cache_dir=tmp_path
    )
    images, labels = flowers.draw_flowers(70, 8, seed=3)
    np.testing.assert_array_equal(dataset.images, images)
    np.testing.assert_array_equal(dataset.labels, labels)
    validation = load_dataset(
        "procedural_flowers", "validation", image_size=8, count=70, seed=3, cache_dir=tmp_path
    )
    assert not {image.tobytes() for image in images} & {
        image.tobytes() for image in validation.images
    }


def test_number_of_procedural_flowers(tmp_path, monkeypatch):
    monkeypatch.setattr(
        flowers,
        "draw_flowers",
        lambda count, image_size, seed, first: (
            np.zeros((count, image_size, image_size, 3), "uint8"),
            np.arange(first, first + count),
        ),
    )
    training = load_dataset("procedural_flowers", image_size=1, cache_dir=tmp_path)
    validation = load_dataset("procedural_flowers", "validation", image_size=1, cache_dir=tmp_path)
    assert training.labels.tolist() == list(range(8192))
    assert len(validation.labels) == 1024 and validation.labels.min() > 8192


def test_batches_with_labels_keep_each_image_with_its_class():
    numbers = np.arange(50)
    dataset = ImageDataset(
        numbered_images(50), numbers, 8, classes=numbers % 7, shuffle=True, flip=True
    )
    for batch in dataset:
        assert batch["labels"].dtype == np.int32
        assert [number % 7 for number in numbers_in(batch["images"])] == batch["labels"].tolist()


def test_the_class_of_a_procedural_flower_is_its_colour(tmp_path):
    dataset = load_dataset(
        "procedural_flowers",
        image_size=32,
        batch_size=64,
        count=64,
        labels=True,
        shuffle=False,
        cache_dir=tmp_path,
    )
    batch, names = dataset[0], class_names("procedural_flowers")
    np.testing.assert_array_equal(batch["labels"], dataset.labels["colour"])
    middle = batch["images"][:, 8:24, 8:24].mean(axis=(1, 2))
    redness = middle[:, 0] - middle[:, 2]  # red against blue, where the petals are
    reds, blues = (redness[batch["labels"] == names.index(name)] for name in ("red", "blue"))
    assert len(reds) > 3 and len(blues) > 3 and np.median(reds) > 0.1 > -0.1 > np.median(blues)


def test_the_class_of_a_digit_is_its_number(tmp_path):
    dataset = load_dataset("digits", "validation", image_size=8, labels=True, cache_dir=tmp_path)
    assert class_names("digits") == tuple("0123456789")
    np.testing.assert_array_equal(dataset[0]["labels"], dataset.labels[:64])


def test_the_class_of_an_image_in_a_folder_is_its_sub_folder(tmp_path):
    folder = tmp_path / "images"
    for number in range(20):
        name = ("rose", "aster")[number % 2]
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 100 * (number % 2), "uint8")).save(
            folder / name / f"{number}.png"
        )
    dataset = load_dataset(
        folder, image_size=8, batch_size=4, labels=True, cache_dir=tmp_path / "cache"
    )
    assert class_names(folder) == ("aster", "rose")
    for batch in dataset:
        np.testing.assert_array_equal(
            batch["labels"] == 0, batch["images"].mean(axis=(1, 2, 3)) > 0.2
        )


def test_every_source_has_as_many_names_as_classes():
    assert {name: len(class_names(name)) for name in SOURCES} == {
        "procedural_flowers": 7,
        "digits": 10,
        "mnist": 10,
        "fashion_mnist": 10,
        "cifar10": 10,
        "oxford_flowers102": 102,
    }


def test_every_epoch_shows_every_image_once_in_a_different_order():
    dataset = ImageDataset(numbered_images(50), np.arange(50), 8, shuffle=True)
    first = order_of_epoch(dataset)
    dataset.on_epoch_end()
    second = order_of_epoch(dataset)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second and first != sorted(first)


def test_a_resumed_run_sees_what_it_would_have_seen():
    def new_dataset(seed=7):
        return ImageDataset(
            numbered_images(50), np.arange(50), 8, shuffle=True, flip=True, seed=seed
        )

    running, resumed = new_dataset(), new_dataset()
    for _ in range(3):
        running.on_epoch_end()
    resumed.epoch = 3
    # the order in which batches are read does not matter either
    for batch in reversed(range(len(resumed))):
        np.testing.assert_array_equal(resumed[batch], running[batch])
    resumed.epoch = 4
    assert order_of_epoch(resumed) != order_of_epoch(running)
    assert order_of_epoch(new_dataset(seed=8)) != order_of_epoch(new_dataset())


class MeanBrightness(keras.Model):
    """Its loss is the mean of the images, which shows the images it received."""

    def __init__(self):
        super().__init__()
        self.unused = self.add_weight(shape=())
        self.built = True

    def call(self, images):
        return images

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(x) + 0 * self.unused


def test_fit_trains_on_the_images_in_the_order_of_its_epochs():
    dataset = ImageDataset(numbered_images(20), np.arange(20), 4, shuffle=True)
    expected = []
    for dataset.epoch in (1, 2):
        means = [batch.mean() for batch in dataset]
        expected += [np.mean(means[: number + 1]) for number in range(5)]
    seen = []  # Keras reports the mean loss of an epoch so far
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(logs["loss"])
    )
    model = MeanBrightness()
    model.compile(optimizer="sgd")
    model.fit(
        dataset,
        initial_epoch=1,
        epochs=3,
        shuffle=False,
        verbose=0,
        callbacks=[dataset.epoch_callback(), record],
    )
    assert seen == pytest.approx(expected, rel=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a matter of tf.data alone")
def test_fit_does_not_tune_the_pipeline():
    """Otherwise `fit` would not return before the sleeping tuner wakes up."""
    from keras.src.trainers.data_adapters import get_data_adapter

    pipeline = get_data_adapter(ImageDataset(numbered_images(8), None, 4)).get_tf_dataset()
    assert pipeline.options().autotune.enabled is False


def test_flips_mirror_about_half_of_the_images():
    images = numbered_images(200)
    dataset = ImageDataset(images, np.arange(200), 200, flip=True)
    batch = dataset[0]
    original = images.astype("float32") / 255
    mirrored = (batch == original[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((batch == original).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert 70 < mirrored.sum() < 130
    other_seed = ImageDataset(images, np.arange(200), 200, flip=True, seed=1)
    assert (other_seed[0] != batch).any()
    dataset.epoch = 1
    assert (dataset[0] != batch).any()


@pytest.mark.parametrize(
    "name, split, flips, shuffles",
    [
        ("procedural_flowers", "train", True, True),
        ("procedural_flowers", "validation", False, False),
        ("digits", "train", False, True),
    ],
)
def test_what_is_flipped_and_shuffled_by_default(name, split, flips, shuffles, tmp_path):
    dataset = load_dataset(name, split, image_size=8, batch_size=2, count=4, cache_dir=tmp_path)
    assert (dataset.flip, dataset.shuffle) == (flips, shuffles)
    asked = load_dataset(
        name, split, 8, 2, count=4, flip=not flips, shuffle=not shuffles, cache_dir=tmp_path
    )
    assert (asked.flip, asked.shuffle) == (not flips, not shuffles)


def test_only_training_drops_an_incomplete_batch(tmp_path):
    sizes = {
        split: [
            len(batch)
            for batch in load_dataset("digits", split, 8, 8, count=20, cache_dir=tmp_path)
        ]
        for split in ("train", "validation")
    }
    assert sizes == {"train": [8, 8], "validation": [8, 8, 4]}
    with pytest.raises(UserError, match="20 image.*batch of 21.*at most 20"):
        load_dataset("digits", "train", 8, 21, count=20, cache_dir=tmp_path)


def test_a_batch_outside_the_set():
    dataset = ImageDataset(numbered_images(8), np.arange(8), 4)
    with pytest.raises(IndexError):
        dataset[2]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "fashion_mnst"}, "did you mean 'fashion_mnist'.*procedural_flowers"),
        ({"name": ""}, "no data set or folder ''"),
        ({"name": "no/such/folder"}, "no folder no/such/folder"),
        ({"split": "test"}, "no split 'test'.*'train' or 'validation'"),
        ({"image_size": 0}, "image_size must .* at least 1, but it is 0"),
        ({"image_size": 8.5}, "image_size must .* but it is 8.5"),
        ({"image_size": 10**9}, "image_size must .* at most"),
        ({"batch_size": 0}, "batch_size must .* but it is 0"),
        ({"batch_size": float("nan")}, "batch_size must .* but it is nan"),
        ({"count": 0}, "count must .* but it is 0"),
        ({"count": 10**12}, "count must .* at most"),
        ({"seed": -1}, "seed must .* but it is -1"),
        ({"seed": 2**32}, "seed must .* at most"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load_dataset(**{"name": "digits", "cache_dir": tmp_path, **arguments})


def test_split_by_name_is_fixed_and_stable():
    names = [f"{number}.png" for number in range(1000)]
    training, validation = split_by_name(names, "train"), split_by_name(names, "validation")
    assert sorted(training + validation) == list(range(1000)) and 160 < len(validation) < 240
    assert training != sorted(training)
    backwards = split_by_name(names[::-1], "validation")
    assert [names[::-1][position] for position in backwards] == [
        names[position] for position in validation
    ]
    training_alone = split_by_name([names[position] for position in training], "train")
    assert len(training_alone) >= len(training) - 2, (
        "the split of an image does not depend on the others"
    )


@pytest.mark.parametrize("count", [5, 6, 9, 20, 100])
def test_adding_images_moves_no_training_image_to_validation(count):
    for round in range(50):
        names = [f"{round}/{number}" for number in range(count + 30)]
        trained = {names[position] for position in split_by_name(names[:count], "train")}
        for more in (1, 2, 30):
            validation = split_by_name(names[: count + more], "validation")
            assert len(validation) >= 2 and not trained & {
                names[position] for position in validation
            }


def test_fewer_than_five_images_are_all_for_training():
    assert (
        sorted(split_by_name("abcd", "train")) == [0, 1, 2, 3]
        and split_by_name("abcd", "validation") == []
    )


def test_resizing_an_array_averages_it():
    checkerboard = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(255)
    small = resize_array(checkerboard.astype("uint8"), 8)
    assert small.shape == (8, 8, 1)
    assert abs(small.astype(int) - 127).max() <= 4  # without antialiasing it would be 0 or 255
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype="uint8")
    np.testing.assert_array_equal(resize_array(colours, 8), colours)


def test_status_of_every_source(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("DIFFUSION_LAB_CACHE", str(tmp_path / "cache"))
    missing = {"mnist", "fashion_mnist", "cifar10", "oxford_flowers102"}
    assert {name: dataset_status(name) for name in SOURCES} == {
        name: "needs a download" if name in missing else "embedded" for name in SOURCES
    }
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    (tmp_path / "keras" / "datasets" / "mnist.npz").touch()
    (tmp_path / "tfds" / "oxford_flowers102" / "2.1.1").mkdir(parents=True)
    (tmp_path / "tfds" / "oxford_flowers102" / "2.1.1" / "oxford_flowers102-train.tfrecord").touch()
    # tfds did not finish its preparation
    assert dataset_status("oxford_flowers102") == "needs a download"
    (tmp_path / "tfds" / "oxford_flowers102" / "2.1.1" / "dataset_info.json").touch()
    (tmp_path / "cache" / "cifar10-train-32-0123").mkdir(parents=True)
    assert dataset_status("mnist") == f"cached at {tmp_path}/keras/datasets/mnist.npz"
    assert (
        dataset_status("oxford_flowers102") == f"cached at {tmp_path}/tfds/oxford_flowers102/2.1.1"
    )
    assert dataset_status("cifar10") == f"cached at {tmp_path}/cache/cifar10-train-32-0123"


def test_a_progress_bar_shows_brackets_as_they_are(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("diffusion_lab.data.progress.PATIENCE", -1)
    monkeypatch.setenv("TERM", "xterm")
    assert list(track([1, 2], "reading photos[old]")) == [1, 2]
    assert "photos[old]" in terminal.getvalue()
