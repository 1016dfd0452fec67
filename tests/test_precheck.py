"""The precheck tells students, before they hand in, what grading would find, and no more."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.master import Master
from diffusion_lab.instructor.sample_class import hand_in
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.startup.code_pages import ERRORS
from diffusion_lab.submission import precheck as prechecking
from diffusion_lab.submission import trying
from diffusion_lab.submission.handout import handouts
from diffusion_lab.submission.precheck import examine_answers, run_notebook
from diffusion_lab.submission.reading import cells_of
from diffusion_lab.submission.tampering import find_tampering

ROOT = Path(__file__).parents[1]
LABS = {path.name[:2]: read_source(path) for path in sources(ROOT, ["02", "04", "07"])}
RIGHT = {
    lab: {name: cell.source for _, name, cell in exercises(solution)}
    for lab, solution in LABS.items()
}


def written(changes=(), summary="Flowers came out of noise."):
    """Returns lab 07 with all right answers but for `changes`, as a dictionary."""
    texts = {"summary": summary, "experiment": "KID rose from 3.0 to 4.7."}
    return json.loads(json.dumps(hand_in(LABS["07"], RIGHT["07"] | dict(changes), texts)))


def found(content, trial=None):
    """Returns {subject of a finding: (good, its sentence)}."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return {
        sentence.split(":")[0]: (good, sentence)
        for good, sentence in examine_answers(content, Path("my.ipynb"), trial)
    }


def test_precheck_says_which_answers_are_written_and_which_are_missing():
    assert all(good for good, _ in found(written()).values())
    assert [sentence for good, sentence in found(written(summary="")).values() if not good] == [
        "The summary: not written yet; it is worth 6 points."
    ]
    findings = found(
        written({"denoise": None, "reverse_diffusion": "def reverse_diffusion(self: pass"})
    )
    assert findings["7.1 diffusion_schedule"][0]
    assert findings["7.2 denoise"] == (False, "7.2 denoise: not written yet.")
    assert "not valid Python" in findings["7.3 reverse_diffusion"][1]
    notebook = written()
    notebook["cells"] = [cell for cell in notebook["cells"] if "def denoise" not in cell["source"]]
    assert "its cell is missing" in found(notebook)["7.2 denoise"][1]
    assert (
        "defines no function denoise"
        in found(written({"denoise": "def my_denoise(): ..."}))["7.2 denoise"][1]
    )


def test_precheck_finds_the_same_tampering_as_grading():
    answer = RIGHT["07"]["denoise"].replace("network = ", "setattr(self, 'a', 1)\n    network = ")
    right = trying.Trial("right", "Well done.")
    findings = found(
        written({"denoise": answer}), trial=lambda prelude, answers: dict.fromkeys(answers, right)
    )
    assert findings["7.1 diffusion_schedule"] == (True, "7.1 diffusion_schedule: Well done.")
    assert not findings["7.2 denoise"][0] and "it uses `setattr`" in findings["7.2 denoise"][1]


def test_precheck_is_as_strict_about_attributes_as_grading():
    """Both read the same lists. A name that no object of the lab has is free for notes."""
    right = trying.Trial("right", "Well done.")
    master = Master(sources(ROOT, ["07"])[0])
    for statement, good in {
        "self.times = 0": False,
        "self.optimizer = 0": False,
        "self.flags": False,
        "self.velocity = 0": True,
        "self.my_notes = 0": True,
    }.items():
        answer = RIGHT["07"]["denoise"].replace("network = ", f"{statement}\n    network = ")
        findings = found(written({"denoise": answer}), lambda _, all: dict.fromkeys(all, right))
        assert findings["7.2 denoise"][0] is good
        assert (not find_tampering(answer, master.recorded, master.taken)) is good


def test_precheck_runs_no_answer_that_is_too_long_for_grading():
    answer = RIGHT["07"]["denoise"] + "\n# " + "x" * 20_000
    tried = {}

    def trial(prelude, answers):
        tried.update(answers)
        return dict.fromkeys(answers, trying.Trial("right", "Well done."))

    good, sentence = found(written({"denoise": answer}), trial)["7.2 denoise"]
    assert not good and "The limit is 20,000." in sentence and "denoise" not in tried
    assert "The limit is 20,000." in found(written({"denoise": answer}))["7.2 denoise"][1]


