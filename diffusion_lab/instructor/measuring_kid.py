"""Measures the KID of a student's images and of ours, in a separate process.

The process returns its memory to the system when it ends.
"""

import base64
import json
import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np

from diffusion_lab.data import load_dataset
from diffusion_lab.errors import UserError
from diffusion_lab.plots import image_grid, png_bytes

SHOWN = 32  # images in the picture


class Measured(NamedTuple):
    """The KID of two sets of images, and a picture of the student's, as PNG in base64."""

    kid: float
    own_kid: float
    picture: str


def measure_kid(students: bytes, own: bytes, size: int, data: str) -> Measured:
    """Returns the KID of the student's images and of ours.

    Args:
        students: square RGB images as bytes, without a header.
        own: the same number of images of the same size.
        size: of an image, in pixels.
        data: the data set with the real images.

    Raises:
        UserError: if the process fails.
    """
    result = subprocess.run(
        [sys.executable, "-m", "diffusion_lab.instructor.measuring_kid", str(size), data],
        input=students + own,
        capture_output=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
    )
    if result.returncode:
        lines = result.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise UserError(f"The KID could not be measured: {lines[-1]}")
    return Measured(**json.loads(result.stdout.splitlines()[-1]))


def main(size: int, data: str) -> None:
    """Reads two sets of images from the standard input, and prints a `Measured` as JSON."""
    from diffusion_lab.metrics import encode, flower_features, kernel_inception_distance

    images = np.frombuffer(sys.stdin.buffer.read(), "uint8").reshape(2, -1, size, size, 3)
    real = load_dataset(data, "validation", size, batch_size=1, seed=0).images[:512]
    extractor = flower_features()
    features = encode(extractor, real)
    kid, own_kid = (
        kernel_inception_distance(features, encode(extractor, generated)) for generated in images
    )
    picture = png_bytes(image_grid(images[0, :SHOWN] / 255, scale=3))
    measured = Measured(kid, own_kid, base64.b64encode(picture).decode())
    print(json.dumps(measured._asdict()))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
