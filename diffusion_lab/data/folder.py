"""A folder of pictures as a source."""

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
)  # lie next to pictures
RUN = "checkpoint.h5"  # lies in the folder of a training run
PARTS = {
    "train",
    "training",
    "val",
    "valid",
    "validation",
    "dev",
    "test",
    "testing",
}  # of a data set that others have split


def list_images(folder: Path) -> list[Path]:
    """Return the paths of all pictures under `folder`, also behind links, sorted.

    What is hidden is left out, and so are the folders of training runs, which hold samples. A
    warning counts what else is there. Raises UserError when there is no picture.
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
        passed_over = (
            f"{len(others)} of the files in {folder} are passed over, because they are not pictures"
            f" that can be read here: {names}"
        )
    if not paths:
        raise UserError(
            f"There is no image in the folder {folder}: put some there, such as .jpg, .png or .webp"
            " files." + (f" {passed_over}." if others else "")
        )
    if others:
        warnings.warn(passed_over)  # with the same text once only, wherever it is called from  # noqa: B028
    return sorted(paths)


def _walk(folder: Path, report: Callable[[Path], None]) -> Iterator[Path]:
    """Yield the paths of all files; a folder that can be reached in two ways is entered once, and
    one that cannot be read reported.
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
    """Return the names of the classes: of the sub-folder that each picture lies in, or of `folder`
    itself.

    A single folder around all others (flowers/rose, flowers/tulip) is no class, and neither are the
    parts of a data set that somebody has split (train/rose, test/rose): those are pooled.
    """
    folders = [path.relative_to(folder).parts[:-1] for path in paths]
    while True:
        outermost = {parts[0].lower() if parts else "" for parts in folders}
        around_all = len(outermost) == 1 and all(len(parts) > 1 for parts in folders)
        if not (around_all or set() < outermost <= PARTS):
            return [parts[0] if parts else folder.name for parts in folders]
        folders = [parts[1:] for parts in folders]


def list_fingerprint(folder: Path) -> list[tuple[str, int, int]]:
    """Return names, sizes and times of change of all pictures: what must be equal for a cached set
    to be still good.
    """
    # a broken link has only the state of the link itself
    states = [
        (path, path.stat() if path.exists() else path.lstat()) for path in list_images(folder)
    ]
    return [
        (str(path.relative_to(folder)), state.st_size, state.st_mtime_ns) for path, state in states
    ]


def read_folder(
    folder: Path, split: str, image_size: int, count: int | None, seed: int
) -> Iterator[ImagesAndLabels]:
    """Yield `(images, labels)`, one image at a time; the label is the name of the sub-folder (or
    folder) it lies in.

    What cannot be read is left out, and one warning at the end says so. `seed` has no effect: the
    split is fixed. Raises UserError when no image remains.
    """
    paths = list_images(folder)
    classes = dict(zip(paths, class_of_each(paths, folder)))
    names = [path.relative_to(folder).as_posix() for path in paths]
    chosen = [paths[position] for position in split_by_name(names, split)[:count]]
    if not chosen:
        raise UserError(
            f"The folder {folder} holds {len(paths)} image(s), too few to set a fifth aside for "
            "validation: put at least 5 there."
        )
    unreadable = []
    for path in track(chosen, f"reading {folder.name}"):
        try:
            image = read_image(path, image_size)
        except Exception:  # decoders meet a damaged file with exceptions of every kind
            unreadable.append(path)
            continue
        yield image[None], np.array([classes[path]])
    if unreadable:
        _report(
            [path.relative_to(folder).as_posix() for path in unreadable], len(chosen), split, folder
        )


def _report(unreadable: list[str], total: int, split: str, folder: Path) -> None:
    """Warn that some of the images are unreadable; raise UserError if all are."""
    if len(unreadable) == total:
        raise UserError(
            f"None of the {total} {split} image(s) in {folder} can be read ({_first(unreadable)}): "
            "replace them with whole image files."
        )
    warnings.warn(
        f"{len(unreadable)} of the {total} {split} images in {folder} cannot be read and are left"
        f" out: {_first(unreadable)}",
        stacklevel=2,
    )


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
