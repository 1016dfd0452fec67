"""A folder of images as a data set."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from diffusion_lab.data.images import ImagesAndLabels, picture_suffixes, read_image
from diffusion_lab.data.progress import track
from diffusion_lab.data.splits import split_by_name
from diffusion_lab.errors import UserError

COMPANIONS = (
    ".txt",
    ".csv",
    ".tsv",
    ".json",
    ".xml",
    ".md",
    ".html",
    ".yaml",
    ".yml",
    ".ini",
    ".db",
)  # files that often accompany images
RUN = "checkpoint.h5"  # a file in the folder of a training run
PARTS = {
    "train",
    "training",
    "val",
    "valid",
    "validation",
    "dev",
    "test",
    "testing",
}  # of a data set that somebody has split


def list_images(folder: Path) -> list[Path]:
    """Returns the sorted paths of all images under `folder`; links are followed.

    Hidden files are left out, and so are the folders of training runs, which contain samples. A
    warning counts the files that are not images.

    Raises:
        UserError: if there are no images.
    """
    paths: list[Path] = []
    others: list[Path] = []
    suffixes = picture_suffixes()
    for path in _walk(folder, others.append):
        suffix = path.suffix.lower()
        if suffix in suffixes:
            paths.append(path)
        elif suffix not in COMPANIONS:
            others.append(path)
    if others:
        names = _first([path.relative_to(folder).as_posix() for path in sorted(others)])
        skipped = (
            f"{len(others)} of the files in {folder} are skipped, because they are not images that"
            f" can be read on this machine: {names}"
        )
    if not paths:
        raise UserError(
            f"There is no image in the folder {folder}: add some, such as .jpg, .png or .webp"
            " files." + (f" {skipped}." if others else "")
        )
    if others:
        # without a stack level, so that Python shows the same text only once for all callers
        warnings.warn(skipped)  # noqa: B028
    return sorted(paths)


def _walk(folder: Path, report: Callable[[Path], None]) -> Iterator[Path]:
    """Yields the paths of all files; calls `report` for folders that cannot be read.

    A folder that links reach a second time is entered only once.
    """
    root = os.path.realpath(folder)
    entered = {root}

    def is_new(path: str) -> bool:
        target = os.path.realpath(path)
        new = target not in entered and not Path(root).is_relative_to(target)
        entered.add(target)
        return new

    for parent, folders, names in os.walk(
        folder, followlinks=True, onerror=lambda error: report(Path(error.filename))
    ):
        visible = sorted(
            (name for name in folders if not name.startswith(".")),
            key=lambda name: (os.path.islink(os.path.join(parent, name)), name),
        )
        folders[:] = [name for name in visible if is_new(os.path.join(parent, name))]
        if RUN not in names:
            yield from (Path(parent, name) for name in names if not name.startswith("."))


def class_of_each(paths: list[Path], folder: Path) -> list[str]:
    """Returns the class of each image: the name of its sub-folder, or that of `folder` itself.

    A single folder around all others (flowers/rose, flowers/tulip) is not a class. The parts of a
    data set that somebody has split (train/rose, test/rose) are not classes either, but pooled.
    """
    folders = [path.relative_to(folder).parts[:-1] for path in paths]
    while True:
        outermost = {parts[0].lower() if parts else "" for parts in folders}
        around_all = len(outermost) == 1 and all(len(parts) > 1 for parts in folders)
        if not (around_all or set() < outermost <= PARTS):
            return [parts[0] if parts else folder.name for parts in folders]
        folders = [parts[1:] for parts in folders]


def list_fingerprint(folder: Path) -> list[tuple[str, int, int]]:
    """Returns the names, sizes and modification times of all images.

    A cached set is valid while they are equal.
    """
    # for a broken link, only the state of the link itself is known
    states = [
        (path, path.stat() if path.exists() else path.lstat()) for path in list_images(folder)
    ]
    return [
        (str(path.relative_to(folder)), state.st_size, state.st_mtime_ns) for path, state in states
    ]


def read_folder(
    folder: Path, split: str, image_size: int, count: int | None, seed: int
) -> Iterator[ImagesAndLabels]:
    """Yields `(images, labels)`, one image at a time; a label is the name of a class.

    Images that cannot be read are skipped, with one warning at the end. `seed` has no effect, since
    the split is fixed.

    Raises:
        UserError: if no image remains.
    """
    paths = list_images(folder)
    classes = dict(zip(paths, class_of_each(paths, folder)))
    names = [path.relative_to(folder).as_posix() for path in paths]
    chosen = [paths[position] for position in split_by_name(names, split)[:count]]
    if not chosen:
        raise UserError(
            f"The folder {folder} has only {len(paths)} image(s), but a fifth of them is needed for"
            " validation: add images until there are at least 5."
        )
    unreadable = []
    for path in track(chosen, f"reading {folder.name}"):
        try:
            image = read_image(path, image_size)
        except Exception:  # decoders raise every kind of exception for a damaged file
            unreadable.append(path)
            continue
        yield image[None], np.array([classes[path]])
    if unreadable:
        _report(
            [path.relative_to(folder).as_posix() for path in unreadable], len(chosen), split, folder
        )


def _report(unreadable: list[str], total: int, split: str, folder: Path) -> None:
    """Warns that some of the images are unreadable; raise UserError if all are."""
    if len(unreadable) == total:
        raise UserError(
            f"None of the {total} {split} image(s) in {folder} can be read ({_first(unreadable)}): "
            "replace them with valid image files."
        )
    warnings.warn(
        f"{len(unreadable)} of the {total} {split} images in {folder} cannot be read and are"
        f" skipped: {_first(unreadable)}",
        stacklevel=2,
    )


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
