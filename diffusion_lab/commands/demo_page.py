"""The page that `diffusion-lab demo` writes, from its first second until the run ends."""

import json
import math
import shutil
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader

from diffusion_lab.metrics import KIDEstimate, Memorisation
from diffusion_lab.plots import image_grid, loss_curve, save_png
from diffusion_lab.storage import write_atomically

ENOUGH = 6_000  # training images after which most samples are flowers


class DemoPage:
    """Writes `folder`/index.html and its pictures; the page reloads itself until the run ends.

    All methods raise UserError if the folder cannot be written.
    """

    def __init__(self, folder: Path, minutes: float, nfe: int) -> None:
        self.folder, self.path = folder, folder / "index.html"
        self.facts: dict[str, Any] = {
            "minutes": minutes,
            "nfe": nfe,
            "samplers": [],
            "snapshots": [],
            "memorisation": {},
            "seconds": None,
            "choice": "",
        }
        self.facts["weights"] = folder / "model.weights.h5"
        # `make demo` runs in an environment that is not active
        installed = shutil.which("diffusion-lab")
        self.facts["program"] = "diffusion-lab" if installed else ".venv/bin/diffusion-lab"
        self.template = Environment(
            loader=PackageLoader("diffusion_lab.commands"), autoescape=True
        ).get_template("demo.html")
        self.write()

    def write(self, **facts: Any) -> None:
        self.facts.update(facts, now=int(time.time()))
        write_atomically(self.path, self.template.render(self.facts, advice=self.advice()).encode())

    def show_real_images(self, images: np.ndarray) -> None:
        save_png(_grid(images), self.folder / "real.png")

    def show_progress(self, images: np.ndarray, losses: list[dict[str, float]]) -> None:
        """Shows samples (N, H, W, C) in [0, 1] and the losses so far, [{"images", "loss"}].

        Eight of the samples stay on the page: those of the first call, and again each time the
        number of training images has doubled.
        """
        seen, snapshots = losses[-1]["images"] if losses else 0, self.facts["snapshots"]
        save_png(_grid(images), self.folder / "progress.png")
        if losses:
            loss_curve(losses, self.folder / "loss.png")
        if not snapshots or seen > 0 and seen >= 2 * snapshots[-1]:
            snapshots.append(seen)
            save_png(
                _grid(images[:8], pixels=64),
                self.folder / f"snapshot{len(snapshots)}.png",
            )
        self.write(images_seen=seen)

    def advice(self) -> str:
        """Returns a note if the training was too short for flowers, otherwise ""."""
        seen = self.facts.get("images_seen", 0)
        if not 0 < seen < 0.75 * ENOUGH:
            return ""
        minutes = math.ceil(self.facts["minutes"] * ENOUGH / seen)
        return (
            f"{seen:,} training images are not enough. Most samples look like flowers after about"
            f" {ENOUGH:,}. On this machine, that takes about {minutes} minute{'s' * (minutes > 1)}:"
            f" {self.facts['program']} demo --minutes {minutes}"
        )

    def add_samples(
        self, owner: str, sampler: str, images: np.ndarray, estimate: KIDEstimate
    ) -> None:
        """Shows samples and their KID for one sampler; `owner` is "yours" or "shipped"."""
        file = f"{owner}-{''.join(c for c in sampler.lower() if c.isascii() and c.isalnum())}.png"
        save_png(_grid(images), self.folder / file)
        row: dict[str, Any] | None = next(
            (row for row in self.facts["samplers"] if row["name"] == sampler), None
        )
        if row is None:
            row = {"name": sampler}
            self.facts["samplers"].append(row)
        row[owner] = {
            "file": file,
            "kid": estimate.value,
            "standard_error": estimate.standard_error,
        }
        self.write()

    def add_memorisation(self, owner: str, memorisation: Memorisation) -> None:
        self.write(memorisation=self.facts["memorisation"] | {owner: memorisation._asdict()})

    def finish(self, losses: list[dict[str, float]], seconds: float) -> None:
        """Writes the final page, and its numbers as kid.json."""
        loss_curve(losses, self.folder / "loss.png")
        self.write(seconds=seconds, date=date.today().isoformat())
        numbers = {
            key: self.facts[key]
            for key in ("minutes", "nfe", "samplers", "memorisation", "seconds", "date")
        }
        write_atomically(self.folder / "kid.json", json.dumps(numbers, indent=2).encode())


def _grid(images: np.ndarray, pixels: int = 96) -> np.ndarray:
    """Returns rows of eight images, each about `pixels` wide."""
    return image_grid(images, columns=8, scale=max(1, pixels // images.shape[1]))
