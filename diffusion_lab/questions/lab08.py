"""The prediction questions of lab 08."""

from diffusion_lab.questions.core import Question

QUESTIONS: dict[str, Question] = {}
