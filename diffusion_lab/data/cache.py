"""Images on disk as one memory-mapped array, which is written once and then only mapped.

A cached set is a folder with `images.npy` (uint8) and `labels.npy`. It is written under another
name and then renamed. So a process that is killed leaves no set that looks complete, and two
processes may build the same set at the same time.
"""

import contextlib
import errno
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from diffusion_lab.data.images import ImagesAndLabels
from diffusion_lab.errors import UserError

ONE_DAY = 24 * 3600


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Returns the folder of all cached sets.

    It is `cache_dir` if given, then $DIFFUSION_LAB_CACHE, then the platform's cache folder.
    """
    if cache_dir or os.environ.get("DIFFUSION_LAB_CACHE"):
        return Path(cache_dir or os.environ["DIFFUSION_LAB_CACHE"]).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(base or "~/.cache").expanduser() / "diffusion_lab"


def cached(folder: Path, chunks: Callable[[], Iterable[ImagesAndLabels]]) -> ImagesAndLabels:
    """Returns memory-mapped `(images, labels)` of the set cached in `folder`.

    A set that is missing or damaged is built first, with memory that does not grow with its size.

    Args:
        folder: of the set.
        chunks: called without arguments to build the set. It yields `(images, labels)` a few at a
            time: uint8 (n, H, W, C), and an array of n labels that are not Python objects.

    Raises:
        UserError: if the set cannot be written.
    """
    for builds in range(4):
        # more than one build is only needed if several processes replace a damaged set at once
        if builds > 0:
            _build(folder, chunks())
        arrays = _open(folder)
        if arrays is not None:
            return arrays
    raise UserError(
        f"The images cached in {folder} cannot be read back: set DIFFUSION_LAB_CACHE to another"
        " folder."
    )


def _build(folder: Path, chunks: Iterable[ImagesAndLabels]) -> None:
    draft = folder.parent / f"draft-{uuid.uuid4().hex}"
    try:
        draft.mkdir(parents=True)
        _remove_old_drafts(folder.parent)
        _write(draft, chunks)
        _publish(draft, folder)
    except OSError as error:
        raise UserError(
            f"The images cannot be cached in {folder.parent} ({error.strerror or error}): make room"
            " there, or set DIFFUSION_LAB_CACHE to a folder that you can write to."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _open(folder: Path) -> ImagesAndLabels | None:
    """Maps the two files of a set; returns None if the set is missing or damaged."""
    try:
        images = np.lib.format.open_memmap(folder / "images.npy", mode="r")
        labels = np.lib.format.open_memmap(folder / "labels.npy", mode="r")
    except Exception:  # a damaged header can raise many kinds; the set is then built again
        return None
    sound = images.ndim == 4 and images.dtype == np.uint8 and len(images) == len(labels)
    return (images, labels) if sound else None


def _write(folder: Path, chunks: Iterable[ImagesAndLabels]) -> None:
    """Writes a set to `folder`, chunk by chunk.

    The images are written to an ordinary file, because with a memory map a full disk would kill the
    process instead of raising OSError. Their number is only known at the end, so the header is
    written twice; NumPy pads it so that the second one fits.
    """
    labels: list[np.ndarray] = []
    count, image_shape = 0, ()
    with open(folder / "images.npy", "wb") as file:
        for images, chunk_labels in chunks:
            if count == 0:
                image_shape = images.shape[1:]
                _write_header(file, (0, *image_shape))
            file.write(np.ascontiguousarray(images, dtype=np.uint8).tobytes())
            labels.append(chunk_labels)
            count += len(images)
        file.seek(0)
        _write_header(file, (count, *image_shape))
    np.save(folder / "labels.npy", np.concatenate(labels), allow_pickle=False)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _publish(draft: Path, folder: Path) -> None:
    """Renames `draft` to `folder`, replacing a damaged set.

    It does nothing if another process was faster.
    """
    if folder.exists() and _open(folder) is None:
        damaged = draft.with_name(f"{draft.name}-damaged")
        with contextlib.suppress(FileNotFoundError):  # another process has moved it away
            folder.rename(damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    try:
        draft.rename(folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def _remove_old_drafts(parent: Path) -> None:
    """Removes the drafts of killed processes; recent drafts may still be in use."""
    for draft in parent.glob("draft-*"):
        with contextlib.suppress(FileNotFoundError):  # its process has just finished
            if time.time() - draft.stat().st_mtime > ONE_DAY:
                shutil.rmtree(draft, ignore_errors=True)
