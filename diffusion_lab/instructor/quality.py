"""How good the flowers are that a student has trained: drawn in the sandbox, measured outside.

The sandbox gives bytes and nothing else: they are taken for square images and compared with real
ones. Images are drawn
twice: by the student's functions, and in a box without any of the student's code by our own, since
only a model that was trained can do that. Both must be good enough.
"""

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import nbformat
import numpy as np

from diffusion_lab.data import load_dataset
from diffusion_lab.errors import UserError
from diffusion_lab.instructor.inside.drawing import fingerprint
from diffusion_lab.instructor.inside.generating import METHODS, NETWORKS
from diffusion_lab.instructor.master import Master, answer_cell
from diffusion_lab.instructor.running import LAST_LINES, too_long_to_run
from diffusion_lab.instructor.sandbox.boxes import run_in_box
from diffusion_lab.instructor.sandbox.bubblewrap import Limits
from diffusion_lab.instructor.sandbox.staging import staged_files, whole_module
from diffusion_lab.instructor.source import KERNEL
from diffusion_lab.instructor.verdicts import KID, Outcome, Quality, Result, Verdict
from diffusion_lab.models.io import shipped_weights
from diffusion_lab.storage import read_arrays, shipped_file

COUNT, STEPS = 128, 10
ROOTS = {
    ("networks.adapters", "predicting_noise"),
    ("networks.residual_unet", "residual_unet"),
    ("networks.unet", "unet"),
    ("storage", "assign_arrays"),
    ("storage", "read_arrays"),
}
OWN_ROOTS = ROOTS | {
    ("samplers", "ddim"),
    ("schedules", "offset_cosine_diffusion_schedule"),
    ("predictions", "from_noise"),
}
SMALLEST, LARGEST = 8, 128  # pixels a side
SAME = 0.02  # relative distance below which two networks are one
MISSING = (
    "No weights were handed in beside the notebook: the lab writes them to"
    " out/lab07/my_flowers.weights.h5."
)


@dataclass(frozen=True)
class Drawn:
    """What came of a student's weights: a verdict, a picture as PNG in base64 or None, remarks, and
    the weights' fingerprint, as text.
    """

    verdict: Verdict
    picture: str | None = None
    remarks: list[str] = field(default_factory=list)
    weights: str = ""


def require_data(data: str) -> None:
    """Raises UserError unless the images can be had with which a class is compared."""
    load_dataset(data, "validation", 32, batch_size=1, seed=0)


def grade_quality(
    master: Master,
    answers: dict[str, str],
    weights: bytes,
    quality: Quality,
    seed: int,
    limits: Limits,
    boxed: bool = True,
) -> Drawn:
    """Returns the `Drawn` of a student's functions, `answers` as {exercise: source}, with the
    student's weights.

    `weights` is the content of the file, which only a sandbox opens.
    """

    def drawn(outcome: Outcome, sentence: str, details: str = "", **more: Any) -> Drawn:
        points = quality.points if outcome == "right" else 0.0
        return Drawn(Verdict(*KID, outcome, points, quality.points, sentence, details), **more)

    if not weights:
        return drawn("missing", MISSING)
    if not set(METHODS) <= set(answers):
        return drawn(
            "missing", "Drawing images takes all three functions, and not all were handed in."
        )
    if too_long_to_run({name: answers[name] for name in METHODS}):
        return drawn("wrong", "One of the three functions is so long that it was not run.")
    limits, noise = (
        replace(limits, seconds=4 * limits.seconds),
        int(np.random.default_rng([seed, COUNT]).integers(2**31)),
    )
    own, details = _draw(
        _own_notebook(noise), own_files_for_drawing(), ["images", "weights"], weights, limits, boxed
    )
    if not own:
        return drawn(
            "wrong", "No images can be drawn from the weights that you handed in.", details
        )
    shipped = _shipped_like(own["weights"])
    more: dict[str, Any] = {"weights": base64.b64encode(own["weights"]).decode()}
    if shipped:
        return drawn(
            "wrong",
            f"These are the weights that come with the course ({shipped}): hand in those that you"
            " have trained.",
            remarks=[f"the weights are the shipped ones, {shipped}"],
            **more,
        )
    students, details = _draw(
        _notebook(master, answers, noise),
        files_for_drawing(),
        ["images", "calls"],
        weights,
        limits,
        boxed,
    )
    if not students or len(students["images"]) != len(own["images"]):
        return drawn(
            "wrong",
            "No images came out of your functions. Do they work with the weights that you"
            " handed in?",
            details,
            **more,
        )
    kid, own_kid, picture = _measure(own["images"], students["images"], quality.data)
    if students["calls"].strip() == b"0":
        more["remarks"] = ["the images were drawn without asking the network"]
    alone = (
        f" Drawn without your functions, from the weights alone, they have {own_kid:.2f}."
        if own_kid > quality.kid >= kid
        else ""
    )
    return drawn(
        "right" if max(kid, own_kid) <= quality.kid else "wrong",
        f"Your flowers have a KID of {kid:.2f} ({COUNT} images, {STEPS} steps); {quality.kid:g} or"
        f" less was asked for.{alone}",
        picture=picture,
        **more,
    )


