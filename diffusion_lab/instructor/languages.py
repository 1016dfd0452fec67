"""The words that the builder itself writes into a lab, in the language of the lab.

The language of an exercise is that of the word for "exercise" in its heading. To write labs in
another language, add a line to `LANGUAGES`.
"""

import re
from typing import NamedTuple

from nbformat import NotebookNode


class Words(NamedTuple):
    """What the builder writes about an exercise."""

    write: str  # before the name of the function that is to be written
    point: str
    points: str


LANGUAGES = {
    "Exercise": Words("write", "point", "points"),
    "Aufgabe": Words("schreibe", "Punkt", "Punkte"),
    "Ejercicio": Words("escribe", "punto", "puntos"),
    "Exercice": Words("écris", "point", "points"),
    "Esercizio": Words("scrivi", "punto", "punti"),
}
EXERCISE = f"(?:{'|'.join(LANGUAGES)})"  # a pattern


def points_in_words(points: float, exercise: str) -> str:
    """Returns points with the noun; `exercise` is the word for "exercise"."""
    words = LANGUAGES[exercise]
    return f"{points:g} {words.point if points == 1 else words.points}"


def stub(notebook: NotebookNode, number: str, name: str) -> str:
    """Returns the statement that stands in place of an answer."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = re.search(rf"^#+ ({EXERCISE}) {re.escape(number)}\b", text, re.MULTILINE)
    word = found[1] if found else "Exercise"
    return f'raise NotImplementedError("{word} {number}: {LANGUAGES[word].write} {name}")'
