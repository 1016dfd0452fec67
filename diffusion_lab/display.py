"""What a person sees while a model trains or samples: a bar, figures, and a grid of samples that improves."""

import time

import keras
from keras import ops
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from diffusion_lab.plots import image_grid, terminal_picture

console = Console(stderr=True)


class TrainingDisplay(keras.callbacks.Callback):
    """A bar with loss, speed and time left; in a terminal with colours, the latest samples above it.

    Every `interval` seconds the samples of one fixed noise are drawn anew and handed to `on_samples(images, losses)`:
    images in [0, 1], (32, H, W, C), and the list of {"images": seen so far, "loss": mean since the last entry}.

    Args:
        share_done: () -> the part of the run that is done, in [0, 1].
        batch_size: images in a training step.
    """

    def __init__(self, share_done, batch_size, on_samples=None, interval=15.0, steps=8):
        super().__init__()
        self.share_done, self.batch_size, self.on_samples = share_done, batch_size, on_samples
        self.interval, self.steps = interval, steps
        self.losses = []
        self.picture = ""
        self.progress = Progress(BarColumn(), TextColumn("{task.percentage:3.0f} %  {task.description}"),
                                 TimeRemainingColumn(), console=console)
        self.live = Live(console=console, get_renderable=lambda: Group(self.picture, self.progress))

    def on_train_begin(self, logs=None):
        self.task = self.progress.add_task("compiling the network ...", total=1.0)
        self.images_seen, self.begin = 0, None
        self.noise = keras.random.normal((32, *self.model.image_shape), seed=0)
        if console.is_terminal:
            self.live.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.images_before_epoch, self.sum_before = epoch * self.params["steps"] * self.batch_size, 0.0

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        self.images_seen = self.images_before_epoch + (batch + 1) * self.batch_size
        if self.begin is None:  # the first step is mostly compilation
            self.begin = self.last_drawn = now
            self.first_images = self.images_seen
        speed = (self.images_seen - self.first_images) / max(now - self.begin, 1e-9)
        self.progress.update(self.task, completed=self.share_done(),
                             description=f"loss {logs['loss']:.3f}  {speed:3.0f} images/s  {self.images_seen:,} images")
        if (batch + 1) % 20 == 0:  # Keras logs the mean since the epoch began; the curve shows the last 20 steps
            total = logs["loss"] * (batch + 1)
            self.losses.append({"images": self.images_seen, "loss": float(total - self.sum_before) / 20})
            self.sum_before = total
        if now - self.last_drawn > self.interval:
            self.draw()
            self.last_drawn = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append({"images": self.images_seen, "val_loss": float(logs["val_loss"])})
        if not console.is_terminal:
            figures = "  ".join(f"{name} {logs[name]:.4f}" for name in ("loss", "val_loss", "val_kid") if name in logs)
            console.print(f"epoch {epoch + 1}: {self.images_seen:,} images  {figures}")

    def on_train_end(self, logs=None):
        self.draw()
        self.progress.update(self.task, completed=1.0)
        self.live.stop()

    def draw(self):
        """Draws the samples of the fixed noise as the model makes them now."""
        images = ops.convert_to_numpy(self.model.denormalize(self.model.reverse_diffusion(self.noise, self.steps)))
        if console.is_terminal and console.color_system:
            width = images.shape[2] + 1
            fitting = max(1, min(6, console.width // width))
            self.picture = terminal_picture(image_grid(images[:fitting], columns=fitting))
        if self.on_samples is not None:
            self.on_samples(images, self.losses)


def sampling_bar(description, total):
    """A progress bar for a sampler, as (context manager, on_step): shown on a terminal only."""
    progress = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} steps"),
                        TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task(description, total=total)
    return progress, lambda *step: progress.advance(task)
