"""Which code of a notebook is an answer: what the name refers to at the notebook's end."""

import inspect
import json
from pathlib import Path

import pytest

from diffusion_lab.submission.answers import Unreadable, nothing_found, read_answers
from diffusion_lab.submission.defining import define
from diffusion_lab.submission.definitions import Definitions
from diffusion_lab.submission.handout import (
    GivenCell,
    GivenExercise,
    Handout,
    digest,
    handouts,
)

IMPORTS = (
    "import math\nimport numpy as np\nfrom diffusion_lab import checks\nfrom"
    " diffusion_lab.labs.start import start"
)
STUB = '''def double(x):
    """Twice x."""
    raise NotImplementedError("Exercise 3.1: write double")'''
STUB2 = STUB.replace("double", "triple").replace("3.1", "3.2")
SUMMARY, COVER = "### Your summary\n*Write here.*", "show(x)"
RIGHT = "def double(x):\n    return 2 * x"


def given(id, kind, source, **mark):
    return GivenCell(id, kind, digest(source), mark, source if mark else "")


LAB = Handout(
    "03",
    "import math\nimport numpy as np",
    [GivenExercise("3.1", "double"), GivenExercise("3.2", "triple")],
    [
        given("a", "markdown", "# A lab"),
        given("b", "code", IMPORTS),
        given("c", "code", "rate = 2\nlab = start()\nsize = lab.size(2)"),
        given("d", "markdown", "### Exercise 3.1 · `double`"),
        given("03-double", "code", STUB, exercise="double"),
        given("03-double-check", "code", "checks.double(double)", check="double"),
        given("e", "markdown", "### Exercise 3.2 · `triple`"),
        given("03-triple", "code", STUB2, exercise="triple"),
        given("03-triple-check", "code", "checks.triple(triple)", check="triple"),
        given("f", "code", COVER, cover=True),
        given("g", "markdown", "And now in words."),
        given("03-summary", "markdown", SUMMARY, summary="summary"),
        given("h", "markdown", "## The end"),
    ],
)
SOURCES = {
    "a": "# A lab",
    "b": IMPORTS,
    "c": "rate = 2\nlab = start()\nsize = lab.size(2)",
    "d": "### Exercise 3.1 · `double`",
    "e": "### Exercise 3.2 · `triple`",
    "g": "And now in words.",
    "h": "## The end",
}


def handed_in(*extra, marked=True, **changed):
    """Returns the lab's notebook with other sources for some cells.

    Args:
        *extra: cells to append.
        marked: False removes all metadata and ids.
        **changed: {letter or name of a cell: source, list of sources and cells, or None}.
    """
    cells = []
    for cell in LAB.cells:
        name = cell.id.removeprefix("03-").replace("-", "_")
        new = changed.get(name, cell.source or SOURCES[cell.id])
        for source in new if isinstance(new, list) else [new]:
            if source is not None:
                cells.append(
                    source
                    if isinstance(source, dict)
                    else {
                        "cell_type": cell.kind,
                        "source": source,
                        "id": cell.id,
                        "metadata": {"nbgrader": {"grade_id": cell.id}} if cell.mark else {},
                    }
                )
    cells += extra
    if not marked:
        cells = [{**cell, "id": "", "metadata": {}} for cell in cells]
    return notebook(*cells)


def code(source, kind="code", **more):
    return {"cell_type": kind, "source": source, "metadata": {}, **more}


def notebook(*cells):
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def value(content, name="double"):
    """Returns the answer's result for 3."""
    space = {"__name__": "__main__"}
    exec(LAB.prelude, space)
    try:
        define(name, read_answers(content, LAB).sources[name], space)
    except Exception:  # an error in another statement does not matter
        if name not in space:
            raise
    return float(space[name](3))


