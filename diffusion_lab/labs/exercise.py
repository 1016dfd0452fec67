"""How an answer is checked: draw inputs, run the student's code, judge the numbers.

The three are kept apart so that a grader can run a student's code in one place and judge it in
another: `draw` and `judge` see no student code, `run` sees no right answer, and only arrays pass
between them.
"""

import functools
import inspect
import re
import textwrap
import threading
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from diffusion_lab.backend import forget_compiled, parts
from diffusion_lab.errors import OneSentence
from diffusion_lab.labs.blame import (
    code_of,
    first_line,
    keeps_stub,
    misfit,
    needs_values,
    origin,
    remarks,
    stub_of,
    unfit,
    what_went_wrong,
)
from diffusion_lab.labs.surroundings import eagerly, whole_tracebacks

SEED = 2006  # any; the grader draws others
LENGTH = 400  # of the longest sentence in `words`
# TensorFlow's settings belong to the process, and a grader judges in several threads.
SETTINGS = threading.RLock()
unsolved = set()  # names of the exercises whose check has failed and not passed since
GRAPH = (
    "the numbers are right, but the lab runs this function in a graph, where NumPy (`np.`),"
    " `.numpy()` and `float(...)` do not work: write `ops.` (or `tf.`) throughout."
)
NO_GRADIENT = (
    "the numbers are right, but no gradient flows through them: NumPy, `float` and `stop_gradient`"
    " forget how a number was made, so compute with keras.ops."
)


class CheckFailed(OneSentence, AssertionError):
    """A wrong or missing answer; the message is the diagnosis that the student reads.

    Args:
        hint: what kind of mistake it is.
        detail: what is right, in numbers. A grading does not show it, because a student who hands
            in twice could return those numbers.
    """

    _keras_call_info_injected = True  # keeps Keras from adding its own words to the message

    def __init__(self, hint="", detail=""):
        super().__init__(f"{hint} {detail}".strip())
        self.hint = hint


class Undiagnosed(CheckFailed):
    """Wrong numbers that match no known mistake."""


class NotDone(CheckFailed):
    """There is no answer yet, only the stub."""


