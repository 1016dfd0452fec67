"""Grades one submission, and names everything that its result depends on."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.sandbox.staging import PACKAGE
from diffusion_lab.instructor.submissions import Submission
from diffusion_lab.instructor.verdicts import KID, Quality, Result, encodable, not_graded
from diffusion_lab.submission.answers import (
    MOST_CHARACTERS,
    Answers,
    Unreadable,
    nothing_found,
    read_answers,
)

if TYPE_CHECKING:  # importing it takes seconds
    from diffusion_lab.instructor.master import Master

LIBRARIES = ("h5py", "ipython", "keras", "numpy", "tensorflow", "tensorflow-cpu")
PREPARING = threading.Lock()  # one thread prepares the lab, the others wait for it
VERSION = 5  # of the format of results; when it changes, all submissions are graded again


@dataclass(frozen=True)
class Settings:
    """Everything that a result depends on, except the submission."""

    source: str  # the lab's source, as text
    name: str  # the file name of the source
    seed: int
    limits: Limits
    box: str = "bubblewrap"  # the sandbox
    quality: Quality | None = None
    board: bool = False
    code: str = field(default_factory=lambda: code_fingerprint())  # of the grading code

    def key(self, submission: Submission) -> str:
        """Returns the name of the file with this submission's result."""
        parts = [
            VERSION,
            asdict(self),
            submission.key,
            submission.student,
            submission.id,
            submission.place,
            submission.digest,
            submission.problem,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def seed_of(self, submission: Submission) -> int:
        """Returns the seed for this submission's random inputs.

        Each student and each attempt has a different seed, so results of one grading are useless
        in another.
        """
        parts = [self.seed, submission.student, submission.id, submission.place, submission.digest]
        return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:8], "big")


def code_fingerprint() -> str:
    """Returns a digest of all code that influences a verdict: Python, package and libraries."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted([*PACKAGE.rglob("*.py"), PACKAGE / "pretrained" / "SHA256SUMS"]):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0".encode() + path.read_bytes())
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()


def grade_submission(submission: Submission, settings: Settings) -> Result:
    """Returns the result of one submission. Can run in any process, on any machine.

    Raises:
        UserError: if the package is not the version with which the grading began.
    """
    if settings.code != code_fingerprint():
        raise UserError(
            "The package is not the version with which this grading began. Either it has changed"
            " since then, or a worker has another version. Run the same command again."
        )
    with PREPARING:
        master = _master(settings.name, settings.source)
        from diffusion_lab.instructor.generated import own_files, students_files

        students_files()
        own_files()
        for task in master.tasks:
            _ = task.expected  # runs the official answer, unless another thread has done so
    try:
        return _as_saved(_grade(master, submission, settings))
    except Exception as error:  # must not stop the grading of the others
        return failure(submission, settings, error)


def _as_saved(result: Result) -> Result:
    """Returns a result as a later grading will read it from its file."""
    return Result.from_json(result.to_json())


def _grade(master: Master, submission: Submission, settings: Settings) -> Result:
    from diffusion_lab.instructor.running import grade_answers

    answers, problem = Answers(), submission.problem
    if not problem:
        try:
            answers = Answers(**encodable(vars(read_answers(submission.content, master.handout))))
            problem = "" if answers.sources else nothing_found(submission.content, master.lab)
        except Unreadable as unreadable:
            problem = str(unreadable)
    blank = _blank_result(master, submission, settings)
    verdicts = grade_answers(master, answers.sources, blank.seed, settings.limits, settings.box)
    for name, text in answers.texts.items():
        if text.strip() in ("", master.summaries[name].source.strip()):
            answers.texts[name] = ""
            answers.remarks.append(f"the {name} is empty")
    result = replace(
        blank,
        problem=problem,
        verdicts=verdicts,
        remarks=answers.remarks,
        texts=answers.texts,
        answers={name: source[:MOST_CHARACTERS] for name, source in answers.sources.items()},
        picture=answers.pictures.get(master.cover or ""),
    )
    if settings.board:
        return _with_board(result, submission, settings)
    if not settings.quality:
        return result
    return _with_quality(result, master, answers.sources, submission, settings, settings.quality)


def _with_quality(
    result: Result,
    master: Master,
    answers: dict[str, str],
    submission: Submission,
    settings: Settings,
    quality: Quality,
) -> Result:
    """Returns the result with a verdict on the student's trained model."""
    from diffusion_lab.instructor.quality import QualityResult, grade_quality

    seed, limits = settings.seed_of(submission), settings.limits
    try:
        graded = grade_quality(
            master, answers, submission.weights, quality, seed, limits, settings.box
        )
    except Exception as error:  # must not change the verdicts on the answers
        graded = QualityResult(not_graded(*KID, quality.points))
        result = replace(result, failed=True, problem=result.problem or _sentence(error))
    verdict = replace(
        graded.verdict, sentence=submission.weights_problem or graded.verdict.sentence
    )
    return replace(
        result,
        verdicts=[*result.verdicts, verdict],
        picture=graded.picture or result.picture,
        remarks=[*result.remarks, *graded.remarks],
        weights=graded.weights,
    )


