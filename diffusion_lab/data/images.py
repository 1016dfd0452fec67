"""From a picture, whatever its kind and size, to a square of bytes."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from diffusion_lab.data.metadata import upright, without_metadata

ImagesAndLabels = tuple[np.ndarray, np.ndarray]  # uint8 (N, H, W, C) and any array (N,)

# what is a picture and nothing else; Pillow also opens formats for which it starts other programs
FORMATS = (
    "AVIF",
    "BMP",
    "DIB",
    "GIF",
    "HEIF",
    "JPEG",
    "JPEG2000",
    "MPO",
    "PCX",
    "PNG",
    "PPM",
    "QOI",
    "SGI",
    "TGA",
    "TIFF",
    "WEBP",
)
WHITES = (255, 4095, 65535, 2**31 - 1)  # of 8, 12, 16 and 31 bits


def picture_suffixes() -> set[str]:
    """Return the endings, such as ".jpg", of the pictures that can be read on this machine."""
    return {
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if kind in FORMATS and kind in Image.OPEN
    }


def read_image(file: str | Path | io.BytesIO, image_size: int) -> np.ndarray:
    """Read a picture and return its centre as uint8 of shape (image_size, image_size, 3).

    `file` is a path or an `io.BytesIO`. The camera's orientation is applied, what is transparent
    becomes white, numbers of more than 8 bits and floats become bytes (`_bytes_of`). Raises
    whatever the decoder raises (OSError, ValueError, SyntaxError, ...) for a damaged file, and
    `PIL.Image.DecompressionBombError` for more than 179 million pixels.
    """
    try:
        return _read(file, image_size)
    except Exception:
        content = (
            Path(file).read_bytes() if isinstance(file, (str, os.PathLike)) else file.getvalue()
        )
        pixels_alone = without_metadata(content)
        if pixels_alone == content:
            raise
        return _read(io.BytesIO(pixels_alone), image_size)


def _read(file: str | Path | io.BytesIO, image_size: int) -> np.ndarray:
    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # a 10,000-pixel photograph is no attack, and nobody needs its metadata
        with Image.open(file, formats=[kind for kind in FORMATS if kind in Image.OPEN]) as image:
            image.draft(
                None, (2 * image_size, 2 * image_size)
            )  # a JPEG is decoded at 1/2, 1/4 or 1/8 where enough
            image = crop_and_resize(_resizable(upright(image)), image_size)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def resize_array(array: np.ndarray, image_size: int) -> np.ndarray:
    """Return a uint8 array (H, W) or (H, W, 3) as uint8 of shape (image_size, image_size, 1
    or 3).
    """
    resized = np.asarray(crop_and_resize(Image.fromarray(array), image_size))
    return resized.reshape(image_size, image_size, -1)


def crop_and_resize(image: Image.Image, image_size: int) -> Image.Image:
    """Cut the largest centred square out of a Pillow image and resize it, antialiased, to
    `image_size` pixels.
    """
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize(
        (image_size, image_size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0
    )


def _resizable(image: Image.Image) -> Image.Image:
    """Convert to a mode whose pixels can be averaged; what has one already is not copied, since it
    may be large.
    """
    if image.mode[0] in "IF":  # more than 8 bits a pixel, under one of several names
        return Image.fromarray(_bytes_of(np.asarray(image)))
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _bytes_of(values: np.ndarray) -> np.ndarray:
    """Return integers or floats (H, W) as uint8.

    White is the lowest of 255, 4095, 65535 and 2^31 - 1 that nothing exceeds, because 8 and 12 bits
    are often kept in 16 or 32; for floats also 1. Floats from -1 to 1 have black at -1; any others
    that are negative have it at their lowest.
    """
    integers = np.issubdtype(values.dtype, np.integer)
    values = np.nan_to_num(values.astype("float32"), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = (float(edge) for edge in (values.min(), values.max()))
    black, white = (
        0.0,
        next((white for white in (*([] if integers else [1]), *WHITES) if high <= white), high),
    )
    if low < 0 and not integers:
        black, white = (-1.0, 1.0) if low >= -1 and high <= 1 else (low, high)
    return np.rint(np.clip((values - black) * (255 / max(white - black, 1e-30)), 0, 255)).astype(
        "uint8"
    )
