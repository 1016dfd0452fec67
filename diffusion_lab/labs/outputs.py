"""What a check measures, as arrays: a student's results, and a sentence in numbers.

Only arrays pass from the process in which a student's code runs to the one that judges it.
"""

import keras
import numpy as np

from diffusion_lab.backend import parts
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.language import say

LENGTH = 400  # of an encoded sentence; longer ones are cut off


def encode_sentence(sentence):
    """Returns a sentence as an array of fixed size, because `run` returns only arrays."""
    codes = [float(ord(letter)) for letter in sentence[:LENGTH]]
    return np.array(codes + [0.0] * (LENGTH - len(codes)))


def decode_sentence(codes):
    """Returns the sentence that `encode_sentence` turned into this array."""
    letters = [chr(int(code)) for code in np.ravel(codes) if 0 < code < 0x10FFFF]
    return "".join(letter for letter in letters if letter.isprintable())


def arrays(result, *names):
    """Returns the result of a student's function as {name: float64 array}."""
    if len(names) == 1:
        return {names[0]: array(result, names[0])}
    try:
        values = parts(result)
    except TypeError:
        values = ()
    if len(values) != len(names):
        what = (
            say("{count} values", count=len(values))
            if isinstance(result, (tuple, list))
            else kind_of(result)
        )
        raise CheckFailed(
            say(
                "it must return {count} values, {names}, but it returns {what}.",
                count=len(names),
                names=", ".join(names),
                what=what,
            )
        )
    return {name: array(part, name) for name, part in zip(names, values)}


def array(value, name):
    """Returns a tensor of any library, or a number, as a float64 array."""
    if isinstance(value, (list, tuple)) and len(value) == 1 and np.ndim(value[0]):
        raise CheckFailed(
            say("it returns a list with one array, {name}: return the array itself.", name=name)
        )
    try:
        values = (
            keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else np.asarray(value)
        )
        return values.astype("float64")
    except (TypeError, ValueError):
        raise CheckFailed(
            say("{name} must be an array of numbers, not {kind}.", name=name, kind=kind_of(value))
        ) from None


def kind_of(value):
    """Returns what a value is, in words, for a sentence about it."""
    if value is None:
        return say("nothing (None)")
    return say("a value of the type {type}", type=type(value).__name__)
