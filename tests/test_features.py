"""Feature extractors: what they accept, and that flower features detect every corruption."""

import keras
import numpy as np
import pytest

from diffusion_lab.data import downloads
from diffusion_lab.data.flowers import draw_flowers
from diffusion_lab.errors import UserError
from diffusion_lab.metrics import (
    KID,
    encode,
    flower_features,
    inception_features,
    kernel_inception_distance,
    kid_with_standard_error,
)
from diffusion_lab.metrics.corruptions import KINDS, corrupt
from diffusion_lab.metrics.features import FeatureExtractor, flower_network, resize
from diffusion_lab.pretrained.train_features import (
    FIRST_FLOWER,
    CorruptedFlowers,
    flower_targets,
    train,
)


class Mean(FeatureExtractor):
    """An extractor whose features are easy to compute: the mean colour of its input."""

    def __init__(self, image_size=8):
        images = keras.Input((image_size, image_size, 3))
        super().__init__(
            keras.Model(images, keras.layers.GlobalAveragePooling2D()(images)), name="mean"
        )


def random_images(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_network_sees_images_between_minus_one_and_one():
    images = random_images((5, 8, 8, 3))
    expected = images.mean(axis=(1, 2)) / 127.5 - 1
    np.testing.assert_allclose(encode(Mean(), images), expected, atol=1e-5)
    np.testing.assert_allclose(encode(Mean(), images / 255), expected, atol=1e-5)


def test_grey_images_are_repeated_and_other_sizes_resized():
    grey = random_images((4, 16, 16, 1))
    np.testing.assert_allclose(
        encode(Mean(), grey), encode(Mean(), grey.repeat(3, axis=-1)), atol=1e-6
    )
    assert encode(flower_features(), random_images((2, 50, 40, 1))).shape == (2, 128)


@pytest.mark.parametrize("shape", [(2, 64, 64, 3), (1, 50, 33, 3), (2, 8, 8, 1), (1, 20, 75, 3)])
def test_resizing_equals_that_of_keras(shape):
    images = np.random.default_rng(0).random(shape, np.float32)
    expected = keras.ops.image.resize(images, (32, 32), antialias=True)
    np.testing.assert_allclose(resize(keras.ops.convert_to_tensor(images), 32), expected, atol=1e-5)


def test_resizing_works_inside_a_compiled_test_step_with_xla():
    class Measured(keras.Model):
        def __init__(self):
            super().__init__()
            self.kid = KID(Mean(8))

        def call(self, images):
            return images**2

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            self.kid.update_state(x, y_pred)
            return self.get_metrics_result()

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.mean(y_pred)

    images = random_images((6, 20, 20, 3)).astype(np.float32) / 255
    values = []
    for jit_compile in (False, True):
        model = Measured()
        model.compile(jit_compile=jit_compile)
        values.append(model.evaluate(images, batch_size=6, verbose=0, return_dict=True)["kid_mean"])
    expected = kernel_inception_distance(encode(Mean(8), images), encode(Mean(8), images**2))
    assert values == pytest.approx([expected, expected], abs=1e-5)


def test_encoding_does_not_depend_on_the_batch_size():
    images = random_images((10, 32, 32, 3))
    np.testing.assert_allclose(
        encode(flower_features(), images, batch_size=3),
        encode(flower_features(), images),
        atol=1e-4,
    )


def test_a_memory_map_is_encoded_piece_by_piece(tmp_path):
    images = random_images((7, 8, 8, 3))
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_allclose(
        encode(Mean(), mapped, batch_size=2), encode(Mean(), images), atol=1e-6
    )


def test_features_do_not_depend_on_the_global_policy():
    images = random_images((4, 32, 32, 3))
    expected = encode(flower_features(), images)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        np.testing.assert_allclose(
            encode(flower_features(), images), expected, rtol=1e-4, atol=1e-4
        )
        assert inception_features(75, weights=None).network.compute_dtype == "float32"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((0, 8, 8, 3), np.uint8), "shape"),
        (np.zeros((8, 8, 3), np.uint8), "shape"),
        (np.zeros((2, 8, 8, 4), np.uint8), "1 or 3"),
        (np.full((2, 8, 8, 3), np.nan), "NaN"),
        (np.full((2, 8, 8, 3), -1.0), "Denormalise"),
    ],
)
def test_bad_images_are_refused(images, message):
    with pytest.raises(UserError, match=message):
        encode(Mean(), images)


def test_inception_gives_2048_features_of_any_image():
    extractor = inception_features(75, weights=None)
    assert extractor.name == "inception_75"
    assert encode(extractor, random_images((2, 32, 32, 1))).shape == (2, 2048)


