"""The glossary links to labs that use the word."""

import re
from pathlib import Path

import pytest

from diffusion_lab.instructor.build import sources

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").split("| word |")[1]
TABLE = TABLE.split("\n\n")[0]
ROWS = [line.strip("| ").split(" | ") for line in TABLE.splitlines()[2:]]
LABS = {path.stem[:2]: path.read_text(encoding="utf-8").lower() for path in sources(ROOT)}


@pytest.mark.parametrize("word, meaning, labs", ROWS, ids=[row[0] for row in ROWS])
def test_a_word_of_the_glossary_occurs_in_its_labs(word, meaning, labs):
    names = word.removesuffix(")").lower().split(" (")  # the word, and its abbreviation
    for link in labs.split(", "):
        number, path = re.fullmatch(r"\[(\d\d)\]\((.+)\)", link).groups()
        assert (ROOT / "docs" / path).is_file() and number in path
        text = " ".join(LABS[number].replace("\n#", " ").split())
        assert any(name in text for name in names), f"lab {number}"


def test_the_words_are_sorted():
    words = [row[0].lower().replace("–", "-") for row in ROWS]
    assert words == sorted(words)
