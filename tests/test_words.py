"""No grade depends on the words of a sentence: a package with other words gives the same grades."""

import ast
import csv
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diffusion_lab.instructor.sandbox.bubblewrap import INSTALL

ROOT = Path(__file__).parents[1]
WORD = re.compile(r"[A-Za-z]{2,}")
VALUE_OR_WORD = re.compile(rf"\{{.*?\}}|(?P<word>{WORD.pattern})")  # `say` fills in {values}
FOLDERS = ("labs", "submission", "instructor", "errors.py", "storage.py", "models/weights.py")


class OtherWords(ast.NodeTransformer):
    """Replaces the words of every sentence in a module.

    A sentence is a string of at least four words that ends like a sentence or contains values.
    """

    def __init__(self):
        self.random, self.replaced, self.holds_values = random.Random(0), 0, False

    def visit_Call(self, node):
        # a regular expression is not a sentence
        return node if ast.unparse(node.func).startswith("re.") else self.generic_visit(node)

    def visit_JoinedStr(self, node):
        text = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
        if text.startswith("--") or "import " in text:  # an option of a command, or code
            return node
        self.holds_values = True
        node = self.generic_visit(node)
        self.holds_values = False
        return node

    def visit_Constant(self, node):
        text = node.value
        sentence = (
            isinstance(text, str)
            and len(WORD.findall(text)) > 3
            and (self.holds_values or text.endswith((".", "?", "!")))
        )
        if not sentence or "import " in text:  # that would be code
            return node
        self.replaced += 1
        return ast.Constant(
            VALUE_OR_WORD.sub(
                lambda found: (
                    "".join(self.random.choices("abcdefghijklmnop", k=len(found["word"])))
                    if found["word"]
                    else found[0]
                ),
                text,
            )
        )


def with_other_words(folder):
    """Copies the repository's package into `folder` and replaces the words of its sentences.

    Returns:
        How many sentences were replaced.
    """
    shutil.copytree(
        ROOT / "diffusion_lab",
        folder / "diffusion_lab",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    words = OtherWords()
    for place in FOLDERS:
        path = folder / "diffusion_lab" / place
        for file in [path] if path.is_file() else path.rglob("*.py"):
            file.write_text(
                ast.unparse(words.visit(ast.parse(file.read_text(encoding="utf-8")))),
                encoding="utf-8",
            )
    return words.replaced


def grades(package, out):
    """Returns {student: the columns of grades.csv that are not sentences} of the sample class.

    `package` is the folder with the `diffusion_lab` that grades.
    """
    command = f"{sys.executable} -m diffusion_lab grade --sample --seed 3 --seconds 10".split()
    subprocess.run(
        [*command, "--out", str(out), "--root", str(ROOT)],
        check=True,
        cwd=package,  # Python looks for modules here first
        env=os.environ | {"PYTHONPATH": str(package)},
    )
    with open(out / "grades.csv", encoding="utf-8-sig", newline="") as file:
        return {
            row["Student"]: [row[name] for name in row if name != "look at it"]
            for row in csv.DictReader(file)
        }


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("bwrap") is None and os.environ.get("DIFFUSION_LAB_SANDBOX") != "required",
    reason=INSTALL,
)
def test_no_grade_changes_when_every_sentence_is_replaced(tmp_path):
    (tmp_path / "other").mkdir()
    assert with_other_words(tmp_path / "other") > 1000
    expected = grades(ROOT, tmp_path / "grades")
    assert len(expected) == 10
    assert grades(tmp_path / "other", tmp_path / "other-grades") == expected
