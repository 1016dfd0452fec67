"""Tries answers for `precheck`: with the grader's code and in its order, but without a sandbox.

The answers run in a separate process, since one of them may end the process, or never return.
"""

import ast
import builtins
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from diffusion_lab.labs.exercise import Exercise

NOT_STARTED = (
    "it was not tried, because the lab's imports did not finish. `diffusion-lab doctor` may say"
    " why."
)
STARTUP, SECONDS = 600, 120  # for importing TensorFlow from a slow disk, and for one answer


class Trial(NamedTuple):
    """The result of trying an answer.

    `outcome` is right, wrong, missing or stopped, as in grading.
    """

    outcome: str
    sentence: str


def try_answers(
    prelude: str, answers: dict[str, str], seconds: float = SECONDS
) -> dict[str, Trial]:
    """Returns {name: trial} for `answers`, {name: source}."""
    results: dict[str, Trial] = {}
    waiting = list(answers)
    while waiting:
        found, reason = _run(prelude, {name: answers[name] for name in waiting}, seconds)
        results |= found
        waiting = [name for name in waiting if name not in results]
        # the first of them has stopped the others, which are tried again
        stopped = waiting if reason == NOT_STARTED else waiting[:1]
        results |= dict.fromkeys(stopped, Trial("stopped", reason))
        waiting = waiting[len(stopped) :]
    return results


def _run(prelude: str, answers: dict[str, str], seconds: float) -> tuple[dict[str, Trial], str]:
    """Returns ({name: trial} of the answers that returned, why the next one did not)."""
    with tempfile.TemporaryDirectory(prefix="precheck-", ignore_cleanup_errors=True) as folder:
        request, log = Path(folder, "request.json"), Path(folder, "results.jsonl")
        request.write_text(json.dumps({"prelude": prelude, "answers": answers}), encoding="utf-8")
        log.touch()
        process = subprocess.Popen(
            [sys.executable, "-m", "diffusion_lab.submission.trying", str(request), str(log)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            reason = _wait(process, log, seconds)
        finally:
            process.kill()
            process.wait()
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").split("\n")[:-1]]
    trials = {name: Trial(outcome, sentence) for name, outcome, sentence in lines[1:]}
    return trials, reason if lines else NOT_STARTED


def _wait(process: subprocess.Popen, log: Path, seconds: float) -> str:
    """Waits until the process ends, or has written nothing for too long.

    Returns:
        What happened, as a sentence about the answer that was running.
    """
    size, last = 0, time.monotonic()
    while process.poll() is None:
        if log.stat().st_size > size:
            size, last = log.stat().st_size, time.monotonic()
        if time.monotonic() - last > (seconds if size else STARTUP):
            return f"it runs for more than {seconds} seconds (is there an infinite loop?)."
        time.sleep(0.05)
    return "it ends Python itself."


def main(request_path: str, log_path: str) -> None:
    """Runs in the separate process: writes a line when it is ready, and one after each answer."""
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(request["prelude"], space)
    from diffusion_lab import checks
    from diffusion_lab.submission.measuring import start

    start(type(checks.exercises()[next(iter(request["answers"]))]).__module__)
    with open(log_path, "a", encoding="utf-8", buffering=1) as file:
        file.write(json.dumps("ready") + "\n")
        _restrict_imports(space, request["prelude"])
        for name, source in request["answers"].items():
            file.write(json.dumps([name, *_tried(getattr(checks, name), source, space)]) + "\n")


def _tried(check: "Exercise", source: str, space: dict[str, Any]) -> Trial:
    """Returns what the lab's own check says about an answer."""
    from diffusion_lab.labs.exercise import CheckFailed, NotDone
    from diffusion_lab.submission.defining import define
    from diffusion_lab.submission.measuring import why_not_there

    stopped = None
    space.pop(check.name, None)
    try:
        define(check.name, source, space)
    except Exception as error:
        stopped = error
    if check.name not in space:
        return Trial("wrong", why_not_there(check.name, stopped))
    try:
        check.diagnose(space[check.name])
    except NotDone:
        return Trial("missing", "not written yet.")
    except CheckFailed as failure:
        return Trial("wrong", str(failure))
    return Trial("right", check.praise)


def _restrict_imports(space: dict[str, Any], prelude: str) -> None:
    """Lets code in `space` import only those parts of the package that `prelude` imports.

    The grader's sandbox has no other parts either, since they contain answers.
    """
    allowed = {
        (node.module, alias.name)
        for node in ast.walk(ast.parse(prelude))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    ordinary = builtins.__import__

    def restricted(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if (
            globals is space
            and name.split(".")[0] == "diffusion_lab"
            and not {(name, each) for each in fromlist or [""]} <= allowed
        ):
            raise ModuleNotFoundError(
                f"{name} is not here when answers are graded: write it yourself"
            )
        return ordinary(name, globals, locals, fromlist, level)

    builtins.__import__ = restricted


if __name__ == "__main__":
    main(*sys.argv[1:])
