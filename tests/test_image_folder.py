"""Folders of pictures: every kind, every size, and what is no picture."""

import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from diffusion_lab.data import load_dataset
from diffusion_lab.data.folder import list_images
from diffusion_lab.data.images import read_image
from diffusion_lab.errors import UserError


def colour_of(path, image_size=4):
    """The colour of a picture that is read as one colour."""
    image = read_image(path, image_size)
    assert image.shape == (image_size, image_size, 3) and image.dtype == np.uint8
    assert np.ptp(image.astype(int), axis=(0, 1)).max() <= 1
    return image[0, 0].tolist()


def make_folder(folder, names, size=(6, 6)):
    """Write one picture per name; picture i is grey of brightness 10 i."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (10 * number,) * 3).save(folder / name)
    return folder


def load(folder, tmp_path, split="train", **options):
    return load_dataset(folder, split, **{"image_size": 4, "batch_size": 1, "cache_dir": tmp_path / "cache", **options})


@pytest.mark.parametrize("mode, colour, expected", [
    ("L", 77, [77, 77, 77]),
    ("1", 1, [255, 255, 255]),
    ("RGB", (10, 20, 30), [10, 20, 30]),
    ("RGBA", (10, 20, 30, 0), [255, 255, 255]),
    ("RGBA", (0, 100, 200, 51), [204, 224, 244]),  # a fifth of the colour, four fifths of white
    ("LA", (100, 255), [100, 100, 100]),
    ("LA", (100, 0), [255, 255, 255]),
    ("I;16", 77 * 257, [77, 77, 77]),
    ("I;16", 65535, [255, 255, 255]),
])
@pytest.mark.parametrize("size", [(9, 5), (1, 1)])
def test_modes(mode, colour, expected, size, tmp_path):
    Image.new(mode, size, colour).save(tmp_path / "image.png")
    assert colour_of(tmp_path / "image.png") == expected


def test_palette_with_and_without_a_transparent_colour(tmp_path):
    image = Image.new("P", (5, 5), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "solid.png")
    image.save(tmp_path / "clear.gif", transparency=1)
    assert colour_of(tmp_path / "solid.png") == [10, 20, 30]
    assert colour_of(tmp_path / "clear.gif") == [255, 255, 255]


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    red, green, blue = colour_of(tmp_path / "red.jpg")
    assert red > 200 and green < 60 and blue < 60


def test_the_centre_is_cut_out(tmp_path):
    columns = np.repeat(np.arange(0, 120, 10, dtype="uint8")[None], 4, axis=0)  # 4 x 12 pixels
    Image.fromarray(columns).save(tmp_path / "wide.png")
    Image.fromarray(columns.T.copy()).save(tmp_path / "tall.png")
    wide, tall = read_image(tmp_path / "wide.png", 4), read_image(tmp_path / "tall.png", 4)
    np.testing.assert_array_equal(wide[..., 0], columns[:, 4:8])
    np.testing.assert_array_equal(tall[..., 0], columns[:, 4:8].T)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_cameras_orientation_is_applied(suffix, tmp_path):
    upright = np.zeros((16, 16), "uint8")
    upright[:8] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    Image.fromarray(np.rot90(upright)).save(tmp_path / f"turned.{suffix}", exif=exif)
    image = read_image(tmp_path / f"turned.{suffix}", 16)[..., 0]
    assert abs(image.astype(int) - upright).max() < 10


def test_fine_stripes_are_averaged(tmp_path):
    stripes = np.tile(np.array([0, 255], "uint8"), (1024, 512))
    for name, mode in (("stripes.png", "L"), ("stripes.jpg", "RGB"), ("palette.png", "P"), ("bits.png", "1")):
        Image.fromarray(stripes).convert(mode).save(tmp_path / name)
        assert abs(read_image(tmp_path / name, 16).astype(int) - 127).max() <= 3


@pytest.mark.parametrize("name", ["huge.png", "huge.jpg"])
def test_ten_thousand_pixels(name, tmp_path):
    Image.new("L", (10_000, 10_000), 90).save(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no talk of decompression bombs
        assert colour_of(tmp_path / name, 64) == [90, 90, 90]


def test_a_folder_is_read_with_its_labels(tmp_path):
    names = [f"{kind}/deeper/{number}.png" for kind in ("rose", "tulip") for number in range(5)]
    folder = make_folder(tmp_path / "flowers", names)
    training, validation = load(folder, tmp_path), load(folder, tmp_path, "validation")
    assert (len(training.images), len(validation.images)) == (8, 2)
    assert training.image_shape == (4, 4, 3) and training.flip and not validation.flip
    images = np.concatenate([training.images, validation.images])
    labels = np.concatenate([training.labels, validation.labels])
    expected = [("rose", 10 * number) for number in range(5)] + [("tulip", 10 * number) for number in range(5, 10)]
    assert sorted(zip(labels.tolist(), images[:, 0, 0, 0].tolist())) == expected
    flat = make_folder(tmp_path / "flat", ["a.png"])
    assert load(flat, tmp_path).labels.tolist() == ["flat"]


def test_a_changed_folder_is_read_again(tmp_path):
    folder = make_folder(tmp_path / "pictures", ["a.png", "b.png"])
    assert sorted(load(folder, tmp_path).images[:, 0, 0, 0]) == [0, 10]
    Image.new("L", (50, 50), 200).save(folder / "a.png")
    assert sorted(load(folder, tmp_path).images[:, 0, 0, 0]) == [10, 200]
    shutil.copy(folder / "a.png", folder / "c.png")
    assert sorted(load(folder, tmp_path).images[:, 0, 0, 0]) == [10, 200, 200]


def test_hidden_and_other_files_are_no_images(tmp_path):
    folder = make_folder(tmp_path / "pictures", ["a.PNG", ".hidden.png", ".cache/b.png", "sub/c.jpeg"])
    (folder / "notes.txt").write_text("no picture")
    assert [path.name for path in list_images(folder)] == ["a.PNG", "c.jpeg"]


def test_what_cannot_be_read_is_left_out_with_one_warning(tmp_path):
    folder = make_folder(tmp_path / "pictures", ["a.png", "b.png", "whole.jpg"], size=(64, 64))
    (folder / "text.jpg").write_text("this is no picture")
    (folder / "empty.png").touch()
    (folder / "link.png").symlink_to(folder / "gone.png")
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:-200])
    (folder / "whole.jpg").unlink()
    with pytest.warns(UserWarning) as caught:
        training = load(folder, tmp_path)
        validation_error = None
        try:
            validation = load(folder, tmp_path, "validation").images
        except UserError as error:
            validation_error, validation = str(error), []
    assert len(training.images) + len(validation) == 2
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 1 and "cannot be read and are left out" in messages[0]
    told = " ".join([*messages, validation_error or ""])
    assert sum(name in told for name in ("text.jpg", "empty.png", "link.png", "cut.jpg")) >= 3


def test_a_folder_with_nothing_to_read(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image in the folder .*empty.*jpg.*png"):
        load(tmp_path / "empty", tmp_path)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.jpg").write_text("this is no picture")
    with pytest.raises(UserError, match="None of the 1 train image.*a.jpg"):
        load(tmp_path / "text", tmp_path)
    with pytest.raises(UserError, match="no folder .*missing"):
        load(tmp_path / "missing", tmp_path)


def test_a_folder_too_small_to_validate(tmp_path):
    folder = make_folder(tmp_path / "pictures", ["a.png", "b.png", "c.png", "d.png"])
    assert len(load(folder, tmp_path).images) == 4
    with pytest.raises(UserError, match="4 image.*validation.*at least 5"):
        load(folder, tmp_path, "validation")
