"""The HTML reports: a feedback page for each student, and a summary for the instructor.

Text from a submission may be hostile, so templates escape it, and pages allow no script except the
summary's own.
"""

import base64
import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from diffusion_lab.instructor.manual import ByHand, columns_of
from diffusion_lab.instructor.presentable import shortened, small_picture
from diffusion_lab.instructor.rows import Row
from diffusion_lab.instructor.similar import (
    NEARLY_IDENTICAL,
    NEARLY_IDENTICAL_TEXT,
    similar_submissions,
)
from diffusion_lab.instructor.verdicts import BOARD_STEPS, Verdict

# characters of a summary for all texts, and the same for all pictures, whatever the size of a class
SUMMARY_SHARE = 900_000
MOST_WRONG = 5  # sentences for each exercise

LOADER = PackageLoader("diffusion_lab.instructor")
TEMPLATES = Environment(loader=LOADER, autoescape=True, trim_blocks=True, lstrip_blocks=True)
TEMPLATES.filters["shortened"] = shortened


@dataclass(frozen=True)
class ExerciseSummary:
    """How a class did in one exercise."""

    number: str
    name: str
    solved: int  # number of students
    partly: int  # number of students with a part of the points
    wrong: list[tuple[str, int]]  # the most common sentences, and how often each occurs
    others: int  # how often any other sentence occurs


def feedback_page(lab: str, row: Row) -> bytes:
    """Returns a student's feedback page."""
    template = TEMPLATES.get_template("feedback.html")
    return template.render(lab=lab, row=row, board_steps=BOARD_STEPS).encode()


def summary_page(facts: dict[str, Any], rows: list[Row], unclaimed: dict[str, ByHand]) -> bytes:
    """Returns the summary of a class.

    Args:
        facts: about the grading: lab, seed, sandbox and time.
        rows: of the grade book.
        unclaimed: entries of manual.csv for students who are not in this grading. They are written
            again when the page saves manual.csv.
    """
    script = LOADER.get_source(TEMPLATES, "summary.js")[0]
    # the browser runs no other script
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    share = SUMMARY_SHARE // max(len(rows), 1)
    unclaimed = {key: entry for key, entry in unclaimed.items() if any(entry)}
    overrides = [ByHand(exercises=row.overrides) for row in rows]
    numbers = [verdict.number for verdict in rows[0].verdicts] if rows else []
    template = TEMPLATES.get_template("summary.html")
    return template.render(
        facts,
        rows=rows,
        unclaimed=unclaimed,
        columns=columns_of(numbers, [*overrides, *unclaimed.values()]),
        similar=similar_submissions(rows, facts["lab"]),
        thresholds=(NEARLY_IDENTICAL, NEARLY_IDENTICAL_TEXT),
        script=script,
        script_hash=script_hash,
        longest=share,
        pictures={row.key: small_picture(row.picture, share) for row in rows},
        board=sorted((row for row in rows if row.board), key=lambda row: row.board),
        board_steps=BOARD_STEPS,
        **_statistics(rows),
    ).encode()


def mark_of(verdict: Verdict) -> str:
    """Returns ✓ for all points, ◐ for a part of them, – for a missing answer, and ✗ for a wrong or
    stopped one.
    """
    if 0 < verdict.points < verdict.possible:
        return "◐"
    if verdict.points > 0 or verdict.outcome == "right" and not verdict.possible:
        return "✓"
    return "–" if verdict.outcome == "missing" else "✗"


def class_of(verdict: Verdict) -> str:
    """Returns the CSS class of a verdict: right, partly or wrong."""
    return {"✓": "right", "◐": "partly"}.get(mark_of(verdict), "wrong")


def _statistics(rows: list[Row]) -> dict[str, Any]:
    """Returns the numbers of the summary, by their names in its template."""
    shares = Counter(min(9, int(10 * row.share)) for row in rows)
    exercises = []
    for index, verdict in enumerate(rows[0].verdicts if rows else ()):
        verdicts = [row.verdicts[index] for row in rows]
        classes = Counter(map(class_of, verdicts))
        wrong = Counter(
            verdict.sentence for verdict in verdicts if class_of(verdict) != "right"
        ).most_common()
        exercises.append(
            ExerciseSummary(
                verdict.number,
                verdict.name,
                solved=classes["right"],
                partly=classes["partly"],
                wrong=wrong[:MOST_WRONG],
                others=sum(count for _, count in wrong[MOST_WRONG:]),
            )
        )
    return {
        "mean": sum(row.points for row in rows) / max(len(rows), 1),
        "shares": [shares[tenth] for tenth in range(10)],
        "ungraded": sum(bool(row.written) and row.manual == "" for row in rows),
        "exercises": exercises,
        "hardest": min(
            exercises, key=lambda exercise: (exercise.solved, exercise.partly), default=None
        ),
    }


def in_html(text: str) -> Markup:
    """Returns a sentence as HTML, with `code` and *emphasis*."""
    return Markup(
        re.sub(
            r"`([^`]+)`|\*([^*\s]+)\*",  # so there is no emphasis in code
            lambda found: f"<code>{found[1]}</code>" if found[1] else f"<em>{found[2]}</em>",
            str(escape(text)),
        )
    )


def headed(text: str) -> tuple[str, str]:
    """Returns (heading or "", the other lines) of what a student wrote below a heading."""
    match = re.match(r"\s*#+ +([^\n]+)\n+", text)
    return (match[1].strip(), text[match.end() :]) if match else ("", text)


TEMPLATES.filters |= {"sentence": in_html, "headed": headed}
TEMPLATES.globals |= {"mark_of": mark_of, "class_of": class_of}
