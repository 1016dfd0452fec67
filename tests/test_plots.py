"""Pictures have the right pixels in the right places."""

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from diffusion_lab.plots import (
    animation_bytes,
    image_grid,
    loss_curve,
    loss_figure,
    save_png,
    terminal_picture,
)


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
    assert animation.n_frames == 3
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
        dpi=100,
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
