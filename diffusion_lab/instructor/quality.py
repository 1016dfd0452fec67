"""How good the flowers are that a student has trained: drawn in the sandbox, measured outside.

The sandbox gives bytes and nothing else: they are taken for square images and compared with real ones.
"""

import base64
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache

import nbformat
import numpy as np

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.generating import METHODS
from diffusion_lab.instructor.results import KID
from diffusion_lab.instructor.running import LAST_LINES, Verdict, run_in_box
from diffusion_lab.instructor.source import KERNEL
from diffusion_lab.instructor.staging import inside, staged_files

COUNT, STEPS = 128, 10
ROOTS = {("networks.adapters", "predicting_noise"), ("networks.residual_unet", "residual_unet"), ("networks.unet", "unet"),
         ("storage", "assign_arrays"), ("storage", "read_arrays")}
MISSING = ("No weights were handed in beside the notebook: the lab writes them to out/lab07/my_flowers.weights.h5.")


def grade_quality(master, answers, weights, quality, seed, limits, boxed=True):
    """(Verdict, picture as PNG in base64 or None) on images that a student's functions draw with a student's weights.

    answers: {exercise: source}.   weights: the bytes of the file, which only the sandbox opens.
    """
    def verdict(outcome, sentence, details=""):
        return Verdict(*KID, outcome, quality.points if outcome == "right" else 0.0, quality.points, sentence, details)

    if not weights:
        return verdict("missing", MISSING), None
    if not set(METHODS) <= set(answers):
        return verdict("missing", "Drawing images takes all three functions, and not all were handed in."), None
    written, outcomes, reason = run_in_box(
        _notebook(master, answers, seed), files_for_drawing(), {"weights.h5": weights}, ["images"],
        replace(limits, seconds=4 * limits.seconds), boxed)
    size = round((len(written.get("images", b"")) / (3 * COUNT)) ** 0.5)
    if size == 0 or len(written["images"]) != 3 * COUNT * size**2:
        said = next((text for outcome, text in outcomes.values() if outcome != "passed"), "")
        return verdict("wrong", f"No images came out{': ' + reason if reason else ''}. Do your functions work with the weights that you "
                       "handed in?", details="\n".join(line[:200] for line in said.splitlines()[-LAST_LINES:])), None
    kid, picture = _measure(written["images"], size, quality.data)
    return verdict("right" if kid <= quality.kid else "wrong",
                   f"Your flowers have a KID of {kid:.2f} ({COUNT} images, {STEPS} steps); {quality.kid:g} or less was asked for."), picture


@lru_cache
def files_for_drawing():
    """What the box holds. Parses, so the first call must not run in two threads, see `Master.files`."""
    return staged_files(ROOTS) | inside("generating")


def _notebook(master, answers, seed):
    cells = [master.prelude, *(answers[name].replace("NBVAL_", "NBVAL ") for name in METHODS),
             f"from diffusion_lab.generating import generate as _generate\n_generate(globals(), {seed}, {COUNT}, {STEPS})"]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id=f"cell-{place}") for place, source in enumerate(cells)],
                                    metadata=nbformat.from_dict(KERNEL))


def _measure(content, size, data):
    """(KID, picture) by a process of our own, which gives its memory back. Raises UserError if the real images cannot be had."""
    result = subprocess.run([sys.executable, "-m", "diffusion_lab.instructor.quality", str(size), data], input=content,
                            capture_output=True, env=os.environ | {"KERAS_BACKEND": "tensorflow"})
    if result.returncode:
        raise UserError(f"KID cannot be measured: {result.stderr.decode(errors='replace').strip().splitlines()[-1]}")
    answer = json.loads(result.stdout.splitlines()[-1])
    return answer["kid"], answer["picture"]


def main(size, data):
    from diffusion_lab.data import load_dataset
    from diffusion_lab.metrics import encode, flower_features, kernel_inception_distance
    from diffusion_lab.plots import image_grid, png_bytes

    images = np.frombuffer(sys.stdin.buffer.read(), "uint8").reshape(-1, size, size, 3)
    real, extractor = load_dataset(data, "validation", size, batch_size=1, seed=0).images[:512], flower_features()
    kid = kernel_inception_distance(encode(extractor, real), encode(extractor, images))
    picture = png_bytes(image_grid(images[:32] / 255, scale=3))
    print(json.dumps({"kid": kid, "picture": base64.b64encode(picture).decode()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
