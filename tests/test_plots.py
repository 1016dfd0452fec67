"""Pictures have the right pixels in the right places, and plots the course's colours."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from diffusion_lab.plots import (
    COLOURS,
    DASHES,
    SAMPLERS,
    animation_bytes,
    image_grid,
    loss_curve,
    loss_figure,
    save_png,
    terminal_picture,
)

FIGURE = Path(__file__).parents[1] / "web" / "src" / "figures" / "samplers.ts"


def luminance(colour):
    """WCAG's relative luminance of a colour such as #0072b2."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


@pytest.mark.parametrize("colour", COLOURS)
def test_lines_have_the_contrast_of_wcag_on_white(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 3


def test_lines_of_one_plot_differ_in_more_than_their_colour():
    assert len(set(DASHES)) == len(set(COLOURS)) == len(COLOURS)
    history = [{"images": n, "loss": 2 / n, "val_loss": 3 / n} for n in (1, 2, 3)]
    first, second = loss_figure(history).axes[0].get_lines()
    assert (first.get_color(), second.get_color()) == COLOURS[:2]
    assert first.get_linestyle() != second.get_linestyle()


def test_samplers_have_the_same_colours_on_the_site():
    pairs = re.findall(r'"?([\w()+–-]+)"?: "(#[0-9a-f]{6})",', FIGURE.read_text(encoding="utf-8"))
    assert dict(pairs) == SAMPLERS


def test_the_style_of_plots_does_not_leak():
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    loss_figure([])
    assert dict(matplotlib.rcParams) == before


def test_a_grid_places_and_scales_images_and_survives_nan():
    images = np.zeros((3, 2, 2, 1), "float32")
    images[1] = 1.0
    images[2, 0, 0] = np.nan
    images[2, 1, 1] = 7.0
    grid = image_grid(images, columns=2, gap=1, scale=2)
    assert grid.shape == (10, 10, 3) and grid.dtype == np.uint8
    assert (
        (grid[:4, :4] == 0).all() and (grid[:4, 6:] == 255).all() and (grid[:4, 4:6] == 255).all()
    )
    assert grid[6, 0, 0] == 0 and grid[9, 3, 0] == 255  # NaN is black, and more than 1 is white
    assert (grid[6:, 6:] == 255).all()  # no fourth image


def test_png_and_animation_are_read_back(tmp_path):
    frames = [np.full((6, 8, 3), value, np.uint8) for value in (0, 120, 250)]
    save_png(frames[1], tmp_path / "one.png")
    np.testing.assert_array_equal(Image.open(tmp_path / "one.png"), frames[1])
    animation = Image.open(io.BytesIO(animation_bytes(frames)))
    assert animation.n_frames == 3 and animation.info["loop"] == 3, "a reader cannot stop it"
    animation.seek(2)
    assert abs(int(np.asarray(animation.convert("RGB")).mean()) - 250) <= 3


def test_loss_curve_of_any_history(tmp_path):
    loss_curve(
        [{"images": 10, "loss": 1.0}, {"images": 20, "loss": 0.5}, {"images": 20, "val_loss": 0.6}],
        tmp_path / "a.png",
    )
    loss_curve([], tmp_path / "b.png")
    with_lines, empty = (
        np.asarray(Image.open(tmp_path / name).convert("L")) for name in ("a.png", "b.png")
    )
    assert (with_lines < 200).sum() > (empty < 200).sum() + 100


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [0.98],
        [0.0],
        [0.98, 0.98],
        [0.98, 0.97],
        [1.1, 0.9],
        [3.9, 0.8],
        [2.3, 0.5],
        [60.0, 0.07],
        [1e7, 1.0],
        [0.1, -0.1],
    ],
)
@pytest.mark.parametrize("step", [1, 20, 350_000, 26_000_000])
def test_labels_of_a_loss_curve_do_not_overlap(losses, step):
    """From the first state, without losses, in the small size of the training panel."""
    figure = loss_figure(
        [{"images": step * number, "loss": loss} for number, loss in enumerate(losses, start=1)],
        size=(4.2, 3.0),
    )
    FigureCanvasAgg(figure).draw()
    for axis, side in ((figure.axes[0].xaxis, "x"), (figure.axes[0].yaxis, "y")):
        low, high = axis.get_view_interval()
        boxes = [
            (label.get_text(), label.get_window_extent())
            for minor in (False, True)
            for label in axis.get_ticklabels(minor=minor)
            if label.get_text() and low <= label.get_position()[side == "y"] <= high
        ]
        # major and minor ticks may coincide
        boxes = sorted(dict(boxes).values(), key=lambda box: getattr(box, f"{side}0"))
        assert len(boxes) > 1
        assert all(
            getattr(one, f"{side}1") <= getattr(other, f"{side}0") + 0.5
            for one, other in zip(boxes, boxes[1:])
        )


def test_terminal_picture_shows_two_pixels_in_a_character():
    picture = np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8)
    text = terminal_picture(picture)
    assert text.plain == "▀\n"
    assert str(text.spans[0].style) == "rgb(255,0,0) on rgb(0,0,255)"
