"""The result of one submission, and everything that it depends on."""

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
from diffusion_lab.submission.answers import Answers, Unreadable, nothing_found, read_answers

if TYPE_CHECKING:  # importing it takes seconds
    from diffusion_lab.instructor.master import Master

LIBRARIES = ("h5py", "ipython", "keras", "numpy", "tensorflow", "tensorflow-cpu")
PREPARING = threading.Lock()  # one thread prepares the lab, the others wait for it
VERSION = 4  # of the results' format and of how they come about; another one grades anew


@dataclass(frozen=True)
class Settings:
    """All that a result depends on, besides the submission."""

    source: str  # the lab's source, as text
    name: str  # its file name
    seed: int
    limits: Limits
    boxed: bool = True
    quality: Quality | None = None
    code: str = field(default_factory=lambda: code_fingerprint())  # of what grades

    def key(self, submission: Submission) -> str:
        """The name of the file that holds this submission's result."""
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
        """The seed of what this submission is tried on: another one for each student and each
        attempt, so that nothing that is known about one grading helps in another.
        """
        parts = [self.seed, submission.student, submission.id, submission.place, submission.digest]
        return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:8], "big")


def code_fingerprint() -> str:
    """Returns the digest of everything that decides a verdict besides lab and submission: the
    package (what runs an answer and what judges it), and the libraries that compute.
    """
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted([*PACKAGE.rglob("*.py"), PACKAGE / "pretrained" / "SHA256SUMS"]):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0".encode() + path.read_bytes())
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()


def grade_submission(submission: Submission, settings: Settings) -> Result:
    """Returns the result of one submission. Runs in any process, on any machine.

    Raises UserError if this machine has another version of the package than the one on which the
    grading began.
    """
    if settings.code != code_fingerprint():
        raise UserError(
            "The package here is not the one with which this grading began (was it changed"
            " meanwhile, or does a worker have another version?): give the same command again."
        )
    with PREPARING:
        master = _master(settings.name, settings.source)
        from diffusion_lab.instructor.quality import files_for_drawing, own_files_for_drawing

        files_for_drawing()
        own_files_for_drawing()
        for task in master.tasks:
            _ = task.expected  # one thread runs the official answers, the others find what came out
    try:
        return _written_down(_grade(master, submission, settings))
    except Exception as error:  # whatever one submission can bring about
        return failure(submission, settings, error)


def _written_down(result: Result) -> Result:
    """Returns a new result as a later grading will read it from its file."""
    return Result.from_json(result.to_json())


def _grade(master: Master, submission: Submission, settings: Settings) -> Result:
    from diffusion_lab.instructor.quality import Drawn, grade_quality
    from diffusion_lab.instructor.running import MOST_CHARACTERS, grade_answers

    answers, problem = Answers(), submission.problem
    if not problem:
        try:
            answers = Answers(**encodable(vars(read_answers(submission.content, master.handout))))
            problem = "" if answers.sources else nothing_found(submission.content, master.lab)
        except Unreadable as unreadable:
            problem = str(unreadable)
    seed = settings.seed_of(submission)
    verdicts = grade_answers(master, answers.sources, seed, settings.limits, settings.boxed)
    for name, text in answers.texts.items():
        if text.strip() in ("", master.summaries[name].source.strip()):
            answers.texts[name] = ""
            answers.remarks.append("the written part is empty")
    result = replace(
        _blank_result(master, submission),
        problem=problem,
        verdicts=verdicts,
        remarks=answers.remarks,
        texts=answers.texts,
        answers={name: source[:MOST_CHARACTERS] for name, source in answers.sources.items()},
        picture=answers.pictures.get(master.cover or ""),
    )
    if not settings.quality:
        return result
    try:
        drawn = grade_quality(
            master,
            answers.sources,
            submission.weights,
            settings.quality,
            seed,
            settings.limits,
            settings.boxed,
        )
    except Exception as error:  # costs what the images are worth, and no answer
        drawn = Drawn(not_graded(*KID, settings.quality.points))
        result = replace(result, failed=True, problem=problem or _sentence(error))
    verdict = replace(drawn.verdict, sentence=submission.weights_problem or drawn.verdict.sentence)
    return replace(
        result,
        verdicts=[*verdicts, verdict],
        picture=drawn.picture or result.picture,
        remarks=[*answers.remarks, *drawn.remarks],
        weights=drawn.weights,
    )


def _blank_result(master: Master, submission: Submission) -> Result:
    """Returns a submission's result as far as it is known before anything is looked at."""
    written = sum(cell.metadata.nbgrader.points for cell in master.summaries.values())
    return Result(
        submission.student,
        submission.id,
        submission.place,
        submission.key,
        submission.digest,
        written,
    )


def failure(submission: Submission, settings: Settings, error: Exception) -> Result:
    """Returns the result of a submission that could not be graded; it is not kept, so that the next
    run tries again.
    """
    master = _master(settings.name, settings.source)
    lost = [(task.number, task.name, task.points) for task in master.tasks]
    if settings.quality:
        lost.append((*KID, settings.quality.points))
    return _written_down(
        replace(
            _blank_result(master, submission),
            problem=_sentence(error),
            failed=True,
            verdicts=[not_graded(*task) for task in lost],
        )
    )


def _sentence(error: Exception) -> str:
    reason = " ".join(str(error).split())[:300].rstrip(".")
    what = reason if isinstance(error, UserError) else f"{type(error).__name__}: {reason}"
    return f"It could not be graded: {what}; a person must look (the same command tries again)."


@lru_cache(maxsize=4)
def _master(name: str, source: str) -> Master:
    from diffusion_lab.instructor.master import Master

    with (
        tempfile.TemporaryDirectory() as folder
    ):  # read_source speaks of files, and so do its messages
        path = Path(folder, name)
        path.write_text(source, encoding="utf-8")
        return Master(path)