def test_precheck_names_what_grading_leaves_out():
    squared = {"denoise": RIGHT["07"]["denoise"].replace("noise_rates**2", "squared(noise_rates)")}
    own = {
        "cell_type": "code",
        "id": "mine",
        "metadata": {},
        "source": "%matplotlib inline\ndef squared(x):\n    return x * x",
    }
    notebook = written(squared)
    notebook["cells"].insert(3, own)
    assert all(good for good, _ in found(notebook).values())
    own["source"] = "squared = load_dataset(data)"
    assert found(notebook)["7.2"] == (
        None,
        (
            "7.2: uses squared, which grading leaves out (it keeps functions, classes, imports and"
            " constants)"
        ),
    )


def test_precheck_notices_deleted_and_changed_checks():
    notebook = written()
    checks = [cell for cell in notebook["cells"] if cell["source"].startswith("checks.")]
    notebook["cells"].remove(checks[0])
    checks[1]["source"] = "print('✓')"
    findings = found(notebook)
    assert findings["7.1"] == (None, "7.1: its check cell is missing. Grading uses its own check.")
    assert findings["7.2"] == (
        None,
        (
            "7.2: its check cell was changed, so do not rely on what it says. Grading uses its own"
            " check."
        ),
    )
    assert "7.3" not in findings


def without(*keys):
    def change(notebook):
        for cell in notebook["cells"]:
            for key in keys:
                cell.pop(key, None)

    return change


