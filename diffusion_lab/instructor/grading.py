"""Grades a class: finds the submissions, runs what is new, keeps every result, and writes the reports.

A result is a file of its own, named by all that it depends on, and written all or nothing: a grading that was killed
goes on where it was, and one that is repeated runs only what has changed.
"""

import hashlib
import json
import secrets
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.answers import Answers, Unreadable, nothing_found, read_answers
from diffusion_lab.instructor.sandbox import Limits, require_bubblewrap
from diffusion_lab.instructor.staging import PACKAGE
from diffusion_lab.instructor.submissions import find_submissions
from diffusion_lab.storage import write_atomically

PREPARING = threading.Lock()  # one thread prepares the lab, the others wait for it
LIBRARIES = ("h5py", "ipython", "keras", "numpy", "tensorflow", "tensorflow-cpu")
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
    code: str  # the fingerprint of what grades
    boxed: bool = True
    quality: Quality | None = None

    def key(self, submission):
        """The name of the file that holds this submission's result."""
        parts = [VERSION, asdict(self), submission.student, submission.id, submission.place, submission.digest, submission.problem]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def grade_class(path, source, out, seed=None, limits=Limits(), boxed=True, quality=None, jobs=2, scheduler=None,
                progress=None):
    """Grades every notebook in `path` (a folder or a zip) for the lab of `source`; returns the results in order.

    quality: a `Quality` that the students' own weights must reach, or None.   progress: called as progress(done, total)
    after each. Raises UserError for what a person can mend.
    """
    if boxed and scheduler is None:
        require_bubblewrap()
    source, kept = Path(source), Path(out, "results")
    seed = _seed(Path(out, "grading.json"), source.name, seed)
    settings = Settings(source.read_text(encoding="utf-8"), source.name, seed, limits, code_fingerprint(), boxed, quality)
    total = sum(1 for _ in find_submissions(path))
    keys, done = [], 0

    def finished(count=1):
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    with _executor(jobs, scheduler) as submit:
        running = {}
        for submission in find_submissions(path, with_weights=quality is not None):
            key = settings.key(submission)
            keys.append(key)
            if (kept / f"{key}.json").exists():
                finished()
                continue
            running[submit(grade_submission, submission, settings)] = key
            if len(running) >= 2 * jobs:  # so that memory holds a few submissions, however many there are
                finished(_keep(running, kept, FIRST_COMPLETED))
        while running:
            finished(_keep(running, kept, FIRST_COMPLETED))
    results = [json.loads((kept / f"{key}.json").read_text(encoding="utf-8")) for key in keys]
    if not any(result["answers"] for result in results):
        ((problem, count),) = Counter(result["problem"] for result in results).most_common(1)
        raise UserError(f"None of the notebooks in {path} holds an answer to lab {source.name[:2]}: is --lab right? What was found "
                        f"in {count} of {len(results)}: {problem}")
    return settings, results


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
        from diffusion_lab.instructor.quality import files_for_drawing, grade_quality
        from diffusion_lab.instructor.running import grade_answers

        files_for_drawing()

    answers, problem = Answers(), submission.problem
    if not problem:
        try:
            answers = read_answers(submission.content, master.tasks, master.summaries)
            problem = "" if answers.sources else nothing_found(submission.content, master.lab)
        except Unreadable as unreadable:
            problem = str(unreadable)
    verdicts = grade_answers(master, answers.sources, settings.seed, settings.limits, settings.boxed)
    for name, text in answers.texts.items():
        if text.strip() in ("", master.summaries[name].source.strip()):
            answers.texts[name] = ""
            answers.remarks.append("the written part is empty")
    picture = answers.pictures.get(master.cover)
    if settings.quality:
        verdict, drawn = grade_quality(master, answers.sources, submission.weights, settings.quality, settings.seed, settings.limits,
                                       settings.boxed)
        verdicts, picture = [*verdicts, verdict], drawn or picture
    return json.dumps({
        "student": submission.student, "id": submission.id, "place": submission.place, "digest": submission.digest,
        "problem": problem, "verdicts": [asdict(verdict) for verdict in verdicts], "remarks": answers.remarks,
        "answers": answers.sources, "texts": answers.texts, "picture": picture,
        "written": sum(cell.metadata.nbgrader.points for cell in master.summaries.values()),
    })


@lru_cache(maxsize=4)
def _master(name, source):
    from diffusion_lab.instructor.master import Master

    with tempfile.TemporaryDirectory() as folder:  # read_source speaks of files, and so do its messages
        path = Path(folder, name)
        path.write_text(source, encoding="utf-8")
        return Master(path)


def _keep(running, kept, when):
    """Waits for results and writes them down; returns how many."""
    finished, _ = wait(running, return_when=when)
    for future in finished:
        write_atomically(kept / f"{running.pop(future)}.json", future.result().encode())
    return len(finished)


def _seed(path, lab, seed):
    """The seed of this grading: given, or kept from last time, or drawn and kept. One folder holds one grading of one lab."""
    before = json.loads(path.read_text()) if path.exists() else {}
    if before.get("lab", lab) != lab:
        raise UserError(f"{path.parent} holds the grading of another lab ({before['lab'][:2]}): choose another folder with --out.")
    if seed is None:
        seed = before.get("seed", secrets.randbits(48))
    elif before.get("seed", seed) != seed:
        raise UserError(f"{path.parent} holds a grading with another seed: choose another folder, or leave --seed out.")
    write_atomically(path, json.dumps({"lab": lab, "seed": seed}).encode())
    return seed


@contextmanager
def _executor(jobs, scheduler):
    """Yields submit(function, *arguments) -> future: threads of this machine, or a Dask cluster."""
    if scheduler is None:
        with ThreadPoolExecutor(jobs) as pool:  # a thread only waits: the work is done in processes of its own
            try:
                yield pool.submit
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--scheduler needs Dask: install it with: pip install --constraint constraints.txt --editable '.[cluster]'") from None
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError):
        raise UserError(f"Grading waits for workers, and no Dask scheduler answers at {scheduler}: start one, or leave --scheduler out.") from None
    with client, client.get_executor(pure=False, retries=3) as pool:  # what a dying worker leaves, another one takes
        yield pool.submit
