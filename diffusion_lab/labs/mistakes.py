"""Known mistakes: what each one computes, and how an answer is compared with them."""

import functools
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from diffusion_lab.labs.failures import CheckFailed, Undiagnosed
from diffusion_lab.labs.language import say


class Mistake(NamedTuple):
    """A known misconception.

    Args:
        hint: what a student with this mistake reads: first what happened, then what to do.
        wrong: a function with the mistake, called like the right answer; or a pair of texts, of
            which the second replaces the first in the source of the right answer.
        share: of the exercise's points that an answer with this mistake earns, from 0 to 1. Only
            the grader uses it.
    """

    hint: str
    wrong: Callable | tuple[str, str]
    share: float = 0.0

    @functools.cache  # because `inspect` is slow  # noqa: B019
    def function(self, right):
        """Returns the function with the mistake; `right` is the right answer."""
        if callable(self.wrong):
            return self.wrong
        namespace = dict(right.__globals__)
        exec(self.source(right), namespace)
        return namespace[right.__name__]

    def source(self, right):
        """Returns the source of the function with the mistake, if `wrong` is a pair of texts.

        Raises:
            ValueError: unless the right answer contains the first text exactly once.
        """
        (old, new), source = self.wrong, source_of(right)
        pattern = re.escape(old)
        if old not in source:  # a formatter may have broken the line between any two tokens
            pattern = r"\s*".join(map(re.escape, re.findall(r"\w+|[^\w\s]", old)))
        source, count = re.subn(pattern, lambda _: new, source)
        if count != 1:
            raise ValueError(f"{old!r} must be in {right.__name__} once, but occurs {count} times.")
        return source


def source_of(function):
    """Returns a function's source without decorators, as at the top level of a file."""
    source = textwrap.dedent(inspect.getsource(function))
    return source[source.index("def ") :]


def compare(name, answer, right, mistakes=(), tolerance=1e-4):
    """Raises CheckFailed unless the arrays agree.

    The message is the hint of the known mistake that gives the same numbers; if there is none, it
    describes the first difference, in the order shape, range, value. `mistakes` are pairs (hint,
    result of that mistake).
    """
    right = np.asarray(right, "float64")
    if _equal(answer, right, tolerance):
        return
    for hint, wrong in mistakes:
        if _equal(answer, np.asarray(wrong, "float64"), tolerance):
            raise CheckFailed(hint)
    if answer.shape[1:] == right.shape and right.ndim:
        raise CheckFailed(
            say("it returns {count} arrays: return only one, {name}.", count=len(answer), name=name)
        )
    if answer.shape != right.shape:
        raise CheckFailed(
            say(
                "the shape of {name} is {shape}, but should be {right}.",
                name=name,
                shape=answer.shape,
                right=right.shape,
            )
        )
    if not np.all(np.isfinite(answer)):
        raise CheckFailed(
            say(
                "there is NaN or infinity in {name}: look for a division by zero, or the square"
                " root of a negative number.",
                name=name,
            )
        )
    worst = np.unravel_index(np.argmax(np.abs(answer - right)), right.shape)
    place = say(" at index {index}", index=list(map(int, worst))) if worst else ""
    raise Undiagnosed(
        say("there is a mistake in {name}.", name=name),
        say(
            "For instance{place} you have {found:.4g} instead of {right:.4g}.",
            place=place,
            found=answer[worst],
            right=right[worst],
        ),
    )


def _equal(answer, expected, tolerance):
    return answer.shape == expected.shape and np.allclose(
        answer, expected, rtol=tolerance, atol=tolerance
    )
