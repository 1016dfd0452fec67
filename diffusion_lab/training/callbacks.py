"""The callbacks of training: the learning rate, what is measured and kept, and progress."""

import math
import time
from pathlib import Path

import keras
from keras import ops

from diffusion_lab import plots
from diffusion_lab.errors import UserError
from diffusion_lab.models.io import save_model
from diffusion_lab.storage import replacing


def worth_keeping(kid, lowest):
    """True unless `kid` exceeds 1.5 times the lowest KID so far.

    KID of a few hundred images does not tell two good models apart, and the one trained longer
    draws finer details. But a training run that diverges must not overwrite the good model.
    """
    return kid <= lowest + abs(lowest) / 2


class KeepBest(keras.callbacks.Callback):
    """Measures KID after each epoch, as `val_kid` in the logs, and keeps good weights in a file.

    The weights are kept if they are `worth_keeping`. After training, `kept_kid` is the KID of the
    kept weights, and `restore()` loads them into the model.

    Args:
        kid: a `ValidationKID`.
        path: of the file, ending in .weights.h5; one from earlier training is deleted.
    """

    def __init__(self, kid, path):
        super().__init__()
        self.kid, self.path, self.lowest_kid, self.kept_kid = kid, Path(path), math.inf, math.inf

    def on_train_begin(self, logs=None):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)

    def on_epoch_end(self, epoch, logs=None):
        kid = logs["val_kid"] = float(self.kid(self.model))
        if worth_keeping(kid, self.lowest_kid):
            self.lowest_kid, self.kept_kid = min(kid, self.lowest_kid), kid
            with replacing(self.path) as draft:
                self.model.save_weights(draft)

    def restore(self):
        """Loads the kept weights. Raises UserError if no epoch has finished."""
        if not self.path.exists():
            raise UserError(
                "There is no trained model yet: let the training above run for one epoch at least."
            )
        self.model.load_weights(self.path)


class WarmUp(keras.callbacks.Callback):
    """Sets the learning rate: it rises linearly, then stays. Stops the run when it is done.

    The rate need not fall, because the EMA weights settle anyway (measured:
    docs/benchmarks/recipes.md).
    """

    def __init__(self, config, share_done):
        super().__init__()
        self.peak, self.warmup, self.share_done = config.learning_rate, config.warmup, share_done

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.peak * min(
            1, (self.share_done() + 1e-3) / self.warmup
        )

    def on_train_batch_end(self, batch, logs=None):
        if self.share_done() >= 1:
            self.model.stop_training = True


class EndOfEpoch(keras.callbacks.Callback):
    """Measures KID, keeps the model if it is `worth_keeping`, draws samples, and saves the run."""

    def __init__(self, trainer):
        super().__init__()
        self.trainer = trainer

    def on_epoch_end(self, epoch, logs=None):
        run, config = self.trainer, self.trainer.config
        run.epochs_done = epoch + 1
        entry = {"epoch": run.epochs_done, **{name: float(value) for name, value in logs.items()}}
        if run.epochs_done % config.kid_every == 0 or run.epochs_done == config.epochs:
            entry["val_kid"] = logs["val_kid"] = float(run.kid(self.model))
            if worth_keeping(entry["val_kid"], run.lowest_kid):
                origin = {
                    "data": config.data,
                    "epochs": run.epochs_done,
                    "val_kid": entry["val_kid"],
                }
                save_model(self.model, run.folder / "model.weights.h5", origin)
        run.history.append(entry)
        samples = ops.convert_to_numpy(self.model.generate(32, config.kid_steps, seed=config.seed))
        plots.save_png(plots.image_grid(samples, columns=8, scale=3), run.folder / "samples.png")
        run.save_checkpoint()


class TrainingWatch(keras.callbacks.Callback):
    """Counts the images of a training run and records its losses; subclasses show them.

    `losses` holds {"images": seen so far, "loss": mean of the last 20 steps} and {"images",
    "val_loss"}.

    Args:
        batch_size: images in a training step; with 1, steps are counted.
    """

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size, self.losses, self.images_seen, self.begin = batch_size, [], 0, None

    def on_train_begin(self, logs=None):
        self.losses, self.images_seen, self.begin = [], 0, None

    def on_epoch_begin(self, epoch, logs=None):
        steps = self.params["steps"]  # None where a data set does not know its length
        self.images_before_epoch = (
            self.images_seen if steps is None else epoch * steps * self.batch_size
        )
        self.sum_before, self.steps_before = 0.0, 0

    def on_train_batch_end(self, batch, logs=None):
        self.images_seen = self.images_before_epoch + (batch + 1) * self.batch_size
        if self.begin is None:  # the first step is mostly compilation
            self.begin, self.first_images = time.monotonic(), self.images_seen
        self._record_loss(batch + 1, logs["loss"], at_least=20)

    def on_epoch_end(self, epoch, logs=None):
        self._record_loss(
            (self.images_seen - self.images_before_epoch) // self.batch_size,
            logs["loss"],
            at_least=1,
        )
        if "val_loss" in logs:
            self.losses.append({"images": self.images_seen, "val_loss": float(logs["val_loss"])})

    @property
    def speed(self):
        """Images per second."""
        return (self.images_seen - self.first_images) / max(time.monotonic() - self.begin, 1e-9)

    def _record_loss(self, steps, mean, at_least):
        """Records the mean loss of the steps since the last entry.

        Keras logs the mean since the beginning of the epoch.
        """
        if steps - self.steps_before >= at_least:
            loss = (float(mean) * steps - self.sum_before) / (steps - self.steps_before)
            self.losses.append({"images": self.images_seen, "loss": loss})
            self.sum_before, self.steps_before = float(mean) * steps, steps
