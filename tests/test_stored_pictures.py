"""Pictures that a notebook keeps: small files, in the right colours."""

import base64
import io

import nbformat
import numpy as np
from PIL import Image

from diffusion_lab.data.flowers import draw_flowers
from diffusion_lab.instructor.stored_pictures import LARGE, with_palettes


def kept(before):
    """Returns a PNG file after `with_palettes`, and its pixels (H, W, 3)."""
    output = nbformat.v4.new_output(
        "display_data", {"image/png": base64.b64encode(before).decode()}
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
    with_palettes(notebook)
    after = base64.b64decode(notebook.cells[0].outputs[0].data["image/png"])
    return after, np.asarray(Image.open(io.BytesIO(after)).convert("RGB"), int)


def png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def test_flowers_keep_their_colours_in_half_the_bytes():
    flowers, _ = draw_flowers(24, 32, seed=1)
    pixels = np.hstack(list(flowers)).repeat(3, axis=0).repeat(3, axis=1)
    before = png(pixels)
    after, seen = kept(before)
    assert len(before) > LARGE and len(after) < len(before) / 2
    errors = np.abs(seen - pixels).max(axis=-1)
    assert errors.mean() < 6 and (errors > 40).mean() < 0.002
    assert kept(after)[0] == after


def test_a_small_picture_stays_as_it_is():
    before = png(np.full((30, 30, 3), 77, "uint8"))
    assert kept(before)[0] == before