def test_inception_reads_a_local_file(tmp_path):
    keras.utils.set_random_seed(1)
    first = inception_features(75, weights=None)
    first.network.save_weights(tmp_path / "local.weights.h5")
    second = inception_features(75, weights=str(tmp_path / "local.weights.h5"))
    for a, b in zip(first.network.get_weights(), second.network.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_inception_refuses_other_sizes_and_bad_files(tmp_path):
    with pytest.raises(UserError, match="75, 150 or 299"):
        inception_features(64, weights=None)
    with pytest.raises(UserError, match="no weights file"):
        inception_features(75, weights=str(tmp_path / "missing.h5"))
    (tmp_path / "text.weights.h5").write_text("not weights")
    with pytest.raises(UserError, match="cannot be read"):
        inception_features(75, weights=str(tmp_path / "text.weights.h5"))


def test_inception_without_a_network_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(downloads.urllib.request, "urlopen", refuse)
    with pytest.raises(UserError, match='cannot be downloaded: use the features "flowers"'):
        inception_features(75)


def test_flower_network_is_small():
    assert flower_network().count_params() == 271_137


@pytest.fixture(scope="module")
def flowers():
    """The extractor, features of 500 flowers, and 500 other flowers, all unseen in training."""
    extractor = flower_features()
    images, _ = draw_flowers(1000, 32, seed=1)
    return extractor, encode(extractor, images[:500]), images[500:].astype(np.float32) / 255


def test_real_flowers_are_at_distance_zero(flowers):
    extractor, real, clean = flowers
    kid, standard_error = kid_with_standard_error(real, encode(extractor, clean))
    assert abs(kid) < 3 * standard_error


@pytest.mark.parametrize("kind", KINDS)
def test_kid_increases_with_the_strength_of_every_corruption(flowers, kind):
    extractor, real, clean = flowers
    rng = np.random.default_rng(0)
    spoiled = [
        encode(extractor, corrupt(clean, kind, strength, rng)) for strength in (0.2, 0.4, 0.8)
    ]
    values = [
        kernel_inception_distance(real, part) for part in (encode(extractor, clean), *spoiled)
    ]
    assert values == sorted(values)
    assert values[1] > 2 * kid_with_standard_error(real, spoiled[0], repeats=20).standard_error


@pytest.mark.parametrize("kind", KINDS)
def test_corruptions_keep_the_range_and_do_nothing_at_strength_zero(kind):
    images = random_images((6, 20, 20, 3)).astype(np.float32) / 255
    spoiled = corrupt(images, kind, 1.0, np.random.default_rng(0))
    assert spoiled.dtype == np.float32 and spoiled.min() >= 0 and spoiled.max() <= 1
    assert np.abs(spoiled - images).mean() > 0.03
    np.testing.assert_allclose(
        corrupt(images, kind, 0.0, np.random.default_rng(0)), images, atol=1e-6
    )


def test_targets_are_standardised_and_do_not_jump():
    _, labels = draw_flowers(300, 8, seed=2)
    targets = flower_targets(labels)
    np.testing.assert_allclose(targets.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(targets.std(axis=0), 1, atol=1e-4)
    turned = labels.copy()
    # turned by one petal, a flower looks the same
    turned["rotation"] += 2 * np.pi / labels["petals"]
    turned["tilt_direction"] += np.pi
    turned["hue"] += 1
    np.testing.assert_allclose(flower_targets(turned), targets, atol=1e-3)


def test_training_data_weights_each_task_on_its_images():
    images, labels = draw_flowers(64, 32, first=FIRST_FLOWER)
    inputs, targets, weights = CorruptedFlowers(images, labels, 64, seed=0)[0]
    clean = targets["kind"] == 0
    assert 0 < clean.sum() < 64 and -1 <= inputs.min() < inputs.max() <= 1
    assert (weights["parameters"][clean] > 0).all() and not weights["parameters"][~clean].any()
    assert (weights["strength"][~clean] > 0).all() and not targets["strength"][clean].any()


def test_training_gives_standardised_features():
    network = train(seed=0, count=64, epochs=1, batch_size=16)
    images, labels = draw_flowers(64, 32, first=FIRST_FLOWER)
    given = np.concatenate(
        [CorruptedFlowers(images, labels, 16, seed=s)[i][0] for s in range(3) for i in range(4)]
    )
    outputs = keras.ops.convert_to_numpy(network(given))
    assert 0.5 < outputs.std(axis=0).mean() < 1.5 and abs(outputs.mean()) < 0.5
