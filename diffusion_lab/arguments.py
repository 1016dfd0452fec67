"""Checks of the numbers that people pass in: each returns the number, or raises a `UserError` of one sentence."""

import math
import operator
from reprlib import repr  # which shortens

import numpy as np

from diffusion_lab.errors import UserError

MOST_STEPS = 100_000
MOST_IMAGES = 1_000_000
MOST_PIXELS = 4096  # a side of an image
MOST_CHANNELS = 4096  # of a layer
MOST_GUIDANCE = 100  # more gives nothing but black and white
LARGEST_SEED = 2**32 - 1  # what NumPy, Keras and the three backends all take


def whole_number(name, value, least=1, most=math.inf):
    """Returns `value` as an int in [least, most]; 20.0 is one, and "20", True and NaN are not."""
    number = _number(value)
    if number != number // 1 or number < least:  # written so that NaN fails, too
        raise UserError(f"{name} must be a whole number of at least {least}, but it is {repr(value)}.")
    if number > most:
        raise UserError(f"{name} must be a whole number of at most {most}, but it is {repr(value)}.")
    return int(number)


def finite_number(name, value, least, most):
    """Returns `value` as a float in [least, most]."""
    number = _number(value)
    if not least <= number <= most:
        raise UserError(f"{name} must lie in [{least:g}, {most:g}], but it is {repr(value)}.")
    return float(number)


def seed_number(value):
    """Returns a seed as an int."""
    return whole_number("seed", value, 0, LARGEST_SEED)


def _number(value):
    """Returns an int or a float; NaN for what is no single number."""
    if isinstance(value, (bool, np.bool_, str, bytes)) or getattr(value, "ndim", 0):
        return math.nan
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
