"""The one module that is written for the inside of the sandbox: it runs an answer and writes down what came out.

Nothing here decides anything. The student's code shares this process and may change all of it; what it can gain are
numbers in a file, and those are judged outside.
"""

import base64
import json
import os
from pathlib import Path

import numpy as np

from diffusion_lab.checks.core import CheckFailed, NotDone


def measure(exercise, namespace):
    """Runs the answer in a notebook's `namespace` on the inputs drawn for it; writes `results/<name>.json`."""
    box = Path(os.environ["DIFFUSION_LAB_BOX"])
    with np.load(box / "inputs" / f"{exercise.name}.npz", allow_pickle=False) as file:
        inputs = dict(file)
    try:
        if exercise.name not in namespace:
            raise CheckFailed(f"there is no function `{exercise.name}` after your cell has run.")
        outputs = exercise.run(namespace[exercise.name], inputs)
        result = {"outputs": {name: _packed(values) for name, values in outputs.items()}}
    except CheckFailed as failure:
        result = {"failed": str(failure), "missing": isinstance(failure, NotDone)}
    (box / "results" / f"{exercise.name}.json").write_text(json.dumps(result), encoding="utf-8")


def _packed(values):
    values = np.asarray(values, "float64")
    return {"shape": values.shape, "float64": base64.b64encode(values.tobytes()).decode()}
