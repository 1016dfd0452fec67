"""What a training cell shows in a notebook: a progress bar, the loss curve and samples."""

import signal
import threading
import time
from base64 import b64encode

from IPython import get_ipython
from IPython.display import display
from keras import ops

from diffusion_lab.errors import OneSentence
from diffusion_lab.labs.compose import grid, picture_of, side_by_side
from diffusion_lab.labs.language import say
from diffusion_lab.models.energy_based import EnergyBasedModel
from diffusion_lab.plots import loss_figure, png_bytes
from diffusion_lab.training.callbacks import TrainingWatch

BAR_SECONDS, CURVE_SECONDS = 1.0, 5.0  # between two updates


class TrainingStopped(OneSentence, KeyboardInterrupt):
    """Raised when the kernel is interrupted: the cell ends without a stack trace."""


class TrainingPanel(TrainingWatch):
    """A callback for `fit(..., verbose=0)`: a progress bar, the loss curve and samples.

    The last state stays in the notebook. The first interrupt of the kernel stops the training after
    the current step, and the second stops it at once. Outside a notebook, each epoch prints a line.

    Args:
        sample: () -> images in [0, 1], (N, H, W, C), generated from the same noise each time, as
            `model.generate` does with a seed. The default generates 12 images with the model, in 8
            diffusion steps or 200 Langevin steps.
        interval: seconds between two sets of samples.
    """

    def __init__(self, sample=None, interval=15.0):
        super().__init__(batch_size=1)
        self.sample, self.interval = sample or self.generate, interval

    def generate(self):
        """Returns the samples that are shown by default."""
        steps = 200 if isinstance(self.model, EnergyBasedModel) else 8
        return self.model.generate(12, steps, seed=0)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.live = in_notebook()
        self.epoch, self.logs, self.images, self.stopping = 0, {}, None, False
        self.bar_handle = self.picture_handle = None
        self.bar_time = self.curve_time = self.sample_time = self.start = time.monotonic()
        if self.live:
            self._show_bar(say("the first step compiles the network ..."), 0.0)
            if threading.current_thread() is threading.main_thread():
                self.old_handler = signal.signal(signal.SIGINT, self._interrupt)

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self.latest = batch + 1, logs["loss"]
        self.logs |= logs  # keeps what the last validation measured
        self._stop_if_asked()
        if not self.live:
            return
        now = time.monotonic()
        if now - self.bar_time >= BAR_SECONDS:
            share = self._share(batch + 1)
            pace = left = ""
            if self.speed >= 0.05:  # otherwise still compiling
                pace = say(" · {speed:.1f} steps/s", speed=self.speed)
            if share:
                left = say(" · {time} left", time=clock((now - self.begin) * (1 - share) / share))
            where = self._epoch(self.epoch + 1)
            self._show_bar(f"{where}{pace}{left}\n{numbers(self.logs)}", share)
            self.bar_time = now
        if now - self.sample_time >= self.interval:
            self._show_picture(new_samples=True)
        elif now - self.curve_time >= CURVE_SECONDS:
            self._show_picture(new_samples=False)

    def on_test_batch_end(self, batch, logs=None):
        self._stop_if_asked()

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.logs |= logs
        if not self.live:
            print(f"{self._epoch(epoch + 1)} · {numbers(self.logs)}")
        self.epoch = epoch + 1  # from here on, the number of finished epochs

    def on_train_end(self, logs=None):
        self._finish(say("done after {time}", time=self._time()))

    def _epoch(self, epoch):
        """Returns where the training is, such as "epoch 2 of 5"."""
        return say("epoch {epoch} of {epochs}", epoch=epoch, epochs=self.params["epochs"])

    def _time(self):
        """Returns how long the training has taken, such as 2:05."""
        return clock(time.monotonic() - self.start)

    def _share(self, steps):
        """Returns the finished share of the training, or 0 if an epoch's length is unknown."""
        return (
            (self.epoch + steps / self.params["steps"]) / self.params["epochs"]
            if self.params["steps"]
            else 0.0
        )

    def _interrupt(self, number, frame):
        signal.signal(signal.SIGINT, self.old_handler)  # a second interrupt works as usual
        self.stopping = True

    def _stop_if_asked(self):
        """Ends the training after an interrupt.

        It does so between two steps: within one, weights, EMA and optimizer may not agree.
        """
        if self.stopping:
            # the last steps are too few for a point of the curve, but the read-out needs them
            self._record_loss(*self.latest, at_least=1)
            self._finish(say("stopped after {time}", time=self._time()))
            raise TrainingStopped(
                say("Training stopped. The model keeps what it has learned so far.")
            )

    def _finish(self, end):
        if self.live:
            if threading.current_thread() is threading.main_thread() and not self.stopping:
                signal.signal(signal.SIGINT, self.old_handler)
            loss = next(
                (entry["loss"] for entry in reversed(self.losses) if "loss" in entry), float("nan")
            )
            epochs = self.params["epochs"]
            done = say(
                "{epoch} of {epochs} epochs, {steps:,} step"
                if self.images_seen == 1
                else "{epoch} of {epochs} epochs, {steps:,} steps",
                epoch=self.epoch,
                epochs=epochs,
                steps=self.images_seen,
            )
            self._show_bar(
                f"{end} · {done}\n" + numbers(self.logs | {"loss": loss}), self.epoch / epochs
            )
            self._show_picture(new_samples=not self.stopping)  # no wait after an interrupt

    def _show_bar(self, text, share):
        filled = round(24 * share)
        bundle = {"text/plain": f"{'█' * filled}{'░' * (24 - filled)} {share:4.0%} · {text}"}
        self.bar_handle = show(bundle, self.bar_handle)

    def _show_picture(self, new_samples):
        """Shows the loss curve, and next to it the samples, if there are any."""
        if new_samples and self.sample:
            try:
                self.images = ops.convert_to_numpy(self.sample())
            except Exception as error:  # failing samples must not end a long training
                self.images = self.sample = None
                reason = f"{type(error).__name__}: {error}"
                print(
                    say(
                        "No samples are shown, because generating them failed. {reason}",
                        reason=reason,
                    )
                )
        xlabel = say("training steps")
        curve = picture_of(loss_figure(self.losses, xlabel, size=(4.2, 3.0)))
        picture = (
            curve
            if self.images is None
            else side_by_side(curve, grid(self.images, columns=4, width=400))
        )
        text = say("Loss curve and samples after {steps:,} training steps", steps=self.images_seen)
        bundle = {"image/png": b64encode(png_bytes(picture)).decode(), "text/plain": text}
        self.picture_handle = show(bundle, self.picture_handle)
        self.curve_time = time.monotonic()
        self.sample_time = self.curve_time if new_samples else self.sample_time


def numbers(logs):
    """Returns the losses and the KID among the logs, as words such as "loss 0.05 · n_loss 0.2"."""
    shown = {
        name: f"{float(logs[name]):.4f}"
        for name in ("loss", "n_loss", "i_loss", "val_loss")
        # a mean that is exactly 0 belongs to a metric that the model never updates
        if name == "loss" or logs.get(name)
    }
    if "val_kid_error" in logs:
        shown["val_kid"] = f"{logs['val_kid']:.2f} ± {logs['val_kid_error']:.2f}"
    return " · ".join(f"{name} {value}" for name, value in shown.items())


def show(bundle, handle=None):
    """Shows a MIME bundle, in place of what `handle` showed, if given; returns the handle.

    The text of the bundle is the alternative of its picture.
    """
    options = {"raw": True}
    if "image/png" in bundle:
        options["metadata"] = {"image/png": {"alt": bundle["text/plain"]}}
    if handle is None:
        return display(bundle, display_id=True, **options)
    handle.update(bundle, **options)
    return handle


def in_notebook():
    """True in Jupyter, where the output of a cell can change in place; False in a terminal."""
    return hasattr(get_ipython(), "kernel")


def clock(seconds):
    """Returns seconds as minutes and seconds, such as 2:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
