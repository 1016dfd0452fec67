"""Pictures have the right pixels in the right places."""

import numpy as np
from PIL import Image

from diffusion_lab.plots import image_grid, loss_curve, save_animation, save_png, terminal_picture


def test_grid_places_scales_and_survives_what_is_no_number():
    images = np.zeros((3, 2, 2, 1), "float32")
    images[1] = 1.0
    images[2, 0, 0] = np.nan
    images[2, 1, 1] = 7.0
    grid = image_grid(images, columns=2, gap=1, scale=2)
    assert grid.shape == (10, 10, 3) and grid.dtype == np.uint8
    assert (grid[:4, :4] == 0).all() and (grid[:4, 6:] == 255).all() and (grid[:4, 4:6] == 255).all()
    assert grid[6, 0, 0] == 0 and grid[9, 3, 0] == 255  # NaN is black, too bright is white
    assert (grid[6:, 6:] == 255).all()  # no fourth image


def test_png_and_animation_come_back(tmp_path):
    frames = [np.full((6, 8, 3), value, np.uint8) for value in (0, 120, 250)]
    save_png(frames[1], tmp_path / "one.png")
    np.testing.assert_array_equal(Image.open(tmp_path / "one.png"), frames[1])
    save_animation(frames, tmp_path / "all.webp")
    animation = Image.open(tmp_path / "all.webp")
    assert animation.n_frames == 3
    animation.seek(2)
    assert abs(int(np.asarray(animation.convert("RGB")).mean()) - 250) <= 3


def test_loss_curve_of_any_history(tmp_path):
    loss_curve([{"images": 10, "loss": 1.0}, {"images": 20, "loss": 0.5}, {"images": 20, "val_loss": 0.6}], tmp_path / "a.png")
    loss_curve([], tmp_path / "b.png")
    with_lines, empty = (np.asarray(Image.open(tmp_path / name).convert("L")) for name in ("a.png", "b.png"))
    assert (with_lines < 200).sum() > (empty < 200).sum() + 100


def test_terminal_picture_shows_two_pixels_in_a_character():
    picture = np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8)
    text = terminal_picture(picture)
    assert text.plain == "▀\n"
    assert str(text.spans[0].style) == "rgb(255,0,0) on rgb(0,0,255)"
