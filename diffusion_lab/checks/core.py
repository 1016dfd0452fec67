"""How an answer is checked: draw inputs, run the student's code on them, judge the numbers that come back.

The three are kept apart so that a grader can run a student's code in one place and judge it in another: `draw` and
`judge` see no student code, `run` sees no right answer, and only arrays pass between them.
"""

import re
import traceback

import keras
import numpy as np

from diffusion_lab.backend import BACKEND
from diffusion_lab.errors import OneSentence

SEED = 2006  # any; the grader draws others
unsolved = set()  # names of the exercises whose check has failed and not passed since
ADVICE = {
    "UnboundLocalError": "it gets its value only in a loop that did not run even once, or in a branch that was not taken",
}


class CheckFailed(OneSentence, AssertionError):
    """A wrong or missing answer; the message is the diagnosis that the student reads.

    hint: what kind of mistake it is.   detail: what is right, in numbers. A grading keeps those to itself: whoever hands in twice
    could return them.
    """

    def __init__(self, hint="", detail=""):
        super().__init__(f"{hint} {detail}".strip())
        self.hint = hint


class NotDone(CheckFailed):
    """There is no answer yet: what stands there is still the stub."""


class Exercise:
    """One exercise. Subclasses say what it is called and fill in the three steps.

    number: such as "2.1".   name: of the function that the student writes.
    praise: one sentence that a right answer earns; best, what has just been understood.
    shape_hint: the diagnosis if the student's code stops because shapes do not fit together.
    advice: what to add to the message of an exception, {regular expression: words}.
    """

    number, name, praise, shape_hint, advice = "", "", "", "", {}

    def draw(self, rng):
        """Random inputs: a dictionary of arrays."""
        raise NotImplementedError

    def run(self, answer, inputs):
        """What the student's `answer` makes of the inputs: a dictionary of arrays. Calls it by `call`."""
        raise NotImplementedError

    def judge(self, inputs, outputs):
        """Raises CheckFailed with a diagnosis unless the outputs are right. Compares by `compare`."""
        raise NotImplementedError

    def __call__(self, answer=None):
        """What a check cell calls."""
        inputs = self.draw(np.random.default_rng(SEED))
        unsolved.add(self.name)
        try:
            with np.errstate(all="ignore"):  # what NumPy would warn of, the judgement says more plainly
                self.judge(inputs, self.run(answer, inputs))
        except CheckFailed as failure:
            kind = type(failure)
            raise kind(str(failure) if kind is NotDone else f"Exercise {self.number}, {self.name}: {failure}") from None
        unsolved.discard(self.name)
        print(f"✓ Exercise {self.number}, {self.name}: {self.praise}")

    def call(self, answer, *arguments):
        """Calls the student's function. What goes wrong in it becomes a CheckFailed of one sentence.

        Arguments that are NumPy arrays must come back unchanged.
        """
        if not callable(answer):
            raise CheckFailed(f"give the check your function itself, {self.name}, not {_kind(answer)}.")
        before = [argument.copy() if isinstance(argument, np.ndarray) else None for argument in arguments]
        try:
            result = answer(*arguments)
        except NotImplementedError:
            raise NotDone(f"Not done yet: exercise {self.number}, {self.name}.") from None
        except CheckFailed:
            raise
        except Exception as error:
            message = _what_went_wrong(error, answer)
            advice = {"broadcast|incompatible shapes|must be equal": self.shape_hint, **ADVICE, **self.advice}
            hints = [words for symptom, words in advice.items() if words and re.search(symptom, message, re.IGNORECASE)]
            raise CheckFailed(message + "".join(f" ({hint})" for hint in hints)) from None
        for old, new in zip(before, arguments):
            if old is not None and not np.array_equal(old, new, equal_nan=True):
                raise CheckFailed("it changes its input in place: `x = x * 2` makes a new array, `x *= 2` writes into "
                                  "the caller's.")
        if result is None:
            raise CheckFailed("it returns nothing: is the `return` missing?")
        return result


