"""Runs in the sandbox: calls an answer's function and writes what it returns to a file.

Nothing here decides about points. The student's code shares this process and may change everything
in it. All that it can achieve is other numbers in a file, and these are judged outside.
"""

import base64
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import CheckFailed, Exercise, NotDone, first_line

MOST_NUMBERS = 100_000  # in one array; honest arrays have a few thousand


def start(module: str) -> None:
    """Imports a lab's checks, and with them Keras and TensorFlow, and computes something.

    All this is slow the first time. In the start-up cell it does not count as an answer's time.
    """
    import_module(module)
    ops.convert_to_numpy(ops.matmul(ops.ones((2, 2)), ops.ones((2, 2))))


def measure(exercise: Exercise, namespace: dict[str, Any]) -> None:
    """Runs the answer in `namespace` on its random inputs and writes `results/<name>.json`."""
    box = Path(os.environ["DIFFUSION_LAB_BOX"])
    stopped = sys.__dict__.pop("last_value", None)  # where IPython keeps a cell's exception
    with np.load(box / "inputs" / f"{exercise.name}.npz", allow_pickle=False) as file:
        draws = by_draw(dict(file))
    try:
        if exercise.name not in namespace:
            raise CheckFailed(why_not_there(exercise.name, stopped))
        answer = namespace[exercise.name]
        first = next(iter(draws))  # only this draw includes the rehearsal, which is slow
        outputs = {
            draw: (exercise.run if draw == first else exercise.measured)(answer, inputs)
            for draw, inputs in draws.items()
        }
        result = {
            "outputs": {
                f"{draw}/{name}": _packed(values)
                for draw, found in outputs.items()
                for name, values in found.items()
            }
        }
    except CheckFailed as failure:
        result = {"failed": str(failure), "missing": isinstance(failure, NotDone)}
    (box / "results" / f"{exercise.name}.json").write_text(json.dumps(result), encoding="utf-8")


def by_draw(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Converts {"draw/name": array} to {draw: {name: array}}."""
    draws: dict[str, dict[str, np.ndarray]] = {}
    for key, values in arrays.items():
        draw, name = key.split("/", 1)
        draws.setdefault(draw, {})[name] = values
    return draws


def why_not_there(name: str, error: BaseException | None) -> str:
    """Returns a sentence about why an answer's cell, stopped by `error`, does not define `name`."""
    if isinstance(error, SyntaxError):
        line = f" in line {error.lineno}, `{error.text.strip()[:80]}`" if error.text else ""
        return (
            f"Python cannot read your cell, so nothing in it has run: {type(error).__name__}{line}:"
            f" {error.msg}."
        )
    if error is not None:
        return f"your cell stops before it defines `{name}`, with {first_line(error)}."
    return f"there is no function `{name}` after your cell has run."


def _packed(values: Any) -> dict[str, Any]:
    values = np.asarray(values, "float64")
    if values.size > MOST_NUMBERS:
        raise CheckFailed(
            f"it returns {values.size:,} numbers, far more than this exercise asks for."
        )
    return {"shape": values.shape, "float64": base64.b64encode(values.tobytes()).decode()}
