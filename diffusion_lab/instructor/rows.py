"""The rows of the grade book: a result together with what a person gave."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from diffusion_lab.instructor.manual import MANUAL, ByHand
from diffusion_lab.instructor.presentable import presentable, safe_picture
from diffusion_lab.instructor.verdicts import Result, Verdict

SUSPICIOUS_MODULES = {
    *("builtins", "ctypes", "gc", "importlib", "inspect", "multiprocessing", "os", "pathlib"),
    *("pickle", "requests", "shutil", "signal", "socket", "subprocess", "sys", "threading"),
    "urllib",
}  # no answer needs them
MOST_BONUS = 5  # of students in a sentence


@dataclass(frozen=True)
class Late:
    """What a submission loses because it was late: a percentage of its points, or points."""

    rule: str = ""  # such as "2 days late: −20 %"; "" if there is nothing to say
    percent: float = 0.0
    points: float = 0.0

    def deduction(self, points: float) -> float:
        """Returns how many of a student's points are lost, never more than there are."""
        there = max(points, 0)
        return round(min(there, there * self.percent / 100 + self.points), 2)


@dataclass(frozen=True, kw_only=True)
class Row(Result):
    """A row of the grade book."""

    page: str  # the file name of the student's feedback page
    points: float
    possible: float
    share: float  # of the points for exercises, from 0 to 1
    manual: str  # points by hand, see `ByHand`
    comment: str
    hold: str  # why nothing may be published yet, for the instructor; "" if it may
    overrides: dict[str, str]  # {number of an exercise: points by hand that replace the grader's}
    given: str  # the points by hand, as a sentence for the student
    late: str  # how late it was and what that costs, for the student; "" if it was not late
    deduction: float  # points that are lost because it was late

    @property
    def awaited(self) -> str:
        """A sentence about the written part while it has no points, or ""."""
        if not self.written or self.manual != "":
            return ""
        return f"The written part (up to {self.written:g} points) is not graded yet."

    @property
    def look_at(self) -> str:
        """What a person should look at: the problem with the whole submission, and the remarks."""
        return "; ".join([*[self.problem.rstrip(".")] * bool(self.problem), *self.remarks])

    def feedback_on(self, verdict: Verdict) -> str:
        """Returns what the student reads about an exercise: "" if `problem` says the same."""
        return "" if self.problem and verdict.graded is None else verdict.feedback


def row_of(result: Result, by_hand: ByHand, late: Late = Late()) -> Row:
    """Returns the row of a result, with texts and a picture that are safe to show."""
    result = presentable(result)
    result = replace(
        result,
        picture=safe_picture(result.picture),
        remarks=[
            *[f"on hold: {by_hand.hold}"] * bool(by_hand.hold),
            *remarks_on_answers(result),
            *result.remarks,
        ],
        verdicts=[
            _overridden(verdict, by_hand.exercises.get(verdict.number, ""))
            for verdict in result.verdicts
        ],
    )
    slug = re.sub(r"[^A-Za-z0-9]+", "-", result.student).strip("-")[:30] or "student"
    earned = sum(verdict.points for verdict in result.verdicts)
    possible = sum(verdict.possible for verdict in result.verdicts)
    points = earned + float(by_hand.points or 0)
    deduction = late.deduction(points)
    return Row(
        **vars(result),
        page=f"{slug}-{hashlib.sha256(result.key.encode()).hexdigest()[:16]}.html",
        points=points - deduction,
        possible=possible + result.written,
        share=earned / possible if possible else 0,
        manual=by_hand.points,
        comment=by_hand.comment,
        hold=by_hand.hold,
        overrides=dict(by_hand.exercises),
        given=_in_words(by_hand.points, result.written),
        late=(late.rule[:1].upper() + late.rule[1:]) + _lost(late, deduction),
        deduction=deduction,
    )


def remarks_on_bonus(rows: Sequence[Row]) -> list[str]:
    """Returns a sentence about points by hand above the maximum, which may be a slip."""
    found = [
        (row.student, row.manual, row.written, "the written part") for row in rows if row.written
    ] + [
        (row.student, row.overrides.get(verdict.number, ""), verdict.possible, verdict.number)
        for row in rows
        for verdict in row.verdicts
    ]
    more = [
        f"{student} has {float(points):g} of {possible:g} points for {part}"
        for student, points, possible, part in found
        if points and float(points) > possible
    ]
    others = f"; and {len(more) - MOST_BONUS} more" if len(more) > MOST_BONUS else ""
    return [
        f"In {MANUAL}, {'; '.join(more[:MOST_BONUS])}{others}. Unless these are bonus points,"
        " correct them, and grade again."
    ] * bool(more)


def remarks_on_answers(result: Result) -> list[str]:
    """Returns remarks on modules that no answer needs, and on answers that were stopped."""
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
    used = SUSPICIOUS_MODULES & set(re.findall(r"\w+", imports))
    return [f"uses {', '.join(sorted(used))}"] * bool(used) + stopped


def _overridden(verdict: Verdict, points: str) -> Verdict:
    """Returns a verdict with the points that a person gave, if any."""
    if not points:
        return verdict
    return replace(verdict, points=float(points), graded=verdict.points)


def _lost(late: Late, deduction: float) -> str:
    """Returns the points that are lost, in parentheses, unless the rule names the same points."""
    if not late.percent and deduction == late.points:
        return ""
    return f" ({'−' * bool(deduction)}{deduction:g} point{'s' * (deduction != 1)})"


def _in_words(points: str, written: float) -> str:
    """Returns points by hand as a sentence for the student.

    Positive points are for the written part, if the lab has one.
    """
    if not points:
        return ""
    if written and float(points) >= 0:
        return f"{float(points):g} of {written:g} points for the written part."
    return f"{float(points):+g} point{'s' * (abs(float(points)) != 1)}.".replace("-", "−")
