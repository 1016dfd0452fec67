"""Callbacks for training: the learning rate, KID and which weights to keep, and progress."""

import math
import time
from pathlib import Path

import keras
from keras import ops

from diffusion_lab import plots
from diffusion_lab.errors import UserError
from diffusion_lab.models.io import save_model
from diffusion_lab.storage import demand_writable, replacing


def worth_keeping(kid, lowest):
    """True unless `kid` exceeds 1.5 times the lowest KID so far.

    With a few hundred images, KID cannot distinguish two good models, and the one trained longer
    generates finer details. But a training run that diverges must not overwrite a good model.
    """
    return kid <= lowest + abs(lowest) / 2


class KIDCallback(keras.callbacks.Callback):
    """Measures KID, and keeps the model if it is `worth_keeping`.

    Subclasses call `record_kid` at the end of an epoch, and define `keep(kid)`.
    """

    def __init__(self, kid):
        super().__init__()
        self.kid, self.lowest_kid = kid, math.inf

    def record_kid(self, kid, logs):
        """Adds `val_kid` to the logs, and calls `keep` if the model is `worth_keeping`."""
        logs["val_kid"] = kid
        if worth_keeping(kid, self.lowest_kid):
            self.lowest_kid = min(kid, self.lowest_kid)
            self.keep(kid)


class KeepBest(KIDCallback):
    """Measures KID after each epoch, and keeps good weights in a file.

    The logs receive `val_kid` and its standard error, `val_kid_error`. The weights are kept if they
    are `worth_keeping`. After training, `kept_kid` is the KID of the kept weights, and `restore()`
    loads them into the model.

    Args:
        kid: a `ValidationKID`.
        path: of the file, ending in .weights.h5; one from earlier training is deleted.
    """

    def __init__(self, kid, path):
        super().__init__(kid)
        self.path, self.kept_kid = Path(path), math.inf

    def on_train_begin(self, logs=None):
        demand_writable(self.path, ".h5")
        self.path.unlink(missing_ok=True)

    def on_epoch_end(self, epoch, logs=None):
        kid, logs["val_kid_error"] = self.kid.with_standard_error(self.model)
        self.record_kid(kid, logs)

    def keep(self, kid):
        self.kept_kid = kid
        with replacing(self.path) as draft:
            self.model.save_weights(draft)

    def restore(self):
        """Loads the kept weights. Raises UserError if no epoch has finished."""
        if not self.path.exists():
            raise UserError(
                "There is no trained model yet: let the training above run for at least one epoch."
            )
        self.model.load_weights(self.path)


class WarmUp(keras.callbacks.Callback):
    """Raises the learning rate linearly, then keeps it; stops the run when it is done.

    The rate need not fall, because the EMA weights settle anyway (measured:
    docs/benchmarks/recipes.md). With a `cooldown`, it falls linearly to zero in the last part of
    the training, so that the weights themselves settle.

    Args:
        config: a `TrainingConfig`.
        share_done: returns how much of the run is done, in [0, 1].
        images_done: returns the number of images trained on so far.
    """

    def __init__(self, config, share_done, images_done):
        super().__init__()
        self.config, self.share_done, self.images_done = config, share_done, images_done

    def on_train_batch_begin(self, batch, logs=None):
        config = self.config
        rise = (self.images_done() + config.batch_size) / max(1, config.warmup)
        fall = max(0.0, 1 - self.share_done()) / config.cooldown if config.cooldown else 1
        self.model.optimizer.learning_rate = config.learning_rate * min(1, rise, fall)

    def on_train_batch_end(self, batch, logs=None):
        if self.share_done() >= 1:
            self.model.stop_training = True


class SaveRun(KIDCallback):
    """Measures KID, saves the model if it is `worth_keeping`, and saves samples and checkpoint."""

    def __init__(self, trainer):
        super().__init__(trainer.kid)
        self.trainer = trainer

    def on_train_begin(self, logs=None):
        self.lowest_kid = self.trainer.lowest_kid  # of a run that is resumed

    def on_epoch_end(self, epoch, logs=None):
        run, config = self.trainer, self.trainer.config
        run.epochs_done = epoch + 1
        if run.epochs_done % config.kid_every == 0 or run.epochs_done == config.epochs:
            self.record_kid(float(self.kid(self.model)), logs)
        run.history.append(
            {"epoch": run.epochs_done, **{name: float(value) for name, value in logs.items()}}
        )
        samples = ops.convert_to_numpy(self.model.generate(32, config.kid_steps, seed=config.seed))
        plots.save_png(plots.image_grid(samples, columns=8, scale=3), run.folder / "samples.png")
        run.save_checkpoint()

    def keep(self, kid):
        run = self.trainer
        origin = {"data": run.config.data, "epochs": run.epochs_done, "val_kid": kid}
        save_model(self.model, run.folder / "model.weights.h5", origin)


class TrainingWatch(keras.callbacks.Callback):
    """Counts the images of a training run and records its losses; subclasses show them.

    `losses` holds {"images": seen so far, "loss": mean of the last 20 steps} and {"images",
    "val_loss"}.

    Args:
        batch_size: images per training step; with 1, steps are counted.
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
            at_least=10 if self.steps_before else 1,  # the mean of a few would look like a jump
        )
        if "val_loss" in logs:
            self.losses.append({"images": self.images_seen, "val_loss": float(logs["val_loss"])})

    @property
    def speed(self):
        """Images per second."""
        return (self.images_seen - self.first_images) / max(time.monotonic() - self.begin, 1e-9)

    def _record_loss(self, steps, mean, at_least):
        """Records the mean loss of the steps since the last entry.

        `mean` is what Keras logs: the mean of all steps since the beginning of the epoch.
        """
        if steps - self.steps_before >= at_least:
            loss = (float(mean) * steps - self.sum_before) / (steps - self.steps_before)
            self.losses.append({"images": self.images_seen, "loss": loss})
            self.sum_before, self.steps_before = float(mean) * steps, steps


class ShrinkGap(keras.callbacks.Callback):
    """Halves the gap of a consistency model `halvings` times during training, smoothly, from 1.

    The learning rate rises at the beginning, and falls to zero at the end.

    Args:
        steps: of the whole training.
        halvings: of the model's `gap`.
        learning_rate: the highest.
        shrinking: the share of the training after which the gap stays the same.
        warm_up: the share in which the learning rate rises.
        fall: the share in which it falls.
    """

    def __init__(self, steps, halvings, learning_rate, shrinking=0.6, warm_up=0.05, fall=0.33):
        super().__init__()
        self.step, self.steps, self.halvings = 0, steps, halvings
        self.learning_rate = learning_rate
        self.shrinking, self.warm_up, self.fall = shrinking, warm_up, fall

    def on_train_batch_begin(self, batch, logs=None):
        done = self.step / self.steps
        self.model.gap.assign(0.5 ** (self.halvings * min(1, done / self.shrinking)))
        self.model.optimizer.learning_rate = self.learning_rate * min(
            1, done / self.warm_up + 0.05, (1 - done) / self.fall
        )
        self.step += 1
