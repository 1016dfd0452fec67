"""How an answer is checked: draw inputs, run the student's code, judge the numbers.

The three are kept apart so that a grader can run a student's code in one place and judge it in
another: `draw` and `judge` see no student code, `run` sees no right answer, and only arrays pass
between them.
"""

import threading

import numpy as np

from diffusion_lab.backend import forget_compiled
from diffusion_lab.labs.blame import (
    first_line,
    needs_values,
    remarks,
    shapes_do_not_fit,
    signature_mistake,
    what_went_wrong,
)
from diffusion_lab.labs.evidence import (
    calls_itself_forever,
    code_of,
    has_code_below_stub,
    keeps_stub,
    origin,
    stub_of,
)
from diffusion_lab.labs.failures import CheckFailed, NotDone, Undiagnosed
from diffusion_lab.labs.language import say
from diffusion_lab.labs.library_settings import eagerly, full_tracebacks
from diffusion_lab.labs.mistakes import compare
from diffusion_lab.labs.outputs import array, decode_sentence, encode_sentence, kind_of

SEED = 2006  # arbitrary; the grader uses other seeds
# TensorFlow's settings belong to the process, and a grader judges in several threads.
SETTINGS = threading.RLock()
unsolved = set()  # names of the exercises whose check has failed and not passed since
on_solved = []  # functions that are called with the number of an exercise whose check passes
GRAPH = (
    "the numbers are right, but the lab runs this function in a graph, where NumPy (`np.`),"
    " `.numpy()` and `float(...)` do not work: write `ops.` (or `tf.`) throughout."
)
NO_GRADIENT = (
    "the numbers are right, but no gradient flows through them: NumPy, `float` and `stop_gradient`"
    " forget how a number was made, so compute with keras.ops."
)


