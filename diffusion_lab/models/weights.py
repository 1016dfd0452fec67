"""Arrays in HDF5 files, and the weights that come with the package.

Arrays come with a description in JSON, never with code, so it is safe to open a file from a
stranger.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from diffusion_lab.errors import UserError
from diffusion_lab.storage import write_atomically

SHIPPED = Path(__file__).parents[1] / "pretrained"  # weights that come with the package
SUFFIX = ".weights.h5"
LARGEST = 2**31  # bytes of the arrays in one file
LARGE = 4096  # weights in a layer that is worth rounding to 8 bits


def write_arrays(
    path: str | Path,
    groups: Mapping[str, Sequence[np.ndarray]],
    about: dict[str, Any],
    rounded: Sequence[str] = (),
) -> None:
    """Writes arrays and a description.

    Args:
        path: of the file.
        groups: {group: [arrays]}.
        about: the description, which JSON can represent.
        rounded: groups to round, see `round_array`.

    Raises:
        UserError: as `write_atomically`.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["diffusion_lab"] = json.dumps(about)
        for group, arrays in groups.items():
            for number, array in enumerate(arrays):
                name = f"{group}/{number:04d}"
                if group in rounded:
                    file[name], scale = round_array(array)
                    if scale is not None:
                        file[name].attrs["scale"] = scale
                else:
                    file[name] = array
    write_atomically(path, content.getvalue())


def round_array(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns (an array to store, its scale) for the weights of a layer.

    In a large array, such as the kernel of a convolution, the weights of each output channel, on
    the last axis, become whole numbers from -127 to 127 times a scale: int8, a quarter of the size.
    Small arrays, whose size does not matter, become float16 without a scale.
    """
    if array.size < LARGE:
        return array.astype("float16"), None
    largest = np.abs(array).max(axis=tuple(range(array.ndim - 1)))
    scale = (np.where(largest > 0, largest, 1) / 127).astype("float32")
    return np.rint(array / scale).astype("int8"), scale


def read_arrays(
    path: str | Path, most: int = LARGEST
) -> tuple[dict[str, list[np.ndarray]], dict[str, Any]]:
    """Returns (groups, about) from a file that `write_arrays` wrote; what it rounded is float32.

    Args:
        path: of the file.
        most: the largest size of all arrays together, in bytes.

    Raises:
        UserError: if the file is missing, damaged or too large, or was not written by
            `write_arrays`.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(
            f"{path} is a folder: give the path of the weights file in it, such as"
            f" {path / 'model.weights.h5'}."
        )
    if not path.is_file():
        raise UserError(f"There is no weights file {path}: check the path, or train a model first.")
    try:
        with h5py.File(path, "r") as file:
            about = json.loads(file.attrs["diffusion_lab"])
            groups = _plain_arrays(file, most)
        if not isinstance(about, dict):
            raise ValueError("the description is not a dictionary")
    except KeyError:
        raise UserError(
            f"{path} is not a model of Diffusion Lab: it was written by another program."
        ) from None
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is damaged or not a weights file: copy it again, or train the model again."
        ) from error
    return groups, about


def _plain_arrays(file: h5py.File, most: int) -> dict[str, list[np.ndarray]]:
    """Returns {group: [arrays]} from an HDF5 file.

    Raises:
        ValueError: for anything that `write_arrays` never writes: links, data in other files, and
            more bytes than `most`, which a small compressed file may contain. In this case no data
            is read.
    """
    groups, total = {}, 0
    for name in file:
        groups[name] = [
            _plain(file[name], number, h5py.Dataset)
            for number in sorted(_plain(file, name, h5py.Group))
        ]
        total += sum(array.nbytes * (4 if "scale" in array.attrs else 1) for array in groups[name])
        if total > most:
            raise ValueError(f"more than {most} bytes")
    return {name: [_scaled(array) for array in arrays] for name, arrays in groups.items()}


def _scaled(array: h5py.Dataset) -> np.ndarray:
    if "scale" not in array.attrs:
        return array[()]
    scale = array.attrs.get_id("scale")
    if scale.dtype != np.float32 or scale.shape != array.shape[-1:]:
        raise ValueError("there is not one scale for each channel")
    return array[()] * array.attrs["scale"]


def _plain(parent: h5py.Group, name: str, kind: type) -> Any:
    """Returns the group or array of this name, which must be stored in the file itself."""
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link")
    item = parent[name]
    if not isinstance(item, kind):
        raise ValueError(f"{name} is not a {kind.__name__}")
    if kind is h5py.Dataset and (item.external or item.is_virtual or item.dtype.kind not in "fiub"):
        raise ValueError(f"{name} does not hold numbers")
    return item


def assign_arrays(variables: Sequence[Any], arrays: Sequence[np.ndarray], path: str | Path) -> None:
    """Assigns arrays to variables, in order.

    Raises:
        UserError: if their number or a shape differs; no variable is changed then.
    """
    shapes = [tuple(variable.shape) for variable in variables]
    found = [np.shape(array) for array in arrays]
    if shapes != found:
        raise UserError(
            f"The weights in {path} belong to another architecture: there are {len(found)} arrays"
            f" for {len(shapes)} variables, or shapes differ. Use the model that wrote them."
        )
    for variable, array in zip(variables, arrays):
        variable.assign(array)


def checksums() -> dict[str, str]:
    """Returns {name: SHA-256 of the file, in hexadecimal} of all shipped weights.

    A name is, for example, "flowers32".
    """
    lines = (SHIPPED / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name.removesuffix(SUFFIX): checksum for checksum, name in map(str.split, lines)}


def shipped_file(name: str) -> Path:
    """Returns the path of shipped weights, and verifies their checksum.

    Raises:
        UserError: if the file is missing, or is not the one that was shipped.
    """
    path = SHIPPED / f"{name}{SUFFIX}"
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != checksums()[name]:
        raise UserError(
            f"{path} is missing, damaged or changed: restore it with `git checkout --"
            f" {path.name}` in its folder, or install Diffusion Lab again."
        )
    return path
