"""Reads image files of many formats and sizes as square uint8 arrays."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from diffusion_lab.data.metadata import upright, without_metadata

ImagesAndLabels = tuple[np.ndarray, np.ndarray]  # uint8 (N, H, W, C) and any array (N,)

# formats that contain only an image; for others, Pillow may start another program
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
WHITES = (255, 4095, 65535, 2**31 - 1)  # the largest values of 8, 12, 16 and 31 bits


def picture_suffixes() -> set[str]:
    """Returns the suffixes, such as ".jpg", of the images that can be read on this machine."""
    return {
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if kind in FORMATS and kind in Image.OPEN
    }


def read_image(file: str | Path | io.BytesIO, image_size: int) -> np.ndarray:
    """Reads an image, crops it to a square and resizes it.

    The camera's orientation is applied, transparent pixels become white, and floats and numbers of
    more than 8 bits become bytes (see `_bytes_of`).

    Args:
        file: a path or an `io.BytesIO`.
        image_size: in pixels.

    Returns:
        uint8, (image_size, image_size, 3).

    Raises:
        OSError, ValueError, SyntaxError, ...: for a damaged file, depending on the decoder.
        PIL.Image.DecompressionBombError: for more than 179 million pixels.
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
        # large photographs are not attacks, and damaged metadata do not matter
        warnings.simplefilter("ignore")
        with Image.open(file, formats=[kind for kind in FORMATS if kind in Image.OPEN]) as image:
            # a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that is enough
            image.draft(None, (2 * image_size, 2 * image_size))
            image = crop_and_resize(_resizable(upright(image)), image_size)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def resize_array(array: np.ndarray, image_size: int) -> np.ndarray:
    """Crops and resizes a uint8 array, (H, W) or (H, W, 3).

    Returns:
        uint8, (image_size, image_size, 1 or 3).
    """
    resized = np.asarray(crop_and_resize(Image.fromarray(array), image_size))
    return resized.reshape(image_size, image_size, -1)


def crop_and_resize(image: Image.Image, image_size: int) -> Image.Image:
    """Crops a Pillow image to its largest centred square, and resizes that with antialiasing."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize(
        (image_size, image_size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0
    )


def _resizable(image: Image.Image) -> Image.Image:
    """Converts a Pillow image to a mode whose pixels can be averaged.

    An image that is in such a mode already is not copied, because it may be large.
    """
    if image.mode[0] in "IF":  # the modes with more than 8 bits per pixel
        return Image.fromarray(_bytes_of(np.asarray(image)))
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _bytes_of(values: np.ndarray) -> np.ndarray:
    """Converts integers or floats (H, W) to uint8.

    Files often store values of 8 or 12 bits as 16 or 32 bits. So white is the lowest of 255, 4095,
    65535 and 2^31 - 1 that no value exceeds; for floats, 1 is also a candidate. Black is 0. If
    there are negative floats, black is -1 for values in [-1, 1], and the lowest value otherwise
    (white is then the highest).
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
