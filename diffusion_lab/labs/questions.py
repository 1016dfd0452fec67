"""Prediction questions: a student predicts what a plot will show, and gets an answer at once.

The questions are not in the notebooks, because the source would give the answers away. Each lab has
a module `labNN/questions.py` with a dictionary `QUESTIONS`: {word: `Question`}.
"""

from html import escape
from importlib import import_module

import ipywidgets

from diffusion_lab.errors import UserError
from diffusion_lab.labs.fallback import WithFallback
from diffusion_lab.labs.language import say
from diffusion_lab.labs.question import Question

RIGHT, WRONG = "#1a7f37", "#b35900"  # dark enough on white, light enough on black


def ask(name):
    """Shows the question `name`, such as "02.variance": choices to click on, with answers.

    Without a kernel, it shows the choices and a folded answer.

    Raises:
        UserError: if there is no such question.
    """
    return Ask(find(name))


def find(name):
    """Returns the `Question` with this name, "NN.word". Raises UserError if there is none."""
    lab, _, word = str(name).partition(".")
    try:
        questions = import_module(f"diffusion_lab.labs.lab{lab}.questions").QUESTIONS
    except ModuleNotFoundError:
        raise UserError(
            f"There is no question {name!r}: names consist of lab and word, such as '02.variance'."
        ) from None
    if word not in questions:
        known = ", ".join(f"{lab}.{other}" for other in questions)
        raise UserError(f"There is no question {name!r}: lab {lab} has {known}.")
    return questions[word]


class Ask(WithFallback):
    """A question with radio buttons, and below them a comment on the student's choice."""

    def __init__(self, question: Question):
        self.question = question
        self.buttons = ipywidgets.RadioButtons(options=list(question.choices), index=None)
        self.buttons.layout.width = "auto"
        self.feedback = ipywidgets.HTMLMath("&nbsp;")
        self.feedback.add_class("diffusion-lab-feedback")
        self.buttons.observe(self._answer, names="index")
        super().__init__(
            [
                ipywidgets.HTMLMath(f"<b>{say('Your prediction.')}</b> {question.text}"),
                self.buttons,
                self.feedback,
            ]
        )
        self.add_class("diffusion-lab-question")

    def _answer(self, change):
        self.feedback.value = (
            verdict(self.question, change["new"]) if change["new"] is not None else "&nbsp;"
        )

    def fallback(self):
        return {"text/plain": plain(self.question), "text/html": folded(self.question)}, {}


def verdict(question, index):
    """Returns the HTML that a student reads after choosing number `index`."""
    sentence = list(question.choices.values())[index]
    if index == question.right:
        return f'<b style="color:{RIGHT}">✓ {say("Right.")}</b> {sentence}'
    again = say("Try another one.")
    return f'<b style="color:{WRONG}">✗ {say("Not quite.")}</b> {sentence} {again}'


def plain(question):
    """Returns the question and its choices as text, without the answer."""
    return "\n".join(
        [say("Your prediction:"), question.text, *(f"  ○ {choice}" for choice in question.choices)]
    )


def folded(question):
    """Returns the question for a page without a kernel: HTML, with the answer folded."""
    choices = "".join(f"<li>{escape(choice)}</li>" for choice in question.choices)
    choice, sentence = list(question.choices.items())[question.right]
    return (
        f"<p><b>{say('Your prediction.')}</b> {question.text}</p><ul>{choices}</ul>"
        f"<details><summary>{say('Answer')}</summary><b>{escape(choice)}</b> {sentence}</details>"
    )
