"""Questions answer each choice with its own sentence, and also show without a kernel."""

import re
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.labs.question import Question
from diffusion_lab.labs.questions import ask, find, folded, plain

LABS = [f"{lab:02d}" for lab in range(1, 12)]
SOLUTIONS = sorted((Path(__file__).parents[1] / "solutions").glob("*.ipynb"))
QUESTION = Question(
    "Which is <b>more</b>?",
    right=1,
    choices={
        "1 < 2": "One is less.",
        "two": "Two it is, because.",
        "three": "Absent.",
    },
)


def table(lab):
    return import_module(f"diffusion_lab.labs.lab{lab}.questions").QUESTIONS


@pytest.mark.parametrize("lab", LABS)
def test_every_question_can_be_asked_and_every_choice_has_its_own_sentence(lab):
    for word, question in table(lab).items():
        assert find(f"{lab}.{word}") is question
        sentences = list(question.choices.values())
        assert len(sentences) >= 2 and 0 <= question.right < len(sentences), word
        assert len(set(sentences)) == len(sentences) and all(
            len(sentence) > 20 for sentence in sentences
        ), word
        assert question.text.rstrip().endswith(("?", ".", ":")), word
        assert not any("`" in text for text in (question.text, *question.choices, *sentences)), (
            f"{word}: a question is HTML, in which backticks would show"
        )
        assert not any("<b>" in choice or "<i>" in choice for choice in question.choices), (
            f"{word}: the choices are plain text"
        )


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda path: path.stem)
def test_the_stored_outputs_are_those_of_the_questions(solution):
    """The course site shows them, and nbval does not compare them."""
    for cell in nbformat.read(solution, 4).cells:
        if cell.cell_type == "code" and (name := re.fullmatch(r'ask\("(.+)"\)', cell.source)):
            (output,) = cell.outputs
            question = find(name[1])
            assert output.data == {"text/plain": plain(question), "text/html": folded(question)}


def test_every_question_of_the_sources_exists():
    names = {
        name
        for source in Path(__file__).parents[1].glob("solutions/*.py")
        for name in re.findall(r'^ask\("(.*?)"\)', source.read_text(encoding="utf-8"), re.M)
    }
    assert names
    for name in names:
        find(name)


def test_a_misspelt_question_gets_those_of_its_lab():
    with pytest.raises(UserError, match="no question '07.one': lab 07 has 07.one_step, 07.eta"):
        find("07.one")


def test_right_and_wrong_answers_get_their_sentences():
    asked = ask("02.variance")
    assert asked.buttons.index is None and "diffusion-lab-question" in asked._dom_classes
    sentences = list(asked.question.choices.values())
    asked.buttons.index = 0
    assert "✗" in asked.feedback.value and sentences[0] in asked.feedback.value
    asked.buttons.index = asked.question.right
    assert "✓" in asked.feedback.value and sentences[asked.question.right] in asked.feedback.value
    assert sentences[0] not in asked.feedback.value
    asked.buttons.index = None
    assert "✓" not in asked.feedback.value


def test_without_a_kernel_the_answer_is_folded():
    before, answer = folded(QUESTION).split("<details>")
    assert "1 &lt; 2" in before and "<b>more</b>" in before and "Two it is" not in before
    assert "two" in answer and "Two it is, because." in answer and "Absent." not in answer


def test_the_bundle_has_the_widget_and_both_fallbacks():
    bundle, _ = ask("07.one_step")._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/plain", "text/html"}
    question = find("07.one_step")
    assert all(choice in bundle["text/plain"] for choice in question.choices)
    assert list(question.choices.values())[question.right] not in bundle["text/plain"]
    assert bundle["text/html"] == folded(question)


@pytest.mark.parametrize("name", ["02.nothing", "99.variance", "variance", "", None])
def test_an_unknown_question_is_one_sentence(name):
    with pytest.raises(UserError, match="no question"):
        ask(name)
