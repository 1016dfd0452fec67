"""The prediction questions of lab 06."""

from diffusion_lab.questions.core import Question

QUESTIONS: dict[str, Question] = {}
