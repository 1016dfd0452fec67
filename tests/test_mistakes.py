"""Each known mistake gets its own hint, whatever the inputs.

So none of them is right, and no two of them give the same results.
"""

import inspect
import re

import numpy as np
import pytest

from diffusion_lab import checks
from diffusion_lab.labs.failures import CheckFailed

WITH_MISTAKES = {
    name: exercise for name, exercise in checks.exercises().items() if exercise.mistakes
}


@pytest.fixture
def remembered(monkeypatch):
    """Lets `measured` run each function once: every mistake is compared with those before it."""

    def remember(exercise, inputs):
        outputs, measured = {}, exercise.measured

        def once(function, given):
            assert given is inputs
            if function not in outputs:
                outputs[function] = measured(function, given)
            return outputs[function]

        monkeypatch.setattr(exercise, "measured", once)

    return remember


def assert_own_hints(exercise, seed, remembered):
    inputs = exercise.draw(np.random.default_rng(seed))
    remembered(exercise, inputs)
    for mistake in exercise.mistakes:
        try:
            exercise.examine(inputs, exercise.measured(mistake.function(exercise.right), inputs))
            pytest.fail(f"The check accepts the function of the mistake {mistake.hint!r}.")
        except CheckFailed as failure:
            assert failure.hint == mistake.hint


@pytest.mark.parametrize("seed", (0, 1))
@pytest.mark.parametrize("name", WITH_MISTAKES)
def test_each_mistake_gets_its_own_hint(name, seed, remembered):
    assert_own_hints(WITH_MISTAKES[name], seed, remembered)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 20))
@pytest.mark.parametrize("name", WITH_MISTAKES)
def test_each_mistake_gets_its_own_hint_on_any_inputs(name, seed, remembered):
    assert_own_hints(WITH_MISTAKES[name], seed, remembered)


@pytest.mark.parametrize("name", WITH_MISTAKES)
def test_the_right_answer_is_right_and_has_the_arguments_that_students_see(name):
    exercise = WITH_MISTAKES[name]
    exercise.diagnose(exercise.right)
    assert ", ".join(inspect.signature(exercise.right).parameters) == exercise.takes.replace(
        "self", "model"
    )


@pytest.mark.parametrize("name", WITH_MISTAKES)
def test_a_hint_is_a_sentence_or_two(name):
    for hint in (mistake.hint for mistake in WITH_MISTAKES[name].mistakes):
        assert hint[:1].isupper() or not hint[:1].isalpha() or "_" in hint.split()[0], hint
        assert hint.endswith((".", "`")) and "\n" not in hint and len(hint) < 300, hint


@pytest.mark.parametrize("name", ["reverse_diffusion", "forward_step"])
def test_a_second_try_measures_the_mistakes_no_more(name, monkeypatch):
    exercise, answers = WITH_MISTAKES[name], []
    wrong = exercise.mistakes[-1].function(exercise.right)
    measured = exercise.measured
    monkeypatch.setattr(exercise, "_latest", (b"", {}))
    monkeypatch.setattr(
        exercise,
        "measured",
        lambda answer, inputs: answers.append(answer) or measured(answer, inputs),
    )
    for expected in (len(exercise.mistakes) + 2, 2):  # 2: the answer and the right one
        answers.clear()
        with pytest.raises(CheckFailed, match=re.escape(exercise.mistakes[-1].hint[:30])):
            exercise.diagnose(wrong)
        assert len(answers) == expected
