"""Which images train and which validate, where the source does not say."""

import hashlib
from collections.abc import Iterable

FIFTH = bytes(32 * [255 // 5])  # a fifth of all hashes lie below
LEAST = 2  # images that validate, as many as it takes to measure KID


def split_by_name(names: Iterable[object], split: str) -> list[int]:
    """Return the positions in `names` that belong to `split`, in an order that is as good as
    random.

    A name whose hash lies in the lowest fifth of all possible hashes is "validation"; all others
    are "train". Of five names or more, the two lowest validate in any case; of fewer, none.
    Position and order follow from the hashes alone, so the two never mix, for whatever seed, and of
    five images or more none that trains validates when others are added.
    """
    hashes = [
        hashlib.sha256(str(name).encode("utf-8", "surrogateescape")).digest() for name in names
    ]
    order = sorted(range(len(hashes)), key=hashes.__getitem__)
    aside = max(LEAST, sum(digest < FIFTH for digest in hashes)) if len(hashes) >= 5 else 0
    return order[:aside] if split == "validation" else order[aside:]
