"""Grading without a sandbox: its files contain no answers, and its results are not trusted."""

import ast
import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.master import Master, Task
from diffusion_lab.instructor.sandbox.staging import slice_package, stage
from diffusion_lab.submission.measuring import measure

ROOT = Path(__file__).parents[1]
# lab 00 has no exercises
MASTERS = {path.stem: master for path in sources(ROOT) if (master := Master(path)).tasks}
LABS = pytest.mark.parametrize("lab", MASTERS)


@LABS
def test_the_staged_files_contain_no_judge_and_no_answer(lab):
    master = MASTERS[lab]
    text = "\n".join(module.source() for module in slice_package(master.roots).values())
    tree = ast.parse(text)
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not functions & {
        "judge",
        "draw",
        "examine",
        "mistakes",
        "right",
        "careless",
        "judge_parts",
        "point",
    }
    assert not {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} & {
        task.name for task in master.tasks
    }
    flat = re.sub(r"\s", "", text)
    for answer in master.answers.values():
        region = answer.split("### BEGIN SOLUTION")[1].split("### END SOLUTION")[0]
        lines = [re.sub(r"\s", "", line) for line in region.splitlines() if len(line.strip()) > 25]
        assert not [
            line for line in lines if line in flat and not line.startswith(("ones=", "import"))
        ]


