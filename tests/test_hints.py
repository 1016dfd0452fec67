"""A hint points to the answer, and does not contain it."""

import re
from pathlib import Path

import pytest

from diffusion_lab.instructor.build import REGION, sources
from diffusion_lab.instructor.source import read_source

ROOT = Path(__file__).parents[1]
HINT = re.compile(r"<details><summary>Hint.*?</details>", re.DOTALL)
CODE = re.compile(r"`([^`]+\([^`]+\)[^`]*)`")  # a call with its arguments


def squeezed(text):
    return re.sub(r"\s", "", text)


def hints_and_answers(source):
    """Yields the hints and the answer of each exercise, without white space."""
    hints = []
    for cell in read_source(source).cells:
        if cell.cell_type == "markdown":
            hints += HINT.findall(cell.source)
        elif answer := REGION.search(cell.source):
            yield hints, squeezed(answer[0])
            hints = []


@pytest.mark.parametrize("source", sources(ROOT), ids=lambda path: path.stem)
def test_no_hint_contains_a_call_of_the_answer(source):
    given = [
        code
        for hints, answer in hints_and_answers(source)
        for hint in hints
        for code in CODE.findall(hint)
        if squeezed(code) in answer
    ]
    assert not given
