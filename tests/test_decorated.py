"""The labs' own answers are still right under decorators, wherever decorators make sense."""

import functools
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from diffusion_lab import checks
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.master import Master
from tests.misconceptions import assert_correct

ROOT = Path(__file__).parents[1]
# these use NumPy, receive a function that returns a float, or symbolic Keras tensors, or return a
# function
OUTSIDE_GRAPHS = {
    "forward_step",
    "q_sample",
    "linear_diffusion_schedule",
    "cosine_diffusion_schedule",
    "offset_cosine_diffusion_schedule",
    "training_loop",
    "residual_block",
    "modulate",
    "up_block",
    "polynomial_mmd",
    "sdedit",
    "anagram_denoise",
}


def announced(function):
    @functools.wraps(function)
    def wrapper(*arguments, **named):
        return function(*arguments, **named)

    return wrapper


def forwarded(function):
    return lambda *arguments, **named: function(*arguments, **named)


class Callable:
    def __init__(self, function):
        self.function = function

    def __call__(self, *arguments, **named):
        return self.function(*arguments, **named)


def plainly(function):
    """Wraps a function in all the decorators of a notebook that do not make a graph."""
    function = keras.saving.register_keras_serializable("tests", f"function{id(function)}")(
        function
    )
    function = tf.autograph.experimental.do_not_convert(announced(function))
    function = type("Namespace", (), {"function": staticmethod(function)}).function
    return functools.partial(Callable(function))


WRAPPERS = {
    "functools": plainly,
    "no signature": forwarded,
    "tf.function": tf.function,
    "jit_compile": lambda function: announced(tf.function(function, jit_compile=True)),
}


def official_answers():
    for path in sources(ROOT):
        master, space = Master(path), {}
        exec(master.prelude, space)
        for task in master.tasks:
            exec(master.answers[task.name], space)
            yield task.name, space[task.name]


ANSWERS = dict(official_answers())
QUICK = ("functools", "tf.function")  # `make test-all` also tries the others
CASES = [
    pytest.param(name, wrap, id=f"{name}-{label}", marks=() if label in QUICK else pytest.mark.slow)
    for name in ANSWERS
    for label, wrap in WRAPPERS.items()
    if name not in OUTSIDE_GRAPHS or label in ("functools", "no signature")
]


@pytest.mark.parametrize("name, wrap", CASES)
def test_a_decorated_answer_is_as_right_as_it_was(name, wrap, capsys):
    assert_correct(getattr(checks, name), wrap(ANSWERS[name]), capsys)


@pytest.mark.parametrize("name", ["denoise", "flow_matching_loss", "slerp"])
def test_a_graders_two_halves_agree_with_the_check(name):
    """`run` and `judge`, as the grader calls them, also accept a decorated answer."""
    check = getattr(checks, name)
    inputs = check.draw(np.random.default_rng(5))
    check.judge(inputs, check.run(tf.function(ANSWERS[name]), inputs))