def _with_board(result: Result, submission: Submission, settings: Settings) -> Result:
    """Returns the result with the KID of the student's model on the board."""
    from diffusion_lab.instructor.board import with_board

    weights, problem = submission.weights, submission.weights_problem
    try:
        return with_board(result, weights, problem, settings.seed, settings.limits, settings.box)
    except Exception as error:  # must not change the verdicts on the answers
        return replace(result, failed=True, problem=result.problem or _sentence(error))


def _blank_result(master: Master, submission: Submission, settings: Settings) -> Result:
    """Returns a submission's result before grading."""
    written = sum(cell.metadata.nbgrader.points for cell in master.summaries.values())
    return Result(
        submission.student,
        submission.id,
        submission.place,
        submission.key,
        submission.digest,
        settings.seed_of(submission),
        written,
    )


def failure(submission: Submission, settings: Settings, error: Exception) -> Result:
    """Returns the result of a submission that could not be graded.

    It is not saved, so the next run grades the submission again.
    """
    with PREPARING:
        master = _master(settings.name, settings.source)
    lost = [(task.number, task.name, task.points) for task in master.tasks]
    if settings.quality:
        lost.append((*KID, settings.quality.points))
    return _as_saved(
        replace(
            _blank_result(master, submission, settings),
            problem=_sentence(error),
            failed=True,
            verdicts=[not_graded(*task) for task in lost],
        )
    )


def left_out(submission: Submission, settings: Settings, earlier: Result | None) -> Result:
    """Returns the result of a submission that --only left out: an earlier one of this student, if
    there is one for the same exercises.
    """
    nothing = failure(submission, settings, UserError("--only left it out"))
    if earlier is None or _scheme(earlier) != _scheme(nothing):
        return replace(nothing, problem="It has not been graded yet, because --only left it out.")
    changed = (
        "handed in again after this was graded"
        if earlier.digest != submission.digest
        else "graded before the latest changes"
    )
    return replace(
        earlier,
        outdated=earlier.digest != submission.digest,
        remarks=[f"{changed}, and left out by --only", *earlier.remarks],
    )


def _scheme(result: Result) -> tuple[float, list[tuple[str, str, float]]]:
    """Returns the exercises of a result and their points."""
    exercises = [(verdict.number, verdict.name, verdict.possible) for verdict in result.verdicts]
    return result.written, exercises


def _sentence(error: Exception) -> str:
    reason = " ".join(str(error).split())[:300].rstrip(".")
    what = reason if isinstance(error, UserError) else f"{type(error).__name__}: {reason}"
    return (
        f"It could not be graded ({what}). A person must look at it. The same command grades it"
        " again."
    )


@lru_cache(maxsize=4)
def _master(name: str, source: str) -> Master:
    from diffusion_lab.instructor.master import Master

    with tempfile.TemporaryDirectory() as folder:  # `Master` reads a file
        path = Path(folder, name)
        path.write_text(source, encoding="utf-8")
        return Master(path)
