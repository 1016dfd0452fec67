"""Runs one student's answers in a sandbox, and judges the results outside it."""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from diffusion_lab.instructor.master import Master, Task
from diffusion_lab.instructor.own_lines import own_lines
from diffusion_lab.instructor.sandbox.boxes import CellOutcome, run_in_box
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.verdicts import Outcome, Verdict
from diffusion_lab.submission.answers import too_long_to_run
from diffusion_lab.submission.tampering import find_tampering

PATIENCE = 2  # times the usual limit, for an answer that runs again because it left no result


def grade_answers(
    master: Master, answers: dict[str, str], seed: int, limits: Limits, box: str = "bubblewrap"
) -> list[Verdict]:
    """Runs `answers`, {exercise: source}, and returns a verdict for each task of the lab.

    If an answer leaves no result, its kernel has ended. The cause may be an earlier answer or a
    busy machine, so the answer runs again, alone and with more time. If that fails as well, the
    answer counts as stopped. The later answers run without it. A wrong answer that follows another
    wrong one also runs again alone, because the first may have broken the kernel that they share.
    """
    results: dict[str, bytes] = {}
    errors: dict[str, str] = {}
    stopped = too_long_to_run(answers)
    waiting = [
        task.name for task in master.tasks if task.name in answers and task.name not in stopped
    ]

    def run(names: list[str], limits: Limits) -> tuple[list[str], str | None]:
        """Runs some of the answers. Returns those without a result, and the reason if known."""
        new_results, new_errors, reason = _run(
            master, {name: answers[name] for name in names}, seed, limits, box
        )
        results.update(new_results)
        for name in names:  # another answer may have caused the earlier error
            errors[name] = new_errors.get(name, "")
        return [name for name in names if name not in new_results], reason

    while waiting:
        waiting, _ = run(waiting, limits)
        for name in waiting[:1]:
            alone = replace(limits, seconds=PATIENCE * limits.seconds)
            failed, reason = run([name], alone)
            why = reason or (
                "its result could not be saved"
                if errors[name]
                else "the kernel in which it ran has ended"
            )
            stopped |= dict.fromkeys(failed, f"The answer was stopped: {why}.")
        waiting = waiting[1:]

    @cache  # an answer that runs again usually leaves the same result
    def judged(task: Task, result: bytes) -> tuple[Outcome, str, float]:
        outcome, sentence = task.judge(seed, result)
        return outcome, sentence, task.share(seed, result) if outcome == "wrong" else 0.0

    def verdicts() -> list[Verdict]:
        return [
            _verdict(task, task.name in answers, judged, results, errors, stopped)
            for task in master.tasks
        ]

    wrong = [verdict.name for verdict in verdicts() if verdict.outcome == "wrong"]
    for name in wrong[1:]:  # the first may have broken their kernel
        run([name], limits)
    return [
        _checked_for_forgery(verdict, answers.get(verdict.name, ""), master.recorded, master.taken)
        for verdict in verdicts()
    ]


def _verdict(
    task: Task,
    handed_in: bool,
    judged: Callable[[Task, bytes], tuple[Outcome, str, float]],
    results: dict[str, bytes],
    errors: dict[str, str],
    stopped: dict[str, str],
) -> Verdict:
    outcome: Outcome = "missing"
    share = 0.0  # of the points, for a wrong answer
    sentence = "Your notebook has no answer cell for this exercise."
    if task.name in results:
        outcome, sentence, share = judged(task, results[task.name])
    elif handed_in:
        outcome, sentence = "stopped", stopped[task.name]
    right = outcome == "right"
    details = "" if right else own_lines(errors.get(task.name, ""), [task.name])
    return Verdict(
        task.number,
        task.name,
        outcome,
        task.points if right else round(task.points * share, 2),
        task.points,
        sentence,
        details,
    )


def _checked_for_forgery(
    verdict: Verdict, source: str, recorded: set[str], taken: set[str]
) -> Verdict:
    """Returns the verdict, or "stopped" for an answer that earns points and whose source could have
    forged its results.
    """
    right = verdict.outcome == "right"
    means = find_tampering(source, recorded, taken) if right or verdict.points else []
    but = (
        "The numbers are right, but the answer uses"
        if right
        else "The answer would earn part of the points, but it uses"
    )
    return (
        replace(
            verdict,
            outcome="stopped",
            points=0.0,
            sentence=(
                f"{but} `{means[0]}`, which could change how answers are measured. Write it without"
                " this, and hand it in again."
            ),
        )
        if means
        else verdict
    )


def _run(
    master: Master, answers: dict[str, str], seed: int, limits: Limits, box: str
) -> tuple[dict[str, bytes], dict[str, str], str | None]:
    """Runs answers once.

    Returns:
        ({name: content of its results file}, {name: error of its cell}, why the watchdog ended the
        sandbox or None).
    """
    inputs = {f"{task.name}.npz": _npz(task.inputs(seed)) for task in master.tasks}
    files = {f"{name}.json": name for name in answers}
    run = run_in_box(master.notebook(answers), master.files, inputs, files, limits, box)
    return (
        {files[file]: content for file, content in run.results.items()},
        _errors(run.cells, list(answers)),
        run.ended,
    )


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]  (allow_pickle)
    return content.getvalue()


def _errors(cells: dict[int, CellOutcome], names: list[str]) -> dict[str, str]:
    """Returns {name: error} of the cells that failed.

    The cells are the prelude and then two for each name.
    """
    errors: dict[str, str] = {}
    for number in sorted(cells):
        if number and not cells[number].passed:
            errors.setdefault(names[(number - 1) // 2], cells[number].said)
    return errors
