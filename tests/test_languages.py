"""Labs in other languages than English, tried with a German lab 02."""

import ast
import re
from functools import lru_cache
from pathlib import Path
from string import Formatter

import nbformat
import pytest
from nbclient import NotebookClient

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import build
from diffusion_lab.labs import exercise, language
from diffusion_lab.labs.language import languages, say, speak

ROOT = Path(__file__).parent.parent
GERMAN = Path(__file__).parent / "german" / "02_forward_process.py"
BUILDER = {"Exercise", "{points:g} point", "{points:g} points"}  # what only the builder writes


@pytest.fixture
def english():
    """Switches back to English."""
    yield
    speak("en")


@lru_cache
def sentences():
    """Returns what students read in every lab: the texts in the calls of `say`."""
    found = {exercise.GRAPH, exercise.NO_GRADIENT}
    for path in (ROOT / "diffusion_lab" / "labs").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say":
                texts = [each for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)]
                found |= {each.value for each in texts if isinstance(each.value, str)}
    return found


def values(sentence):
    """Returns the names of the values that a sentence contains."""
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("name", ["de", "es", "fr", "it"])
def test_translations_have_the_sentences_and_values_of_the_code(name):
    translations = languages()[name]
    assert not translations.keys() - sentences() - BUILDER  # none is left of an earlier version
    for english, translated in translations.items():
        assert values(english) == values(translated), english
    assert translations.keys() >= BUILDER


def test_german_is_complete():
    assert not sentences() - languages()["de"].keys()


def test_an_unknown_language_and_a_missing_translation(english, monkeypatch):
    with pytest.raises(UserError, match="no language 'xx': choose one of de, en, es, fr, it, or"):
        speak("xx")
    speak("fr")
    assert say("Exercise {number}: write {name}", number="2.1", name="f") == "Exercice 2.1: écris f"
    assert say("Right.") == "Right."
    speak("en")
    assert say("Exercise {number}, {name}", number="2.1", name="f") == "Exercise 2.1, f"
    assert not language._translations


def test_a_german_lab(tmp_path):
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / GERMAN.name).write_bytes(GERMAN.read_bytes())
    build(tmp_path, progress=lambda line: None)
    student = nbformat.read(tmp_path / "notebooks" / "02_forward_process.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in student.cells)
    assert "*Schwierigkeit ●○○ · 5 Minuten · 4 Punkte*" in text
    assert text.count("raise NotImplementedError") == 2
    assert 'NotImplementedError("Aufgabe 2.2: schreibe q_sample")' in text

    (first,) = [cell for cell in student.cells if cell.source.startswith("def forward_step")]
    first.source += "\n    return np.sqrt(1 - beta) * images + np.sqrt(beta) * noises"
    first.source = re.sub(r" *raise NotImplementedError.*\n", "", first.source)
    said = outputs(student, tmp_path / "notebooks")
    assert "✓ Aufgabe 2.1, forward_step: " in said
    assert "Noch nicht gelöst: Aufgabe 2.2, q_sample." in said
    assert (
        "Diese Zelle braucht eine Antwort, die noch fehlt. Aufgabe 2.2: schreibe q_sample" in said
    )
    assert "Abbildung: Schritt t, Varianz der Punkte" in said
    assert "Deine Vorhersage:" in said and "Diffusionszeit" in said
    translated = "\n".join(languages()["de"].values())
    for piece in {piece for sentence in sentences() for piece in re.split(r"\{.*?\}", sentence)}:
        assert len(piece) < 8 or piece in translated or piece not in said, piece


def outputs(notebook, folder):
    """Runs a notebook, and returns all text that it shows."""
    client = NotebookClient(
        notebook, timeout=600, allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    shown = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            shown += [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
            shown += [data["alt"] for data in output.get("metadata", {}).values() if "alt" in data]
            shown += output.get("traceback", [])
    return "\n".join(shown)
