"""Splits images into training and validation, if the source does not."""

import hashlib
from collections.abc import Iterable

FIFTH = bytes(32 * [255 // 5])  # a fifth of all hashes are below this
LEAST = 2  # validation images, because KID needs two


def split_by_name(names: Iterable[object], split: str) -> list[int]:
    """Returns the positions in `names` that belong to `split`, in a random-looking order.

    A name whose hash is in the lowest fifth of all possible hashes is "validation", and all others
    are "train". With five names or more, the two lowest hashes are always "validation"; with fewer
    names, none is. Split and order depend on the hashes alone and not on a seed, so no image is in
    both splits. If there are five images or more, adding others never moves a training image to
    validation.
    """
    hashes = [
        hashlib.sha256(str(name).encode("utf-8", "surrogateescape")).digest() for name in names
    ]
    order = sorted(range(len(hashes)), key=hashes.__getitem__)
    aside = max(LEAST, sum(digest < FIFTH for digest in hashes)) if len(hashes) >= 5 else 0
    return order[:aside] if split == "validation" else order[aside:]
