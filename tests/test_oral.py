"""The questions for an oral check: about the student's own lines, and never hostile."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.gradebook import write_gradebook
from diffusion_lab.instructor.manual import ByHand
from diffusion_lab.instructor.oral import oral_page, questions_for
from diffusion_lab.instructor.rows import row_of
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.instructor.verdicts import Verdict
from diffusion_lab.labs import checks
from diffusion_lab.labs.mistakes import Mistake
from tests.graded import SETTINGS, result

TABLES = {
    "first": [
        Mistake("You <subtracted>. Add `it`.", ("a + b", "a - b")),
        Mistake("You divided. Multiply.", ("model.c * 2", "model.c / 2")),
        Mistake("This is elsewhere.", ("nowhere", "somewhere")),
        Mistake("A function.", lambda: 1),
    ],
    "second": [Mistake("Both are sines.", ("cos(x)", "sin(x)"))],
}
FIRST = "def first(self, a, b):\n    half = a+b  # a and b\n    return half + self.c * 2"
SECOND = "def second(x):\n    return cos(\n        x)"


def row(outcomes=("right", "right"), answers=None, seed=1, student="Ada"):
    answers = {"first": FIRST, "second": SECOND} if answers is None else answers
    verdicts = [
        Verdict(f"7.{number}", name, outcome, 4.0, 4.0, "So it is.")
        for number, (name, outcome) in enumerate(zip(TABLES, outcomes), start=1)
    ]
    found = result(student, answers=answers, seed=seed)
    return row_of(replace(found, verdicts=verdicts), ByHand())


def test_questions_are_about_the_students_own_lines():
    found = {question.hint: question for question in questions_for(row(), TABLES)}
    assert len(found) == 3
    one = found["You <subtracted>. Add `it`."]
    assert (one.code, one.variant) == ("half = a+b  # a and b", "half = a - b  # a and b")
    two = found["You divided. Multiply."]
    assert (two.number, two.variant) == ("7.1", "return half + self.c / 2")
    assert found["Both are sines."].variant == "return sin(x)"


def test_no_line_is_asked_about_twice_while_there_are_others():
    tables = {
        "first": [
            *(Mistake(f"Mistake {n}.", ("a + b", f"a * {n}")) for n in range(2, 9)),
            Mistake("You divided. Multiply.", ("model.c * 2", "model.c / 2")),
            Mistake("You forgot half.", ("half + ", "")),
        ]
    }
    for seed in range(20):
        found = questions_for(row(("right", "wrong"), seed=seed), tables)
        assert len({each.code for each in found}) == 2 and len(found) == 3


def test_a_variant_of_a_method_is_about_self_and_indented_as_one_block():
    tables = {"first": [Mistake("No.", ("return half", "x = model.c\n    return half"))]}
    (only,) = questions_for(row(("right", "wrong")), tables)
    assert only.variant == "x = self.c\nreturn half + self.c * 2"


def test_printed_questions_have_lines_to_write_on():
    page = oral_page("07", [row(), row(("right", "wrong"), {"first": "x = 1"})], TABLES).decode()
    assert page.count('<div class="lines">') == page.count("<li>") == 6


def test_the_instructions_quote_the_questions():
    text = " ".join((Path(__file__).parents[1] / "INSTRUCTORS.md").read_text("utf-8").split())
    pages = [oral_page("07", [row(answers=answers)], TABLES) for answers in (None, {"first": "1"})]
    for question, page in zip(("What would change", "Which change to it would make the"), pages):
        (quoted,) = re.findall(f'"({question}.*?\\?)"', text)
        assert quoted in " ".join(page.decode().split())


def test_the_same_submission_gets_the_same_questions():
    tables = {"first": [Mistake(f"Mistake {n}.", lambda: n) for n in range(50)]}
    same = [questions_for(row(), tables) for _ in range(3)]
    assert same[0] == same[1] == same[2] and len(same[0]) == 3
    assert questions_for(row(seed=2), tables) != same[0]


def test_only_right_answers_are_asked_about():
    assert {each.name for each in questions_for(row(("wrong", "right")), TABLES)} == {"second"}
    assert questions_for(row(("stopped", "missing")), TABLES) == []
    page = oral_page("07", [row(("wrong", "wrong"))], TABLES).decode()
    assert "There is no right answer to ask about." in page


def test_mistakes_that_fit_no_line_are_asked_about_the_whole_answer():
    answer = "def first(self, a, b):\n    return f(a, b)"
    found = questions_for(row(("right", "wrong"), {"first": answer}), TABLES)
    assert {(each.code, each.variant) for each in found} == {(answer, "")} and len(found) == 3


@pytest.mark.parametrize(
    "answer",
    [
        "def first(a, b):\n    return a + b, a + b",  # twice
        "def first(a, b):\n    return aa + b",  # part of another name
        "def first(a, b):\n    # a + b\n    return 1",  # only a comment
        "def first(a, b:\n    return a + b",  # not Python
        "x = " + "(" * 500 + "a + b" + ")" * 500,
    ],
)
def test_a_change_that_means_nothing_is_not_asked_about(answer):
    found = questions_for(row(("right", "wrong"), {"first": answer}), TABLES)
    assert not [each for each in found if each.variant]


HOSTILE = "<script>alert(1)</script>{{ 12345 * 67890 }}\x1b[2J\u202e"


def test_hostile_text_is_escaped():
    answer = f"def first(a, b):\n    return a + b, '''{HOSTILE}</pre><img src=x onerror=1>'''"
    rows = [row(answers={"first": answer}, student=HOSTILE)]
    page = oral_page("07", rows, TABLES).decode()
    for text in ("<script", "<img", "838102050", "\x1b", "\u202e", "<subtracted>"):
        assert text not in page
    assert page.count("&lt;script&gt;alert(1)") >= 3 and "default-src 'none'" in page
    assert "<p>The grader would say: " in page and "Add <code>it</code>." in page


def test_students_never_see_the_questions(tmp_path):
    write_gradebook(tmp_path, "07", SETTINGS, [result("Ada", answers={"first": FIRST})])
    for page in (tmp_path / "feedback").iterdir():
        assert "What would change" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("lab", ["02", "07", "09"])
def test_official_answers_give_three_questions(lab):
    (source,) = sources(Path(__file__).parents[1], [lab])
    answers = {name: cell.source for _, name, cell in exercises(read_source(source))}
    tables = {name: checks.exercises()[name].mistakes for name in answers}
    verdicts = [Verdict("1", name, "right", 4.0, 4.0, "") for name in answers]
    graded = replace(result("Ada", answers=answers), verdicts=verdicts)
    found = questions_for(row_of(graded, ByHand()), tables)
    assert len(found) == 3 and len({each.name for each in found}) == min(3, len(answers))
    if lab == "07":
        assert all(each.variant for each in found), "its mistakes are changes of the source"
