"""Reads what was handed in, from a folder, a zip, or a zip in one of these.

Nothing is unpacked, no link is followed, and every size has a bound, since anybody may have made
these files.
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

LARGEST_ZIP = 80_000_000  # bytes of a zip in a hand-in
LONGEST_LIST = 2_000_000  # bytes of such a zip's list of names
DEEPEST = 30  # folders in each other
DEFAULTS = {
    "__macosx",
    "__pycache__",
    "desktop.ini",
    "thumbs.db",
    "icon\r",
}  # which systems leave, and no person


class CannotRead(Exception):
    """A file that is there and cannot be read; the message ends a sentence that begins with its
    name.
    """


class TooLarge(CannotRead):
    """A file with more bytes than allowed."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"has more than {limit // 10**6} MB ({size / 1e6:.0f} MB)")


@dataclass(frozen=True)
class Entry:
    """A file: its path within the folder or the zip, and when it was changed (in seconds; 0 if
    nothing says so).
    """

    place: str
    time: float = 0.0

    @property
    def name(self) -> str:
        return PurePosixPath(self.place).name


def open_store(path: Path) -> "Folder | Zip":
    """Returns a context manager with `entries()` and `read(place, limit)` for a folder, a zip or a
    single notebook.

    Raises UserError if `path` is none of these.
    """
    if not path.exists():
        raise UserError(
            f"There is no {path}: name the folder or the zip with the submitted notebooks."
        )
    if path.is_dir() or ".ipynb" in path.name.lower() and path.suffix.lower() != ".zip":
        return Folder(path)
    try:
        return Zip(path)
    except zipfile.BadZipFile:
        raise UserError(
            f"{path} is not a complete zip, and no notebook either: download it again, or name the"
            " folder with what it holds."
        ) from None


class Folder:
    """The files in a folder and below, or a single file."""

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
        os.listdir(self.path)  # for walk would only pass over it
        found = []
        for folder, folders, files in os.walk(self.path):
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            place = os.path.relpath(folder, self.path)
            if place.count(os.sep) >= DEEPEST:
                folders.clear()
            folders[:] = [name for name in folders if _by_a_person(name)]
            found += [
                self._entry(os.path.normpath(os.path.join(place, name))) for name in files + links
            ]
        return sorted(
            (entry for entry in found if _by_a_person(entry.place)), key=lambda entry: entry.place
        )

    def _entry(self, place: str) -> Entry:
        time = 0.0
        with suppress(OSError):
            time = os.lstat(self.path / place).st_mtime
        return Entry(Path(place).as_posix(), time)

    def read(self, place: str, limit: int = LARGEST) -> bytes:
        """Returns the content.

        Raises CannotRead for a link, a pipe or a file of more than `limit` bytes, and OSError if
        the whole folder has gone.
        """
        path = self.path if self.path.is_file() else self.path / place
        try:
            with open(path, "rb", opener=_without_following) as file:
                about = os.fstat(file.fileno())
                if not stat.S_ISREG(about.st_mode):
                    raise CannotRead("is not a file: hand in the file itself")
                return _limited(file, about.st_size, limit)
        except OSError:
            os.stat(self.path)
            raise CannotRead("is a link or cannot be read: hand in the file itself") from None


class Zip(zipfile.ZipFile):
    """The files in a zip, as `Folder`. `source` is a path, or the bytes of a zip in a hand-in.

    Raises zipfile.BadZipFile if it is damaged or its list of names is too long.
    """

    def __init__(self, source: Path | bytes) -> None:
        if isinstance(source, bytes):
            self.source = _Source(io.BytesIO(source), LONGEST_LIST)
        else:
            self.source = _Source(open(source, "rb"), None)
        try:
            super().__init__(cast(Any, self.source))  # which has all of a file by __getattr__
        except Exception as error:  # zipfile trusts what it reads
            self.source.close()
            raise zipfile.BadZipFile(str(error)) from None
        self.source.listing = False

    def close(self) -> None:
        super().close()
        self.source.close()

    def entries(self) -> list[Entry]:
        """Returns the files, in order; of two with one name the later, as when it is unpacked."""
        self.files = {_name(entry): entry for entry in self.infolist()}
        return [
            Entry(place, _time(self.files[place]))
            for place in sorted(self.files)
            if _by_a_person(place) and not place.endswith("/")
        ]

    # pyright: ignore[reportIncompatibleMethodOverride]
    def read(self, place: str, limit: int = LARGEST) -> bytes:
        """Returns the content.

        Raises CannotRead for what is damaged, encrypted, or of more than `limit` bytes.
        """
        entry = self.files[place]
        try:
            if entry.compress_type not in (
                zipfile.ZIP_STORED,
                zipfile.ZIP_DEFLATED,
            ):  # others take memory as they please
                raise NotImplementedError
            with self.open(entry) as file:
                return _limited(file, entry.file_size, limit)
        except CannotRead:
            raise
        except Exception:  # whatever a damaged file can bring a decoder to
            raise CannotRead("is damaged or encrypted: hand it in again") from None


class _Source:
    """The bytes of a zip, in whose headers the mark for names in UTF-8 is taken away.

    zipfile gives up a whole class where one marked name is not UTF-8. Without the mark it takes
    any, for code page 437.
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


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _name(entry: zipfile.ZipInfo) -> str:
    """Returns an entry's path: most programs write UTF-8, whether they say so or not."""
    name = entry.filename
    with suppress(UnicodeError):
        name = name.encode("cp437").decode()
    return name.replace("\\", "/")


def _time(entry: zipfile.ZipInfo) -> float:
    try:
        return datetime(*entry.date_time).timestamp()
    except (ValueError, OverflowError, OSError):  # a month 0, or long before computers
        return 0.0


def _limited(file: IO[bytes], size: int, limit: int) -> bytes:
    content = file.read(limit + 1)
    if len(content) > limit:
        raise TooLarge(max(size, len(content)), limit)
    return content


def _by_a_person(place: str) -> bool:
    """True unless a system has left this file, or it is hidden, or in more folders than anybody
    makes.
    """
    parts = [part for part in place.split("/") if part not in ("", ".", "..")]
    return 0 < len(parts) <= DEEPEST and not any(
        part.startswith((".", "~$")) or part.lower() in DEFAULTS for part in parts
    )
