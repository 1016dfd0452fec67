"""Files that are written whole or not at all, folders that one process uses at a time, and arrays
in HDF5.

Arrays come with a description in JSON, never with code, so a file from a stranger can do no harm.
Files are written under a temporary name and renamed: a run that is killed, or a disk that is full,
leaves the previous file as it was.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from diffusion_lab.errors import UserError

SHIPPED = Path(__file__).with_name("pretrained")  # weights that come with the package
SUFFIX = ".weights.h5"
LARGEST = 2**31  # bytes of the arrays in one file
ONE_DAY = 24 * 3600
PATIENCE = (
    2.0  # seconds; Windows does not replace a file in the moments in which another program reads it
)


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes bytes to a file that is, at every moment, either the old one or the new one.

    Raises UserError as `replacing`.
    """
    with replacing(
        path, ending=".draft"
    ) as draft:  # whoever looks for files by their suffix must not find it
        draft.write_bytes(content)


@contextlib.contextmanager
def replacing(path: str | Path, ending: str = "") -> Iterator[Path]:
    """Yields a path to write to, next to `path` and with the same suffixes, and `ending`;
    afterwards that file takes the place of `path`.

    Each writer has its own draft, so several may write at once, and the last one remains.

    Raises:
        UserError: if the disk is full or read-only; `path` is as it was before.
    """
    path = Path(path)
    draft = path.with_name(f".draft-{uuid.uuid4().hex[:12]}-{path.name}{ending}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_old_drafts(path.parent)
        try:
            yield draft
            with open(draft, "rb+") as stream:
                os.fsync(stream.fileno())
            _replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(
            f"Could not write {path} ({error.strerror or error}); the file from before, if any, is"
            " untouched: make room, close the program that has it open, or choose another folder,"
            " then run the same command again."
        ) from error


def _replace(draft: Path, path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return os.replace(draft, path)
        except PermissionError:
            if os.name != "nt" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


_looked_through: set[Path] = set()


def _remove_old_drafts(folder: Path) -> None:
    """Removes what killed processes have left, once in each folder; younger drafts may be at
    work.
    """
    if folder not in _looked_through:
        _looked_through.add(folder)
        for draft in folder.glob(".draft-*"):
            with contextlib.suppress(OSError):  # its process has just finished
                if time.time() - draft.stat().st_mtime > ONE_DAY:
                    draft.unlink()


@contextlib.contextmanager
def only_one(folder: str | Path, what: str) -> Iterator[None]:
    """Keeps a folder for one `what` at a time, such as "training" or "grading".

    Ends with its process, however that ends.

    Raises:
        UserError: if there is another one in this folder, in this process or any other, or if it
            cannot be written to.
    """
    path = Path(folder) / f".{what}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")
    except OSError as error:
        raise UserError(
            f"Could not write to {folder} ({error.strerror or error}): choose another folder."
        ) from error
    with file:
        if not _lock(file):
            raise UserError(
                f"Another {what} is at work in {folder}: wait until it has ended, or choose another"
                " folder."
            )
        yield


def _lock(file: IO[str]) -> bool:
    """Locks an open file until it is closed; returns False if somebody else has.

    File systems without locks let everybody in.
    """
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def demand_writable(path: str | Path, suffix: str) -> None:
    """Raises UserError, before hours are spent, if a file of this name, with this suffix, can never
    be written.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(
            f"{path} is a folder: name a file in it, such as {path / ('samples' + suffix)}."
        )
    if path.suffix.lower() != suffix:
        raise UserError(
            f"{path} will be a {suffix} file: give it a name that ends so, such as"
            f" {path.with_suffix(suffix)}."
        )
    blocking = next((parent for parent in path.parents if parent.exists()), None)
    if blocking is not None and not blocking.is_dir():
        raise UserError(f"{blocking} is a file and cannot hold {path.name}: name a folder.")


def write_arrays(
    path: str | Path, groups: Mapping[str, Sequence[np.ndarray]], about: dict[str, Any]
) -> None:
    """Writes {group: [arrays]} and a JSON-able description. Raises UserError as
    `write_atomically`.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["diffusion_lab"] = json.dumps(about)
        for group, arrays in groups.items():
            for number, array in enumerate(arrays):
                file[f"{group}/{number:04d}"] = array
    write_atomically(path, content.getvalue())


def read_arrays(
    path: str | Path, most: int = LARGEST
) -> tuple[dict[str, list[np.ndarray]], dict[str, Any]]:
    """Returns (groups, about) of a file that `write_arrays` wrote.

    `most`: bytes of all arrays together.

    Raises UserError if there is no such file, or it is damaged, too large, or something else.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(
            f"{path} is a folder: name the weights file in it, such as {path / 'model.weights.h5'}."
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
            f"{path} is no model of Diffusion Lab: it was written by another program."
        ) from None
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is damaged or no weights file at all: copy it again or train anew."
        ) from error
    return groups, about


def _plain_arrays(file: h5py.File, most: int) -> dict[str, list[np.ndarray]]:
    """{group: [arrays]} of an HDF5 file.

    Raises ValueError for what `write_arrays` never writes: links, data in other files, and more
    bytes than `most`, which a small file may hold, compressed. Nothing of it is read.
    """
    groups, total = {}, 0
    for name in file:
        groups[name] = [
            _plain(file[name], number, h5py.Dataset)
            for number in sorted(_plain(file, name, h5py.Group))
        ]
        total += sum(array.nbytes for array in groups[name])
        if total > most:
            raise ValueError(f"more than {most} bytes")
    return {name: [array[()] for array in arrays] for name, arrays in groups.items()}


def _plain(parent: h5py.Group, name: str, kind: type) -> Any:
    """The group or the array of numbers of this name, which lies in the file itself."""
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link")
    item = parent[name]
    if not isinstance(item, kind):
        raise ValueError(f"{name} is not what it should be")
    if kind is h5py.Dataset and (item.external or item.is_virtual or item.dtype.kind not in "fiub"):
        raise ValueError(f"{name} does not hold numbers")
    return item


def assign_arrays(variables: Sequence[Any], arrays: Sequence[np.ndarray], path: str | Path) -> None:
    """Gives variables their values, in order; UserError if the numbers or shapes differ, and then
    none is changed.
    """
    shapes, found = (
        [tuple(variable.shape) for variable in variables],
        [np.shape(array) for array in arrays],
    )
    if shapes != found:
        raise UserError(
            f"The weights in {path} belong to another architecture: {len(found)} arrays for "
            f"{len(shapes)} variables, or other shapes; use the model that wrote them."
        )
    for variable, array in zip(variables, arrays):
        variable.assign(array)


def checksums() -> dict[str, str]:
    """{name such as "flowers32":

    SHA-256 of its file, in hexadecimal} of all weights that are shipped.
    """
    lines = (SHIPPED / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name.removesuffix(SUFFIX): checksum for checksum, name in map(str.split, lines)}


def shipped_file(name: str) -> Path:
    """The path of shipped weights, after a look at its checksum.

    Raises UserError for a file that is not what was shipped.
    """
    path = SHIPPED / f"{name}{SUFFIX}"
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != checksums()[name]:
        raise UserError(
            f"{path} is missing, damaged or changed: get it anew, with `git checkout --"
            f" {path.name}` in its folder or by another installation."
        )
    return path
