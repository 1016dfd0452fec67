"""Files of arrays: groups of NumPy arrays and a description, in one HDF5 file.

They hold plain arrays and JSON, never code, so a file from a stranger can do no harm. Files are written under a
temporary name and renamed: a run that is killed, or a disk that is full, leaves the previous file as it was.
"""

import io
import json
import os
from pathlib import Path

import h5py
import numpy as np

from diffusion_lab.errors import UserError


def write_atomically(path, content):
    """Writes bytes to a file that is, at every moment, either the old one or the new one.

    Raises UserError if the disk is full or read-only.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.draft")  # what a killed run leaves, the next one overwrites
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(draft, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(
            f"Could not write {path} ({error.strerror or error}); the file from before, if any, is untouched: "
            "make room or choose another folder, then run the same command again."
        ) from error


def demand_writable(path, suffix):
    """Raises UserError, before hours are spent, if a file of this name, with this suffix, can never be written."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file in it, such as {path / ('samples' + suffix)}.")
    if path.suffix.lower() != suffix:
        raise UserError(f"{path} will be a {suffix} file: give it a name that ends so, such as {path.with_suffix(suffix)}.")
    blocking = next((parent for parent in path.parents if parent.exists()), None)
    if blocking is not None and not blocking.is_dir():
        raise UserError(f"{blocking} is a file and cannot hold {path.name}: name a folder.")


def write_arrays(path, groups, about):
    """Writes {group: [arrays]} and a JSON-able description. Raises UserError as `write_atomically`."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["diffusion_lab"] = json.dumps(about)
        for group, arrays in groups.items():
            for number, array in enumerate(arrays):
                file[f"{group}/{number:04d}"] = array
    write_atomically(path, content.getvalue())


def read_arrays(path):
    """Returns (groups, about) of a file that `write_arrays` wrote.

    Raises UserError if there is no such file, or it is damaged, or it is something else.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder: name the weights file in it, such as {path / 'model.weights.h5'}.")
    if not path.is_file():
        raise UserError(f"There is no weights file {path}: check the path, or train a model first.")
    try:
        with h5py.File(path, "r") as file:
            about = json.loads(file.attrs["diffusion_lab"])
            groups = {name: [group[number][()] for number in sorted(group)] for name, group in file.items()}
    except KeyError:
        raise UserError(f"{path} is no model of Diffusion Lab: it was written by another program.") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path} is damaged or no weights file at all: copy it again or train anew.") from error
    return groups, about


def assign_arrays(variables, arrays, path):
    """Gives variables their values, in order; UserError if the numbers or shapes differ, and then none is changed."""
    shapes, found = [tuple(variable.shape) for variable in variables], [np.shape(array) for array in arrays]
    if shapes != found:
        raise UserError(f"The weights in {path} belong to another architecture: {len(found)} arrays for "
                        f"{len(shapes)} variables, or other shapes; use the model that wrote them.")
    for variable, array in zip(variables, arrays):
        variable.assign(array)

