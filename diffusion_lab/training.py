"""Training with the recipe that docs/benchmarks/recipes.md led to: AdamW, a warm-up, EMA; watched by KID, resumable."""

import json
import math
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
from keras import ops

from diffusion_lab import plots
from diffusion_lab.arguments import MOST_IMAGES, seed_number, whole_number
from diffusion_lab.backend import BACKEND, has_accelerator, seed_generator
from diffusion_lab.data import class_names, load_dataset
from diffusion_lab.errors import UserError
from diffusion_lab.metrics import encode, flower_features, kernel_inception_distance
from diffusion_lab.models.files import ModelConfig, save_model
from diffusion_lab.storage import assign_arrays, demand_writable, only_one, read_arrays, replacing, write_arrays


@dataclass(frozen=True)
class TrainingConfig:
    """All that a training run depends on; equal configurations see the same images in the same order."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: str = "procedural_flowers"
    count: int | None = None  # of training images; None is all there are
    batch_size: int = 32
    epochs: int = 20
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: float = 0.05  # part of the training in which the learning rate rises
    loss: str = "mse"
    kid_images: int = 256
    kid_steps: int = 10
    kid_every: int = 1  # epochs
    mixed_bfloat16: bool = False
    seed: int = 0
    conditional: bool = False  # whether the model is told the class of each image


class Trainer:
    """One training run in a folder: `model.weights.h5` (as `worth_keeping` says), `checkpoint.h5`, `samples.png`.

    A run that was killed goes on where its last finished epoch ended when it is started again with the same
    configuration, or one that has more epochs, on the same data, wherever they lie now. Raises UserError if the folder
    holds another run.
    """

    def __init__(self, config, folder):
        self.config, self.folder = config, Path(folder)
        demand_writable(self.folder / "model.weights.h5", ".h5")
        keras.utils.set_random_seed(seed_number(config.seed))
        keras.mixed_precision.set_global_policy("mixed_bfloat16" if config.mixed_bfloat16 else "float32")
        arguments = {"image_size": config.model.network_arguments["image_size"], "seed": config.seed,
                     "labels": config.conditional}
        self.validation = load_dataset(config.data, "validation", batch_size=config.batch_size, **arguments)
        channels = {"channels": self.validation.image_shape[-1]}
        model_config = replace(
            config.model,
            network_arguments=config.model.network_arguments | channels,
            class_names=class_names(config.data) if config.conditional else (),
        )
        self.model = model_config.build(seed=config.seed)  # before the large set is read: it may refuse the image size
        self.dataset = load_dataset(config.data, "train", batch_size=config.batch_size, count=config.count, **arguments)
        self.data = {"class_names": list(model_config.class_names), "training_images": len(self.dataset.images),
                     "validation_images": len(self.validation.images),
                     "contents_of_images": f"{self.dataset.contents()}-{self.validation.contents()}"}
        self.model.adapt(self.dataset.images[:4096])
        self.model.compile(
            optimizer=keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay),
            loss=config.loss,
            jit_compile=has_accelerator() or BACKEND == "jax",  # slows TensorFlow on a CPU; JAX would not compile at all
        )
        self.kid = ValidationKID(self.validation.images[: config.kid_images], config.kid_steps)
        self.history, self.epochs_done, self.steps_done = [], 0, 0
        self._resume()

    def fit(self, share_done=None, callbacks=None):
        """Trains to the end and returns the model.

        `share_done()` says how far the run is, in [0, 1]; the learning rate follows it, and at 1 the run ends. By
        default it counts steps; a budget of time may stand in for it. `callbacks` are `[EndOfEpoch(self)]`,
        which saves the run, unless others are given. Raises UserError if another training is at work in the folder, or
        if the loss becomes NaN or infinite.
        """
        with only_one(self.folder, "training"):
            self._resume()  # another training may have ended here since this one was made
            self.model.fit(
                self.dataset,
                shuffle=False,
                validation_data=self.validation,
                epochs=self.config.epochs,
                initial_epoch=self.epochs_done,
                verbose=0,
                callbacks=[
                    self.dataset.epoch_callback(),
                    keras.callbacks.LambdaCallback(on_train_batch_end=self._count_step),
                    Schedule(self.config, share_done or self.share_done),
                    *([EndOfEpoch(self)] if callbacks is None else callbacks),
                ],
            )
        return self.model

    def share_done(self):
        """How much of the training is done, in [0, 1], by steps."""
        return self.steps_done / (self.config.epochs * len(self.dataset))

    @property
    def lowest_kid(self):
        """The lowest KID that was measured so far; infinite before the first."""
        kids = [entry["val_kid"] for entry in self.history if "val_kid" in entry]
        return min((kid for kid in kids if not math.isnan(kid)), default=math.inf)

    def save_checkpoint(self):
        """Writes everything that the next epoch needs, all or nothing."""
        state = {"epochs_done": self.epochs_done, "history": self.history}
        variables = [ops.convert_to_numpy(variable) for variable in self._variables()]
        write_arrays(self.folder / "checkpoint.h5", {"state": variables}, {"run": asdict(self.config), "data": self.data, **state})

    def _resume(self):
        path = self.folder / "checkpoint.h5"
        if not path.exists():
            return
        groups, about = read_arrays(path)
        run = json.loads(json.dumps(asdict(self.config)))  # tuples are lists in JSON
        then, now = _flat(about.get("run", {})) | about.get("data", {}), _flat(run) | self.data
        different = [f"{name}: {then.get(name)} there, {now.get(name)} here" for name in {**then, **now}
                     if then.get(name) != now.get(name) and name not in ("epochs", "data")]  # data: a spelling of the path
        if different or self.config.epochs < about["epochs_done"]:
            raise UserError(f"{self.folder} holds a run with other settings ({', '.join(different) or 'epochs'}): choose another "
                            "folder, or delete this one to start again.")
        assign_arrays(self._variables(), groups["state"], path)
        self.model.normalizer.finalize_state()
        self.epochs_done, self.history = about["epochs_done"], about["history"]
        self.steps_done = self.epochs_done * len(self.dataset)

    def _count_step(self, batch, logs):  # the optimizer counts, too, but under JAX not where a callback could read it
        self.steps_done += 1
        if not math.isfinite(logs["loss"]):
            raise UserError(f"The loss was no longer a finite number after {self.steps_done} steps, so the training ended: choose a "
                            f"lower learning rate than {self.config.learning_rate:g} (--learning-rate) and another folder.")

    def _variables(self):
        return self.model.variables + self.model.optimizer.variables


def _flat(settings):
    """The entries of a dictionary and of those in it, as one."""
    flat = {}
    for name, value in settings.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: value}
    return flat


class ValidationKID:
    """KID of generated against real images; the real features are computed once, when they are first needed.

    Raises UserError for fewer than two real images.
    """

    def __init__(self, real_images, steps):
        if len(real_images) < 2:
            raise UserError("One validation image is too few to measure KID: add images until there are 20 or more.")
        self.real_images, self.steps = real_images, steps

    def __call__(self, model, seed=0):
        generated = generate_in_batches(model, len(self.real_images), self.steps, seed)
        return kernel_inception_distance(self.real_features, self.encode(generated))

    def encode(self, images):
        return encode(self.extractor, images)

    @cached_property
    def extractor(self):
        return flower_features()

    @cached_property
    def real_features(self):
        return self.encode(self.real_images)


def worth_keeping(kid, lowest):
    """Whether a model replaces the one kept before: unless its KID is half again as much as the `lowest` so far.

    KID of some hundred images does not tell two good models apart, and the one that has learned longer draws finer
    details. But a training that has gone astray must not take the good model with it.
    """
    return kid <= lowest + abs(lowest) / 2


class KeepBest(keras.callbacks.Callback):
    """Measures KID after each epoch, as `val_kid` in the logs, and keeps the weights that are `worth_keeping` in a file.

    kid: a `ValidationKID`.   path: of the file, ending in .weights.h5; one from an earlier training is deleted.
    Afterwards `kept_kid` is the KID of the kept weights, and `restore()` gives them back to the model.
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
        """Raises UserError if no epoch has come to its end."""
        if not self.path.exists():
            raise UserError("There is no trained model yet: let the training above run for one epoch at least.")
        self.model.load_weights(self.path)


