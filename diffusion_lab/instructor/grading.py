"""Grades a class: finds the submissions, grades those that are new, and saves every result.

Each result is saved in a separate file, whose name depends on everything that the result depends
on. So a grading that was killed resumes, and a repeated one grades only what has changed. An error
in one submission becomes its result, and does not affect the others.
"""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.archives import open_store
from diffusion_lab.instructor.results import Settings, failure, grade_submission, left_out
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.sandbox.choice import choose_box
from diffusion_lab.instructor.selection import Only
from diffusion_lab.instructor.submissions import (
    HANDED_IN,
    Submission,
    count_submissions,
    find_submissions,
    relevance_to,
)
from diffusion_lab.instructor.verdicts import Quality, Result
from diffusion_lab.instructor.workers import Submit, workers
from diffusion_lab.storage import only_one, write_atomically

Progress = Callable[[int, int], object]  # called with the numbers of results and of submissions
Waiting = Callable[[list[str]], object]  # called with the names of students
PATIENCE = 30  # seconds without a result, before the students who are being graded are named
Running = dict[Future[Result], tuple[str, Submission]]  # being graded, and the key of its result


def grade_class(
    path: str | Path,
    source: str | Path,
    out: str | Path,
    seed: int | None = None,
    limits: Limits = Limits(),
    sandbox: str = "auto",
    quality: Quality | None = None,
    board: bool = False,
    only: Only | None = None,
    jobs: int = 2,
    scheduler: str | None = None,
    progress: Progress | None = None,
    waiting: Waiting | None = None,
) -> tuple[Settings, list[Result]]:
    """Grades every submission in `path`, a folder or a zip, for one lab.

    Args:
        path: a folder or a zip.
        source: the path of the lab's source.
        out: the folder for the results.
        seed: of the random inputs. None keeps the seed of the last grading in `out`.
        limits: for each answer.
        sandbox: "bubblewrap", "user", "none", or "auto" for the first that opens here. On Dask's
            workers, "auto" is bubblewrap.
        quality: what the images of students' models must reach, or None.
        board: also measures the models that students tuned in lab 11.
        only: the students to grade, or None for all. The others keep their earlier results.
        jobs: number of submissions to grade at once.
        scheduler: the address of a Dask scheduler, or None for this machine.
        progress: called as progress(done, total) after each submission.
        waiting: called as waiting(names) each time nothing has finished for a while.

    Returns:
        The settings, and the results in the order of the submissions.

    Raises:
        UserError: for errors that a person can fix.
    """
    if scheduler:
        box = "bubblewrap" if sandbox == "auto" else sandbox
    else:
        box = choose_box(sandbox, [Path(source).resolve().parent, path, out])
    if quality:
        from diffusion_lab.instructor.quality import require_data

        require_data(quality.data)
    source = Path(source)
    with open_store(Path(path)):
        pass  # before anything is written, so that a wrong path leaves no empty grade book
    if box == "user":
        with suppress(OSError):  # `only_one` reports it
            Path(out).mkdir(mode=0o700, parents=True)  # closed to other user ids
    with only_one(out, "grading"):
        seed = _seed(Path(out, "grading.json"), source.name, seed)
        settings = Settings(
            source.read_text(encoding="utf-8"), source.name, seed, limits, box, quality, board
        )
        with workers(jobs, scheduler) as submit:
            results = _results(
                path,
                settings,
                Path(out, "results"),
                submit,
                2 * jobs,
                progress or (lambda done, total: None),
                waiting or (lambda names: None),
                only,
            )
    _require_graded(results, path, source.name[:2])
    if quality or board:
        from diffusion_lab.instructor.same_weights import with_remarks_on_same_weights

        results = with_remarks_on_same_weights(results)
    return settings, results


def _require_graded(results: list[Result], path: str | Path, lab: str) -> None:
    """Raises UserError if no submission could be graded, or none has an answer to the lab."""
    if all(result.failed for result in results):
        first = results[0].problem
        raise UserError(
            f"No submission in {path} could be graded. The report on the first: {first}"
        )
    if not any(result.answers or result.failed for result in results):
        ((problem, count),) = Counter(result.problem for result in results).most_common(1)
        raise UserError(
            f"No notebook in {path} contains an answer to lab {lab}. Is --lab correct? The most"
            f" common problem, in {count} of {len(results)}: {problem}"
        )


