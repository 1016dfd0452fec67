"""Questions for an oral check, made from a student's own right answers.

Most of them show a line of the student's, and the same line with a known mistake.
"""

import ast
import random
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from diffusion_lab.instructor.pages import TEMPLATES
from diffusion_lab.instructor.presentable import clean, shortened
from diffusion_lab.instructor.rows import Row
from diffusion_lab.labs.mistakes import Mistake

ORAL = "oral.html"
QUESTIONS = 3  # for each student
MOST_LINES = 12  # of an answer that are changed, since several changes may be to the same line
LONGEST = 600  # characters of a line that is shown
MOST_CODE = 3_000  # characters of an answer that is shown

Tables = Mapping[str, Sequence[Mistake]]  # {exercise: its known mistakes}


@dataclass(frozen=True)
class Question:
    """A question about an answer. Texts come from the student and may be hostile."""

    number: str  # of the exercise
    name: str
    code: str  # the line that would change, or the whole answer
    variant: str  # the line with a known mistake, or "" if the student is to find it
    hint: str  # what the grader says about the mistake


def oral_page(lab: str, rows: Sequence[Row], tables: Tables) -> bytes:
    """Returns the page with questions for each student. It is for the instructor only."""
    template = TEMPLATES.get_template(ORAL)
    students = [(row, questions_for(row, tables)) for row in rows]
    return template.render(lab=lab, students=students).encode()


def questions_for(row: Row, tables: Tables) -> list[Question]:
    """Returns up to three questions, about different exercises and lines if possible.

    The same submission always gets the same questions.
    """
    rng = random.Random(row.seed)
    right = [
        verdict
        for verdict in row.verdicts
        if verdict.outcome == "right" and verdict.name in row.answers and tables.get(verdict.name)
    ]
    rng.shuffle(right)
    ranked: list[tuple[int, Question]] = []
    for verdict in right:
        source = clean(row.answers[verdict.name], "details")
        mistakes = rng.sample([*tables[verdict.name]], len(tables[verdict.name]))
        lines = [
            Question(verdict.number, verdict.name, *texts)
            for texts in islice(_variants(source, mistakes), MOST_LINES)
        ]
        told = {question.hint for question in lines}
        whole = [
            Question(verdict.number, verdict.name, shortened(source, MOST_CODE), "", mistake.hint)
            for mistake in mistakes
            if mistake.hint not in told
        ]
        # one question about each exercise comes first, then more about lines
        ranked += enumerate(lines)
        ranked += [
            (QUESTIONS if lines or place else 0, question) for place, question in enumerate(whole)
        ]
    ranked.sort(key=lambda pair: (pair[0], not pair[1].variant))
    first: dict[str, Question] = {}  # {code that is shown: question}
    for _, question in ranked:
        first.setdefault(question.code, question)
    questions = [*first.values(), *(question for _, question in ranked)]
    return [*dict.fromkeys(questions)][:QUESTIONS]


def _variants(source: str, mistakes: Sequence[Mistake]) -> Iterator[tuple[str, str, str]]:
    """Yields (line, line with a mistake, hint) for the mistakes that can be made in `source`."""
    for mistake in mistakes:
        if isinstance(mistake.wrong, tuple) and (pair := _changed_line(source, *mistake.wrong)):
            yield *pair, mistake.hint


def _changed_line(source: str, old: str, new: str) -> tuple[str, str] | None:
    """Returns the line of `source` that contains `old`, and the same line with `new` in its place.

    Returns None unless `source` contains `old` once, up to white space, and the change keeps it
    valid and alters what it does.
    """
    as_method = _as_method(old), _as_method(new)
    is_method = re.search(r"\bself\b", source)
    for before, after in (as_method, (old, new)) if is_method else ((old, new), as_method):
        tokens = re.findall(r"\w+|[^\w\s]", before)
        pattern = r"\s*".join(map(re.escape, tokens))
        pattern = rf"(?<!\w){pattern}" if re.match(r"\w", before) else pattern
        pattern = rf"{pattern}(?!\w)" if re.search(r"\w$", before) else pattern
        matches = list(re.finditer(pattern, source)) if tokens else []
        if len(matches) != 1:
            continue
        start, end = matches[0].span()
        first = source.rfind("\n", 0, start) + 1
        last = (source + "\n").index("\n", end)
        line, changed = source[first:last], source[first:start] + after + source[end:last]
        if max(len(line), len(changed)) <= LONGEST and _differ(
            source, source[:first] + changed + source[last:]
        ):
            return line.strip(), textwrap.dedent(changed).strip()
    return None


def _as_method(text: str) -> str:
    """Returns code of an official answer as in the students' notebook, where the model is self."""
    return re.sub(r"\bmodel\b", "self", text)


def _differ(source: str, changed: str) -> bool:
    """True if both are valid Python, and differ not only in comments."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the student's code
            return ast.dump(ast.parse(source)) != ast.dump(ast.parse(changed))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
