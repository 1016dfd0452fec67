"""Procedural flowers: repeatable, varied, and true to their labels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusion_lab.data.flowers import COLOURS, LABELS, draw_flowers
from diffusion_lab.data.painting import hsv, paint_flower
from diffusion_lab.errors import UserError

# 8 flowers of 24 x 24 pixels, side by side
RECORDED = Path(__file__).parent / "recorded" / "flowers.png"


def test_a_flower_depends_on_seed_and_number_alone():
    images, labels = draw_flowers(6, 16, seed=3)
    part, part_labels = draw_flowers(2, 16, seed=3, first=4)
    np.testing.assert_array_equal(part, images[4:])
    assert (part_labels == labels[4:]).all()
    assert np.abs(draw_flowers(6, 16, seed=4)[0].astype(int) - images).max() > 50


def test_flowers_are_those_that_the_weights_were_trained_on():
    """Weights and features are made for exactly the recorded flowers.

    Another machine may round by 1/255.
    """
    recorded = np.asarray(Image.open(RECORDED))
    drawn = np.concatenate(draw_flowers(8, 24, seed=0)[0], axis=1)
    assert np.abs(drawn.astype(int) - recorded).max() <= 1


def test_all_colours_counts_and_layers_occur():
    _, labels = draw_flowers(400, 8)
    assert labels.dtype == LABELS
    assert set(labels["colour"]) == set(range(len(COLOURS)))
    assert set(labels["petals"]) == {5, 6, 7, 8, 10, 13, 16} and set(labels["layers"]) == {1, 2, 3}
    assert (
        np.abs(labels["centre_x"]).max() <= 0.12
        and 0.58 <= labels["radius"].min() <= labels["radius"].max() <= 0.86
    )


def label(**values):
    """Returns the label of a flower from the front with one layer of pointed petals.

    `values` are exceptions from that.
    """
    plain = np.zeros(1, LABELS)[0]
    plain["petals"], plain["layers"], plain["value"], plain["radius"], plain["petal_width"] = (
        5,
        1,
        1.0,
        0.8,
        0.8,
    )
    plain["disc_radius"] = 0.2
    for name, value in values.items():
        plain[name] = value
    return plain


def ring(image, radius):
    """Returns the image's values along a circle around its middle, (360, 3)."""
    angle, half = np.deg2rad(np.arange(360)), image.shape[0] / 2
    rows, columns = half + half * radius * np.sin(angle), half + half * radius * np.cos(angle)
    return image[np.floor(rows).astype(int), np.floor(columns).astype(int)].astype(float)


@pytest.mark.parametrize("petals", [5, 6, 7, 8, 10, 13, 16])
def test_as_many_petals_as_the_label_says(petals):
    white = paint_flower(label(petals=petals), 128, np.random.default_rng(0))
    brightness = ring(white, 0.62).min(axis=-1)  # a white petal is bright in its darkest channel
    spectrum = np.abs(np.fft.rfft(brightness - brightness.mean()))[1:20]
    assert np.argmax(spectrum) + 1 == petals


def test_the_petals_have_the_colour_of_the_label():
    images, labels = draw_flowers(200, 48)
    wrong = 0
    for image, truth in zip(images, labels):
        colour = hsv(truth["hue"], truth["saturation"], truth["value"])
        rows = np.arange(48) / 24 - 1
        distance = np.hypot(rows[None] - truth["centre_x"], rows[:, None] - truth["centre_y"])
        petals = image[
            (distance > 0.5 * truth["radius"]) & (distance < 0.7 * truth["radius"])
        ].mean(axis=0)
        wrong += np.dot(petals, colour) / np.linalg.norm(petals) / np.linalg.norm(colour) < 0.93
    assert wrong < 20  # some have a base of another hue, some are tilted out of the ring


@pytest.mark.parametrize(
    "hue, rgb",
    [(0, (1, 0, 0)), (1 / 6, (1, 1, 0)), (1 / 3, (0, 1, 0)), (2 / 3, (0, 0, 1)), (1, (1, 0, 0))],
)
def test_hsv_at_the_corners(hue, rgb):
    np.testing.assert_allclose(hsv(hue, 1, 1), rgb, atol=1e-6)
    np.testing.assert_allclose(hsv(hue, 0, 0.5), (0.5, 0.5, 0.5), atol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [{"image_size": 4}, {"image_size": 16, "seed": -1}, {"image_size": 16, "first": -1}],
)
def test_bad_numbers_get_one_sentence(arguments):
    with pytest.raises(UserError, match="8 or more"):
        draw_flowers(1, **arguments)