RIGHT_ANSWERS = {
    "written into its cell": dict(double=RIGHT),
    "a lambda": dict(double="double = lambda x: 2 * x"),
    "an annotated lambda": dict(
        double="from typing import Callable\ndouble: Callable = lambda x: 2 * x"
    ),
    "a library under another name": dict(
        b=IMPORTS + "\nimport numpy as jnp", double="def double(x):\n    return jnp.add(x, x)"
    ),
    "a library imported in the given cell": dict(
        b=IMPORTS + "\nimport operator", double="def double(x):\n    return operator.add(x, x)"
    ),
    "names from a library": dict(
        b=IMPORTS + "\nfrom operator import add as plus, mul",
        double="def double(x):\n    return plus(x, x)",
    ),
    "all names of a library": dict(
        b=IMPORTS + "\nfrom operator import *", double="def double(x):\n    return add(x, x)"
    ),
    "a module of a package": dict(
        b=IMPORTS + "\nimport os.path",
        double="def double(x):\n    return 2 * x if os.path.sep else None",
    ),
    "a library imported below": dict(
        double="def double(x):\n    return operator.add(x, x)",
        g=[code("import operator"), SOURCES["g"]],
    ),
    "a constant": dict(
        d=[code("TWO = 2"), SOURCES["d"]], double="def double(x):\n    return TWO * x"
    ),
    "a constant from a constant": dict(
        d=[code("ONE = 1"), code("TWO = ONE + ONE"), SOURCES["d"]],
        double="def double(x):\n    return TWO * x",
    ),
    "a corrected constant": dict(
        d=[code("TWO = 3"), code("TWO = 2")], double="def double(x):\n    return TWO * x"
    ),
    "a constant that depends on itself": dict(
        d=[code("TWO = 1"), code("TWO += 1")], double="def double(x):\n    return TWO * x"
    ),
    "constants on one line": dict(
        d=[code("ONE, TWO = 1, 2; THREE = 3")], double="def double(x):\n    return TWO * x"
    ),
    "a computed constant": dict(
        d=[code("TWO = np.sqrt(4.0)\nassert lab")], double="def double(x):\n    return TWO * x"
    ),
    "a given constant": dict(double="def double(x):\n    return rate * x"),
    "a constant that later gets the lab's data": dict(
        double="def double(x):\n    return rate * x", g=[code("rate = lab.size(7)")]
    ),
    "a default argument": dict(
        d=[code("TWO = 2")], double="def double(x, by=TWO):\n    return by * x"
    ),
    "a table filled in a loop": dict(
        d=[code("TABLE = []\nfor n in range(9):\n    TABLE.append(2 * n)")],
        double="def double(x):\n    return TABLE[x]",
    ),
    "a dictionary filled later": dict(
        d=[code("TABLE = {}"), code("TABLE['two'] = 2")],
        double="def double(x):\n    return TABLE['two'] * x",
    ),
    "a helper above": dict(
        d=[code("def twice(x):\n    return 2 * x")], double="def double(x):\n    return twice(x)"
    ),
    "a helper below": dict(
        double="def double(x):\n    return twice(x)", g=[code("def twice(x):\n    return 2 * x")]
    ),
    "a helper of a helper": dict(
        d=[code("def add(x, y):\n    return x + y"), code("twice = lambda x: add(x, x)")],
        double="def double(x):\n    return twice(x)",
    ),
    "a helper with a decorator": dict(
        d=[
            code("import functools"),
            code("@functools.lru_cache(None)\ndef twice(x):\n    return 2 * x"),
        ],
        double="def double(x):\n    return twice(x)",
    ),
    "a helper under if": dict(
        d=[code("if True:\n    def twice(x):\n        return 2 * x\nelse:\n    twice = None")],
        double="def double(x):\n    return twice(x)",
    ),
    "a helper under try": dict(
        d=[
            code(
                "try:\n    from no_such_library import twice\nexcept ImportError:\n    def"
                " twice(x):\n        return 2 * x"
            )
        ],
        double="def double(x):\n    return twice(x)",
    ),
    "a helper among plots": dict(
        d=[code("lab.plot()\ndef twice(x):\n    return 2 * x\nlab.plot(twice(lab))")],
        double="def double(x):\n    return twice(x)",
    ),
    "a helper under a magic": dict(
        d=[code("%%time\ndef twice(x):\n    return 2 * x")],
        double="def double(x):\n    return twice(x)",
    ),
    "a class": dict(
        d=[
            code("class Twice:\n    by = 2\n    def __call__(self, x):\n        return self.by * x")
        ],
        double="double = Twice()",
    ),
    "a class in the function": dict(
        d=[code("class Twice:\n    def of(self, x):\n        return 2 * x")],
        double="def double(x):\n    return Twice().of(x)",
    ),
    "a partial": dict(
        d=[code("from functools import partial\nimport operator")],
        double="double = partial(operator.mul, 2)",
    ),
    "using another exercise's answer": dict(
        double="def double(x):\n    return triple(x) - x", triple="def triple(x):\n    return 3 * x"
    ),
    "recursion": dict(double="def double(x):\n    return 2 + double(x - 1) if x else 0"),
    "recursion, with the stub below": dict(
        double=["def double(x):\n    return 2 + double(x - 1) if x else 0", STUB]
    ),
    "a type hint from another cell": dict(
        d=[code("import decimal")],
        double="def double(x: decimal.Decimal) -> decimal.Decimal:\n    return 2 * x",
    ),
    "a type hint that does not exist": dict(
        double="def double(x: 'Tensor', y: torch.Tensor = None) -> torch.Tensor:\n    return 2 * x"
    ),
    "a type hint from the package": dict(
        double="def double(x: start) -> checks.Answer:\n    return 2 * x"
    ),
    "a test above": dict(double="assert size == 2\n" + RIGHT),
    "a test below": dict(double=RIGHT + "\nassert double(size) == 4\nprint(double(lab))"),
    "a library that is not installed": dict(double="import no_such_library as tf\n" + RIGHT),
    "a plot above": dict(
        double="plt.plot(x)\nfor image in images:\n    plt.imshow(image)\n" + RIGHT
    ),
    "its check in the same cell": dict(double=RIGHT + "\nchecks.double(double)", double_check=None),
    "in the cell of its check": dict(double_check=RIGHT + "\nchecks.double(double)"),
    "a magic above": dict(double="%timeit 1\n!ls\nmath.sin?\n" + RIGHT),
    "a cell magic": dict(double="%%time\n" + RIGHT),
    "two cell magics": dict(double="%%capture out\n%%time\n" + RIGHT),
    "a magic in the function": dict(double="def double(x):\n    %time y = 2 * x\n    return y"),
    "a timed assignment": dict(double="%time double = lambda x: 2 * x"),
    "an indented cell": dict(double="    def double(x):\n        return 2 * x"),
    "a cell copied from a prompt": dict(double=">>> def double(x):\n...     return 2 * x"),
    "a new cell below the stub": dict(double=[STUB, code(RIGHT)]),
    "a new cell above the stub": dict(double=[code(RIGHT), STUB]),
    "a new cell at the end": dict(h=[SOURCES["h"], code(RIGHT)]),
    "invalid code above": dict(double=["def double(x)\n    return", RIGHT]),
    "a wrong answer above": dict(double=["def double(x):\n    return x", RIGHT]),
    "invalid code below": dict(double=[RIGHT, "def double(x:\n    return"]),
    "a cell below that cannot run": dict(double=[RIGHT, "def double(x):\n    return 3\nreturn"]),
    "split in two": dict(double=["by = 2", "def double(x):\n    return by * x"]),
    "split the other way": dict(
        double=["def double(x):\n    return twice(x)", "def twice(x):\n    return 2 * x"]
    ),
    "split, with a magic in the second half": dict(
        double=["by = 2", "%%time\ndef double(x):\n    return by * x"]
    ),
    "wrapped in a second cell": dict(
        double=[
            "def double(x):\n    return x",
            "def twice_of(f):\n    return lambda x: 2 * f(x)\ndouble = twice_of(double)",
        ]
    ),
    "redefined with a name from the package": dict(
        double=RIGHT, g=[code("from diffusion_lab.numbers import double")]
    ),
    "redefined with the lab's data": dict(
        double=RIGHT, g=[code("from functools import partial\ndouble = partial(lab.double, 1)")]
    ),
    "a loop variable of the same name": dict(
        double=RIGHT, g=[code("for double in range(3):\n    pass")]
    ),
    "a raw cell": dict(double=code(RIGHT, "raw", id="03-double")),
    "a raw cell below the stub": dict(double=[STUB, code(RIGHT, "raw")]),
    "a cell that became text": dict(double=code(RIGHT, "markdown", id="03-double")),
    "Windows line endings": dict(double=RIGHT.replace("\n", "\r\n")),
    "tabs": dict(double="def double(x):\n\treturn 2 * x"),
    "letters of all alphabets": dict(
        double="def double(число):\n    '''两倍 ✓'''\n    return 2 * число"
    ),
    "half a character": dict(double="def double(x):\n    return 2 * x  # \ud800"),
    "strange line endings": dict(
        d=[code('"\u2028\x0c"\nTWO = 2')],
        double="x = '\u2028\x1c'\ndef double(x):\n    return TWO * x",
    ),
    "a future import": dict(double="from __future__ import annotations\n" + RIGHT),
    "a global that counts": dict(
        d=[code("calls = 0")],
        double="def double(x):\n    global calls\n    calls += 1\n    return 2 * x * calls",
    ),
    "in place of a missing library": dict(
        double="try:\n    import no_such_library\nexcept ImportError:\n    double = lambda x: 2 * x"
    ),
    "a comprehension's name": dict(
        double="def double(x):\n    return sum(size for size in (x, x))"
    ),
    "a lambda's default argument": dict(
        d=[code("two = 2")], double="double = lambda x, by=two: by * x"
    ),
    "a walrus": dict(double="def double(x):\n    return (y := x) + y"),
}


