"""The main job in a few minutes: train, sample in several ways, measure, and show it all on one
page.
"""

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from diffusion_lab.commands.demo_page import DemoPage
from diffusion_lab.commands.terminal import TrainingDisplay, console
from diffusion_lab.metrics import kid_with_standard_error, measure_memorisation
from diffusion_lab.models.generating import generate_in_batches
from diffusion_lab.models.io import load_model, save_model
from diffusion_lab.plots import image_grid, save_animation
from diffusion_lab.samplers import adams_bashforth, ddim, ddpm, dpmpp_2m
from diffusion_lab.storage import only_one
from diffusion_lab.training import Trainer, TrainingConfig

SAMPLERS = {
    "DDPM": ddpm,
    "DDIM": ddim,
    "DPM-Solver++(2M)": dpmpp_2m,
    "Adams–Bashforth": adams_bashforth,
}
SHIPPED = "flowers32"


def run_demo(
    folder: str | Path, minutes: float = 4.0, seed: int = 0, nfe: int = 10, kid_images: int = 192
) -> Path:
    """Trains the network of the shipped weights for some minutes on procedural flowers; writes
    `folder`/index.html.

    Every sampler gets the same number of network evaluations (NFE) and, for the images that are
    shown, the same initial noise. Returns the page's path. Raises UserError if the folder cannot be
    written, or another demo is at work there.
    """
    with only_one(folder, "demo"):
        return _run_demo(Path(folder), minutes, seed, nfe, kid_images)


def _run_demo(folder: Path, minutes: float, seed: int, nfe: int, kid_images: int) -> Path:
    begin = time.monotonic()
    shipped, _ = load_model(SHIPPED)
    page = DemoPage(folder, minutes, nfe)
    trainer = Trainer(
        TrainingConfig(model=shipped.config, epochs=1000, seed=seed, kid_images=kid_images), folder
    )
    page.show_real_images(trainer.validation.images[:32] / 255)
    console.print(
        f"[bold]Training[/bold] for {minutes:g} minute{'s' * (minutes != 1)} on procedural flowers,"
        f" 32 × 32 pixels.\nOpen {page.path} in a browser to watch the samples improve."
    )
    model, losses = train_for(trainer, minutes, page)
    if page.advice():
        console.print(page.advice())
    save_model(
        model,
        folder / "model.weights.h5",
        {"data": "procedural_flowers", "command": f"demo --minutes {minutes:g}"},
    )

    console.print(
        f"[bold]Sampling[/bold] with {len(SAMPLERS)} samplers, {nfe} network evaluations for each"
        f" image, and measuring KID on {kid_images} images."
    )
    for owner, candidate in (("yours", model), ("shipped", shipped)):
        for name, sampler in SAMPLERS.items():
            images = generate_in_batches(candidate, kid_images, nfe, seed=1, sampler=sampler)
            estimate = kid_with_standard_error(
                trainer.kid.real_features, trainer.kid.encode(images)
            )
            page.add_samples(owner, name, images[:32], estimate)
            console.print(
                f"  {owner:8} {name:18} KID {estimate.value:.2f} ± {estimate.standard_error:.2f}"
            )
        page.add_memorisation(
            owner, measure_memorisation(images, trainer.dataset.images, trainer.validation.images)
        )
    save_animation(bloom(shipped, seed=seed), folder / "bloom.webp")
    page.finish(losses, time.monotonic() - begin)
    return page.path


def train_for(
    trainer: Trainer, minutes: float, page: DemoPage
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Trains until the time is over, of which the learning rate's warm-up is a part.

    Returns the model and its losses (`TrainingWatch`).
    """
    clock = Clock(minutes)
    display = TrainingDisplay(
        clock.share_done, trainer.config.batch_size, on_samples=page.show_progress
    )
    return trainer.fit(clock.share_done, callbacks=[clock, display]), display.losses


class Clock(keras.callbacks.Callback):
    """A budget of time. It starts after the first step, which is mostly compilation."""

    def __init__(self, minutes: float) -> None:
        super().__init__()
        self.seconds = 60 * minutes
        self.begin: float | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self.begin is None:
            self.begin = time.monotonic()

    def share_done(self) -> float:
        """The part of the time that is over, from 0."""
        return 0.0 if self.begin is None else (time.monotonic() - self.begin) / self.seconds


def bloom(model: Any, steps: int = 24, seed: int = 0) -> list[np.ndarray]:
    """Flowers coming out of noise: the frames (uint8 grids) of a DDIM sampling run, in order."""
    frames = []

    def keep(step: int, diffusion_time: float, noisy_images: Any, pred_images: Any) -> None:
        frames.append(frame(noisy_images))

    def frame(images: Any) -> np.ndarray:
        return image_grid(ops.convert_to_numpy(model.denormalize(images)), columns=8, scale=3)

    noise = keras.random.normal((24, *model.image_shape), seed=seed)
    frames.append(frame(model.sample(ddim, noise, steps=steps, on_step=keep)))
    return frames