def generate_in_batches(model, count, steps, seed=0, batch_size=64, **arguments):
    """As many images in [0, 1] as asked for, (count, H, W, C) NumPy, with memory for one batch only.

    All batches are of one size, so that the model is compiled once; what is too much is cut off. Raises UserError for a
    number that cannot be, and for a model whose weights are not finite.
    """
    seed, count = seed_generator(seed), whole_number("count", count, most=MOST_IMAGES)
    batches = [
        ops.convert_to_numpy(model.generate(min(count, batch_size), steps, seed=seed, **arguments))
        for _ in range(0, count, batch_size)
    ]
    images = np.concatenate(batches)[:count]
    if not np.all(np.isfinite(images)):
        raise UserError("The model draws NaN instead of images, because its weights are not finite: train it again, with a lower "
                        "learning rate.")
    return images


class Schedule(keras.callbacks.Callback):
    """The learning rate: it rises linearly, then stays; at the end of the run, this stops it.

    It need not fall, since the averaged weights come to rest all the same (measured: docs/benchmarks/recipes.md).
    """

    def __init__(self, config, share_done):
        super().__init__()
        self.peak, self.warmup, self.share_done = config.learning_rate, config.warmup, share_done

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.peak * min(1, (self.share_done() + 1e-3) / self.warmup)

    def on_train_batch_end(self, batch, logs=None):
        if self.share_done() >= 1:
            self.model.stop_training = True


class EndOfEpoch(keras.callbacks.Callback):
    """Measures KID, keeps the model if it is `worth_keeping`, draws samples, and saves the run, in that order."""

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
                origin = {"data": config.data, "epochs": run.epochs_done, "val_kid": entry["val_kid"]}
                save_model(self.model, run.folder / "model.weights.h5", origin)
        run.history.append(entry)
        samples = ops.convert_to_numpy(self.model.generate(32, config.kid_steps, seed=config.seed))
        plots.save_png(plots.image_grid(samples, columns=8, scale=3), run.folder / "samples.png")
        run.save_checkpoint()
