"""Hostile and broken submissions in the sandbox: none gains an unearned point or harms another.

tests/hostile holds one answer per file. The file name begins with the points that a notebook must
get for this answer together with right answers to the other exercises. This file makes the
notebooks that are broken as a whole. Two things show that an attack is real and which defence stops
it: tests/test_defences.py removes that defence, or the watchdog gives its reason.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

from diffusion_lab.instructor import running
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.grading import grade_class
from diffusion_lab.instructor.sample_class import hand_in
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.sandbox.processes import descendants
from diffusion_lab.instructor.source import exercises, read_source
from tests import defences, sandboxes

ROOT = Path(__file__).parents[1]
HOSTILE = sorted(Path(__file__).with_name("hostile").glob("*.py"))
SOURCE = sources(ROOT, ["07"])[0]
LIMITS = Limits(seconds=3, memory=2 * 10**9)
QUICK = {
    f"{name}.ipynb"
    for name in (  # one of each kind; `make test-all` runs all
        "20-patches-numpy",
        "20-calls-the-packages-schedule",
        "20-reads-the-environment-of-its-box",
        "20-hides-memory",
        "20-puts-a-link-in-place-of-its-result",
        "20-endless-loop",
        "20-fork-bomb",
        "20-os-exit",
        "24-behaves-when-it-is-graded",
    )
}
TIME, PROCESSES, MEMORY = "is there an infinite loop?", "too many processes", "GB of memory"
REASONS = {  # {answer: why the watchdog ends it; which of several reasons comes first may vary}
    "20-a-million-files": ["too many files"],
    "20-computes-with-thirty-processes": [TIME],
    "20-deep-recursion": [MEMORY, TIME],
    "20-endless-loop": [TIME],
    "20-forges-its-reply": ["waited for"],
    "20-fork-bomb": [PROCESSES, MEMORY, TIME],
    "20-memory-bomb": [MEMORY],
    "20-os-exit": ["it ended the kernel"],
    "20-processes-that-hide": [PROCESSES, MEMORY],
    "20-segmentation-fault": ["it ended the kernel"],
    "20-sleeps": ["waited for"],
    "20-swallows-interrupts-and-prints": [TIME, "printed too much"],
    "20-ten-gigabytes-of-output": [TIME, "printed too much", MEMORY],
}
# Answers whose attack is not shown to succeed: they are only broken, they are right although they
# look strange, or the attack is too harmful to try.
NOT_SHOWN = {
    "20-a-huge-result",
    "20-a-string-for-an-answer",
    "20-closes-all-files",
    "20-deletes-the-function",
    "20-hidden-markup-in-an-error",
    "20-kills-its-parent",
    "20-not-a-number",
    "20-patches-builtins",
    "20-patches-keras",
    "20-raises-a-base-exception",
    "20-reads-frames",
    "20-shell-magic",
    "20-syntax-error",
    "20-system-exit",
    "24-a-thread-outlives-the-cell",
    "24-behaves-when-it-is-graded",
    "24-right-answer-with-nbval-skip",
    "24-tests-around-it-that-fail",
}


def whole_notebooks():
    """Returns {file name: content} of notebooks that are broken or unusual as a whole.

    The file name begins with the points that each must get.
    """
    solution = read_source(SOURCE)
    right = {name: cell.source for _, name, cell in exercises(solution)}
    honest = hand_in(solution, right)

    def changed(change):
        notebook = json.loads(json.dumps(honest))
        change(notebook)
        return json.dumps(notebook).encode()

    def without_ids(notebook):
        for cell in notebook["cells"]:
            cell["metadata"] = {}
            cell.pop("id")

    def without_headings(notebook):
        without_ids(notebook)
        notebook["cells"] = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]

    def twice(notebook):
        cells = notebook["cells"]
        place = next(place for place, cell in enumerate(cells) if cell["id"] == "07-denoise")
        cells.insert(
            place, {**cells[place], "source": "def denoise(*arguments):\n    return None\n"}
        )

    def from_everywhere(notebook):
        """Each answer needs other cells, and none is in the cell that was handed out."""
        places, cells = (
            {cell["id"]: place for place, cell in enumerate(notebook["cells"])},
            notebook["cells"],
        )
        schedule, denoise, reverse, _ = (cells[places[f"07-{name}"]] for name in right)
        imports = next(cell for cell in cells if "from keras import ops" in cell["source"])
        imports["source"] += "\nimport tensorflow as tf"

        def new(source, **more):
            return {
                "cell_type": "code",
                "id": f"new-{len(cells)}",
                "metadata": {},
                "source": source,
                "outputs": [],
                "execution_count": 7,
                **more,
            }

        angles = (
            schedule["source"]
            .replace("ops.clip", "tf.clip_by_value")
            .replace("ops.", "tf.")
            .replace("math.acos(self.m", "arccos(self.m")
        )
        schedule["source"] = "raise NotImplementedError"
        cells.append(
            new(
                "from math import *\nif keras:\n    def arccos(x: tf.Tensor):\n        return"
                " acos(x) * ONE"
            )
        )
        cells.append(new("ONE = 2 / 2"))
        cells.append(new(f"%%time\n{angles}"))
        cells.append(
            {
                **denoise,
                "source": denoise["source"].replace("noise_rates**2", "squared(noise_rates)"),
            }
        )
        denoise["source"] = "def denoise(self"
        cells.append(new("squared = lambda x: x**2\nlosses = model.fit(train)"))
        reverse |= {"cell_type": "raw", "metadata": {}}

    def with_tags(notebook):
        for cell in notebook["cells"]:
            if cell["id"] == "07-diffusion_schedule":
                cell["source"] = "def diffusion_schedule(self, times):\n    return times, times\n"
            cell["metadata"]["tags"] = ["raises-exception", "nbval-skip", "nbval-ignore-output"]

    def without_checks(notebook):
        with_tags(notebook)
        notebook["cells"] = [
            cell for cell in notebook["cells"] if "checks." not in str(cell["source"])
        ]

    def of_version_three(notebook):
        cells = [
            {**cell, "input": cell["source"]} if cell["cell_type"] == "code" else cell
            for cell in notebook["cells"]
        ]
        for cell in cells:
            if cell["cell_type"] == "code":
                cell.pop("source")
        notebook.pop("cells")
        notebook |= {
            "nbformat": 3,
            "nbformat_minor": 0,
            "worksheets": [{"cells": cells, "metadata": {}}],
        }

    def deep(content=b"["):
        return content * 100_000

    foreign = {
        "kernelspec": {
            "name": "bash",
            "display_name": "Bash",
            "language": "bash",
            "argv": ["rm", "-rf", "/"],
        }
    }
    return {
        "24-honest.ipynb": changed(lambda notebook: None),
        "24 with spaces, 'quotes', \"more\" & 花.ipynb": changed(
            lambda notebook: notebook["metadata"].update(seen=1)
        ),
        "24-=cmd| calc!A0.ipynb": changed(lambda notebook: notebook["metadata"].update(seen=2)),
        "24-<img src=x onerror=alert(1)>.ipynb": changed(
            lambda notebook: notebook["metadata"].update(seen=3)
        ),
        "24-without-ids.ipynb": changed(without_ids),
        "24-without-headings-and-ids.ipynb": changed(without_headings),
        "24-out-of-order.ipynb": changed(lambda notebook: notebook["cells"].reverse()),
        "24-an-answer-twice.ipynb": changed(twice),
        "24-from-everywhere.ipynb": changed(from_everywhere),
        "24-windows-line-ends.ipynb": changed(
            lambda notebook: [
                cell.update(source=cell["source"].replace("\n", "\r\n"))
                for cell in notebook["cells"]
            ]
        ),
        "24-without-a-kernelspec.ipynb": changed(lambda notebook: notebook.update(metadata={})),
        "24-a-foreign-kernelspec.ipynb": changed(
            lambda notebook: notebook.update(metadata=foreign)
        ),
        "24-format-of-2013.ipynb": changed(of_version_three),
        "20-tags-that-skip.ipynb": changed(with_tags),
        "20-without-check-cells.ipynb": changed(without_checks),
        "00-nothing-done.ipynb": json.dumps(hand_in(solution, {})).encode(),
        "00-cut-off.ipynb": changed(lambda notebook: None)[:-500],
        "00-not-json.ipynb": b"\x00\xff" * 1000,
        "00-a-list.ipynb": b"[1, 2, 3]",
        "00-empty.ipynb": b"",
        "00-deeply-nested.ipynb": deep(),
        "00-cells-of-all-kinds.ipynb": (
            b'{"cells": [1, null, {"cell_type": 3, "source": {"a": 1}, "metadata": 7}]}'
        ),
        "00-two-hundred-megabytes.ipynb": b" " * 200_000_000,
    }


def each_once(grade_answers):
    """Returns a version of `grade_answers` that grades the same answers only once.

    A dozen of the notebooks contain the same right answers.
    """
    graded = {}

    def grade(master, answers, *arguments):
        key = json.dumps(answers, sort_keys=True)
        if key not in graded:
            graded[key] = grade_answers(master, answers, *arguments)
        return graded[key]

    return grade


@pytest.fixture(scope="module", params=sandboxes.each_box())
def graded(request, tmp_path_factory):
    """Returns ({file name: row of the grade book} of one class, the folder of the reports).

    The class has only the submissions that the selected tests need.
    """
    own = [
        item
        for item in request.session.items
        if getattr(item, "module", None) is request.module and hasattr(item, "callspec")
    ]
    asked = {
        item.callspec.params["name"]
        for item in own
        if "name" in item.callspec.params and item.callspec.params["graded"] == request.param
    }
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("grades")
    solution = read_source(SOURCE)
    right = {name: cell.source for _, name, cell in exercises(solution)}
    for path in HOSTILE:
        first, answer = path.read_text(encoding="utf-8").split("\n", 1)
        notebook = hand_in(solution, right | {first.removeprefix("# answer: "): answer})
        (folder / f"{path.stem}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    for name, content in whole_notebooks().items():
        (folder / name).write_bytes(content)
    (folder / "00-a-link.ipynb").symlink_to("/etc/passwd")
    for path in folder.iterdir():
        if path.name not in {"24-honest.ipynb", *asked}:
            path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "grade_answers", each_once(running.grade_answers))
        patch.setenv(*defences.SECRET.split("="))
        used = sandboxes.record_guests(patch)
        settings, results = grade_class(
            folder, SOURCE, out, limits=LIMITS, sandbox=request.param, jobs=2
        )
    rows = write_gradebook(out, "07", settings, results)
    shutil.rmtree(folder)
    return {row.place: row for row in rows}, out, used


NAMES = [f"{path.stem}.ipynb" for path in HOSTILE] + [*whole_notebooks(), "00-a-link.ipynb"]
LARGE = "00-two-hundred-megabytes.ipynb"


@pytest.mark.parametrize(
    "name",
    [
        (
            name
            if name in QUICK
            or Path(name).stem not in {path.stem for path in HOSTILE}
            and name != LARGE
            else pytest.param(name, marks=pytest.mark.slow)
        )
        for name in NAMES
    ],
)
def test_a_submission_gets_the_points_that_its_answers_earn_and_a_sentence(graded, name):
    row = graded[0][name]
    said = [verdict.sentence for verdict in row.verdicts]
    assert row.points == float(name[:2]), said
    assert row.problem or len(said) == 4
    assert all(10 < len(sentence) < 1200 and "\n" not in sentence for sentence in said)
    reasons = REASONS.get(Path(name).stem, [""])
    assert [reason for reason in reasons if reason in " ".join(said)], said
    assert defences.SECRET not in row.to_json()


def test_each_hostile_answer_is_in_exactly_one_table():
    tables = [*defences.SUCCEEDS, *REASONS, *NOT_SHOWN]
    assert sorted(tables) == [path.stem for path in HOSTILE]


def test_no_page_runs_a_students_markup_and_no_cell_is_a_formula(graded):
    _, out, _ = graded
    for page in [*(out / "feedback").glob("*.html"), out / "summary.html"]:
        text = page.read_text(encoding="utf-8")
        assert "<script>alert" not in text and "<img src=x" not in text
        assert (
            "Content-Security-Policy" in text
            and "unsafe-inline'; script" not in text.split("style-src")[0]
        )
    table = (out / "grades.csv").read_text(encoding="utf-8-sig")
    assert not [
        cell
        for line in table.splitlines()
        for cell in line.split(",")
        if cell.strip('"').startswith(("=", "@", "+"))
    ]


def test_no_box_is_left_running(graded):
    assert not any(map(sandboxes.left_by, graded[2]))
    alive = [pid for pid, process in descendants(os.getpid()).items() if process.state != b"Z"]
    assert not [pid for pid in alive if "bwrap" in Path(f"/proc/{pid}/comm").read_text()]