@pytest.mark.parametrize("changes", RIGHT_ANSWERS.values(), ids=RIGHT_ANSWERS)
def test_a_right_answer_is_found_however_it_was_written(changes):
    assert value(handed_in(**changes)) == 6


@pytest.mark.parametrize("name", sorted(set(RIGHT_ANSWERS) - {"a cell that became text"}))
def test_a_right_answer_needs_neither_metadata_nor_ids(name):
    assert value(handed_in(marked=False, **RIGHT_ANSWERS[name])) == 6


@pytest.mark.parametrize(
    "changes, expected",
    [
        (dict(double=[RIGHT, "def double(x):\n    return 7"]), 7),
        (dict(double=RIGHT, g=[code("double = lambda x: 7")]), 7),
        (dict(double=["by = 2\ndef double(x):\n    return by * x", "by = 7 / 3"]), 7),
        (dict(double=[code(RIGHT, "raw"), "def double(x):\n    return 7"]), 7),
    ],
)
def test_the_last_definition_counts_even_if_it_is_wrong(changes, expected):
    assert value(handed_in(**changes)) == expected


@pytest.mark.parametrize(
    "changes, left_out, missing",
    [
        (dict(double="def double(x):\n    return 2 * x + 0 * size"), "lab.size", "size"),
        (
            dict(
                double=RIGHT, d=[code("model = start()\nhistory = model.fit(3)"), code("history")]
            ),
            "fit",
            "",
        ),
        (
            dict(
                double="def double(x):\n    return len(history) * x",
                d=[code("model = start()\nhistory = model.fit(3)")],
            ),
            "fit",
            "history",
        ),
        (
            dict(
                double=RIGHT + "\nassert scores",
                d=[code("scores = [double(n) for n in range(10**9)]")],
            ),
            "scores = ",
            "",
        ),
        (
            dict(
                double="def double(scores):\n    return 2 * scores",
                d=[code("scores = print('trained')")],
            ),
            "trained",
            "",
        ),
        (dict(double="import math\nfrom math import *\n" + RIGHT), "numpy", ""),
    ],
)
def test_an_answer_includes_only_what_it_needs_and_no_data_of_the_lab(changes, left_out, missing):
    answers = read_answers(handed_in(**changes), LAB)
    assert left_out not in answers.sources["double"]
    assert answers.remarks == (
        [
            f"3.1: uses {missing}, which grading leaves out (it keeps functions, classes, imports"
            " and constants)"
        ]
        if missing
        else []
    )