class Exercise:
    """One exercise.

    Subclasses set its name, hold the right answer and the known mistakes, and implement `draw`,
    `measure` and, where the lab does more with an answer than call it, `rehearse`.

    Attributes:
        number: such as "2.1"; `numbered` sets it.
        name, takes: the name of the function that the student writes, and its arguments, as text.
        praise: one sentence for a right answer; best, what the student has just understood.
        shape_hint: the diagnosis if the student's code stops because shapes do not fit together.
        right: the right answer. Like everything that only `examine` uses, it stays out of the
            sandbox.
        mistakes: a list of `Mistake`, the likelier ones first.
        results: {name of an array of `measure`: what a sentence calls it}, in the order of
            comparison.
        tolerance: relative and absolute, of that comparison.
    """

    number, name, takes, praise, shape_hint = "", "", "", "", ""
    right, mistakes, results, tolerance = None, (), {}, 1e-4

    def draw(self, rng):
        """Returns random inputs: a dictionary of arrays."""
        raise NotImplementedError

    def measure(self, answer, inputs):
        """Returns what the student's `answer` makes of the inputs: a dictionary of arrays.

        It calls the answer through `call`.
        """
        raise NotImplementedError

    def rehearse(self, answer, inputs):
        """Uses the answer as the lab does, in small.

        This may be in a graph, under `fit`, or with the lab's own kinds of arguments.

        Returns:
            Numbers that a right answer must give there as well (a grader compares them with those
            of the official answer), or None.

        Raises:
            Exception: whatever the lab would stop with.
        """

    def examine(self, inputs, outputs):
        """Raises CheckFailed with a diagnosis unless `outputs` are those of the right answer."""
        right = self.measured(self.right, inputs)
        for output, name in self.results.items():
            compare(
                name,
                outputs[output],
                right[output],
                self.known_results(output, inputs),
                self.tolerance,
            )

    def known_results(self, output, inputs):
        """Yields (hint, result of this mistake) for each known mistake that produces `output`."""
        for mistake in self.mistakes:
            try:
                outputs = self.measured(mistake.function(self.right), inputs)
            except CheckFailed:
                continue
            yield mistake.hint, outputs[output]

    def run(self, answer, inputs):
        """Returns the numbers for `judge`, all arrays, so that they can be computed elsewhere."""
        outputs = self.measured(answer, inputs)
        sentence, numbers = self.rehearsed(answer, inputs)
        return outputs | {"stops": words(sentence), "rehearsed": numbers}

    def judge(self, inputs, outputs):
        """Raises CheckFailed with a diagnosis unless the answer is right and works in the lab."""
        self.examine(inputs, outputs)
        if sentence := said(outputs["stops"]):
            raise CheckFailed(sentence)

    def __call__(self, answer=None):
        """Checks an answer and prints the result; check cells call this."""
        try:
            self.diagnose(answer)
        except NotDone:
            raise NotDone(f"Not done yet: exercise {self.number}, {self.name}.") from None
        except CheckFailed as failure:
            raise CheckFailed(f"Exercise {self.number}, {self.name}: {failure}") from None
        print(f"✓ Exercise {self.number}, {self.name}: {self.praise}")
        if keeps_stub(answer):
            print(
                "  (Nothing reaches the line `raise NotImplementedError(...)` below your answer:"
                " remove the line.)"
            )

    def diagnose(self, answer):
        """Raises CheckFailed unless the answer is right and works in the lab."""
        unsolved.add(self.name)
        forget_compiled()  # the models' graphs may hold an earlier answer
        inputs = self.draw(np.random.default_rng(SEED))
        outputs = self.measured(answer, inputs)
        try:
            with np.errstate(all="ignore"):  # the diagnosis is plainer than NumPy's warnings
                self.examine(inputs, outputs)
        except Undiagnosed as failure:
            raise CheckFailed(" ".join([str(failure), *remarks(answer)])) from None
        if sentence := self.rehearsed(answer, inputs)[0]:
            raise CheckFailed(sentence)
        unsolved.discard(self.name)

    def measured(self, answer, inputs):
        """Returns the result of `measure`. Raises CheckFailed for whatever stops it."""
        try:
            with SETTINGS, whole_tracebacks(), eagerly(), np.errstate(all="ignore"):
                return self.measure(answer, inputs)
        except CheckFailed:
            raise
        except Exception as error:  # in the check's own code, for an unforeseen result
            raise CheckFailed(
                f"the check cannot use what your function returns: {first_line(error)}."
            ) from None

    def rehearsed(self, answer, inputs):
        """Returns (a sentence on what goes wrong in the lab's use of the answer, its numbers).

        The sentence is "" if nothing goes wrong.
        """
        try:
            with SETTINGS, whole_tracebacks(), np.errstate(all="ignore"):
                numbers = self.rehearse(answer, inputs)
                return "", array(() if numbers is None else numbers, "what the lab gets")
        except Exception as error:
            if isinstance(origin(error), CheckFailed):
                sentence = str(origin(error))
            elif needs_values(error, answer):
                sentence = GRAPH
            else:
                sentence = (
                    what_went_wrong(
                        error,
                        answer,
                        "the numbers are right, but where the lab uses your function it stops",
                    )
                    + "."
                )
        return sentence, np.zeros(0)

    def call(self, answer, *arguments, **named):
        """Calls the student's function and returns its result.

        Arguments that are NumPy arrays must come back unchanged.

        Raises:
            CheckFailed: for whatever goes wrong in it, in one sentence.
        """
        if not callable(answer):
            raise CheckFailed(
                f"give the check your function itself, {self.name}, not {_kind(answer)}."
            )
        if sentence := misfit(answer, self.takes, arguments, named):
            raise CheckFailed(sentence)
        before = [
            argument.copy() if isinstance(argument, np.ndarray) else None for argument in arguments
        ]
        try:
            result = answer(*arguments, **named)
        except CheckFailed:
            raise
        except Exception as error:
            raise self._failure(error, answer) from None
        for old, new in zip(before, arguments):
            if old is not None and not np.array_equal(old, new, equal_nan=True):
                raise CheckFailed(
                    "it changes its input in place. `x *= 2` writes into the caller's array: write "
                    "`x = x * 2`, which makes a new one."
                )
        if result is None:
            case = "".join(f" with {name}={value}" for name, value in named.items())
            raise CheckFailed(f"it returns nothing{case}: is the `return` missing?")
        return result

    def use(self, answer, *arguments, **named):
        """Calls the answer as the lab does, in a rehearsal.

        Raises:
            CheckFailed: if it cannot be called with these arguments.
        """
        if sentence := misfit(answer, self.takes, arguments, named):
            raise CheckFailed(sentence)
        return answer(*arguments, **named)

    def _failure(self, error, answer):
        """Returns the CheckFailed for an exception in the student's code."""
        stub, finished = stub_of(error) or (None, False)
        if stub and stub is not code_of(answer):
            return CheckFailed(f"it calls `{stub.co_name}`, which is not written yet.")
        if stub and finished:
            return CheckFailed(
                "it ends at the line `raise NotImplementedError(...)`, the placeholder for your"
                " answer: remove that line."
            )
        if stub:
            return NotDone("it is not written yet.")
        return CheckFailed(self.explain(error, answer))

    def explain(self, error, answer):
        """Returns the sentence on an exception in the student's code."""
        hint = f" ({self.shape_hint})" if self.shape_hint and unfit(error, answer) else ""
        return f"{what_went_wrong(error, answer)}{hint}."


