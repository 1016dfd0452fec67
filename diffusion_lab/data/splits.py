"""Which images train and which validate, where the source does not say."""

import hashlib


def split_by_name(names, split):
    """Return the positions in `names` that belong to `split`, in an order that is as good as random.

    A fifth of the names, rounded down, is "validation"; all others are "train". Position and order follow from a hash
    of the name alone, so the two never mix, for whatever seed, and an image keeps its place when others are added.
    """

    def fingerprint(position):
        return hashlib.sha256(str(names[position]).encode("utf-8", "surrogateescape")).digest()

    order = sorted(range(len(names)), key=fingerprint)
    fifth = len(names) // 5
    return order[:fifth] if split == "validation" else order[fifth:]