@pytest.mark.parametrize(
    "changes, remark",
    [
        (dict(), ""),
        (dict(double=RIGHT), ""),
        (
            dict(double=RIGHT, marked=False),
            "3.1: found by its function's name, because the cell's metadata is lost",
        ),
        (
            dict(double=[STUB, code(RIGHT)]),
            "3.1: found by its function's name, not in its own cell",
        ),
        (
            dict(double=["def double(x): return", RIGHT]),
            "3.1: defined in several cells; the last one counts",
        ),
        (dict(double=["def double(x)", RIGHT]), "3.1: a cell with a syntax error was skipped"),
        (
            dict(double=code(RIGHT, "raw", id="03-double")),
            "3.1: a cell that is not code was read as code",
        ),
    ],
)
def test_anything_unusual_about_an_answer_is_a_remark(changes, remark):
    assert read_answers(handed_in(**changes), LAB).remarks == ([remark] if remark else [])


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize(
    "source",
    [
        STUB,
        "",
        "def twice(x):\n    return 2 * x",
        "def double(x)\n    return 2 * x",
        "%%bash\nls",
        "return",
    ],
)
def test_code_that_defines_no_answer_is_kept_for_the_error_message(source, marked):
    assert read_answers(handed_in(marked=marked, double=source), LAB).sources["double"] == source