def _draw(
    notebook: nbformat.NotebookNode,
    files: dict[str, str],
    names: list[str],
    weights: bytes,
    limits: Limits,
    boxed: bool,
) -> tuple[dict[str, bytes] | None, str]:
    """Draws images in a box with the weights.

    Returns ({name: content}, ""), or (None, what the box said) if no images of a possible size came
    out.
    """
    run = run_in_box(notebook, files, {"weights.h5": weights}, names, limits, boxed)
    images = run.results.get("images", b"")
    size = round((len(images) / (3 * COUNT)) ** 0.5)
    if (
        set(names) <= set(run.results)
        and SMALLEST <= size <= LARGEST
        and len(images) == 3 * COUNT * size**2
    ):
        return run.results, ""
    said = next((cell.said for cell in run.cells.values() if not cell.passed), "")
    lines = [*([run.ended] if run.ended else []), *said.splitlines()[-LAST_LINES:]]
    return None, "\n".join(line[:200] for line in lines)


@lru_cache
def files_for_drawing() -> dict[str, str]:
    """Returns what the student's box holds, {path: source}.

    It parses, so the first call must not run in two threads, see `Master.files`.
    """
    return (
        staged_files(ROOTS)
        | whole_module("submission.defining")
        | whole_module("instructor.inside.generating")
    )


@lru_cache
def own_files_for_drawing() -> dict[str, str]:
    """Returns what the box holds, {path: source}, that has no student's code in it."""
    return (
        staged_files(OWN_ROOTS)
        | whole_module("instructor.inside.generating")
        | whole_module("instructor.inside.drawing")
    )


def _notebook(master: Master, answers: dict[str, str], seed: int) -> nbformat.NotebookNode:
    return _cells(
        master.prelude,
        *(answer_cell(name, answers[name]) for name in METHODS),
        "from diffusion_lab.instructor.inside.generating import generate as"
        f" _generate\n_generate(globals(), {seed}, {COUNT}, {STEPS})",
    )


def _own_notebook(seed: int) -> nbformat.NotebookNode:
    return _cells(
        "import keras",
        f"from diffusion_lab.instructor.inside.drawing import draw\ndraw({seed}, {COUNT}, {STEPS})",
    )


def _cells(*sources: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(source, id=f"cell-{place}")
            for place, source in enumerate(sources)
        ],
        metadata=nbformat.from_dict(KERNEL),
    )


def same_weights(one: bytes, other: bytes) -> bool:
    """True if two fingerprints, bytes, are of one network, but for rounding: renamed, converted, or
    changed by next to nothing.
    """
    a, b = (np.frombuffer(content, "float32") for content in (one, other))
    if not len(a) == len(b) > 0 or a[0] != b[0]:
        return False
    return bool(np.linalg.norm(a[1:] - b[1:]) <= SAME * np.linalg.norm(b[1:]))


def remark_same_weights(results: list[Result]) -> list[Result]:
    """Returns the results of a class without the fingerprints, and with a remark where two are of
    the same weights.
    """
    known = [(result, base64.b64decode(result.weights)) for result in results]
    remarked = []
    for result, weights in known:
        others = [
            other.student
            for other, theirs in known
            if other is not result and same_weights(weights, theirs)
        ]
        remark = f"the same weights as {', '.join(others[:3])}{' and others' * (len(others) > 3)}"
        remarked.append(
            replace(result, weights="", remarks=[*result.remarks, *([remark] if others else [])])
        )
    return remarked


def _shipped_like(weights: bytes) -> str | None:
    """Returns the name of the shipped weights that these are, or None."""
    return next((name for name, known in _shipped().items() if same_weights(weights, known)), None)


@lru_cache
def _shipped() -> dict[str, bytes]:
    found = {name: read_arrays(shipped_file(name)) for name in shipped_weights()}
    return {
        name: fingerprint(groups["network"])
        for name, (groups, about) in found.items()
        if about["config"]["network"] in NETWORKS
    }


def _measure(own: bytes, students: bytes, data: str) -> tuple[float, float, str]:
    """Returns (KID of the student's images, KID of our own, picture of the student's).

    A process of its own measures them and gives its memory back. Raises UserError if that fails.
    """
    size = round((len(own) / (3 * COUNT)) ** 0.5)
    result = subprocess.run(
        [sys.executable, "-m", "diffusion_lab.instructor.quality", str(size), data],
        input=students + own,
        capture_output=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
    )
    if result.returncode:
        raise UserError(
            "KID cannot be measured:"
            f" {(result.stderr.decode(errors='replace').strip().splitlines() or ['no message'])[-1]}"  # noqa: E501
        )
    answer = json.loads(result.stdout.splitlines()[-1])
    return answer["kid"], answer["own"], answer["picture"]


def main(size: int, data: str) -> None:
    from diffusion_lab.metrics import encode, flower_features, kernel_inception_distance
    from diffusion_lab.plots import image_grid, png_bytes

    images = np.frombuffer(sys.stdin.buffer.read(), "uint8").reshape(2, -1, size, size, 3)
    real, extractor = (
        load_dataset(data, "validation", size, batch_size=1, seed=0).images[:512],
        flower_features(),
    )
    kid, own = (
        kernel_inception_distance(encode(extractor, real), encode(extractor, drawn))
        for drawn in images
    )
    picture = png_bytes(image_grid(images[0, :32] / 255, scale=3))
    print(json.dumps({"kid": kid, "own": own, "picture": base64.b64encode(picture).decode()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
