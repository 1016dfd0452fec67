"""From a picture, whatever its kind and size, to a square of bytes."""

import warnings

import numpy as np
from PIL import Image, ImageOps


def read_image(file, image_size):
    """Read a picture and return its centre as uint8 of shape (image_size, image_size, 3).

    `file` is a path or a binary file. The camera's orientation is applied, what is transparent becomes white, 16 bits
    become 8. Raises whatever the decoder raises (OSError, ValueError, SyntaxError, ...) for a damaged file, and
    `PIL.Image.DecompressionBombError` for more than 179 million pixels.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a 10,000-pixel photograph is no attack
        with Image.open(file) as image:
            image.draft(None, (2 * image_size, 2 * image_size))  # a JPEG is decoded at 1/2, 1/4 or 1/8 where enough
            ImageOps.exif_transpose(image, in_place=True)
            image = crop_and_resize(_resizable(image), image_size)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def resize_array(array, image_size):
    """Return a uint8 array (H, W) or (H, W, 3) as uint8 of shape (image_size, image_size, 1 or 3)."""
    resized = np.asarray(crop_and_resize(Image.fromarray(array), image_size))
    return resized.reshape(image_size, image_size, -1)


def crop_and_resize(image, image_size):
    """Cut the largest centred square out of a Pillow image and resize it, antialiased, to `image_size` pixels."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((image_size, image_size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def _resizable(image):
    """Convert to a mode whose pixels can be averaged; what has one already is not copied, since it may be large."""
    if image.mode.startswith("I"):  # 16 bits a pixel, under one of several names
        return Image.fromarray((np.clip(image, 0, 65535) >> 8).astype("uint8"))
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")
