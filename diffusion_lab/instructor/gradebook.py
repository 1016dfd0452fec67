"""The reports of a grading: grades.csv and grades.json, a page for each student, and a summary for
the instructor.

Everything that comes from a submission is text that may be hostile: templates escape it, pages
allow no script but the summary's own, pictures are decoded and encoded again, and a table program
never sees a formula.
"""

import base64
import csv
import hashlib
import io
import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from itertools import combinations
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from diffusion_lab.instructor.manual import MANUAL, ByHand, harmless, read_manual, write_manual
from diffusion_lab.instructor.platforms import key_of
from diffusion_lab.instructor.presentable import presentable, safe_picture, shortened, small_picture
from diffusion_lab.instructor.results import Settings
from diffusion_lab.instructor.verdicts import Result, Verdict
from diffusion_lab.storage import write_atomically

LOADER = PackageLoader("diffusion_lab.instructor")
TEMPLATES = Environment(loader=LOADER, autoescape=True, trim_blocks=True, lstrip_blocks=True)
TEMPLATES.filters["sentence"] = lambda text: Markup(
    re.sub(
        r"\*([^*\s]+)\*",
        r"<em>\1</em>",
        re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))),
    )
)
TEMPLATES.filters["shortened"] = shortened
# characters of a summary for all texts, and as many for all pictures, however large the class
SUMMARY_SHARE = 900_000
ALIKE = 0.97  # share of common pieces above which two submissions are shown side by side
MOST_WORDS = 5_000  # of answers that are compared
MOST_WRONG = 5  # sentences for each exercise
UNWRITTEN = ("picture", "share", "weights")  # fields of a row that grades.json leaves out
REACHES_OUT = {
    "builtins",
    "ctypes",
    "gc",
    "importlib",
    "inspect",
    "multiprocessing",
    "os",
    "pathlib",
    "pickle",
    "requests",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "threading",
    "urllib",
}  # modules that no answer needs


@dataclass(frozen=True, kw_only=True)
class Row(Result):
    """A row of the grade book: a result, and what a person gave."""

    page: str  # the name of the student's own page
    points: float
    possible: float
    share: float  # of the exercises' points, from 0 to 1
    manual: str  # points by hand, see `ByHand`
    comment: str
    given: str  # the same points, as a sentence for the student


@dataclass(frozen=True)
class ExerciseSummary:
    """How a class did in one exercise."""

    number: str
    name: str
    solved: int  # how many students
    wrong: list[tuple[str, int]]  # the most common sentences, and how often each was said
    others: int  # how often any other