class Exercise:
    """One exercise.

    Subclasses set its name, hold the right answer and the known mistakes, and implement `draw`,
    `measure` and, where the lab does more with an answer than call it, `rehearse`.

    Attributes:
        number: such as "2.1"; `numbered` sets it.
        name, takes: the name of the function that the student writes, and its arguments, as text.
        praise: a sentence for a right answer, preferably what the student has just understood.
        shape_hint: added to the diagnosis if the code stops because shapes do not fit together.
        right: the right answer. Like everything else that only `examine` uses, it stays out of
            the sandbox.
        mistakes: a list of `Mistake`, the most likely first.
        results: {name of an array from `measure`: what a sentence calls it}, in the order in
            which they are compared.
        tolerance: the relative and absolute tolerance of these comparisons.
    """

    number, name, takes, praise, shape_hint = "", "", "", "", ""
    right, mistakes, results, tolerance = None, (), {}, 1e-4
    _latest = None, {}  # the inputs of the latest diagnosis, and {mistake: its outputs}

    @property
    def title(self):
        """Returns the exercise as it is called in front of a sentence about it."""
        return say("Exercise {number}, {name}", number=self.number, name=self.name)

    def draw(self, rng):
        """Returns random inputs: a dictionary of arrays."""
        raise NotImplementedError

    def measure(self, answer, inputs):
        """Returns what the student's `answer` computes from the inputs: a dictionary of arrays.

        Implementations call the answer through `call`.
        """
        raise NotImplementedError

    def rehearse(self, answer, inputs):
        """Uses the answer as the lab does, but on a small scale.

        For example, it calls the answer in a graph, in `fit`, or with other types of arguments.

        Returns:
            Numbers that every right answer gives (a grader compares them with those of the
            official answer), or None.

        Raises:
            Exception: the one that would stop the lab.
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
            if outputs := self._measured_once(mistake, inputs):
                yield mistake.hint, outputs[output]

    def _measured_once(self, mistake, inputs):
        """Returns the outputs of a mistake, or {} if it stops.

        They are kept as long as the inputs are the same: one diagnosis compares several of them,
        and a student's next try has the same inputs.
        """
        values = b"".join(np.asarray(values).tobytes() for values in inputs.values())
        latest, outputs = self._latest
        if latest != values:
            outputs = {}
            self._latest = values, outputs
        if mistake not in outputs:
            try:
                outputs[mistake] = self.measured(mistake.function(self.right), inputs)
            except CheckFailed:
                outputs[mistake] = {}
        return outputs[mistake]

    def run(self, answer, inputs):
        """Returns the numbers for `judge`, all arrays, so that they can be computed elsewhere."""
        outputs = self.measured(answer, inputs)
        sentence, numbers = self.rehearsed(answer, inputs)
        return outputs | {"stops": encode_sentence(sentence), "rehearsed": numbers}

    def judge(self, inputs, outputs):
        """Raises CheckFailed with a diagnosis unless the answer is right and works in the lab."""
        self.examine(inputs, outputs)
        if sentence := decode_sentence(outputs["stops"]):
            raise CheckFailed(sentence)

    def __call__(self, answer=None):
        """Checks an answer and prints the result; check cells call this."""
        try:
            self.diagnose(answer)
        except NotDone:
            raise NotDone(
                say("Not done yet: exercise {number}, {name}.", number=self.number, name=self.name)
            ) from None
        except CheckFailed as failure:
            raise CheckFailed(f"{self.title}: {failure}") from None
        print(f"✓ {self.title}: {self.praise}")
        for tell in on_solved:
            tell(self.number)
        if keeps_stub(answer):
            sentence = say(
                "Python never reaches the line `raise NotImplementedError(...)` below your answer:"
                " remove the line."
            )
            print(f"  ({sentence})")

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
        """Returns the result of `measure`. Raises CheckFailed if anything stops it."""
        try:
            with SETTINGS, full_tracebacks(), eagerly(), np.errstate(all="ignore"):
                return self.measure(answer, inputs)
        except CheckFailed:
            raise
        except Exception as error:  # raised by the check's own code, for an unforeseen result
            raise CheckFailed(
                say(
                    "the check cannot use what your function returns: {error}.",
                    error=first_line(error),
                )
            ) from None

    def rehearsed(self, answer, inputs):
        """Returns (what goes wrong when the lab uses the answer, the numbers of `rehearse`).

        The first is a sentence, or "" if nothing goes wrong.
        """
        try:
            with SETTINGS, full_tracebacks(), np.errstate(all="ignore"):
                numbers = self.rehearse(answer, inputs)
                return "", array(() if numbers is None else numbers, say("its result"))
        except Exception as error:
            if isinstance(origin(error), CheckFailed):
                sentence = str(origin(error))
            elif needs_values(error, answer):
                sentence = say(GRAPH)
            else:
                sentence = (
                    what_went_wrong(
                        error,
                        answer,
                        say("the numbers are right, but when the lab uses your function, it stops"),
                    )
                    + "."
                )
        return sentence, np.zeros(0)

    def call(self, answer, *arguments, **named):
        """Calls the student's function and returns its result.

        Raises:
            CheckFailed: with one sentence if the function cannot be called, stops, returns nothing,
                or changes an argument that is a NumPy array.
        """
        if not callable(answer):
            raise CheckFailed(
                say(
                    "give the check your function itself, {name}, not {kind}.",
                    name=self.name,
                    kind=kind_of(answer),
                )
            )
        if sentence := signature_mistake(answer, self.takes, arguments, named):
            raise CheckFailed(sentence)
        if name := calls_itself_forever(answer):
            raise CheckFailed(
                say(
                    "your function `{name}` calls itself endlessly, because it has the same name"
                    " as the function that you meant to call: rename yours.",
                    name=name,
                )
            )
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
                    say(
                        "it changes its input in place. `x *= 2` writes into the caller's array:"
                        " write `x = x * 2`, which makes a new one."
                    )
                )
        if result is None:
            case = "".join(
                say(" with {name}={value}", name=name, value=value) for name, value in named.items()
            )
            raise CheckFailed(
                say(
                    "it returns nothing{case}: is the `return` missing, or is the variable that it"
                    " returns never set?",
                    case=case,
                )
            )
        return result

    def use(self, answer, *arguments, **named):
        """Calls the answer as the lab does, in a rehearsal.

        Raises:
            CheckFailed: if it cannot be called with these arguments.
        """
        if sentence := signature_mistake(answer, self.takes, arguments, named):
            raise CheckFailed(sentence)
        return answer(*arguments, **named)

    def _failure(self, error, answer):
        """Returns the CheckFailed for an exception in the student's code."""
        stub, finished = stub_of(error) or (None, False)
        if stub and stub is not code_of(answer):
            return CheckFailed(
                say("it calls `{name}`, which is not written yet.", name=stub.co_name)
            )
        if stub and finished:
            return CheckFailed(
                say(
                    "it ends at the line `raise NotImplementedError(...)`, the placeholder for your"
                    " answer: remove that line."
                )
            )
        if stub and has_code_below_stub(stub):
            return CheckFailed(
                say(
                    "Python stops at the line `raise NotImplementedError(...)` above your answer:"
                    " remove that line."
                )
            )
        if stub:
            return NotDone(say("it is not written yet."))
        return CheckFailed(self.explain(error, answer))

    def explain(self, error, answer):
        """Returns the sentence that explains an exception in the student's code."""
        hint = (
            f" ({self.shape_hint})" if self.shape_hint and shapes_do_not_fit(error, answer) else ""
        )
        return f"{what_went_wrong(error, answer)}{hint}."


class Method(Exercise):
    """An exercise whose function will be a method of the model."""


def numbered(lab, *classes):
    """Returns the exercises of a lab, one of each class, numbered in this order."""
    exercises = [one() for one in classes]
    for position, exercise in enumerate(exercises, start=1):
        exercise.number = f"{lab}.{position}"
    return exercises
