"""The result of one submission, and everything that it depends on."""

import hashlib
import json
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.submission.answers import Answers, Unreadable, nothing_found, read_answers
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.sandbox.staging import PACKAGE
from diffusion_lab.instructor.verdicts import KID, not_graded

LIBRARIES = ("h5py", "ipython", "keras", "numpy", "tensorflow", "tensorflow-cpu")
PREPARING = threading.Lock()  # one thread prepares the lab, the others wait for it
VERSION = 4  # of the results' format and of how they come about; another one grades anew


@dataclass(frozen=True)
class Quality:
    """What the instructor asks for: images at least as near to `data` as `kid`, for so many points."""

    kid: float
    points: float = 4
    data: str = "procedural_flowers"


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

    def key(self, submission):
        """The name of the file that holds this submission's result."""
        parts = [VERSION, asdict(self), submission.key, submission.student, submission.id, submission.place, submission.digest, submission.problem]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def seed_of(self, submission):
        """The seed of what this submission is tried on: another one for each student and each attempt, so that nothing that is known
        about one grading helps in another."""
        parts = [self.seed, submission.student, submission.id, submission.place, submission.digest]
        return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:8], "big")


def code_fingerprint():
    """Returns the digest of everything that decides a verdict besides lab and submission: the package (what runs an
    answer and what judges it), and the libraries that compute."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted([*PACKAGE.rglob("*.py"), PACKAGE / "pretrained" / "SHA256SUMS"]):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0".encode() + path.read_bytes())
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()


def grade_submission(submission, settings):
    """The result of one submission, as JSON. Runs in any process, on any machine.

    Raises UserError if this machine has another version of the package than the one on which the grading began.
    """
    if settings.code != code_fingerprint():
        raise UserError("The package here is not the one with which this grading began (was it changed meanwhile, or does a worker "
                        "have another version?): give the same command again.")
    with PREPARING:
        master = _master(settings.name, settings.source)
        from diffusion_lab.instructor.quality import files_for_drawing, own_files_for_drawing

        files_for_drawing(), own_files_for_drawing()
        for task in master.tasks:
            task.expected  # noqa: B018  one thread runs the official answers, the others find what came out
    try:
        return json.dumps(_encodable(_grade(master, submission, settings)))
    except Exception as error:  # whatever one submission can bring about
        return json.dumps(failure(submission, settings, error))


def _grade(master, submission, settings):
    """The result of one submission, a dictionary for JSON."""
    from diffusion_lab.instructor.quality import Drawn, grade_quality
    from diffusion_lab.instructor.running import MOST_CHARACTERS, grade_answers
    
    answers, problem = Answers(), submission.problem
    if not problem:
        try:
            answers = Answers(**_encodable(vars(read_answers(submission.content, master.handout))))
            problem = "" if answers.sources else nothing_found(submission.content, master.lab)
        except Unreadable as unreadable:
            problem = str(unreadable)
    seed = settings.seed_of(submission)
    verdicts = grade_answers(master, answers.sources, seed, settings.limits, settings.boxed)
    for name, text in answers.texts.items():
        if text.strip() in ("", master.summaries[name].source.strip()):
            answers.texts[name] = ""
            answers.remarks.append("the written part is empty")
    result = _about(master, submission) | {
        "problem": problem, "verdicts": [asdict(verdict) for verdict in verdicts], "remarks": answers.remarks,
        "answers": {name: source[:MOST_CHARACTERS] for name, source in answers.sources.items()}, "texts": answers.texts, "picture": answers.pictures.get(master.cover)}
    if not settings.quality:
        return result
    try:
        drawn = grade_quality(master, answers.sources, submission.weights, settings.quality, seed, settings.limits, settings.boxed)
    except Exception as error:  # costs what the images are worth, and no answer
        drawn = Drawn(not_graded(*KID, settings.quality.points))
        result |= {"failed": True, "problem": problem or _sentence(error)}
    verdict = asdict(drawn.verdict) | ({"sentence": submission.weights_problem} if submission.weights_problem else {})
    return result | {"verdicts": [*result["verdicts"], verdict], "picture": drawn.picture or result["picture"],
                     "remarks": [*answers.remarks, *drawn.remarks], "weights": drawn.weights}


def _about(master, submission):
    return {"student": submission.student, "id": submission.id, "place": submission.place, "digest": submission.digest,
            "written": sum(cell.metadata.nbgrader.points for cell in master.summaries.values())}


def failure(submission, settings, error):
    """The result of a submission that could not be graded; it is not kept, so that the next run tries again."""
    
    master = _master(settings.name, settings.source)
    lost = [(task.number, task.name, task.points) for task in master.tasks]
    if settings.quality:
        lost.append((*KID, settings.quality.points))
    return _encodable(_about(master, submission) | {
        "problem": _sentence(error), "failed": True, "remarks": [], "answers": {}, "texts": {}, "picture": None,
        "verdicts": [asdict(not_graded(*task)) for task in lost]})


def _sentence(error):
    reason = " ".join(str(error).split())[:300].rstrip(".")
    what = reason if isinstance(error, UserError) else f"{type(error).__name__}: {reason}"
    return f"It could not be graded: {what}; a person must look (the same command tries again)."


def _encodable(value):
    """A value for JSON in which every text can be encoded: a lone surrogate, half a character, becomes its escape."""
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(inner) for inner in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


@lru_cache(maxsize=4)
def _master(name, source):
    from diffusion_lab.instructor.master import Master

    with tempfile.TemporaryDirectory() as folder:  # read_source speaks of files, and so do its messages
        path = Path(folder, name)
        path.write_text(source, encoding="utf-8")
        return Master(path)
