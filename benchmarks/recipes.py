"""What each choice of the training recipe changes: `python -m benchmarks.recipes [NAME ...]`.

There is a base, variants of it with one change each, and `ours`, which is the result of the
comparison. Each trains on the same images and is measured at the end: KID of 512 images, 10 steps
of DDIM, with the package's flower features. Finished runs are not repeated.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.report import Row, publish
from diffusion_lab.plots import image_grid, styled

NOTE = """\
KID of 512 images, 10 steps of DDIM. The base predicts velocity, weights its errors by min-SNR, and
lets the learning rate rise to 2e-3 and then fall to zero along a cosine. `ours` is the base with a
learning rate that stays at its peak. "Muon, batches of 16" is `ours` with these two changes and a
shorter warm-up; it is the default of `diffusion-lab train`, and the next one has half its batches.
Every other line, except the textbooks, is the base with the change in its name. Each line is one
run with one seed, so small differences may be chance."""


@dataclass(frozen=True)
class Recipe:
    """Our recipe; `RECIPES` names the others."""

    network: str = "unet"
    network_arguments: tuple = (("widths", (32, 64, 96)),)
    prediction: str = "velocity"
    loss_on: str = "weighted_velocity"
    loss: str = "mse"
    schedule: str = "offset_cosine"
    learning_rate: float = 2e-3
    # or "constant" from the first step, or "cosine", which falls to zero after the warm-up
    rate: str = "warm-up"
    warmup: int = 1_000  # training images
    ema_warmup: bool = True
    flip: bool = True
    kind: str = "plain"  # a key of benchmarks.runs.KINDS
    ema_decay: float = 0.999
    optimizer: str = "adamw"  # a key of OPTIMIZERS
    batch_size: int = 32
    textbook: bool = False


BASE = Recipe(rate="cosine")
WIDTHS = BASE.network_arguments
TEXTBOOK = Recipe(
    "residual_unet", (("widths", (32, 64, 96, 112)), ("upsampling", "bilinear")), textbook=True
)
MUON = Recipe(optimizer="muon")
DEFAULT = "Muon, batches of 16"
SAMPLERS = ("DDIM", "Adams–Bashforth", "Adams–Bashforth from purer noise")
FIRST_MEASUREMENT, GROWTH = 1 / 64, 2**0.5  # as a share of the training images
RECIPES = {
    "ours": Recipe(),
    DEFAULT: replace(MUON, batch_size=16, warmup=600),
    "Muon, batches of 8": replace(MUON, batch_size=8, warmup=600),
    "base": BASE,
    "textbook": TEXTBOOK,
    "loss on velocity": replace(BASE, loss_on="velocity"),
    "loss on noise": replace(BASE, loss_on="noise"),
    "loss on image": replace(BASE, loss_on="image"),
    "predicts noise": replace(BASE, prediction="noise"),
    "predicts noise, loss on noise": replace(BASE, prediction="noise", loss_on="noise"),
    "predicts image": replace(BASE, prediction="image"),
    "absolute error": replace(BASE, loss="mae"),
    "cosine schedule": replace(BASE, schedule="cosine"),
    "linear schedule": replace(BASE, schedule="linear"),
    "logit-normal times": replace(BASE, kind="logit-normal times"),
    "logit-normal times, loss on velocity": replace(
        BASE, kind="logit-normal times", loss_on="velocity"
    ),
    "constant learning rate 1e-3": replace(BASE, learning_rate=1e-3, rate="constant"),
    "constant learning rate 2e-3": replace(BASE, rate="constant"),
    "learning rate 1e-3": replace(BASE, learning_rate=1e-3),
    "learning rate 4e-3": replace(BASE, learning_rate=4e-3),
    "no EMA warm-up": replace(BASE, ema_warmup=False),
    "EMA decay 0.995": replace(BASE, ema_decay=0.995),
    "no flips": replace(BASE, flip=False),
    "dropout 0.1": replace(BASE, network_arguments=(*WIDTHS, ("dropout", 0.1))),
    "no attention": replace(BASE, network_arguments=(*WIDTHS, ("attention", False))),
    "batch normalisation": replace(BASE, network="batch-normalised unet"),
    "residual U-Net": replace(
        BASE, network="residual_unet", network_arguments=(("widths", (32, 64, 96, 112)),)
    ),
    "textbook with EMA warm-up": TEXTBOOK,  # last, since the first textbook's run gives both
}


def run(name, out, seed, images, early=0, width=1.0, samplers=1):
    """Trains with a recipe, and writes result.json and the images generated at the end.

    The two textbooks differ only in their EMA, so one training run gives both. `width` is a factor
    on the network's width. KID is also measured `early` in training, this many times. It is
    measured with the first of the `SAMPLERS`, or with more of them.
    """
    from benchmarks.runs import Measure, dataset_for, model_for, sampling_with, train
    from diffusion_lab.commands.demo import COMPARED

    recipe = RECIPES[name]
    model, dataset = model_for(recipe, seed, width), dataset_for(recipe, "train", seed, images)
    real_images = dataset_for(recipe, "validation", seed, images).images
    contestants = (
        {name: (model.generate, model.ema_network)}
        if not recipe.textbook
        else {
            "textbook": (model.generate, model.ema_network),
            "textbook with EMA warm-up": (
                partial(model.generate, network=model.ema.network),
                model.ema.network,
            ),
        }
    )
    contestants = {
        folder_of(name, seed, images, out, sampler): (
            generate if sampler == "DDIM" else sampling_with(COMPARED[sampler], model, network)
        )
        for sampler in SAMPLERS[:samplers]
        for name, (generate, network) in contestants.items()
    }
    for folder in contestants:
        folder.mkdir(parents=True, exist_ok=True)
    due = [*(images * FIRST_MEASUREMENT * GROWTH**number for number in range(early)), images]
    measure = Measure(contestants, real_images, due, recipe.batch_size)
    train(model, recipe, dataset, images, measure)


def folder_of(name, seed, images, out, sampler="DDIM"):
    place = f"{name.replace(' ', '-').replace(',', '')}-{images}-{seed}"
    return out / (place if sampler == SAMPLERS[0] else f"{place}-{sampler.replace(' ', '-')}")


def result_of(name, out, jobs=1, sampler="DDIM", **options):
    """Returns the result of a `run` with these options, or an earlier result.

    The run has a separate process with its share of the cores.
    """
    result = folder_of(name, options["seed"], options["images"], out, sampler) / "result.json"
    if not result.exists():
        threads = str(max(1, (os.cpu_count() or 1) // jobs))
        flags = [text for option, value in options.items() for text in (f"--{option}", str(value))]
        subprocess.run(
            [sys.executable, "-m", "benchmarks.recipes", "--run", name, "--out", str(out), *flags],
            check=True,
            env=os.environ | {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads},
        )
    return json.loads(result.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(RECIPES), help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--images", type=int, default=50_000, help="number of training images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="number of runs at a time, each with its share of the cores",
    )
    parser.add_argument("--early", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--width", type=float, default=1.0, help=argparse.SUPPRESS)
    parser.add_argument("--samplers", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("out/bench/recipes"))
    arguments = parser.parse_args()
    if arguments.run:
        return run(
            arguments.run,
            arguments.out,
            arguments.seed,
            arguments.images,
            arguments.early,
            arguments.width,
            arguments.samplers,
        )
    if unknown := set(arguments.names) - set(RECIPES):
        parser.error(f"there is no recipe {', '.join(unknown)}: choose from {', '.join(RECIPES)}.")
    seed, images = arguments.seed, arguments.images

    def measure(name):
        result = result_of(name, arguments.out, arguments.jobs, seed=seed, images=images)
        print(f"{name}: KID {result['kid']:.2f}", flush=True)
        return Row(name, result["kid"], unit="", numbers={"parameters": result["parameters"]})

    pool = ThreadPoolExecutor(arguments.jobs)
    try:
        table = sorted(pool.map(measure, arguments.names), key=lambda row: row.value)
    finally:
        pool.shutdown(cancel_futures=True)  # if one fails, do not start the others
    base = {row.name: row.value for row in table}.get("base")
    for row in table if base else []:
        row.numbers["KID over the base's"] = row.value / base
    samples = {
        f"{row.name}: {row.value:.2f}": np.load(
            folder_of(row.name, seed, images, arguments.out) / "samples.npy"
        )
        for row in table
    }
    publish(
        f"KID after {images:,} images, by recipe",
        f"python -m benchmarks.recipes --images {images} --seed {seed}",
        table,
        arguments.out / "recipes",
        partial(draw_samples, samples),
        NOTE,
    )


@styled
def draw_samples(samples, title, path):
    """Draws a row of images for each name of {name: (N, H, W, C)}."""
    figure = Figure(figsize=(11, 0.45 * len(samples) + 0.6), layout="constrained")
    figure.suptitle(title)
    for (left, right), (name, images) in zip(
        figure.subplots(len(samples), 2, width_ratios=(1, 2), squeeze=False), samples.items()
    ):
        left.text(1, 0.5, name, ha="right", va="center")
        right.imshow(image_grid(images, columns=len(images)))
        left.axis("off"), right.axis("off")
    figure.savefig(path)


if __name__ == "__main__":
    main()
