"""The stored stills of sliders, which the course site shows, have the captions of the code."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]


def captions():
    """Yields a pattern for the caption of each explorer in the package."""
    for path in (ROOT / "diffusion_lab" / "labs").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Explorer":
                _, _, caption = node.args
                parts = caption.values if isinstance(caption, ast.JoinedStr) else [caption]
                yield "".join(
                    re.escape(part.value) if isinstance(part, ast.Constant) else ".+"
                    for part in parts
                )


@pytest.mark.parametrize(
    "solution", sorted(ROOT.glob("solutions/*.ipynb")), ids=lambda path: path.stem
)
def test_the_stored_captions_are_those_of_the_code(solution):
    known = list(captions())
    assert len(known) >= 7
    stored = [
        output.data["text/plain"]
        for cell in nbformat.read(solution, 4).cells
        for output in cell.get("outputs", [])
        if output.output_type == "execute_result" and "image/png" in output.data
    ]
    old = [words for words in stored if not any(re.fullmatch(one, words) for one in known)]
    assert not old, f"run {solution.stem[:2]} again: diffusion-lab build {solution.stem[:2]} --run"