class Method(Exercise):
    """An exercise whose function will be a method of the model."""


def numbered(lab, *kinds):
    """Returns the exercises of a lab, one of each kind, numbered in this order."""
    exercises = [kind() for kind in kinds]
    for place, exercise in enumerate(exercises, start=1):
        exercise.number = f"{lab}.{place}"
    return exercises


def words(sentence):
    """Returns a sentence as an array of fixed size, since only arrays leave `run`."""
    codes = [float(ord(letter)) for letter in sentence[:LENGTH]]
    return np.array(codes + [0.0] * (LENGTH - len(codes)))


def said(codes):
    """Returns the sentence in an array that `words` has made."""
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
        what = f"{len(values)} values" if isinstance(result, (tuple, list)) else _kind(result)
        raise CheckFailed(
            f"it must return {len(names)} values, {', '.join(names)}, but it returns {what}."
        )
    return {name: array(part, name) for name, part in zip(names, values)}


def array(value, name):
    """Returns a tensor of any library, or a number, as a float64 array."""
    try:
        values = (
            keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else np.asarray(value)
        )
        return values.astype("float64")
    except (TypeError, ValueError):
        raise CheckFailed(f"{name} must be an array of numbers, not {_kind(value)}.") from None


class Mistake(NamedTuple):
    """A known misconception.

    Args:
        hint: what a student with this mistake reads: first what happened, then what to do.
        wrong: a function with the mistake, called as the right answer is; or a pair of texts, the
            first of which is in the source of the right answer and is replaced by the second.
    """

    hint: str
    wrong: Callable | tuple[str, str]

    @functools.cache  # `inspect` is slow  # noqa: B019
    def function(self, right):
        """Returns the wrong function; `right` is the right one."""
        if callable(self.wrong):
            return self.wrong
        namespace = dict(right.__globals__)
        exec(self.source(right), namespace)
        return namespace[right.__name__]

    def source(self, right):
        """Returns the source of the wrong function, where `wrong` is a pair of texts.

        Raises:
            ValueError: unless the first text is in the right answer exactly once.
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

    The message is the hint of the known mistake that gives the same numbers, or else the first
    difference, in the order shape, range, value. `mistakes` are pairs (hint, result of that
    mistake); a mistake that makes no difference here is skipped.
    """
    right = np.asarray(right, "float64")
    if _equal(answer, right, tolerance):
        return
    for hint, wrong in mistakes:
        if _equal(answer, np.asarray(wrong, "float64"), tolerance):
            raise CheckFailed(hint)
    if answer.shape[1:] == right.shape and right.ndim:
        raise CheckFailed(f"it returns {len(answer)} arrays: return only one, {name}.")
    if answer.shape != right.shape:
        raise CheckFailed(f"{name} has the shape {answer.shape}, but should have {right.shape}.")
    if not np.all(np.isfinite(answer)):
        raise CheckFailed(
            f"{name} holds NaN or infinity: look for a division by zero, or the square root of a"
            " negative number."
        )
    worst = np.unravel_index(np.argmax(np.abs(answer - right)), right.shape)
    place = f" at index {list(map(int, worst))}" if worst else ""
    raise Undiagnosed(
        f"{name} is not right yet.",
        f"For instance{place} it is {answer[worst]:.4g} and should be {right[worst]:.4g}.",
    )


def _equal(answer, expected, tolerance):
    return answer.shape == expected.shape and np.allclose(
        answer, expected, rtol=tolerance, atol=tolerance
    )


def _kind(value):
    return "nothing (None)" if value is None else f"a value of the type {type(value).__name__}"
