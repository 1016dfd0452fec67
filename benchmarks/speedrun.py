"""The shortest training to a KID of 0.5, record by record: `python -m benchmarks.speedrun`.

Every record changes one thing in the record before it. Each trains with one thread, two records at
a time, until 512 generated images have a KID of 0.5 (10 steps of Adams–Bashforth, the package's
flower features). The first and the last record run at the same time, so their ratio does not depend
on how busy the machine is. Finished runs are not repeated.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.recipes import DEFAULT, MUON, RECIPES, draw_samples
from benchmarks.report import Row, publish

GOAL = 0.5
MOST_IMAGES = 60_000  # then the training ends without having reached the goal
FIRST_MEASUREMENT, GROWTH = 2_000, 1.25  # in training images; measuring takes long

LONG = 3_000  # images: the warm-up was a twentieth of the training
RECORDS = {
    "the recipe of 2026-11-22": replace(RECIPES["ours"], warmup=LONG),
    "Muon for convolutions": replace(MUON, warmup=LONG),
    "batches of 16 images": replace(RECIPES[DEFAULT], warmup=LONG),
    "a warm-up of 600 images": RECIPES[DEFAULT],
}
TRIED = {"batches of 8 images": RECIPES["Muon, batches of 8"]}
NOTE = """\
CPU seconds of training until 512 generated images have a KID of 0.5 (10 steps of Adams–Bashforth,
the package's flower features), with one thread. Measurements are not counted; between two of them,
the logarithm of KID is interpolated. Values are medians over the seeds. The first and the last
record run at the same time. Batches of 8 are faster still, but they are not the default: each
image takes more time, and after 50,000 images their KID is no lower."""


def run(name, seed, out):
    """Trains one record until it reaches the goal, and writes result.json and samples."""
    from benchmarks.runs import Measure, dataset_for, model_for, train
    from diffusion_lab.samplers import adams_bashforth

    recipe, folder = (RECORDS | TRIED)[name], folder_of(name, seed, out)
    folder.mkdir(parents=True, exist_ok=True)
    model, dataset = model_for(recipe, seed), dataset_for(recipe, "train", seed, MOST_IMAGES)
    measurements = math.log(MOST_IMAGES / FIRST_MEASUREMENT) / math.log(GROWTH)
    measure = Measure(
        {folder: partial(model.generate, sampler=adams_bashforth)},
        dataset_for(recipe, "validation", seed, MOST_IMAGES).images,
        [FIRST_MEASUREMENT * GROWTH**number for number in range(int(measurements) + 1)],
        recipe.batch_size,
        GOAL,
    )
    train(model, recipe, dataset, MOST_IMAGES, measure)


def folder_of(name, seed, out):
    return out / f"{name.replace(' ', '-')}-{seed}"


def result_of(name, seed, out):
    """Returns the result of `run` in a process with one thread, or an earlier result."""
    result = folder_of(name, seed, out) / "result.json"
    if not result.exists():
        subprocess.run(
            [sys.executable, "-m", __spec__.name, "--run", name, str(seed), "--out", str(out)],
            check=True,
            env=os.environ | {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"},
        )
    return json.loads(result.read_text())


def when_reached(points, unit, goal=GOAL):
    """Returns how many `unit`s of training it took until KID was `goal`; infinity if it never was.

    Args:
        points: dictionaries with "kid" and `unit`, in the order of training.
        unit: "cpu_seconds", "seconds" or "images".
        goal: a positive KID.
    """
    before = None
    for point in points:
        if point["kid"] <= goal:
            if before is None:
                return point[unit]
            share = math.log(before["kid"] / goal) / math.log(before["kid"] / point["kid"])
            return before[unit] + share * (point[unit] - before[unit])
        before = point
    return math.inf


def rows(results, tried=()):
    """Returns a row for each record of {name: results of its seeds}, and one for the progress.

    The recipes `tried`, which are the last, do not count for the progress.
    """
    costs = {
        name: [when_reached(result["points"], "cpu_seconds") for result in of_seeds]
        for name, of_seeds in results.items()
    }
    records = [
        Row(
            name,
            statistics.median(costs[name]),
            unit="CPU s",
            numbers={f"seed {seed}": cost for seed, cost in enumerate(costs[name])}
            | {
                unit: statistics.median(when_reached(result["points"], unit) for result in of_seeds)
                for unit in ("images", "seconds")
            }
            | {"parameters": of_seeds[0]["parameters"]},
        )
        for name, of_seeds in results.items()
    ]
    first, *_, last = (costs[name] for name in results if name not in tried)
    ratios = [slow / fast for slow, fast in zip(first, last)]
    return [
        *records,
        Row(
            "CPU seconds, first record over last",
            statistics.median(ratios),
            at_least=3,
            numbers={f"seed {seed}": ratio for seed, ratio in enumerate(ratios)},
        ),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("out/bench/speedrun"))
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        return run(arguments.run[0], int(arguments.run[1]), arguments.out)
    first, *others, last = RECORDS
    order = [(name, seed) for seed in range(arguments.seeds) for name in (first, last)]
    order += [(name, seed) for seed in range(arguments.seeds) for name in (*others, *TRIED)]

    def measure(job):
        result = result_of(*job, arguments.out)
        spent = when_reached(result["points"], "cpu_seconds")
        print(f"{job[0]}, seed {job[1]}: {spent:.0f} CPU s", flush=True)
        return job, result

    with ThreadPoolExecutor(2) as pool:
        finished = dict(pool.map(measure, order))
    names = (*RECORDS, *TRIED)
    results = {name: [finished[name, seed] for seed in range(arguments.seeds)] for name in names}
    samples = {name: np.load(folder_of(name, 0, arguments.out) / "samples.npy") for name in names}
    publish(
        f"The shortest training to a KID of {GOAL}",
        f"python -m benchmarks.speedrun --seeds {arguments.seeds}",
        rows(results, TRIED),
        arguments.out / "speedrun",
        partial(draw_samples, samples),
        NOTE,
    )


if __name__ == "__main__":
    main()
