"""The table in INSTRUCTORS.md of what each sandbox stops, tried and compared."""

import json
import os
from pathlib import Path

import nbformat
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox import boxes, landlock, user_box
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from tests import probes, sandboxes

INSTRUCTORS = Path(__file__).parents[1] / "INSTRUCTORS.md"
COLUMNS = {  # {heading of the table: the sandbox}
    "bubblewrap": "bubblewrap",
    "user": "user",
    "user, without Landlock": "user",
}
LIMITS = Limits(seconds=3, memory=10**9)
YES, NO, ENDED = "yes", "no", "ended"


def each_column():
    return [pytest.param(name, marks=sandboxes.skipped_without(COLUMNS[name])) for name in COLUMNS]


def run_probe(column, code, planted, monkeypatch, results=()):
    """Runs code in the sandbox of a column, and returns the `BoxRun`."""
    if "without" in column:
        monkeypatch.setattr(landlock, "version", lambda: 0)
        # the repository of a developer may be open to all
        monkeypatch.setattr(user_box, "private", lambda: [planted["closed"]])
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in ("1", code)]
    )
    inputs = {"planted.json": json.dumps(planted).encode()}
    files = {"__init__.py": ""}
    return boxes.run_in_box(notebook, files, inputs, results, LIMITS, COLUMNS[column])


def cells_of(column):
    """Returns {first cell of a line: cell of this column} of the table in INSTRUCTORS.md."""
    lines = [line.strip("|\n ").split(" | ") for line in INSTRUCTORS.open(encoding="utf-8")]
    header = next(line for line in lines if line[1:] == list(COLUMNS))
    place = lines.index(header)
    table = {}
    for line in lines[place + 2 :]:
        if len(line) != len(header):
            return table
        table[line[0].strip()] = line[header.index(column)].strip()
    return table


@pytest.mark.parametrize("column", each_column())
def test_what_an_answer_can_do_is_what_the_instructions_say(column, monkeypatch):
    attempts = "\n".join(probes.TRACES.values())
    code = (
        probes.LOOKING.replace("PROBES", repr(probes.PROBES))
        + attempts
        + "\njson.dump(found, open(BOX + '/results/found.json', 'w'))"
    )
    with probes.plant(closed="without" in column) as planted:
        used = sandboxes.record_guests(monkeypatch)
        run = run_probe(column, code, planted, monkeypatch, ["found.json"])
        assert run.ended is None and run.cells[1].passed, run.cells
        found = json.loads(run.results["found.json"])
        found |= probes.traces(planted["name"], [*map(sandboxes.left_by, used)].count(True))
    table = cells_of(column)
    assert found.keys() | probes.EXCESSES.keys() == table.keys()
    assert {what: YES if found[what] else NO for what in found} == {
        what: table[what] for what in found
    }


@pytest.mark.slow
@pytest.mark.parametrize("what", probes.EXCESSES)
@pytest.mark.parametrize("column", each_column())
def test_what_ends_an_answer_is_what_the_instructions_say(column, what, monkeypatch):
    with probes.plant(closed=True) as planted:
        run = run_probe(column, probes.EXCESSES[what], planted, monkeypatch)
    outcome = ENDED if run.ended else YES if run.cells[1].passed else NO
    assert outcome == cells_of(column)[what], run


def test_the_probes_succeed_outside_of_a_sandbox(tmp_path):
    """Otherwise a mistake in a probe could let the test above pass."""
    for name in ("inputs", "results", "package"):
        (tmp_path / name).mkdir()
    # these need root, or would change the process that runs the tests
    without = {
        what: [way for way in ways if "unshare" not in way and "nice" not in way]
        for what, ways in probes.PROBES.items()
    }
    with probes.plant(closed=False) as planted, pytest.MonkeyPatch.context() as patch:
        (tmp_path / "results" / "found.json").touch()
        (tmp_path / "inputs" / "planted.json").write_text(json.dumps(planted))
        patch.setenv("DIFFUSION_LAB_BOX", str(tmp_path))
        patch.setenv("HOME", str(tmp_path))
        space = {}
        exec(probes.LOOKING.replace("PROBES", repr(without)), space)
    assert [what for what, found in space["found"].items() if not found] == []


@pytest.mark.parametrize("column", each_column())
def test_the_second_box_without_landlock_opens_only_if_the_answers_are_closed(column, monkeypatch):
    if "without" not in column:
        return
    monkeypatch.setattr(landlock, "version", lambda: 0)
    with probes.plant(closed=False) as planted:
        monkeypatch.setattr(user_box, "private", lambda: [])
        with pytest.raises(UserError, match=f"chmod -R go= {planted['closed']}"):
            user_box.require_user_box([planted["closed"]])
        os.chmod(planted["closed"], 0o700)
        user_box.require_user_box([planted["closed"]])
