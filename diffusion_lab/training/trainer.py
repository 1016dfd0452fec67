"""Training with the last recipe of docs/benchmarks/speedrun.md; a run can be resumed."""

import json
import math
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import keras
from keras import ops

from diffusion_lab.backend import BACKEND, has_accelerator
from diffusion_lab.data import class_names, load_dataset
from diffusion_lab.errors import UserError, seed_number
from diffusion_lab.metrics.validation import ValidationKID
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.models.weights import assign_arrays, read_arrays, write_arrays
from diffusion_lab.storage import demand_writable, only_one
from diffusion_lab.training.callbacks import SaveRun, WarmUp
from diffusion_lab.training.muon import ConvolutionalMuon

OPTIMIZERS = {"muon": ConvolutionalMuon, "adamw": keras.optimizers.AdamW}


@dataclass(frozen=True)
class TrainingConfig:
    """All settings of a training run. Equal settings train on the same images in the same order."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: str = "procedural_flowers"
    count: int | None = None  # of training images; None means all
    batch_size: int = 16
    epochs: int = 20
    optimizer: str = "muon"  # a key of OPTIMIZERS
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: int = 600  # training images, in which the learning rate rises
    cooldown: float = 0.0  # share of the training, at the end, in which it falls to zero
    loss: str = "mse"
    kid_images: int = 256
    kid_steps: int = 10
    kid_every: int = 1  # epochs
    mixed_bfloat16: bool = False
    seed: int = 0
    conditional: bool = False  # True for a model that takes the class of each image


def set_seed_and_precision(config):
    """Sets Keras's global seed, and the precision of all layers that are created afterwards."""
    keras.utils.set_random_seed(seed_number(config.seed))
    keras.mixed_precision.set_global_policy(
        "mixed_bfloat16" if config.mixed_bfloat16 else "float32"
    )


def load_images(config, split, count=None):
    """Returns the `ImageDataset` of a split, with all images or the first `count`."""
    return load_dataset(
        config.data,
        split,
        config.model.network_arguments["image_size"],
        config.batch_size,
        count=count,
        seed=config.seed,
        labels=config.conditional,
    )


def build_model(config, channels):
    """Returns a new model for images with this many colour channels."""
    names = class_names(config.data) if config.conditional else ()
    arguments = config.model.network_arguments | {"channels": channels}
    return replace(config.model, network_arguments=arguments, class_names=names).build(
        seed=config.seed
    )


def compile_model(model, config):
    """Compiles a model with the recipe's optimizer and loss.

    Raises:
        UserError: if the optimizer is none of OPTIMIZERS.
    """
    if config.optimizer not in OPTIMIZERS:
        raise UserError(
            f"There is no optimizer {config.optimizer!r}: choose one of {', '.join(OPTIMIZERS)}."
        )
    model.compile(
        optimizer=OPTIMIZERS[config.optimizer](
            config.learning_rate, weight_decay=config.weight_decay
        ),
        loss=config.loss,
        # slows TensorFlow on a CPU; JAX would not compile at all
        jit_compile=has_accelerator() or BACKEND == "jax",
    )


class Trainer:
    """One training run in a folder: `model.weights.h5`, `checkpoint.h5` and `samples.png`.

    The weights are those of the last model that was `worth_keeping`. A run that was killed resumes
    after its last finished epoch if it is started again with the same data, even in another place,
    and with the same configuration or more epochs.

    Raises:
        UserError: if the folder contains another run.
    """

    def __init__(self, config, folder):
        self.config, self.folder = config, Path(folder)
        demand_writable(self.folder / "model.weights.h5", ".h5")
        set_seed_and_precision(config)
        self.validation = load_images(config, "validation")
        # built before the large data set is read, because the model may refuse the image size
        self.model = build_model(config, channels=self.validation.image_shape[-1])
        self.dataset = load_images(config, "train", config.count)
        self.model.adapt(self.dataset.images[:4096])
        compile_model(self.model, config)
        self.kid = ValidationKID(self.validation.images[: config.kid_images], config.kid_steps)
        self.history, self.epochs_done, self.steps_done = [], 0, 0
        self._resume()

    def fit(self, share_done=None, callbacks=None):
        """Trains until the run is complete and returns the model.

        Args:
            share_done: returns how much of the run is done, in [0, 1]. The learning rate depends on
                it, and the run ends at 1. By default it counts steps; it can be a time budget.
            callbacks: by default `[SaveRun(self)]`, which saves the run.

        Raises:
            UserError: if another process is training in the folder, or if the loss becomes NaN or
                infinite.
        """
        with only_one(self.folder, "training"):
            self._resume()  # another process may have trained here in the meantime
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
                    WarmUp(self.config, share_done or self.share_done, self.images_done),
                    *([SaveRun(self)] if callbacks is None else callbacks),
                ],
            )
        return self.model

    def share_done(self):
        """Returns how much of the training is done, in [0, 1], counted in steps."""
        return self.steps_done / (self.config.epochs * len(self.dataset))

    def images_done(self):
        """Returns the number of images trained on so far."""
        return self.steps_done * self.config.batch_size

    @property
    def lowest_kid(self):
        """The lowest KID so far; infinity before the first measurement."""
        kids = [entry["val_kid"] for entry in self.history if "val_kid" in entry]
        return min((kid for kid in kids if not math.isnan(kid)), default=math.inf)

    def save_checkpoint(self):
        """Writes everything that the next epoch depends on, completely or not at all."""
        state = {"epochs_done": self.epochs_done, "history": self.history}
        variables = [ops.convert_to_numpy(variable) for variable in self._variables()]
        write_arrays(
            self.folder / "checkpoint.h5",
            {"state": variables},
            {"run": asdict(self.config), "data": self.data, **state},
        )

    @cached_property
    def data(self):
        """What a checkpoint says about the images. A run only resumes with the same images."""
        return {
            "class_names": list(self.model.config.class_names),
            "training_images": len(self.dataset.images),
            "validation_images": len(self.validation.images),
            "contents_of_images": f"{self.dataset.contents()}-{self.validation.contents()}",
        }

    def _resume(self):
        path = self.folder / "checkpoint.h5"
        if not path.exists():
            return
        groups, about = read_arrays(path)
        run = json.loads(json.dumps(asdict(self.config)))  # tuples are lists in JSON
        then, now = _flat(about.get("run", {})) | about.get("data", {}), _flat(run) | self.data
        different = [
            f"{name}: {then.get(name)} there, {now.get(name)} here"
            for name in {**then, **now}
            # `data` may be the same path in another spelling
            if then.get(name) != now.get(name) and name not in ("epochs", "data")
        ]
        if different or self.config.epochs < about["epochs_done"]:
            raise UserError(
                f"{self.folder} contains a run with other settings"
                f" ({', '.join(different) or 'epochs'}): choose another folder, or delete this one"
                " to start again."
            )
        assign_arrays(self._variables(), groups["state"], path)
        self.model.normalizer.finalize_state()
        self.epochs_done, self.history = about["epochs_done"], about["history"]
        self.steps_done = self.epochs_done * len(self.dataset)

    def _count_step(self, batch, logs):  # under JAX a callback cannot read the optimizer's count
        self.steps_done += 1
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"The loss was no longer a finite number after {self.steps_done} steps, so the"
                f" training stopped: choose a lower learning rate than"
                f" {self.config.learning_rate:g} (--learning-rate) and another folder."
            )

    def _variables(self):
        return self.model.variables + self.model.optimizer.variables


def _flat(settings):
    """Returns the entries of a dictionary and of those nested in it, as one dictionary."""
    flat = {}
    for name, value in settings.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: value}
    return flat