RUN_EACH = """
import os, sys
import keras  # before the fork, so that no lab has to import it
for folder in sys.argv[1:]:
    if os.fork() == 0:
        os.environ["DIFFUSION_LAB_BOX"] = folder
        sys.path.insert(0, f"{folder}/package")
        exec(open(f"{folder}/script.py").read())
        os._exit(0)
    if os.wait()[1]:
        sys.exit(f"{folder} failed")
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Returns {lab: folder with the results of its answers}.

    They run with the staged files, but without a sandbox.
    """
    folders = {}
    for lab, master in MASTERS.items():
        folder = folders[lab] = tmp_path_factory.mktemp(lab)
        stage(master.files, folder / "package")
        for name in ("inputs", "results"):
            (folder / name).mkdir()
        for task in master.tasks:
            np.savez(folder / "inputs" / f"{task.name}.npz", **task.inputs(seed=99))
        (folder / "script.py").write_text(
            "\n\n".join(cell.source for cell in master.notebook(master.answers).cells),
            encoding="utf-8",
        )
    result = subprocess.run(
        [sys.executable, "-c", RUN_EACH, *folders.values()],
        env={"PATH": "/usr/bin"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return folders


@LABS
def test_right_answers_earn_all_points_for_any_seed(lab, measured, monkeypatch):
    for task in MASTERS[lab].tasks:
        result = (measured[lab] / "results" / f"{task.name}.json").read_bytes()
        outcome, sentence = task.judge(99, result)
        assert outcome == "right" and task.points > 0, sentence
        assert task.judge(100, result)[0] == "wrong", "numbers for another seed earn nothing"
        for change in (
            lambda values: 1.37 * values + 0.11,
            lambda values: values + 1e-3,
            np.zeros_like,
        ):
            outcome, sentence = task.judge(
                99,
                changed(
                    result,
                    lambda values: (
                        values if np.array_equal(values, np.rint(values)) else change(values)
                    ),
                ),
            )
            assert not rights(result) & set(re.findall(r"\d+\.\d+", sentence)), (
                "no right number leaves the grader"
            )
        one_right = changed(
            result, lambda values: values + 1, lambda name: not name.startswith("0/")
        )
        assert task.judge(99, one_right)[0] == "wrong", "all draws must be right"

        for strange in unlike_any_honest_result(result):
            with monkeypatch.context() as patch:
                patch.setattr(type(task.check), "judge", lambda *arguments: pytest.fail("judged"))
                outcome, sentence = task.judge(99, strange)
            assert outcome == "wrong" and len(sentence) < 400, (
                "results of an unexpected size are not judged"
            )


def unlike_any_honest_result(result):
    found = arrays_of(result)
    first = next(iter(found))
    wide = changed(result, lambda values: values.reshape(*[1] * 20, *values.shape))
    yield from [wide, outputs(), outputs(**{"0/x": packed(1)})]
    yield changed(result, lambda values: np.zeros(200_000), lambda name: name == first)
    yield outputs(**{name: packed(values) for name, values in found.items() if name != first})
    yield outputs(
        **{name: packed(values) for name, values in found.items()},
        **{f"more {number}": packed(1) for number in range(1000)},
    )


def arrays_of(result):
    outputs = json.loads(result)["outputs"]
    return {
        name: np.frombuffer(base64.b64decode(part["float64"])).reshape(part["shape"])
        for name, part in outputs.items()
    }


def changed(result, values, chosen=lambda name: True):
    """Returns the content of a results file with other numbers."""
    return outputs(
        **{
            name: packed(values(array) if chosen(name) else array)
            for name, array in arrays_of(result).items()
        }
    )


def rights(result):
    numbers = np.concatenate([array.ravel() for array in arrays_of(result).values()])
    return {text for number in numbers if len(text := f"{abs(number):.4g}") >= 5}


def packed(values, shape=None):
    values = np.asarray(values, "float64")
    return {"shape": shape or values.shape, "float64": base64.b64encode(values.tobytes()).decode()}


def outputs(**values):
    return json.dumps({"outputs": values}).encode()


HUGE = packed(np.zeros(8), [10**9, 10**9])
STRANGE = {
    "nothing": b"",
    "no JSON": b"{{",
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "no outputs": b"{}",
    "deep": b"[" * 100_000,
    "outputs is a list": b'{"outputs": []}',
    "empty outputs": outputs(),
    "bytes": b"\xff\x00" * 99,
    "a claim": b'{"passed": true, "points": 100, "failed": null, "outputs": {}}',
    "missing": outputs(noise_rates=packed(np.zeros((8, 1, 1, 1)))),
    "not a number": outputs(
        noise_rates=packed(np.full((8, 1, 1, 1), np.nan)),
        signal_rates=packed(np.full((8, 1, 1, 1), np.inf)),
        graph=packed(1),
    ),
    "empty arrays": outputs(noise_rates=packed([]), signal_rates=packed([]), graph=packed([])),
    "a shape that lies": outputs(noise_rates=HUGE, signal_rates=HUGE, graph=HUGE),
    "negative": outputs(
        noise_rates=packed(np.zeros(8), [-1]),
        signal_rates=packed(np.zeros(8), [-1, -1]),
        graph=packed(1),
    ),
    "no base64": outputs(noise_rates={"shape": [1], "float64": "%%%"}, signal_rates=7, graph=None),
    "failed is no text": b'{"failed": {"a": 1}, "outputs": 3}',
    "another failure": b'{"failed": "7.1 passed, 100 points"}',
}


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE)
def test_any_content_of_a_results_file_gives_a_verdict(content):
    for master in MASTERS.values():
        for task in master.tasks:
            outcome, sentence = task.judge(1, content)
            assert outcome == "wrong" and sentence


@pytest.mark.parametrize(
    "said, sentence",
    [
        ("the rates are swapped.", "The rates are swapped."),
        ("noise_rates, signal_rates, in this order.", "noise_rates, signal_rates, in this order."),
        ("denoise returns two values.", "denoise returns two values."),
    ],
)
def test_a_sentence_begins_with_a_capital_unless_it_begins_with_a_name(said, sentence):
    assert Task("7.2", "denoise", 4).judge(1, json.dumps({"failed": said}).encode()) == (
        "wrong",
        sentence,
    )


def test_a_sentence_is_short_and_on_one_line():
    outcome, sentence = Task("7.2", "denoise", 4).judge(
        1, json.dumps({"failed": "word\n" * 100_000}).encode()
    )
    assert outcome == "wrong" and len(sentence) == 400 and "\n" not in sentence


def test_an_official_answer_that_does_not_run_is_an_error():
    with pytest.raises(UserError, match="official answer to 7.2, denoise, does not run: NameError"):
        Task("7.2", "denoise", 4, "nowhere").expected


def test_names_of_the_package_raise_an_error_when_called():
    space = {}
    prelude = MASTERS["07_ddim"].prelude
    assert "diffusion_lab" not in prelude
    exec(prelude, space)
    with pytest.raises(RuntimeError, match="ddim comes with the package .* write it yourself"):
        space["ddim"](None)
    assert "from diffusion_lab.gaussian_diffusion import at" in MASTERS["06_ddpm"].prelude


CELLS = {
    "def denoise(:": (
        "Python cannot read your cell, so nothing in it has run: SyntaxError in line 1, `def"
        " denoise(:`"
    ),
    "x = 1\nif x:\ny = 2": (
        "Python cannot read your cell, so nothing in it has run: IndentationError in line 3, `y"
        " = 2`"
    ),
    "x = nowhere\ndef denoise(self):\n    return 1": (
        "your cell stops before it defines `denoise`, with NameError: name 'nowhere' is not"
        " defined."
    ),
    "x = 3": "there is no function `denoise` after your cell has run.",
}


@pytest.mark.parametrize("source", CELLS)
def test_a_missing_function_is_explained_by_the_error_in_its_own_cell(
    source, tmp_path, monkeypatch
):
    monkeypatch.setenv("DIFFUSION_LAB_BOX", str(tmp_path))
    for name in ("inputs", "results"):
        (tmp_path / name).mkdir()
    for name in ("diffusion_schedule", "denoise"):
        np.savez(tmp_path / "inputs" / f"{name}.npz", **{"0/x": 1})
    shell = InteractiveShell()
    # other cells do not count
    for cell, name in (("1 / 0", "diffusion_schedule"), (source, "denoise")):
        shell.run_cell(cell)
        measure(SimpleNamespace(name=name), shell.user_ns)
    assert json.loads((tmp_path / "results" / "denoise.json").read_text())["failed"].startswith(
        CELLS[source]
    )


def test_answers_cannot_control_nbval():
    notebook = MASTERS["07_ddim"].notebook(
        {"denoise": "# NBVAL_SKIP\n# NBVAL_RAISES_EXCEPTION\nx = 1"}
    )
    assert [cell.id for cell in notebook.cells] == ["prelude", "answer-denoise", "measure-denoise"]
    assert "NBVAL_" not in notebook.cells[1].source