def test_without_a_cell_there_is_no_answer():
    answers = read_answers(
        handed_in(double=None, triple=None, triple_check=RIGHT.replace("double", "triple")), LAB
    )
    assert list(answers.sources) == ["triple"]
    for cells in ([], [code("x = 1", "markdown")], [code("x = 1")], [code(IMPORTS), code("x = 1")]):
        assert read_answers(notebook(*cells), LAB).sources == {}


WORDS = "I trained it twice."
WRITTEN = {
    "in its cell": dict(summary=WORDS),
    "below its heading": dict(summary=f"### Your summary\n{WORDS}"),
    "in a new cell below": dict(summary=[SUMMARY, code(WORDS, "markdown")]),
    "in a new cell above": dict(summary=[code(WORDS, "markdown"), SUMMARY]),
    "in a new cell, the old one deleted": dict(summary=code(WORDS, "markdown")),
    "in a raw cell": dict(summary=code(WORDS, "raw", id="03-summary")),
    "in a raw cell below": dict(summary=[SUMMARY, code(WORDS, "raw")]),
    "below a changed cell": dict(summary=[SUMMARY, code(WORDS, "markdown")], f="show(7)"),
    "at the very end": dict(
        summary=None, h=[SOURCES["h"], code(f"### Your summary\n{WORDS}", "markdown")]
    ),
}


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("changes", WRITTEN.values(), ids=WRITTEN)
def test_the_written_part_is_found_wherever_it_is(changes, marked):
    answers = read_answers(handed_in(marked=marked, **changes), LAB)
    assert answers.texts["summary"].removeprefix("### Your summary\n") == WORDS


def test_a_written_part_without_metadata_is_a_remark():
    lost = "the written part: found by its heading or place, because the cell's metadata is lost"
    assert read_answers(handed_in(**WRITTEN["in its cell"]), LAB).remarks == []
    assert read_answers(handed_in(**WRITTEN["in its cell"], marked=False), LAB).remarks == [lost]
    assert read_answers(handed_in(**WRITTEN["at the very end"]), LAB).remarks == [lost]
    both_changed = read_answers(handed_in(summary=WORDS, h="## Finally", marked=False), LAB)
    assert both_changed.texts == {"summary": f"{WORDS}\n\n## Finally"}, (
        "in doubt, both changed cells count"
    )


@pytest.mark.parametrize("marked", [True, False])
def test_an_unchanged_written_part_is_empty(marked):
    assert (
        read_answers(handed_in(marked=marked), LAB).texts
        == {"summary": ""}
        == read_answers(notebook(), LAB).texts
    )


def shown(picture):
    return {"outputs": [{"output_type": "display_data", "data": {"image/png": picture}}]}


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize(
    "cover",
    [
        code(COVER, id="03-f", **shown("abc")),
        code("show(x, 7)", id="f", **shown(["a", "bc"])),
        code("# mine\nshow(y)", **shown("abc")),
        [code(COVER, id="f"), code("show(z)", **shown("abc"))],
    ],
)
def test_the_cover_picture_is_found_without_metadata(cover, marked):
    content = handed_in(marked=marked, f=cover, a=["# A lab", code("plot()", **shown("other"))])
    assert read_answers(content, LAB).pictures == {"f": "abc"}


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[1].glob("notebooks/*.ipynb")), ids=lambda path: path.stem
)
def test_a_notebook_has_the_exercises_of_exactly_one_lab(path):
    for lab in handouts():
        answers = read_answers(path.read_bytes(), lab)
        assert (
            list(answers.sources)
            == [task.name for task in lab.tasks if path.name.startswith(lab.lab)]
            and answers.remarks == []
        )
        assert set(answers.texts.values()) <= {""}


def test_autograph_can_look_up_the_source_of_an_answer():
    space = {"__name__": "__main__"}
    define("double", "x = 1\n\ndef double(x):\n    return 2 * x\n", space)
    assert inspect.getsource(space["double"]) == RIGHT + "\n"


