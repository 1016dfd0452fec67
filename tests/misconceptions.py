"""Parameters for tests: each wrong answer must get its own hint, each right one none."""

import pytest

from diffusion_lab.labs.checks import CheckFailed


def not_done(*_, **__):
    raise NotImplementedError


def right(check, *answers):
    """Parameters for `test_right_answers`: every way to write the right answer."""
    return [
        pytest.param(check, answer, id=f"{check.name}-{number}")
        for number, answer in enumerate(answers)
    ]


def wrong(check, table):
    """Returns parameters for `test_misconceptions`: {part of the hint: wrong answer}."""
    return [
        pytest.param(check, answer, hint, id=f"{check.name}: {hint}")
        for hint, answer in table.items()
    ]


def assert_correct(check, answer, capsys):
    check(answer)
    assert capsys.readouterr().out == f"✓ Exercise {check.number}, {check.name}: {check.praise}\n"


def assert_hint(check, answer, hint):
    with pytest.raises(CheckFailed) as failure:
        check(answer)
    message = str(failure.value)
    assert hint in message, message
    assert "\n" not in message and len(message) < 400, "a diagnosis is one sentence"
