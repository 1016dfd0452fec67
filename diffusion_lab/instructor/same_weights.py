"""Recognises networks with the same weights, by fingerprints: samples of their numbers."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from diffusion_lab.instructor.inside.drawing import fingerprint
from diffusion_lab.instructor.inside.generating import NETWORKS
from diffusion_lab.instructor.verdicts import Result
from diffusion_lab.models.io import shipped_weights
from diffusion_lab.models.weights import read_arrays, shipped_file

SAME = 0.02  # relative distance of two fingerprints of the same network


def same_weights(one: bytes, other: bytes) -> bool:
    """True if two fingerprints are of the same network.

    Renaming, rounding or a tiny change of the weights makes no difference.
    """
    a, b = (np.frombuffer(content, "float32") for content in (one, other))
    if not len(a) == len(b) > 0 or a[0] != b[0]:  # the first is the number of weights
        return False
    return bool(np.linalg.norm(a[1:] - b[1:]) <= SAME * np.linalg.norm(b[1:]))


def shipped_like(weights: bytes) -> str | None:
    """Returns the name of the shipped weights with the same fingerprint, or None."""
    fingerprints = _shipped_fingerprints()
    return next((name for name, own in fingerprints.items() if same_weights(weights, own)), None)


def with_remarks_on_same_weights(results: Sequence[Result]) -> list[Result]:
    """Returns the results of a class without fingerprints, and with remarks on equal weights."""
    known = [(result, base64.b64decode(result.weights)) for result in results]
    remarked = []
    for result, weights in known:
        others = [
            other.student
            for other, theirs in known
            if other is not result and same_weights(weights, theirs)
        ]
        remark = f"the same weights as {', '.join(others[:3])}{' and others' * (len(others) > 3)}"
        remarked.append(
            replace(result, weights="", remarks=[*result.remarks, *([remark] if others else [])])
        )
    return remarked


@lru_cache
def _shipped_fingerprints() -> dict[str, bytes]:
    found = {name: read_arrays(shipped_file(name)) for name in shipped_weights()}
    return {
        name: fingerprint(groups["network"])
        for name, (groups, about) in found.items()
        if about["config"]["network"] in NETWORKS
    }