def _results(
    path: str | Path,
    settings: Settings,
    kept: Path,
    submit: Submit,
    most: int,
    progress: Progress,
    waiting: Waiting,
    only: Only | None = None,
) -> list[Result]:
    """Returns the results of all submissions, in order.

    Reads results from the folder `kept`, and grades the other submissions, at most `most` at a time
    because of their memory.
    """
    earlier = _latest(kept) if only else {}
    chosen = 0  # submissions that --only names
    for draft in kept.glob(".draft-*"):  # of a killed grading: ours is the only one
        draft.unlink(missing_ok=True)
    total = count_submissions(path)
    found: list[tuple[str, Submission]] = []  # without their contents
    results: dict[str, Result] = {}
    running: Running = {}
    wanted = HANDED_IN[settings.name[:2]] if settings.quality or settings.board else None
    for submission in _submissions(path, relevance_to(settings.name[:2]), wanted):
        key = settings.key(submission)
        found.append((key, replace(submission, content=b"", weights=b"")))
        result = _kept(kept / f"{key}.json")
        if only and only(submission):
            chosen += 1
        elif only and not result:
            result = left_out(submission, settings, earlier.get(submission.key))
        if result:
            results[key] = result
            progress(len(results), total)
        else:
            running[_started(submit, submission, settings)] = key, submission
        while len(running) >= most:
            _keep(running, kept, results, settings, waiting)
            progress(len(results), total)
    if only and not chosen:
        question = only.question([submission for _, submission in found])
        raise UserError(
            f"--only: no student's name or ID contains {only.text!r}. {question}".strip()
        )
    while running:
        _keep(running, kept, results, settings, waiting)
        progress(len(results), total)
    return [
        replace(
            results[key],
            handed_in=submission.handed_in,
            remarks=[*submission.remarks, *results[key].remarks],
        )
        for key, submission in found
    ]


def _submissions(
    path: str | Path, relevance: Callable[[bytes], int], weights: str | None
) -> Iterator[Submission]:
    """Yields submissions as `find_submissions`, but raises UserError if the folder disappears."""
    try:
        yield from find_submissions(path, relevance, weights)
    except OSError as error:
        raise UserError(
            f"{path} can no longer be read ({error.strerror or error}). Was it moved or deleted?"
            " All results so far are saved. Put it back, and run the same command again."
        ) from None


def _started(submit: Submit, submission: Submission, settings: Settings) -> Future[Result]:
    """Returns the future of a submission's result, even if it could not be submitted."""
    try:
        return submit(grade_submission, submission, settings)
    except Exception as error:
        future: Future[Result] = Future()
        future.set_exception(error)
        return future


def _kept(path: Path) -> Result | None:
    """Returns the result that an earlier run saved, or None."""
    try:
        return Result.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _latest(kept: Path) -> dict[str, Result]:
    """Returns {key of a student: the latest result} of all earlier gradings."""
    paths = sorted(kept.glob("*.json"), key=lambda path: path.stat().st_mtime)
    return {result.key: result for path in paths if (result := _kept(path))}


def _keep(
    running: Running,
    kept: Path,
    results: dict[str, Result],
    settings: Settings,
    waiting: Waiting,
) -> None:
    """Waits for at least one result, adds it to `results`, and saves it unless grading failed."""
    while not (finished := wait(running, PATIENCE, return_when=FIRST_COMPLETED).done):
        started = {future for future in running if future.running()} or set(running)  # not queued
        waiting([running[future][1].student for future in running if future in started])
    # successful results first, so that they are saved before an error is raised
    for future in sorted(finished, key=lambda future: future.exception() is not None):
        key, submission = running.pop(future)
        try:
            results[key] = future.result()
        except UserError:  # concerns the whole class
            raise
        except Exception as error:  # such as a worker that died
            results[key] = failure(submission, settings, error)
        if not results[key].failed:
            write_atomically(kept / f"{key}.json", results[key].to_json().encode())


def _seed(path: Path, lab: str, seed: int | None) -> int:
    """Returns `seed`, or else the seed of the last grading, or else a new one, and saves it.

    Raises:
        UserError: if the folder contains a grading of another lab or with another seed, or a
            damaged file.
    """
    if path.exists():
        last_lab, last_seed = _last_grading(path)
        if last_lab != lab:
            raise UserError(
                f"{path.parent} contains the grading of another lab ({last_lab[:2]}). Choose"
                " another folder with --out."
            )
        if seed not in (None, last_seed):
            raise UserError(
                f"{path.parent} contains a grading with another seed. Choose another folder, or"
                " omit --seed."
            )
        return last_seed
    seed = secrets.randbits(48) if seed is None else seed
    write_atomically(path, json.dumps({"lab": lab, "seed": seed}).encode())
    return seed


def _last_grading(path: Path) -> tuple[str, int]:
    """Returns (the name of the lab's source, the seed) from a grading.json."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return str(content["lab"]), int(content["seed"])
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path} is damaged: choose another folder with --out, or delete this file to grade all"
            " submissions again with a new seed."
        ) from None