def test_a_notebook_of_another_lab_is_recognised():
    other = json.dumps(
        {"cells": [{"metadata": {"nbgrader": {"grade_id": "02-q_sample"}}}]}
    ).encode()
    assert (
        nothing_found(other, "07")
        == "There is no answer to lab 07 in this notebook; it looks like lab 02."
    )
    assert nothing_found(notebook(), "07") == "There is no answer to lab 07 in this notebook."


def test_lists_of_lines_and_notebook_format_3_are_read():
    lines = {
        "cell_type": "code",
        "source": ["def double(x):\r\n", "    ..."],
        "metadata": {"diffusion_lab": {"exercise": "double"}},
    }
    old = {
        "cell_type": "code",
        "input": "def triple(x): ...",
        "metadata": {"diffusion_lab": {"exercise": "triple"}},
    }
    assert read_answers(notebook(lines), LAB).sources == {"double": "def double(x):\n    ..."}
    content = json.dumps({"worksheets": [{"cells": [old]}], "nbformat": 3})
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert read_answers(content.encode(encoding), LAB).sources == {
            "triple": "def triple(x): ..."
        }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'"text"',
        b"\xff\xfe\x00",
        b"[" * 50_000,
        b'{"cells": 5}',
        b'{"worksheets": [{}]}',
        b'{"worksheets": 7}',
    ],
)
def test_a_file_that_is_not_a_notebook_is_unreadable(content):
    with pytest.raises(Unreadable, match="not a notebook"):
        read_answers(content, LAB)


@pytest.mark.parametrize(
    "strange",
    [
        {"cell_type": "code"},
        {"cell_type": 5, "source": 3, "metadata": []},
        {"metadata": {"diffusion_lab": 3, "nbgrader": 7}},
        {"cell_type": "code", "source": "x", "outputs": 5},
        {"cell_type": "code", "source": "x", "outputs": [1, {"data": 2}]},
        {
            "id": ["03-double"],
            "metadata": {"nbgrader": {"grade_id": [1]}, "diffusion_lab": {"exercise": {}}},
        },
        {"cell_type": "code", "source": "x = 1\n" * 200_000},
        {"cell_type": "code", "source": "%time 1\n" * 10_000},
        {
            "cell_type": "code",
            "source": (
                "\n".join(f"a{n} = a{n - 1}" for n in range(5000)) + "\ndef helper(): return a4999"
            ),
        },
        {"cell_type": "code", "source": "(" * 5000},
        {"cell_type": "code", "source": "x" + ".y" * 40_000},
        {"cell_type": "code", "source": "\0"},
        {"cell_type": "code", "source": "await helper"},
        {"cell_type": "code", "source": "-" * 50_000 + "1"},
    ],
)
def test_strange_cells_do_not_disturb_an_answer(strange):
    content = notebook(
        strange, code("def double(x):\n    return 2 * x or helper()", id="03-double")
    )
    assert value(content) == 6


NAMES = ", ".join("abcdefgh")
KNOTTED = {
    "each line needs all before it": f"{NAMES} = {NAMES}",
    "no line can be had": f"{NAMES} = {NAMES} if checks else start",
    "few lines can be had": f"{NAMES} = (checks,) * 8",
}


def steps_for(number, line, monkeypatch):
    """Returns how often a statement is looked at in a notebook with `number` such lines."""
    looked = []
    original = Definitions._needs_no_package

    def counted(self, statement):
        looked.append(statement)
        return original(self, statement)

    monkeypatch.setattr(Definitions, "_needs_no_package", counted)
    content = handed_in(
        code("\n".join([line] * number)),
        code("\n".join([f"{NAMES} = [1] * 8", *[f"x = {NAMES}", f"{NAMES} = {NAMES}"] * number])),
        code(f"def double(x):\n    return 2 * x, x_, {NAMES}\nx_ = x"),
    )
    assert read_answers(content, LAB).sources["double"]
    monkeypatch.undo()
    return len(looked)


@pytest.mark.parametrize("line", KNOTTED.values(), ids=KNOTTED)
def test_reading_takes_time_in_proportion_to_the_notebook(line, monkeypatch):
    """Otherwise one notebook could hold up the grading of a class for hours."""
    few, many = (steps_for(number, line, monkeypatch) for number in (40, 160))
    assert many < 6 * few
