"""Weights that come with the package. What each file must be stands in SHA256SUMS, as `sha256sum *.h5` prints it."""

import hashlib
from pathlib import Path

from diffusion_lab.errors import UserError

FOLDER = Path(__file__).parent
SUFFIX = ".weights.h5"


def checksums():
    """{name such as "flowers32": SHA-256 of its file, in hexadecimal} of all that is shipped."""
    lines = (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name.removesuffix(SUFFIX): checksum for checksum, name in map(str.split, lines)}


def shipped_file(name):
    """The path of shipped weights, after a look at its checksum. Raises UserError for a file that is not what was shipped."""
    path = FOLDER / f"{name}{SUFFIX}"
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != checksums()[name]:
        raise UserError(f"{path} is missing, damaged or changed: get it anew, with `git checkout -- {path.name}` in its "
                        "folder or by another installation.")
    return path