def write_gradebook(
    out: str | Path, lab: str, settings: Settings, results: list[Result]
) -> list[Row]:
    """Writes all reports into the folder `out`, and returns the rows of the grade book.

    `results` are those of `grade_class`. Points in manual.csv, which a person fills in, are read
    and kept.
    """
    out = Path(out)
    manual = read_manual(out / MANUAL)
    results = [
        replace(result, key=result.key or key_of(result.student, result.id)) for result in results
    ]
    given = _given(results, manual)
    shown = [_shown(lab, result, given[result.key]) for result in results]
    rows = [row for row, _ in shown]
    for row, page in shown:
        write_atomically(out / "feedback" / row.page, page)
    for old in set((out / "feedback").glob("*.html")) - {
        out / "feedback" / row.page for row in rows
    }:
        old.unlink()  # of somebody who is no longer there: it must not go out with the others
    write_manual(out / MANUAL, given, manual)
    write_atomically(
        out / "grades.csv", _table(lab, rows).encode("utf-8-sig")
    )  # the mark tells Excel the encoding
    facts = {
        "lab": lab,
        "seed": settings.seed,
        "sandbox": "bubblewrap" if settings.boxed else "none",
        "limits": asdict(settings.limits),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    students = [
        {name: value for name, value in asdict(row).items() if name not in UNWRITTEN}
        for row in rows
    ]
    write_atomically(
        out / "grades.json", json.dumps(facts | {"students": students}, indent=1).encode()
    )
    script = LOADER.get_source(TEMPLATES, "summary.js")[0]
    script_hash = base64.b64encode(
        hashlib.sha256(script.encode()).digest()
    ).decode()  # the only one that may run
    share = SUMMARY_SHARE // max(len(rows), 1)
    summary = TEMPLATES.get_template("summary.html").render(
        facts,
        rows=rows,
        others=manual,
        alike=_alike(rows),
        script=script,
        script_hash=script_hash,
        mark_of=mark_of,
        longest=share,
        pictures={row.key: small_picture(row.picture, share) for row in rows},
        **_statistics(rows),
    )
    write_atomically(out / "summary.html", summary.encode())
    return rows


def _shown(lab: str, result: Result, extra: ByHand) -> tuple[Row, bytes]:
    """Returns (row, page as bytes) of a result.

    If it cannot be shown, it keeps its points, and a sentence replaces what was handed in.
    """
    try:
        row = _row(presentable(result), extra)
        return row, TEMPLATES.get_template("feedback.html").render(
            lab=lab, row=row, mark_of=mark_of
        ).encode()
    except Exception as error:
        sentence = f"It could not be shown: {type(error).__name__}; a person must look."
        bare = replace(result, answers={}, texts={}, picture=None, remarks=[], problem=sentence)
        if result == bare:
            raise
        return _shown(lab, bare, extra)


def _given(results: list[Result], manual: dict[str, ByHand]) -> dict[str, ByHand]:
    """Takes what a person gave to these students out of `manual`; returns it by their keys.

    A name alone is enough where only one student has it.
    """
    given = {result.key: manual.pop(result.key, ByHand()) for result in results}
    names = Counter(result.student for result in results)
    for result in results:
        if not any(given[result.key]) and names[result.student] == 1 and "|" not in result.student:
            given[result.key] = manual.pop(result.student, given[result.key])
    return given


def _row(result: Result, extra: ByHand) -> Row:
    slug = re.sub(r"[^A-Za-z0-9]+", "-", result.student).strip("-")[:30] or "student"
    automatic = sum(verdict.points for verdict in result.verdicts)
    of_exercises = sum(verdict.possible for verdict in result.verdicts)
    shown = replace(
        result, picture=safe_picture(result.picture), remarks=result.remarks + _conspicuous(result)
    )
    return Row(
        **vars(shown),
        page=f"{slug}-{hashlib.sha256(result.key.encode()).hexdigest()[:16]}.html",
        points=automatic + float(extra.points or 0),
        possible=of_exercises + result.written,
        share=automatic / of_exercises if of_exercises else 0,
        manual=extra.points,
        comment=extra.comment,
        given=_in_words(extra.points, result.written),
    )


def _in_words(points: str, written: float) -> str:
    """Returns what a person gave as a sentence for the student: a part of the written part's
    points, or more or fewer points.
    """
    if not points:
        return ""
    if written and float(points) >= 0:
        return f"{float(points):g} of {written:g} points for the written part."
    return f"{float(points):+g} point{'s' * (abs(float(points)) != 1)}.".replace("-", "−")


def _conspicuous(result: Result) -> list[str]:
    """Returns remarks on answers that were stopped, and on those that use what no answer needs."""
    stopped = [
        f"{verdict.number}: {verdict.sentence.rstrip('.')}"
        for verdict in result.verdicts
        if verdict.outcome == "stopped"
    ]
    imports = "\n".join(
        line
        for source in result.answers.values()
        for line in source.splitlines()
        if "import" in line
    )
    used = REACHES_OUT & set(re.findall(r"\w+", imports))
    return stopped + [f"uses {', '.join(sorted(used))}"] * bool(used)


def mark_of(verdict: Verdict) -> str:
    """Returns ✓ for a right answer, – for none, ✗ for a wrong one or one that was stopped."""
    return {"right": "✓", "missing": "–"}.get(verdict.outcome, "✗")


def _table(lab: str, rows: list[Row]) -> str:
    """Returns the grade book as CSV.

    Canvas and Moodle match students by the column ID, and import the column of points.
    """
    exercises = [f"{verdict.number} {verdict.name}" for verdict in rows[0].verdicts] if rows else []
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(
        [
            "Student",
            "ID",
            f"Lab {lab}",
            "of",
            *exercises,
            "manual",
            "file",
            "feedback",
            "look at it",
        ]
    )
    for row in rows:
        points = [_plain(verdict.points) for verdict in row.verdicts]
        writer.writerow(
            map(
                harmless,
                [
                    row.student,
                    row.id,
                    _plain(row.points),
                    _plain(row.possible),
                    *points,
                    row.manual,
                    row.place,
                    f"feedback/{row.page}",
                    row.problem or "; ".join(row.remarks),
                ],
            )
        )
    return text.getvalue()


def _plain(points: float) -> str:
    return f"{points:g}"


def _statistics(rows: list[Row]) -> dict[str, Any]:
    """Returns the numbers in the summary, by their names in its template."""
    shares = Counter(min(9, int(10 * row.share)) for row in rows)
    exercises = []
    for place, verdict in enumerate(rows[0].verdicts if rows else ()):
        verdicts = [row.verdicts[place] for row in rows]
        wrong = Counter(
            verdict.sentence for verdict in verdicts if not verdict.points
        ).most_common()
        exercises.append(
            ExerciseSummary(
                verdict.number,
                verdict.name,
                solved=sum(verdict.points > 0 for verdict in verdicts),
                wrong=wrong[:MOST_WRONG],
                others=sum(count for _, count in wrong[MOST_WRONG:]),
            )
        )
    return {
        "mean": sum(row.points for row in rows) / max(len(rows), 1),
        "shares": [shares[tenth] for tenth in range(10)],
        "ungraded": sum(bool(row.written) and row.manual == "" for row in rows),
        "exercises": exercises,
        "hardest": min(exercises, key=lambda exercise: exercise.solved, default=None),
    }


def _alike(rows: list[Row], piece: int = 8) -> list[list[Row]]:
    """Returns groups of rows whose answers have nearly all pieces of `piece` words in common, and
    are not short.

    Whoever is nearly the same as one of a group belongs to it.
    """
    pieces: dict[str, set[tuple[str, ...]]] = {}
    groups = {row.key: [row] for row in rows}
    for row in rows:
        words = re.findall(r"\w+|[^\w\s]", "\n".join(row.answers.values()))[:MOST_WORDS]
        pieces[row.key] = {tuple(words[i : i + piece]) for i in range(len(words) - piece + 1)}
    for one, other in combinations(pieces, 2):
        a, b = pieces[one], pieces[other]
        if (
            groups[one] is not groups[other]
            and min(len(a), len(b)) > max(20, ALIKE * max(len(a), len(b)))
            and len(a & b) > ALIKE * len(a | b)
        ):
            together = groups[one] + groups[other]
            groups |= {row.key: together for row in together}
    distinct = {id(group): group for group in groups.values() if len(group) > 1}
    return sorted(distinct.values(), key=len, reverse=True)
