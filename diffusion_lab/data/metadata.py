"""What a picture file says besides its pixels: only which way up it is matters, and nothing of it
may hide the pixels.
"""

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
    """Return a Pillow image turned as the camera says, if that can be read."""
    orientation = None
    with contextlib.suppress(Exception):  # damaged metadata fail in many ways
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def without_metadata(content: bytes) -> bytes:
    """Return the bytes of a PNG or JPEG file without its profiles, times, comments and previews; of
    any other file all bytes.
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
    """Yield the chunks that pixels need: capital letters mark those, and tRNS is the transparent
    colour.
    """
    yield PNG
    begin = len(PNG)
    while begin < len(content):
        end = (
            begin + 12 + int.from_bytes(content[begin : begin + 4], "big")
        )  # a length, a name, so many bytes, a checksum
        name = content[begin + 4 : begin + 8]
        if name[:1].isupper() or name == b"tRNS":
            yield content[begin:end]
        begin = end


def _jpeg_segments(content: bytes) -> Iterator[bytes]:
    """Yield the segments that pixels need: no comment, and none for applications, of which Adobe's
    says how colours are kept.
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
