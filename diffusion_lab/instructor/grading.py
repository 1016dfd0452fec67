"""Grades a class: finds the submissions, runs what is new, keeps every result, and writes the
reports.

A result is a file of its own, named by all that it depends on, and written all or nothing: a
grading that was killed goes on where it was, and one that is repeated runs only what has changed.
Whatever happens with one submission is its own result; the others do not notice.
"""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.results import Settings, failure, grade_submission
from diffusion_lab.instructor.sandbox.bubblewrap import Limits, require_bubblewrap
from diffusion_lab.instructor.submissions import (
    Submission,
    count_submissions,
    find_submissions,
    lab_reader,
)
from diffusion_lab.instructor.verdicts import Quality, Result
from diffusion_lab.storage import only_one, write_atomically

__all__ = ["Quality", "grade_class"]
Progress = Callable[[int, int], object]  # called with the number of results and that of submissions
Submit = Callable[..., Future[Any]]  # called with a function and its arguments
Running = dict[Future[Result], tuple[str, Submission]]  # what is being graded, under which key


def grade_class(
    path: str | Path,
    source: str | Path,
    out: str | Path,
    seed: int | None = None,
    limits: Limits = Limits(),
    boxed: bool = True,
    quality: Quality | None = None,
    jobs: int = 2,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> tuple[Settings, list[Result]]:
    """Grades every notebook in `path`, a folder or a zip, for the lab of `source`.

    Returns the settings, and the results in the order of the submissions.

    quality: a `Quality` that the students' own weights must reach, or None.   progress: called as
    progress(done, total) after each. Raises UserError for what a person can fix.
    """
    if boxed and scheduler is None:
        require_bubblewrap()
    if quality:
        from diffusion_lab.instructor.quality import require_data

        require_data(quality.data)
    source = Path(source)
    with only_one(out, "grading"):
        seed = _seed(Path(out, "grading.json"), source.name, seed)
        settings = Settings(
            source.read_text(encoding="utf-8"), source.name, seed, limits, boxed, quality
        )
        with _executor(jobs, scheduler) as submit:
            results = _results(
                path,
                settings,
                Path(out, "results"),
                submit,
                2 * jobs,
                progress or (lambda done, total: None),
            )
    if all(result.failed for result in results):
        raise UserError(f"Not one submission in {path} could be graded. {results[0].problem}")
    if not any(result.answers or result.failed for result in results):
        ((problem, count),) = Counter(result.problem for result in results).most_common(1)
        raise UserError(
            f"None of the notebooks in {path} holds an answer to lab {source.name[:2]}: is --lab"
            f" right? What was found in {count} of {len(results)}: {problem}"
        )
    if quality:
        from diffusion_lab.instructor.quality import remark_same_weights

        results = remark_same_weights(results)
    return settings, results


def _results(
    path: str | Path, settings: Settings, kept: Path, submit: Submit, most: int, progress: Progress
) -> list[Result]:
    """Returns the results of all submissions in their order.

    Those in the folder `kept` are read, the others are graded; memory holds `most` submissions at a
    time.
    """
    for draft in kept.glob(
        ".draft-*"
    ):  # of a grading that was killed: this folder is ours alone now
        draft.unlink(missing_ok=True)
    total = count_submissions(path)
    found: list[tuple[str, Submission]] = []  # without what was handed in
    results: dict[str, Result] = {}
    running: Running = {}
    for submission in _submissions(
        path, lab_reader(settings.name[:2]), settings.quality is not None
    ):
        key = settings.key(submission)
        found.append((key, replace(submission, content=b"", weights=b"")))
        result = _kept(kept / f"{key}.json")
        if result:
            results[key] = result
            progress(len(results), total)
        else:
            running[_started(submit, submission, settings)] = key, submission
        while len(running) >= most:
            _keep(running, kept, results, settings)
            progress(len(results), total)
    while running:
        _keep(running, kept, results, settings)
        progress(len(results), total)
    return [
        replace(results[key], remarks=[*submission.remarks, *results[key].remarks])
        for key, submission in found
    ]


def _submissions(
    path: str | Path, holds: Callable[[bytes], int], with_weights: bool
) -> Iterator[Submission]:
    """As `find_submissions`. Raises UserError if the folder disappears meanwhile."""
    try:
        yield from find_submissions(path, holds, with_weights)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read to its end ({error.strerror or error}): was it moved or"
            " deleted? What has been graded is kept: put it back, and give the same command again."
        ) from None


def _started(submit: Submit, submission: Submission, settings: Settings) -> Future[Result]:
    """Returns the future of a submission's result, failed already if it cannot even begin."""
    try:
        return submit(grade_submission, submission, settings)
    except Exception as error:
        future: Future[Result] = Future()
        future.set_exception(error)
        return future


def _kept(path: Path) -> Result | None:
    """Returns the result that an earlier run wrote, or None."""
    try:
        return Result.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _keep(running: Running, kept: Path, results: dict[str, Result], settings: Settings) -> None:
    """Waits for a result, takes it into `results`, and writes it down unless it must be tried
    again.
    """
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in sorted(
        finished, key=lambda future: future.exception() is not None
    ):  # what is done is kept before anything is raised
        key, submission = running.pop(future)
        try:
            results[key] = future.result()
        except UserError:  # is about the whole class
            raise
        except Exception as error:  # a worker that died of it
            results[key] = failure(submission, settings, error)
        if not results[key].failed:
            write_atomically(kept / f"{key}.json", results[key].to_json().encode())


def _seed(path: Path, lab: str, seed: int | None) -> int:
    """Returns the seed of this grading: given, or kept from last time, or drawn and kept.

    Raises UserError if the folder holds another grading, or that of another lab.
    """
    before: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if before.get("lab", lab) != lab:
        raise UserError(
            f"{path.parent} holds the grading of another lab ({before['lab'][:2]}): choose another"
            " folder with --out."
        )
    if seed is None:
        seed = int(before.get("seed", secrets.randbits(48)))
    elif before.get("seed", seed) != seed:
        raise UserError(
            f"{path.parent} holds a grading with another seed: choose another folder, or leave"
            " --seed out."
        )
    write_atomically(path, json.dumps({"lab": lab, "seed": seed}).encode())
    return seed


@contextmanager
def _executor(jobs: int, scheduler: str | None) -> Iterator[Submit]:
    """Yields submit(function, *arguments) -> future: threads of this machine, or a Dask cluster."""
    if scheduler is None:
        with ThreadPoolExecutor(
            jobs
        ) as pool:  # a thread only waits: the work is done in processes of its own
            try:
                yield pool.submit
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "--scheduler needs Dask: install it with: pip install --constraint constraints.txt"
            " --editable '.[cluster]'"
        ) from None
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError):
        raise UserError(
            f"Grading waits for workers, and no Dask scheduler answers at {scheduler}: start one,"
            " or leave --scheduler out."
        ) from None
    with (
        client,
        client.get_executor(pure=False, retries=3) as pool,
    ):  # what a dying worker leaves, another one takes
        yield pool.submit
