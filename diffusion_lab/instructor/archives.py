"""Reads submitted files from a folder, a zip, or a zip inside one of these.

The files may be hostile: nothing is unpacked to disk, no link is followed, and every size is
limited.
"""

import io
import os
import stat
import struct
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from diffusion_lab.errors import UserError
from diffusion_lab.submission.reading import LARGEST

LARGEST_ZIP = 80_000_000  # bytes of a student's zip
LONGEST_LIST = 2_000_000  # bytes of the list of names in a student's zip
DEEPEST = 30  # nested folders
LONGEST_NAME = 255  # characters of a file or folder; file systems allow no more, but a zip does
# what operating systems write
OF_A_SYSTEM = {"__macosx", "__pycache__", "desktop.ini", "thumbs.db", "icon\r"}


class CannotRead(Exception):
    """A file exists but cannot be read. The message completes a sentence that begins with the
    file's name.
    """


class TooLarge(CannotRead):
    """A file is larger than allowed."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"has more than {limit // 10**6} MB ({size / 1e6:.0f} MB)")


@dataclass(frozen=True)
class Entry:
    """A file in a folder or a zip."""

    place: str  # its path within the folder or the zip
    time: float = 0.0  # of its last change in seconds, or 0 if unknown

    @property
    def name(self) -> str:
        return PurePosixPath(self.place).name


def open_store(path: Path) -> "Folder | Zip":
    """Opens a folder, a zip or a single notebook.

    Returns:
        A context manager with the methods `entries()` and `read(place, limit)`.

    Raises:
        UserError: if `path` is none of these.
    """
    if not path.exists():
        raise UserError(
            f"There is no {path}. Give the folder or the zip with the submitted notebooks."
        )
    if path.is_dir() or ".ipynb" in path.name.lower() and path.suffix.lower() != ".zip":
        return Folder(path)
    try:
        return Zip(path)
    except zipfile.BadZipFile:
        raise UserError(
            f"{path} is neither a complete zip nor a notebook. Download it again, or unpack it and"
            " give the folder."
        ) from None


class Folder:
    """The files in a folder and its subfolders, or a single file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "Folder":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def entries(self) -> list[Entry]:
        """Returns the files, in order. Raises OSError if the folder cannot be listed."""
        if self.path.is_file():
            return [Entry(self.path.name)]
        os.listdir(self.path)  # raises an error; os.walk would skip the folder
        found = []
        for folder, folders, files in os.walk(self.path):
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            place = os.path.relpath(folder, self.path)
            if place.count(os.sep) >= DEEPEST:
                folders.clear()
            folders[:] = [name for name in folders if _made_by_a_person(name)]
            found += [
                self._entry(os.path.normpath(os.path.join(place, name))) for name in files + links
            ]
        return sorted(
            (entry for entry in found if _made_by_a_person(entry.place)),
            key=lambda entry: entry.place,
        )

    def _entry(self, place: str) -> Entry:
        time = 0.0
        with suppress(OSError):
            time = os.lstat(self.path / place).st_mtime
        return Entry(Path(place).as_posix(), time)

    def read(self, place: str, limit: int = LARGEST) -> bytes:
        """Returns the content of a file.

        Raises:
            CannotRead: for a link, a pipe or a file of more than `limit` bytes.
            OSError: if the whole folder is gone.
        """
        path = self.path if self.path.is_file() else self.path / place
        try:
            with open(path, "rb", opener=_open_without_following_links) as file:
                about = os.fstat(file.fileno())
                if not stat.S_ISREG(about.st_mode):
                    raise CannotRead("is not a file. Hand in the file itself")
                return _limited(file, about.st_size, limit)
        except OSError:
            os.stat(self.path)
            raise CannotRead("is a link or cannot be read. Hand in the file itself") from None


class Zip(zipfile.ZipFile):
    """The files in a zip, with the methods of `Folder`.

    Args:
        source: a path, or the content of a student's zip.
        longest: bytes of its list of names; None for any number, or the limit for a student's zip.

    Raises:
        zipfile.BadZipFile: if the zip is damaged or its list of names is too long.
    """

    def __init__(self, source: Path | bytes, longest: int | None = None) -> None:
        if isinstance(source, bytes):
            self.source = _Source(io.BytesIO(source), longest or LONGEST_LIST)
        else:
            self.source = _Source(open(source, "rb"), longest)
        try:
            super().__init__(cast(Any, self.source))  # a file to zipfile, but not to a type checker
        except Exception as error:  # zipfile trusts what it reads
            self.source.close()
            raise zipfile.BadZipFile(str(error)) from None
        self.source.listing = False

    def close(self) -> None:
        super().close()
        self.source.close()

    def entries(self) -> list[Entry]:
        """Returns the files, in order. If two have the same name, the later one counts."""
        self.files = {_name(entry): entry for entry in self.infolist()}
        return [
            Entry(place, _time(self.files[place]))
            for place in sorted(self.files)
            if _made_by_a_person(place) and not place.endswith("/")
        ]

    # pyright: ignore[reportIncompatibleMethodOverride]
    def read(self, place: str, limit: int = LARGEST) -> bytes:
        """Returns the content of a file.

        Raises:
            CannotRead: if it is damaged, encrypted, or larger than `limit` bytes.
        """
        entry = self.files[place]
        try:
            # other methods may take any amount of memory
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise NotImplementedError
            with self.open(entry) as file:
                return _limited(file, entry.file_size, limit)
        except CannotRead:
            raise
        except Exception:  # a damaged file may raise anything
            raise CannotRead("is damaged or encrypted. Hand it in again") from None


class _Source:
    """The bytes of a zip, with the flag for UTF-8 names removed from all headers.

    zipfile rejects the whole archive if one flagged name is not UTF-8. Without the flag, it accepts
    any name as code page 437.
    """

    def __init__(self, file: IO[bytes], longest: int | None) -> None:
        self.file, self.longest, self.listing = file, longest, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def read(self, size: int = -1) -> bytes:
        content = bytearray(self.file.read(size))
        if len(content) == 30 and content.startswith(b"PK\3\4"):
            content[7] &= ~8
        if self.listing and content.startswith(b"PK\1\2"):
            if self.longest and len(content) > self.longest:
                raise zipfile.BadZipFile("its list of names is too long")
            start = 0
            while content[start : start + 4] == b"PK\1\2" and start + 46 <= len(content):
                content[start + 9] &= ~8
                start += 46 + sum(struct.unpack_from("<3H", content, start + 28))
        return bytes(content)


def _open_without_following_links(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _name(entry: zipfile.ZipInfo) -> str:
    """Returns an entry's path. Most programs write UTF-8, with or without setting the flag."""
    name = entry.filename
    with suppress(UnicodeError):
        name = name.encode("cp437").decode()
    return name.replace("\\", "/")


def _time(entry: zipfile.ZipInfo) -> float:
    try:
        return datetime(*entry.date_time).timestamp()
    except (ValueError, OverflowError, OSError):  # such as month 0
        return 0.0


def _limited(file: IO[bytes], size: int, limit: int) -> bytes:
    content = file.read(limit + 1)
    if len(content) > limit:
        raise TooLarge(max(size, len(content)), limit)
    return content


def _made_by_a_person(place: str) -> bool:
    """True unless the file is hidden, an operating system wrote it, it is nested too deeply, or a
    name in its path is too long for a file system.
    """
    parts = [part for part in place.split("/") if part not in ("", ".", "..")]
    return 0 < len(parts) <= DEEPEST and not any(
        part.startswith((".", "~$")) or part.lower() in OF_A_SYSTEM or len(part) > LONGEST_NAME
        for part in parts
    )
