"""Folders of images: every format, every size, and files that are not images."""

import io
import shutil
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusion_lab.data import load_dataset
from diffusion_lab.data.folder import class_of_each, list_images
from diffusion_lab.data.images import picture_suffixes, read_image
from diffusion_lab.errors import UserError


def colour_of(path, image_size=4):
    """Returns the colour of a picture that is read as one colour."""
    image = read_image(path, image_size)
    assert image.shape == (image_size, image_size, 3) and image.dtype == np.uint8
    assert np.ptp(image.astype(int), axis=(0, 1)).max() <= 1
    return image[0, 0].tolist()


def make_folder(folder, names, size=(6, 6)):
    """Writes one picture per name; picture i is grey of brightness 10 i."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (10 * number,) * 3).save(folder / name)
    return folder


def load(folder, tmp_path, split="train", **options):
    return load_dataset(
        folder,
        split,
        **{"image_size": 4, "batch_size": 1, "cache_dir": tmp_path / "cache", **options},
    )


@pytest.mark.parametrize(
    "mode, colour, expected",
    [
        ("L", 77, [77, 77, 77]),
        ("1", 1, [255, 255, 255]),
        ("RGB", (10, 20, 30), [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), [255, 255, 255]),
        ("RGBA", (0, 100, 200, 51), [204, 224, 244]),  # a fifth of the colour, four fifths of white
        ("LA", (100, 255), [100, 100, 100]),
        ("LA", (100, 0), [255, 255, 255]),
        ("I;16", 77 * 257, [77, 77, 77]),
        ("I;16", 65535, [255, 255, 255]),
    ],
)
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


def test_the_image_is_cropped_to_its_centre(tmp_path):
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


RATIONAL_OF_NOTHING = struct.pack(
    "<4sIHHHIIHHIIIii", b"II*\0", 8, 2, 0x0112, 3, 1, 6, 0x9204, 10, 1, 38, 0, -1, 0
)
BOMB = b"text\0\0" + zlib.compress(bytes(80_000_000), 1)
CHUNKS = {
    b"iCCP": b"profile\0\7",
    b"zTXt": b"text\0\7",
    b"pHYs": b"",
    b"gAMA": b"\0",
    b"acTL": b"",
    b"eXIf": b"II*\0\xff",
}
SEGMENTS = {
    0xE0: b"JFIF\0",
    0xE1: b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
    0xE2: b"ICC_PROFILE\0\1",
    0xED: b"Photoshop 3.0\0",
    0xEE: b"Adobe\0",
    0xFE: b"\xff\xfe",
}


def saved(kind, **options):
    content = io.BytesIO()
    Image.fromarray(UPRIGHT).save(content, kind, quality=95, **options)
    return content.getvalue()


UPRIGHT = np.repeat(np.arange(0, 240, 15, dtype="uint8")[:, None], 16, axis=1)
WITH_DAMAGED_METADATA = {
    **{
        f"png {name.decode()}": (
            saved("PNG")[:33]
            + struct.pack(">I", len(data))
            + name
            + data
            + struct.pack(">I", zlib.crc32(name + data))
            + saved("PNG")[33:]
        )
        for name, data in CHUNKS.items()
    },
    "png checksum": saved("PNG")[:33] + b"\0\0\0\0tIME1234" + saved("PNG")[33:],
    "png text of 80 MB": (
        saved("PNG")[:33]
        + struct.pack(">I", len(BOMB))
        + b"zTXt"
        + BOMB
        + struct.pack(">I", zlib.crc32(b"zTXt" + BOMB))
        + saved("PNG")[33:]
    ),
    **{
        f"jpeg {marker:x}": (
            b"\xff\xd8\xff"
            + bytes([marker])
            + struct.pack(">H", len(data) + 2)
            + data
            + saved("JPEG")[2:]
        )
        for marker, data in SEGMENTS.items()
    },
    "webp profile": saved("WEBP", icc_profile=b"no profile", lossless=True),
    "webp exif": saved("WEBP", exif=b"Exif\0\0II*\0\xff", lossless=True),
}


@pytest.mark.parametrize("kind", WITH_DAMAGED_METADATA)
def test_damaged_metadata_do_not_hide_the_pixels(kind):
    image = read_image(io.BytesIO(WITH_DAMAGED_METADATA[kind]), 16)[..., 0]
    assert abs(image.astype(int) - UPRIGHT).max() < 10


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_photograph_is_turned_upright_despite_other_damaged_metadata(suffix, tmp_path):
    Image.fromarray(np.rot90(UPRIGHT)).convert("RGB").save(
        tmp_path / f"turned.{suffix}", exif=b"Exif\0\0" + RATIONAL_OF_NOTHING
    )
    assert (
        abs(read_image(tmp_path / f"turned.{suffix}", 16)[..., 0].astype(int) - UPRIGHT).max() < 12
    )


def test_damaged_pixels_are_not_hidden_by_metadata(tmp_path):
    with pytest.raises(Exception):
        read_image(io.BytesIO(WITH_DAMAGED_METADATA["png pHYs"][:-40]), 16)


@pytest.mark.parametrize(
    "values, expected",
    [
        (np.uint16([0, 77, 255]), [0, 77, 255]),  # 8 bits in 16
        (np.uint16([0, 2048, 4095]), [0, 128, 255]),  # 12 bits
        (np.uint16([0, 77 * 257, 65535]), [0, 77, 255]),
        (np.int32([0, 77, 255]), [0, 77, 255]),
        (np.int32([-5, 0, 65535]), [0, 0, 255]),
        (np.int32([0, 0, 2**31 - 1]), [0, 0, 255]),
        (np.float32([0, 0.5, 1]), [0, 128, 255]),
        (np.float32([0, 77, 255]), [0, 77, 255]),
        (np.float32([0, 0.5, 200]), [0, 0, 200]),
        (np.float32([-1, 0, 1]), [0, 128, 255]),
        (np.float32([-3, 0, 3]), [0, 128, 255]),
        (np.float32([0, 1e10, 2e10]), [0, 128, 255]),
        (np.float32([0, np.nan, 1]), [0, 0, 255]),
        (np.float32([0, np.inf, 1]), [0, 0, 255]),
        (np.float32([0, 0, 0]), [0, 0, 0]),
    ],
)
def test_numbers_of_more_than_eight_bits_keep_their_brightness(values, expected, tmp_path):
    Image.fromarray(np.tile(values, (3, 1))).save(tmp_path / "image.tiff")
    assert abs(read_image(tmp_path / "image.tiff", 3)[0, :, 0].astype(int) - expected).max() <= 1


def test_fine_stripes_are_averaged(tmp_path):
    stripes = np.tile(np.array([0, 255], "uint8"), (1024, 512))
    for name, mode in (
        ("stripes.png", "L"),
        ("stripes.jpg", "RGB"),
        ("palette.png", "P"),
        ("bits.png", "1"),
    ):
        Image.fromarray(stripes).convert(mode).save(tmp_path / name)
        assert abs(read_image(tmp_path / name, 16).astype(int) - 127).max() <= 3


@pytest.mark.parametrize("name", ["huge.png", "huge.jpg"])
def test_ten_thousand_pixels(name, tmp_path):
    Image.new("L", (10_000, 10_000), 90).save(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no warning of decompression bombs
        assert colour_of(tmp_path / name, 64) == [90, 90, 90]


def test_a_folder_is_read_with_its_labels(tmp_path):
    names = [f"{kind}/deeper/{number}.png" for kind in ("rose", "tulip") for number in range(5)]
    folder = make_folder(tmp_path / "flowers", names)
    training, validation = load(folder, tmp_path), load(folder, tmp_path, "validation")
    assert len(training.images) + len(validation.images) == 10 and len(validation.images) >= 2
    assert training.image_shape == (4, 4, 3) and training.flip and not validation.flip
    images = np.concatenate([training.images, validation.images])
    labels = np.concatenate([training.labels, validation.labels])
    expected = [("rose", 10 * number) for number in range(5)] + [
        ("tulip", 10 * number) for number in range(5, 10)
    ]
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


def test_hidden_and_other_files_are_not_images(tmp_path):
    folder = make_folder(
        tmp_path / "pictures",
        ["a.PNG", ".hidden.png", ".cache/b.png", "sub/c.jpeg", "run/samples.png"],
    )
    (folder / "notes.txt").write_text("no picture")
    (folder / "run" / "checkpoint.h5").touch()
    assert [path.name for path in list_images(folder)] == ["a.PNG", "c.jpeg"]


def test_skipped_files_are_counted_in_a_warning(tmp_path):
    folder = make_folder(tmp_path / "pictures", ["a.jfif", "b.JPE", "c.avif", "sub/d.tga", "e.ppm"])
    for name in (
        "one.heic",
        "sub/two.HEIC",
        "no-ending",
        "picture.jpg.bak",
        "notes.txt",
        "labels.csv",
        "Thumbs.db",
    ):
        (folder / name).touch()
    with pytest.warns(
        UserWarning,
        match=(
            "4 of the files in .*pictures are skipped, .*: no-ending, one.heic,"
            " picture.jpg.bak, ..."
        ),
    ):
        assert [path.name for path in list_images(folder)] == [
            "a.jfif",
            "b.JPE",
            "c.avif",
            "e.ppm",
            "d.tga",
        ]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.heic").touch()
    with pytest.raises(
        UserError,
        match="no image in the folder .*photos: .* 1 of the files .* skipped.*one.heic",
    ):
        list_images(tmp_path / "photos")


def test_every_kind_of_file_that_is_listed_can_be_read(tmp_path):
    # Pillow writes them for other modes only
    for suffix in sorted(picture_suffixes() - {".bw", ".vst", ".rgb", ".pfm", ".j2c"}):
        Image.new("RGB", (8, 8), "white").save(tmp_path / f"a{suffix}")
        assert colour_of(tmp_path / f"a{suffix}") == [255, 255, 255], suffix


def test_links_to_folders_are_followed_and_no_image_appears_twice(tmp_path):
    elsewhere = make_folder(tmp_path / "elsewhere", ["rose/a.png", "tulip/b.png"])
    folder = make_folder(tmp_path / "links" / "pictures", ["lily/c.png"])
    (folder / "rose").symlink_to(elsewhere / "rose")
    (folder / "tulip").symlink_to(elsewhere / "tulip")
    (folder / "again").symlink_to(folder / "lily")
    (folder / "round").symlink_to(folder)
    (folder / "up").symlink_to(tmp_path)
    (folder / "nowhere").symlink_to(tmp_path / "nowhere")
    with pytest.warns(UserWarning, match="1 of the files .*: nowhere"):
        assert [path.relative_to(folder).as_posix() for path in list_images(folder)] == [
            "lily/c.png",
            "rose/a.png",
            "tulip/b.png",
        ]


@pytest.mark.parametrize(
    "names, classes",
    [
        (["rose/a.png", "tulip/b.png"], ["rose", "tulip"]),
        (["flowers/rose/a.png", "flowers/tulip/b.png"], ["rose", "tulip"]),
        (["train/rose/a.png", "valid/rose/b.png", "test/tulip/c.png"], ["rose", "rose", "tulip"]),
        (["Training/rose/a.png", "Validation/tulip/b.png"], ["rose", "tulip"]),
        (["flowers/train/rose/a.png", "flowers/test/images/rose/b.png"], ["rose", "images"]),
        (["train/a.png", "test/b.png"], ["pictures", "pictures"]),
        (["train/rose/a.png", "test/b.png"], ["rose", "pictures"]),
        (["rose/closeups/a.png", "tulip/b.png"], ["rose", "tulip"]),
        (["rose/a.png", "rose/closeups/b.png"], ["rose", "rose"]),
        (["train/a.png", "plane/b.png"], ["train", "plane"]),
        (["a.png", "rose/b.png"], ["pictures", "rose"]),
        (["a.png"], ["pictures"]),
        ([], []),
    ],
)
def test_classes_are_the_folders_that_separate_the_images(names, classes):
    assert class_of_each([Path("pictures", name) for name in names], Path("pictures")) == classes


def test_unreadable_images_are_skipped_with_one_warning(tmp_path):
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
    assert len(messages) == 1 and "cannot be read and are skipped" in messages[0]
    told = " ".join([*messages, validation_error or ""])
    assert sum(name in told for name in ("text.jpg", "empty.png", "link.png", "cut.jpg")) >= 3


def test_a_folder_without_a_readable_image(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image in the folder .*empty.*jpg.*png"):
        load(tmp_path / "empty", tmp_path)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.jpg").write_text("this is no picture")
    with pytest.raises(UserError, match="None of the 1 train image.*a.jpg"):
        load(tmp_path / "text", tmp_path)
    with pytest.raises(UserError, match="no folder .*missing"):
        load(tmp_path / "missing", tmp_path)


def test_a_folder_too_small_for_validation(tmp_path):
    folder = make_folder(tmp_path / "pictures", ["a.png", "b.png", "c.png", "d.png"])
    assert len(load(folder, tmp_path).images) == 4
    with pytest.raises(UserError, match="4 image.*validation.*at least 5"):
        load(folder, tmp_path, "validation")
