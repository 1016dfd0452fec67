"""The prediction questions of lab 05."""

from diffusion_lab.questions.core import Question

QUESTIONS: dict[str, Question] = {}
