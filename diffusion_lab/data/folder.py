"""A folder of pictures as a source."""

import os
import warnings
from pathlib import Path

import numpy as np

from diffusion_lab.data.images import read_image
from diffusion_lab.data.progress import track
from diffusion_lab.data.splits import split_by_name
from diffusion_lab.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def list_images(folder):
    """Return the paths of all pictures under `folder`, sorted; hidden files and folders are left out.

    Raises UserError when there is none.
    """
    paths = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(parent, name) for name in names
                  if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    if not paths:
        raise UserError(f"There is no image in the folder {folder}: put some there that end in {', '.join(SUFFIXES)}.")
    return sorted(paths)


def class_of(path, folder):
    """Return the name of the sub-folder that a picture lies in, or of the folder itself."""
    sub_folders = path.relative_to(folder).parts[:-1]
    return sub_folders[0] if sub_folders else folder.name


def list_fingerprint(folder):
    """Return names, sizes and times of change of all pictures: what must be equal for a cached set to be still good."""
    # a broken link has only the state of the link itself
    states = [(path, path.stat() if path.exists() else path.lstat()) for path in list_images(folder)]
    return [(str(path.relative_to(folder)), state.st_size, state.st_mtime_ns) for path, state in states]


def read_folder(folder, split, image_size, count, seed):
    """Yield `(images, labels)`, one image at a time; the label is the name of the sub-folder (or folder) it lies in.

    What cannot be read is left out, and one warning at the end says so. `seed` has no effect: the split is fixed.
    Raises UserError when no image remains.
    """
    paths = list_images(folder)
    names = [path.relative_to(folder).as_posix() for path in paths]
    chosen = [paths[position] for position in split_by_name(names, split)[:count]]
    if not chosen:
        raise UserError(f"The folder {folder} holds {len(paths)} image(s), too few to set a fifth aside for "
                        "validation: put at least 5 there.")
    unreadable = []
    for path in track(chosen, f"reading {folder.name}"):
        try:
            image = read_image(path, image_size)
        except Exception:  # decoders meet a damaged file with exceptions of every kind
            unreadable.append(path)
            continue
        yield image[None], np.array([class_of(path, folder)])
    if unreadable:
        _report([str(path.relative_to(folder)) for path in unreadable], len(chosen), split, folder)


def _report(unreadable, total, split, folder):
    """Warn that some of the images are unreadable; raise UserError if all are."""
    first = ", ".join(unreadable[:3]) + (", ..." if len(unreadable) > 3 else "")
    if len(unreadable) == total:
        raise UserError(f"None of the {total} {split} image(s) in {folder} can be read ({first}): "
                        "replace them with whole image files.")
    warnings.warn(f"{len(unreadable)} of the {total} {split} images in {folder} cannot be read and are left out: "
                  f"{first}", stacklevel=2)
