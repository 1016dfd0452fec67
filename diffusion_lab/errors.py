"""Exceptions whose messages users read, in a terminal or notebook, and checks of numbers."""

import math
import operator
import os
import textwrap
from reprlib import repr  # shortens long values

import numpy as np

BACKENDS = ("tensorflow", "jax", "torch")


def in_red(sentence):
    """Returns the lines that Jupyter shows for an error: the sentence in red, after a cross.

    Jupyter would break long lines within words.
    """
    lines = textwrap.wrap(f"✗ {sentence}", 88, break_long_words=False, break_on_hyphens=False)
    return [f"\x1b[31m{line}\x1b[0m" for line in lines]


class OneSentence:
    """Makes Jupyter show an exception's message without its traceback."""

    def _render_traceback_(self):
        return in_red(self)


class UserError(OneSentence, ValueError):
    """A mistake in a request; the message says what is wrong and what to do.

    The command line prints only the message, with exit status 2; a notebook shows it under the
    cell.
    """


class NoGradient(UserError):
    """A loss that carries no gradient back to the weights."""


def about_backend(error):
    """Returns the `UserError` for an import of Keras that failed because of its backend.

    Returns None for any other exception.
    """
    name = (getattr(error, "name", None) or "").split(".")[0]
    from_file = (
        "" if os.environ.get("KERAS_BACKEND") else "; Keras's file keras.json chooses this backend"
    )
    if name in BACKENDS:
        return UserError(
            f"Keras is set to use {name}, which is not installed: install it (pip install {name}),"
            f" or set the variable KERAS_BACKEND to tensorflow{from_file}."
        )
    if "Unable to import backend" in str(error):
        return UserError(
            f"{error}: set the variable KERAS_BACKEND to one of {', '.join(BACKENDS)}{from_file}."
        )
    return None


MOST_STEPS = 100_000
MOST_IMAGES = 1_000_000
MOST_PIXELS = 4096  # in width or height of an image
MOST_CHANNELS = 4096  # of a layer
LEAST_SPACING, MOST_SPACING = 0.5, 4  # of a sampler's steps
MOST_GUIDANCE = 100  # beyond this, images are only black and white
LARGEST_SEED = 2**32 - 1  # NumPy, Keras and the three backends all accept this


def whole_number(name, value, least=1, most=math.inf):
    """Returns `value` as an int in [least, most].

    20.0 is accepted; "20", True and NaN are not.

    Raises:
        UserError: for anything else; the message contains `name`.
    """
    number = _number(value)
    if number != number // 1 or number < least:  # written so that NaN fails as well
        raise UserError(
            f"{name} must be a whole number of at least {least}, but it is {repr(value)}."
        )
    if number > most:
        raise UserError(
            f"{name} must be a whole number of at most {most}, but it is {repr(value)}."
        )
    return int(number)


def finite_number(name, value, least, most):
    """Returns `value` as a float in [least, most]; raises UserError for anything else."""
    number = _number(value)
    if not least <= number <= most:
        raise UserError(f"{name} must be in [{least:g}, {most:g}], but it is {repr(value)}.")
    return float(number)


def seed_number(value):
    """Returns a seed as an int."""
    return whole_number("seed", value, 0, LARGEST_SEED)


def _number(value):
    """Returns an int or a float; NaN for anything that is not a single number."""
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