HONEST = {
    "without metadata": without("metadata"),
    "without ids": without("id"),
    "without both": without("metadata", "id"),
    "without outputs": without("outputs", "execution_count"),
    "of a later format": lambda notebook: notebook.update(nbformat=5),
    "without a format": lambda notebook: [
        notebook.pop(key) for key in ("nbformat", "nbformat_minor", "metadata")
    ],
    "with other metadata": lambda notebook: [
        cell.update(metadata={"id": "aBc", "vscode": {"languageId": "python"}})
        for cell in notebook["cells"]
    ],
    "with lists of lines": lambda notebook: [
        cell.update(source=cell["source"].splitlines(keepends=True)) for cell in notebook["cells"]
    ],
    "with magics": lambda notebook: [
        cell.update(source=f"%%time\n!ls\n{cell['source']}\nops.sin?")
        for cell in notebook["cells"]
        if "def denoise" in cell["source"]
    ],
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("change", HONEST.values(), ids=HONEST)
def test_precheck_reads_the_same_notebooks_as_grading(change, encoding):
    notebook = written()
    change(notebook)
    findings = found(json.dumps(notebook).encode(encoding))
    assert not [sentence for good, sentence in findings.values() if good is False]
    assert {f"7.{n} {name}" for n, name in enumerate(RIGHT["07"], start=1)} <= set(findings)
    assert {"The summary", "The experiment"} <= set(findings)


def test_precheck_names_a_file_that_is_not_a_lab():
    for content in (
        b"no notebook",
        b'{"cells": []}',
        b'{"cells": [{"cell_type": "code", "source": "x = 1"}]}',
    ):
        with pytest.raises(UserError, match="my.ipynb"):
            examine_answers(content, Path("my.ipynb"))


def test_answers_are_tried_as_in_grading():
    """Each answer that stops its process gets a new one; later answers still run."""
    answers = RIGHT["04"] | {
        "noise_loss": (
            'def noise_loss(a, b):\n    raise NotImplementedError("Exercise 4.2: write noise_loss")'
        ),
        "training_loop": (
            "def training_loop(make_network, batches, step):\n    import os\n    os._exit(0)"
        ),
        "gradient_step": "def gradient_step(*arguments)\n    pass",
        "step_back": "def step_back(*arguments):\n    from diffusion_lab.samplers import ddim",
        "with_noise_level": (
            "assert noisy\nimport no_such_library\n" + RIGHT["04"]["with_noise_level"]
        ),
    }
    (handout,) = [lab for lab in handouts() if lab.lab == "04"]
    tried = trying.try_answers(handout.prelude, answers)
    expected = dict.fromkeys(answers, "right") | {
        "noise_loss": "missing",
        "training_loop": "stopped",
        "gradient_step": "wrong",
        "step_back": "wrong",
    }
    assert {name: trial.outcome for name, trial in tried.items()} == expected
    assert tried["training_loop"].sentence == "it ends Python itself."
    assert "Python cannot read your cell" in tried["gradient_step"].sentence
    assert "not here when answers are graded" in tried["step_back"].sentence


@pytest.mark.parametrize(
    "code, sentence",
    [
        (
            "while True: pass",
            "it runs for more than 0.2 seconds (is there an infinite loop?).",
        ),
        ("", "it ends Python itself."),
    ],
)
def test_precheck_does_not_wait_for_an_endless_answer(code, sentence, tmp_path):
    (tmp_path / "log").write_text("begun")
    process = subprocess.Popen([sys.executable, "-c", code])
    assert trying._wait(process, tmp_path / "log", 0.2 if code else 60) == sentence
    process.kill()
    process.wait()


def test_if_the_imports_fail_each_answer_says_so():
    assert trying.try_answers("raise ImportError", {"slerp": "", "invert": ""}) == dict.fromkeys(
        ["slerp", "invert"], ("stopped", trying.NOT_STARTED)
    )


def cells(*sources):
    return cells_of(
        json.dumps(
            {
                "cells": [
                    {"cell_type": "raw" if source == "raw" else "code", "source": source}
                    for source in sources
                ]
            }
        ).encode()
    )


@pytest.mark.parametrize(
    "sources, good, sentence",
    [
        (
            ["%%time\nx = 1", "raw", "", "!true\nx?\n%timeit -n 1 -r 1 x"],
            True,
            "It runs from top to bottom",
        ),
        (
            ["x = 1", "", "# one\n1 / 0", "y"],
            False,
            "stops in cell [2], `# one`: ZeroDivisionError: division by zero",
        ),
        (
            ["x = 1", "import os\nos._exit(3)"],
            False,
            "does not finish: cell [2], `import os`, stops Python itself",
        ),
    ],
)
def test_a_run_from_top_to_bottom_names_the_first_cell_that_fails(
    sources, good, sentence, tmp_path
):
    ((outcome, said),) = run_notebook(cells(*sources), tmp_path)
    assert outcome is good and sentence in said


def precheck(*arguments, **environment):
    """Runs `precheck` in a separate process; returns its result with the output as bytes."""
    return subprocess.run(
        [sys.executable, "-m", "diffusion_lab", "precheck", *map(str, arguments)],
        capture_output=True,
        env=os.environ | environment,
    )


READS_AND_WRITES = """\
from pathlib import Path
read = [Path(name).read_text() for name in ("pictures/a.png", "mine.py", "../data/b.png")]
Path("out/lab02/best.weights.h5").write_text("of the smallest profile")
Path("out/new").write_text("of the smallest profile")
"""


LOOKS_AROUND = """\
from pathlib import Path
assert Path("photo" ".png").is_symlink() and Path("pictures").is_symlink()
assert not Path("mine.h5").is_symlink()
Path("mine.h5").write_text("of the smallest profile")
assert Path("out/best.weights.h5").read_text() == "as it was"
"""


def contents(folder):
    """Returns {path: content} of all files in a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_precheck_leaves_trained_models_as_they_are(tmp_path, monkeypatch):
    """The cells write what a lab writes, and read what a student may have put next to it."""
    folder = tmp_path / "notebooks"
    for name in ("out/lab02/best.weights.h5", "pictures/a.png", "mine.py", "../data/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("as it was")
    path, notebook = folder / "02.ipynb", nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(READS_AND_WRITES)]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    before = contents(tmp_path)
    monkeypatch.setattr(prechecking, "examine_answers", lambda *_: [])
    assert prechecking.precheck_notebook(path), "the cell finds all files"
    assert contents(tmp_path) == before


def test_precheck_copies_only_what_the_notebook_may_write(tmp_path, monkeypatch):
    """A folder such as Downloads has gigabytes. Some of its files cannot be read."""
    folder = tmp_path / "Downloads"
    for name in ("photo.png", "pictures/a.png", "mine.h5", "out/best.weights.h5"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("as it was")
    for name in ("gone", "out/gone"):
        (folder / name).symlink_to("nowhere")
    for name in ("pipe", "out/pipe"):
        os.mkfifo(folder / name)
    path, notebook = folder / "02.ipynb", nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(LOOKS_AROUND)]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    before = contents(tmp_path)
    monkeypatch.setattr(prechecking, "examine_answers", lambda *_: [])
    assert prechecking.precheck_notebook(path)
    assert contents(tmp_path) == before


def test_precheck_says_that_a_file_cannot_be_read(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "02.ipynb"
    path.touch()
    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UserError, match="02.ipynb cannot be read .Permission denied"):
        prechecking.precheck_notebook(path)


@pytest.mark.slow
def test_precheck_runs_the_notebook_without_changing_it(tmp_path):
    path = tmp_path / "02.ipynb"
    notebook = hand_in(
        LABS["02"],
        RIGHT["02"] | {"q_sample": "def q_sample(*arguments):\n    return 0 * arguments[0]"},
    )
    notebook.cells.append(nbformat.v4.new_code_cell("assert points is None"))
    path.write_text(json.dumps(notebook), encoding="utf-8")
    before = path.read_bytes()
    result = precheck(path, PYTHONIOENCODING="utf-8")
    lines = result.stdout.decode().splitlines()
    assert (
        path.read_bytes() == before and result.returncode == 1 and b"Traceback" not in result.stderr
    )
    assert lines[0].startswith("✓ 2.1 forward_step: ") and lines[1].startswith("✗ 2.2 q_sample: ")
    assert (
        "A run from top to bottom stops in cell [" in lines[2]
        and "You can still hand it in" in lines[3]
    )


SYMBOLS = sorted(
    {
        letter
        for path in ROOT.glob("diffusion_lab/**/*.py")
        for letter in path.read_text(encoding="utf-8")
        if not letter.isascii()
    }
)


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "cp1252", "cp932", "utf-8"])
def test_every_symbol_in_the_package_can_be_printed_in_every_encoding(encoding):
    assert len(SYMBOLS) > 30
    assert "?" not in "".join(SYMBOLS).encode(encoding, ERRORS).decode(encoding)
    assert "✓ √(1 − ᾱ) \ud800".encode("cp1252", ERRORS) == b"OK sqrt(1 - alpha_bar) ?"


@pytest.mark.slow
def test_precheck_needs_only_the_package_and_any_encoding(tmp_path):
    """The package is alone, as after `pip install` on Windows.

    There are no notebooks, no solutions and no grader, and the output is not in UTF-8.
    """
    package = tmp_path / "site" / "diffusion_lab"
    shutil.copytree(
        ROOT / "diffusion_lab",
        package,
        ignore=shutil.ignore_patterns("__pycache__", "*.h5", "instructor"),
    )
    path = tmp_path / "07.ipynb"
    path.write_text(json.dumps(written({"denoise": None})), encoding="utf-8")
    for encoding in ("cp1252", "cp932"):
        result = precheck(
            "--no-run", path, PYTHONIOENCODING=encoding, PYTHONPATH=str(package.parent)
        )
        assert result.stdout.decode(encoding).splitlines()[:6] == [
            "OK 7.1 diffusion_schedule: written. Run its check to see if it is right.",
            "X 7.2 denoise: not written yet.",
            "OK 7.3 reverse_diffusion: written. Run its check to see if it is right.",
            "OK 7.4 remix: written. Run its check to see if it is right.",
            "OK The experiment: written.",
            "OK The summary: written.",
        ], result.stderr
