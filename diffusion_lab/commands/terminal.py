"""What the terminal shows while a model trains or samples: progress, losses and samples."""

import time
from collections.abc import Callable

import keras
import numpy as np
from keras import ops
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from diffusion_lab.plots import image_grid, terminal_picture
from diffusion_lab.training.callbacks import TrainingWatch

console = Console(stderr=True)


class TrainingDisplay(TrainingWatch):
    """Shows a progress bar with loss, speed and time left; above it, in colour, the latest samples.

    Args:
        share_done: returns how much of the run is done, in [0, 1].
        batch_size: images per training step.
        on_samples: called as on_samples(images, losses) with samples in [0, 1], (32, H, W, C),
            always made from the same noise, and the losses of `TrainingWatch`.
        interval: seconds between two calls of `on_samples`.
        steps: diffusion steps of the samples.
    """

    def __init__(
        self,
        share_done: Callable[[], float],
        batch_size: int,
        on_samples: Callable[[np.ndarray, list[dict[str, float]]], None] | None = None,
        interval: float = 15.0,
        steps: int = 8,
    ) -> None:
        super().__init__(batch_size)
        self.share_done, self.on_samples = share_done, on_samples
        self.interval, self.steps = interval, steps
        self.picture = ""
        self.progress = Progress(
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %  {task.description}"),
            TimeRemainingColumn(),
            console=console,
        )
        self.live = Live(console=console, get_renderable=lambda: Group(self.picture, self.progress))

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_begin(logs)
        self.task = self.progress.add_task("compiling the network ...", total=1.0)
        self.noise = keras.random.normal((32, *self.model.image_shape), seed=0)
        self.last_drawn: float | None = None
        if console.is_terminal:
            self.live.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        super().on_train_batch_end(batch, logs)
        self.progress.update(
            self.task,
            completed=self.share_done(),
            description=f"loss {logs['loss']:.3f}  "
            f"{self.speed:3.0f} images/s  {self.images_seen:,} images",
        )
        if self.last_drawn is None:  # the first step is mostly compilation
            self.last_drawn = time.monotonic()
        if time.monotonic() - self.last_drawn > self.interval:
            self.draw()
            self.last_drawn = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        super().on_epoch_end(epoch, logs)
        if not console.is_terminal:
            numbers = "  ".join(
                f"{name} {logs[name]:.4f}"
                for name in ("loss", "val_loss", "val_kid")
                if name in logs
            )
            console.print(f"epoch {epoch + 1}: {self.images_seen:,} images  {numbers}")

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.draw()
        self.progress.update(self.task, completed=1.0)
        self.live.stop()

    def draw(self) -> None:
        """Generates samples from the fixed noise with the current model, and shows them."""
        images = ops.convert_to_numpy(
            self.model.denormalize(self.model.reverse_diffusion(self.noise, self.steps))
        )
        if console.is_terminal and console.color_system:
            width = images.shape[2] + 1
            fitting = max(1, min(6, console.width // width))
            self.picture = terminal_picture(image_grid(images[:fitting], columns=fitting))
        if self.on_samples is not None:
            self.on_samples(images, self.losses)


def sampling_bar(description: str, total: int) -> tuple[Progress, Callable[..., None]]:
    """Returns (progress bar, `on_step` that advances it); the bar is a context manager.

    It is shown on a terminal only.
    """
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = progress.add_task(description, total=total)
    return progress, lambda *step: progress.advance(task)
