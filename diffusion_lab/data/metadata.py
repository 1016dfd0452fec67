"""Metadata of image files: the orientation is used, and the rest must not prevent reading."""

import contextlib
from collections.abc import Iterator

from PIL import ExifTags, Image

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"


def upright(image: Image.Image) -> Image.Image:
    """Returns a Pillow image turned upright, if its orientation can be read."""
    orientation = None
    with contextlib.suppress(Exception):  # damaged metadata fail in many ways
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def without_metadata(content: bytes) -> bytes:
    """Returns a PNG or JPEG file without profiles, times, comments and previews.

    The bytes of any other file are returned unchanged.
    """
    parts = (
        _png_chunks(content)
        if content.startswith(PNG)
        else _jpeg_segments(content)
        if content.startswith(JPEG)
        else [content]
    )
    return b"".join(parts)


def _png_chunks(content: bytes) -> Iterator[bytes]:
    """Yields the chunks that determine the pixels.

    These are the chunks whose names begin with a capital letter, and tRNS, the transparent colour.
    """
    yield PNG
    begin = len(PNG)
    while begin < len(content):
        # a chunk is a length, a name, that many bytes, and a checksum
        end = begin + 12 + int.from_bytes(content[begin : begin + 4], "big")
        name = content[begin + 4 : begin + 8]
        if name[:1].isupper() or name == b"tRNS":
            yield content[begin:end]
        begin = end


def _jpeg_segments(content: bytes) -> Iterator[bytes]:
    """Yields the segments that determine the pixels.

    Comments and application segments do not, except Adobe's, which says how colours are stored.
    """
    yield JPEG
    begin = len(JPEG)
    while content[begin : begin + 1] == b"\xff" and content[begin + 1 : begin + 2] not in (
        b"\xda",
        b"",
    ):  # before the first scan
        end = begin + 2 + int.from_bytes(content[begin + 2 : begin + 4], "big")
        marker = content[begin + 1]
        if (
            not (0xE0 <= marker <= 0xEF or marker == 0xFE)
            or content[begin + 4 : begin + 9] == b"Adobe"
            and end - begin >= 16
        ):
            yield content[begin:end]
        begin = end
    yield content[begin:]
