"""What a person sees while a model trains or samples: a bar, figures, and a grid of samples that
improves.
"""

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
    """A bar with loss, speed and time left; in a terminal with colours, the latest samples above
    it.

    Every `interval` seconds the samples of one fixed noise are drawn anew and handed to
    `on_samples(images, losses)`: images in [0, 1], (32, H, W, C), and the losses of
    `TrainingWatch`.

    Args:
        share_done: () -> the part of the run that is done, in [0, 1].
        batch_size: images in a training step.
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
            figures = "  ".join(
                f"{name} {logs[name]:.4f}"
                for name in ("loss", "val_loss", "val_kid")
                if name in logs
            )
            console.print(f"epoch {epoch + 1}: {self.images_seen:,} images  {figures}")

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.draw()
        self.progress.update(self.task, completed=1.0)
        self.live.stop()

    def draw(self) -> None:
        """Draws the samples of the fixed noise as the model makes them now."""
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
    """A progress bar for a sampler, as (context manager, on_step): shown on a terminal only."""
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
