"""Files that are written completely or not at all, and folders that one process uses at a time.

Files are written under a temporary name and then renamed, so a run that is killed or a full disk
leaves the previous file unchanged.
"""

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from diffusion_lab.errors import UserError

ONE_DAY = 24 * 3600
# Windows does not replace a file while another program reads it, so we try again for a moment
PATIENCE = 2.0  # seconds


def write_atomically(path: str | Path, content: bytes) -> None:
    """Replaces a file's content: a reader sees either all of the old file or all of the new one.

    Raises:
        UserError: as `replacing`.
    """
    # the ending hides the draft from code that looks for files by their suffix
    with replacing(path, ending=".draft") as draft:
        draft.write_bytes(content)


@contextlib.contextmanager
def replacing(path: str | Path, ending: str = "") -> Iterator[Path]:
    """Yields the path of a draft, and afterwards replaces `path` by the draft.

    The draft is in the same folder, and its name ends like that of `path`, followed by `ending`.
    Each writer has its own draft, so several may write at once, and the last one wins.

    Raises:
        UserError: if the disk is full or read-only; `path` is unchanged then.
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
            f"Could not write {path} ({error.strerror or error}); an earlier file is untouched."
            " Make room, close the program that has it open, or choose another folder, then run"
            " the same command again."
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


_searched_folders: set[Path] = set()


def _remove_old_drafts(folder: Path) -> None:
    """Removes drafts of killed processes, once per folder; recent ones may still be in use."""
    if folder not in _searched_folders:
        _searched_folders.add(folder)
        for draft in folder.glob(".draft-*"):
            with contextlib.suppress(OSError):  # its process has just finished
                if time.time() - draft.stat().st_mtime > ONE_DAY:
                    draft.unlink()


@contextlib.contextmanager
def only_one(folder: str | Path, what: str) -> Iterator[None]:
    """Locks a folder, so that only one `what`, such as "training" or "grading", uses it at a time.

    The lock ends with its process, even if that is killed.

    Raises:
        UserError: if the folder is locked already, by this process or another one, or if it cannot
            be written to.
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
                f"Another {what} is running in {folder}: wait until it has finished, or choose"
                " another folder."
            )
        yield


def _lock(file: IO[str]) -> bool:
    """Locks an open file until it is closed; returns False if it is locked already.

    On a file system without locks it always returns True.
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
    """Raises UserError if `path` cannot be written or has another suffix.

    Call it before a long computation whose result is written there.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(
            f"{path} is a folder: give the path of a file in it, such as"
            f" {path / ('samples' + suffix)}."
        )
    if path.suffix.lower() != suffix:
        raise UserError(
            f"{path} will be a {suffix} file: give it a name with that ending, such as"
            f" {path.with_suffix(suffix)}."
        )
    blocking = next((parent for parent in path.parents if parent.exists()), None)
    if blocking is not None and not blocking.is_dir():
        raise UserError(
            f"{blocking} is a file and cannot contain {path.name}: give the path of a folder."
        )
    if blocking is not None and not os.access(blocking, os.W_OK):
        raise UserError(
            f"Could not write to {blocking} ({os.strerror(errno.EACCES)}): choose another folder."
        )
