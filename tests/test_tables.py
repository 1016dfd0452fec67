"""The tables of known mistakes: none looks like the right answer, and no two of them alike, or a hint would be false."""

from importlib import import_module

import numpy as np
import pytest

from diffusion_lab import checks
from tests.test_decorated import ANSWERS

MODULES = [import_module(f"diffusion_lab.labs.{name}") for name in (
    "lab01.checks", "lab02.checks", "lab04.checks", "lab04.optimization", "lab05.checks", "lab05.residual", "lab06.checks", "lab07.sampling",
    "lab08.checks", "lab09.checks")]


@pytest.fixture
def tables(monkeypatch):
    """[(right, mistakes, tolerance)] of all that the checks compare while a test runs."""
    recorded = []

    def compare(name, answer, right, mistakes=None, tolerance=1e-4):
        recorded.append((right, mistakes or {}, tolerance))

    for module in MODULES:
        monkeypatch.setattr(module, "compare", compare, raising=False)
    return recorded


@pytest.mark.parametrize("seed", (0, 1))
@pytest.mark.parametrize("name", [name for name in ANSWERS if "schedule" not in name])
def test_no_mistake_looks_like_another_or_like_the_right_answer(name, seed, tables):
    check = getattr(checks, name)
    inputs = check.draw(np.random.default_rng(seed))
    check.examine(inputs, check.measured(ANSWERS[name], inputs))
    for right, mistakes, tolerance in tables:
        seen = {"the right answer": np.asarray(right, "float64")}
        for hint, wrong in mistakes.items():
            wrong = np.asarray(wrong, "float64")
            alike = [other for other, values in seen.items() if values.shape == wrong.shape and np.allclose(
                values, wrong, tolerance, tolerance, equal_nan=True)]
            assert not alike, f"{hint!r} looks like {alike[0]!r}"
            seen[hint] = wrong
