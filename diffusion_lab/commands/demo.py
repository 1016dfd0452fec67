"""`diffusion-lab demo`: trains for a few minutes, samples, measures, and shows it all on a page."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.markup import escape

from diffusion_lab.commands.demo_page import ENOUGH, DemoPage
from diffusion_lab.commands.terminal import TrainingDisplay, console
from diffusion_lab.metrics import kid_with_standard_error, measure_memorisation
from diffusion_lab.models.generating import generate_in_batches, images_emerging
from diffusion_lab.models.io import load_model, save_model
from diffusion_lab.plots import animation_bytes, image_grid
from diffusion_lab.samplers import adams_bashforth, ddim, ddpm, dpmpp_2m
from diffusion_lab.schedules import offset_cosine_diffusion_schedule
from diffusion_lab.storage import only_one, write_atomically
from diffusion_lab.training import Trainer, TrainingConfig


def from_purer_noise(denoise: Any, schedule: Any, noise: Any, **arguments: Any) -> Any:
    """Samples with Adams–Bashforth from purer noise, with shorter steps at the start (lab 08)."""
    purer = partial(offset_cosine_diffusion_schedule, min_signal_rate=0.005)
    return adams_bashforth(denoise, purer, noise, spacing=2.0, **arguments)


COMPARED = {  # name on the page: sampler
    "DDPM": ddpm,
    "DDIM": ddim,
    "DPM-Solver++(2M)": dpmpp_2m,
    "Adams–Bashforth": adams_bashforth,
    "Adams–Bashforth from purer noise": from_purer_noise,
}
SHIPPED = "flowers32"
STEPS_TO_MEASURE = 5


def run_demo(
    folder: str | Path, minutes: float = 4.0, seed: int = 0, nfe: int = 10, kid_images: int = 192
) -> Path:
    """Trains the network of the shipped weights on procedural flowers, and writes a page.

    The first seconds measure the machine. On one that is too slow for flowers in this time, the
    images are half as wide and high.

    Args:
        folder: where to write index.html and its pictures.
        minutes: how long to train.
        seed: of the training, and of the noise of the animation.
        nfe: number of network evaluations per image, the same for every sampler.
        kid_images: number of images for KID. All samplers start from the same noise.

    Returns:
        The path of the page.

    Raises:
        UserError: if the folder cannot be written, or another demo is running in it.
    """
    with only_one(folder, "demo"):
        return _run_demo(Path(folder), minutes, seed, nfe, kid_images)


def _run_demo(folder: Path, minutes: float, seed: int, nfe: int, kid_images: int) -> Path:
    begin = time.monotonic()
    shipped, _ = load_model(SHIPPED)
    page = DemoPage(folder, minutes, nfe)
    console.print(
        f"[bold]Measuring[/bold] this machine. Open {escape(str(page.path))} in a browser to watch."
    )
    trainer = fitting_trainer(
        TrainingConfig(model=shipped.config, epochs=1000, seed=seed, kid_images=kid_images),
        minutes,
        page,
    )
    page.show_real_images(trainer.validation.images[:32] / 255)
    console.print(
        f"[bold]Training[/bold] for {minutes:g} minute{'s' * (minutes != 1)} on procedural flowers."
        f" {page.facts['choice']}"
    )
    model, losses = train_for(trainer, minutes, page)
    if page.advice():
        console.print(escape(page.advice()))
    save_model(
        model,
        folder / "model.weights.h5",
        {"data": "procedural_flowers", "command": f"demo --minutes {minutes:g}"},
    )

    console.print(
        f"[bold]Sampling[/bold] in {len(COMPARED)} ways, {nfe} network evaluations for each"
        f" image, and measuring KID on {kid_images} images."
    )
    for owner, candidate in (("yours", model), ("shipped", shipped)):
        for name, sampler in COMPARED.items():
            images = generate_in_batches(candidate, kid_images, nfe, seed=1, sampler=sampler)
            images = shrunk(images, model.image_shape[0])
            estimate = kid_with_standard_error(
                trainer.kid.real_features, trainer.kid.encode(images)
            )
            page.add_samples(owner, name, images[:32], estimate)
            console.print(
                f"  {owner:8} {name:32} KID {estimate.value:.2f} ± {estimate.standard_error:.2f}"
            )
        page.add_memorisation(
            owner, measure_memorisation(images, trainer.dataset.images, trainer.validation.images)
        )
    emerging = images_emerging(shipped, count=24, steps=24, seed=seed)
    frames = [image_grid(images, columns=8, scale=3) for images in emerging]
    write_atomically(folder / "animation.webp", animation_bytes(frames))
    page.finish(losses, time.monotonic() - begin)
    return page.path


def train_for(
    trainer: Trainer, minutes: float, page: DemoPage
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Trains for this many minutes; returns the model and its losses (see `TrainingWatch`)."""
    clock = Clock(minutes)
    display = TrainingDisplay(
        clock.share_done, trainer.config.batch_size, on_samples=page.show_progress
    )
    return trainer.fit(clock.share_done, callbacks=[clock, display]), display.losses


def fitting_trainer(config: TrainingConfig, minutes: float, page: DemoPage) -> Trainer:
    """Returns a trainer for images that this machine can learn to draw in this time."""
    trainer = Trainer(config, page.folder)
    pace = Pace(config.batch_size)
    trainer.fit(share_done=lambda: 0.0, callbacks=[pace])
    size, expected = trainer.model.image_shape[0], pace.images_per_second * 60 * minutes
    speed = f"{pace.images_per_second:.0f} images a second, {size} × {size} pixels"
    choice = f"This machine trains on about {speed}"
    if expected >= ENOUGH / 2:
        page.write(choice=f"{choice}, which is fast enough for flowers.")
        return trainer
    half = config.model.network_arguments | {"image_size": size // 2}
    page.write(
        choice=(
            f"{choice}, which is too slow for flowers of that size, so these are {size // 2} ×"
            f" {size // 2}."
        )
    )
    return Trainer(
        replace(config, model=replace(config.model, network_arguments=half)), page.folder
    )


def shrunk(images: np.ndarray, size: int) -> np.ndarray:
    """Returns images (N, S, S, C) as (N, size, size, C); each pixel is the mean of a square."""
    factor = images.shape[1] // size
    return images.reshape(len(images), size, factor, size, factor, -1).mean(axis=(2, 4))


class Pace(keras.callbacks.Callback):
    """Measures the speed of a few training steps after the first, which is mostly compilation."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.images_per_second = 0.0
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.ends.append(time.monotonic())
        if len(self.ends) > STEPS_TO_MEASURE:
            # a single step that something else delayed does not count
            step = float(np.median(np.diff(self.ends)))
            self.images_per_second = self.batch_size / step
            self.model.stop_training = True


class Clock(keras.callbacks.Callback):
    """A time budget. It starts after the first step, which is mostly compilation."""

    def __init__(self, minutes: float) -> None:
        super().__init__()
        self.seconds = 60 * minutes
        self.begin: float | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self.begin is None:
            self.begin = time.monotonic()

    def share_done(self) -> float:
        """Returns how much of the time has passed, from 0."""
        return 0.0 if self.begin is None else (time.monotonic() - self.begin) / self.seconds