class Method(Exercise):
    """An exercise whose function will be a method of the model."""

    advice = {
        r"takes \d positional arguments? but": "is `self` missing? It is the first argument of every method",
        "missing 1 required positional argument": "a method of the model is called with `self.` in front",
        "must be real number|0-dimensional|length-1|size-1|only integer scalar":
            "the functions of `math` take one number; those of `ops`, such as `ops.sin`, take a whole array",
    }


def arrays(result, *names):
    """What a student's function returned, as a dictionary of float64 arrays by these names."""
    parts = (result,) if len(names) == 1 else result
    if len(names) > 1 and (not isinstance(result, (tuple, list)) or len(result) != len(names)):
        what = f"{len(result)} values" if isinstance(result, (tuple, list)) else _kind(result)
        raise CheckFailed(f"it must return {len(names)} values, {', '.join(names)}, but returns {what}.")
    return {name: array(part, name) for name, part in zip(names, parts)}


def fits_a_graph(function, *tensors):
    """Whether Keras can turn a function of tensors into a graph, as `fit` does: an array of 0 or 1, for `judge`."""
    try:
        if BACKEND == "tensorflow":
            import tensorflow as tf

            tf.function(function, autograph=False)(*tensors)
        elif BACKEND == "jax":
            import jax

            jax.jit(function)(*tensors)
    except Exception:  # each library has its own word for it
        return array(False, "graph")
    return array(True, "graph")


def demand_graph(fits):
    """Raises CheckFailed for a right answer that could not be trained with."""
    if not fits:
        raise CheckFailed("the numbers are right, but training runs this function as a graph, in which NumPy (`np.`), "
                          "`.numpy()` and `float(...)` cannot calculate: write `ops.` (or `tf.`) throughout.")


def array(value, name):
    """A tensor of any library, or a number, as a float64 array."""
    try:
        values = keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else np.asarray(value)
        return values.astype("float64")
    except (TypeError, ValueError):
        raise CheckFailed(f"{name} must be an array of numbers, not {_kind(value)}.") from None


def compare(name, answer, right, mistakes=None, tolerance=1e-4):
    """Raises CheckFailed unless the arrays agree: the hint of the known mistake that the answer equals, or where it
    differs first, in the order shape, range, value.

    `mistakes` maps a hint to what an answer with that mistake would be. The mistake must differ from the right answer.
    """
    right = np.asarray(right, "float64")
    if _equal(answer, right, tolerance):
        return
    for hint, wrong in (mistakes or {}).items():
        if _equal(answer, np.asarray(wrong, "float64"), tolerance):
            raise CheckFailed(hint)
    if answer.shape != right.shape:
        raise CheckFailed(f"{name} has the shape {answer.shape}, but should have {right.shape}.")
    if not np.all(np.isfinite(answer)):
        raise CheckFailed(f"{name} holds NaN or infinity: look for a division by zero, or the root of a negative number.")
    worst = np.unravel_index(np.argmax(np.abs(answer - right)), right.shape)
    place = f" at index {list(map(int, worst))}" if worst else ""
    raise CheckFailed(f"{name} is not right yet.", f"For instance{place} it is {answer[worst]:.4g} and should be {right[worst]:.4g}.")


def _equal(answer, expected, tolerance):
    return answer.shape == expected.shape and np.allclose(answer, expected, rtol=tolerance, atol=tolerance)


def _kind(value):
    return "nothing (None)" if value is None else f"a value of the type {type(value).__name__}"


def _what_went_wrong(error, answer):
    """One sentence about an exception in the student's code: what, where, and the line itself."""
    code = getattr(answer, "__code__", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if code and frame.filename == code.co_filename]
    where = f" in the line `{_shortened(frames[-1].line.strip(), 80)}`" if frames and frames[-1].line else ""
    return f"your code stops{where} with {first_line(error)}"


def first_line(error):
    """An exception in one line: its type, and the beginning of its message."""
    reason = re.sub(r"{{function_node .*?}} ?| \[Op:.*", "", str(error)).strip()  # which is TensorFlow's own business
    return f"{type(error).__name__}: {_shortened((reason.splitlines() or ['no message'])[0], 160)}"


def _shortened(text, length):
    return text if len(text) <= length else text[: length - 3] + "..."
