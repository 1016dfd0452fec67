"""Nearest training neighbours against brute force."""

import numpy as np
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.metrics import measure_memorisation, nearest_training_neighbours, neighbours


def random_images(count, seed, size=6):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def brute_force(generated, training, k):
    distances = [
        [
            min(
                np.sqrt(np.mean((image - other) ** 2)),
                np.sqrt(np.mean((image - other[:, ::-1]) ** 2)),
            )
            for other in training / 255.0
        ]
        for image in generated / 255.0
    ]
    indices = np.argsort(distances, axis=1)[:, :k]
    return indices, np.take_along_axis(np.array(distances), indices, axis=1)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("largest_array", [2**22, 1000])  # 1000: nine training images in a chunk
def test_equals_brute_force(monkeypatch, k, largest_array):
    monkeypatch.setattr(neighbours, "LARGEST_ARRAY", largest_array)
    generated, training = random_images(20, 0), random_images(50, 1)
    indices, distances = nearest_training_neighbours(generated, training, k)
    expected_indices, expected_distances = brute_force(generated, training, k)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-6)


@pytest.mark.parametrize("as_float", [False, True])
def test_copies_and_mirror_images_are_at_distance_zero(as_float):
    training = random_images(30, 2)
    generated = np.stack([training[17], training[4, :, ::-1]])
    if as_float:
        generated = generated.astype(np.float32) / 255
    indices, distances = nearest_training_neighbours(generated, training)
    assert indices.tolist() == [[17], [4]]
    assert distances.tolist() == [[0.0], [0.0]]


def test_an_upside_down_copy_is_not_a_copy():
    training = random_images(3, 3)
    assert nearest_training_neighbours(training[:1, ::-1], training)[1] > 0.1


def test_distances_are_in_units_of_the_pixel_range():
    black, white = np.zeros((1, 4, 4, 1), np.uint8), np.full((1, 4, 4, 1), 255, np.uint8)
    assert nearest_training_neighbours(black, white)[1] == 1.0


def test_a_memory_map_is_read_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbours, "LARGEST_ARRAY", 1000)
    training = random_images(50, 4)
    np.save(tmp_path / "training.npy", training)

    class Watched(np.memmap):
        largest = 0

        def __getitem__(self, rows):
            Watched.largest = max(Watched.largest, super().__getitem__(rows).shape[0])
            return np.asarray(super().__getitem__(rows))

    mapped = np.load(tmp_path / "training.npy", mmap_mode="r").view(Watched)
    indices, _ = nearest_training_neighbours(training[40:42], mapped)
    assert indices.ravel().tolist() == [40, 41]
    assert 0 < Watched.largest < 50


def test_memorised_images_stand_out():
    rng = np.random.default_rng(5)
    training, validation, fresh = random_images(60, 6), random_images(40, 7), random_images(40, 8)
    copies = np.clip(training[:40] / 255 + rng.normal(0, 0.01, (40, 6, 6, 3)), 0, 1)
    honest = measure_memorisation(fresh, training, validation)
    assert honest.generated_distance == pytest.approx(honest.reference_distance, rel=0.05)
    assert honest.suspicious_share < 0.2
    memorised = measure_memorisation(copies, training, validation)
    assert memorised.generated_distance == pytest.approx(0.01, rel=0.1)
    assert memorised.reference_distance == honest.reference_distance
    assert memorised.suspicious_share == 1.0


@pytest.mark.parametrize(
    "generated, k, message",
    [
        (random_images(2, 9, size=5), 1, "shape"),
        (random_images(2, 9)[0], 1, "shape"),
        (random_images(0, 9), 1, "not empty"),
        (random_images(2, 9), 0, "k must be from 1 to"),
        (random_images(2, 9), 11, "k must be from 1 to"),
        (np.full((2, 6, 6, 3), np.nan), 1, "NaN"),
        (np.full((2, 6, 6, 3), -1.0), 1, "Denormalise"),
    ],
)
def test_bad_input_is_refused(generated, k, message):
    with pytest.raises(UserError, match=message):
        nearest_training_neighbours(generated, random_images(10, 10), k)
