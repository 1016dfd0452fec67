"""The words that the builder itself writes into a lab, in the language of the lab.

The language of an exercise is that of the word for "exercise" in its heading.
`diffusion_lab/labs/languages/` has the translations.
"""

import re

from nbformat import NotebookNode

from diffusion_lab.labs.language import languages

# {word for "exercise": translations}
LANGUAGES = {"Exercise": {}} | {words["Exercise"]: words for words in languages().values()}
EXERCISE = f"(?:{'|'.join(LANGUAGES)})"  # a pattern


def points_in_words(points: float, exercise: str) -> str:
    """Returns points with the noun; `exercise` is the word for "exercise"."""
    sentence = "{points:g} point" if points == 1 else "{points:g} points"
    return LANGUAGES[exercise].get(sentence, sentence).format(points=points)


def stub(notebook: NotebookNode, number: str, name: str) -> str:
    """Returns the statement that stands in place of an answer."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = re.search(rf"^#+ ({EXERCISE}) {re.escape(number)}\b", text, re.MULTILINE)
    sentence = "Exercise {number}: write {name}"
    sentence = LANGUAGES[found[1] if found else "Exercise"].get(sentence, sentence)
    return f'raise NotImplementedError("{sentence.format(number=number, name=name)}")'
