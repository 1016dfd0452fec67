"""Measures the KID of generated images, in a separate process.

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
    """What was measured of several sets of images."""

    kids: list[float]  # of each set
    errors: list[float]  # their standard errors
    picture: str  # of the first set, as PNG in base64


def measure_kid(sets: list[bytes], size: int, data: str) -> Measured:
    """Returns the KID of each set of images, and a picture of the first set.

    Args:
        sets: square RGB images as bytes, without a header; as many in each set.
        size: of an image, in pixels.
        data: the data set with the real images.

    Raises:
        UserError: if the process fails.
    """
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "diffusion_lab.instructor.measuring_kid",
            *map(str, (len(sets), size, data)),
        ],
        input=b"".join(sets),
        capture_output=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
    )
    if result.returncode:
        lines = result.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise UserError(f"The KID could not be measured: {lines[-1]}")
    return Measured(**json.loads(result.stdout.splitlines()[-1]))


def main(count: int, size: int, data: str) -> None:
    """Reads `count` sets of images from the standard input, and prints a `Measured` as JSON."""
    from diffusion_lab.metrics import encode, flower_features, kid_with_standard_error

    sets = np.frombuffer(sys.stdin.buffer.read(), "uint8").reshape(count, -1, size, size, 3)
    real = load_dataset(data, "validation", size, batch_size=1, seed=0).images[:512]
    extractor = flower_features()
    features = encode(extractor, real)
    pairs = [kid_with_standard_error(features, encode(extractor, images)) for images in sets]
    kids, errors = ([float(value) for value in column] for column in zip(*pairs))
    picture = png_bytes(image_grid(sets[0, :SHOWN] / 255, scale=3))
    measured = Measured(kids, errors, base64.b64encode(picture).decode())
    print(json.dumps(measured._asdict()))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
