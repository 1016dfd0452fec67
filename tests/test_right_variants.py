"""Every right answer in the table `right_variants` gets its ✓."""

import pytest

from diffusion_lab import checks
from tests.misconceptions import assert_correct
from tests.right_variants import VARIANTS

QUICK = 2  # of each exercise; `make test-all` also tries the others


def test_every_exercise_has_its_variants():
    assert set(VARIANTS) == set(checks.exercises())


@pytest.mark.parametrize(
    "name, answer",
    [
        pytest.param(
            name, answer, id=f"{name}-{number}", marks=pytest.mark.slow if number >= QUICK else ()
        )
        for name, answers in VARIANTS.items()
        for number, answer in enumerate(answers)
    ],
)
def test_a_right_answer_in_an_unusual_spelling(name, answer, capsys):
    assert_correct(getattr(checks, name), answer, capsys)
