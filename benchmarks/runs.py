"""One training run of the quality benchmark: model, data, and measurements during training."""

import json
import math
import time

import keras
import numpy as np
from keras import ops

from benchmarks.textbook import TextbookDiffusion, compile_textbook
from diffusion_lab import plots
from diffusion_lab.data import load_dataset
from diffusion_lab.metrics import encode, flower_features, kernel_inception_distance
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.models.ema import EMA
from diffusion_lab.networks import CONTINUOUS_NETWORKS, unet
from diffusion_lab.predictions import from_noise
from diffusion_lab.schedules import SCHEDULES
from diffusion_lab.storage import write_atomically
from diffusion_lab.training import TrainingConfig
from diffusion_lab.training.callbacks import WarmUp
from diffusion_lab.training.trainer import OPTIMIZERS

IMAGE_SIZE, DATA = 32, "procedural_flowers"
TRAINING_IMAGES, VALIDATION_IMAGES, STEPS, GENERATE = 10_000, 512, 10, 64


class WithoutWarmUp(EMA):
    """An EMA whose decay is constant from the first step on."""

    def update(self, network):
        for average, weight in zip(self.network.weights, network.weights):
            average.assign(self.decay * average + (1 - self.decay) * weight)


class Cosine(WarmUp):
    """A learning rate that rises, then falls to zero along a cosine (Loshchilov & Hutter 2017)."""

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch, logs)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self.share_done())))
        self.model.optimizer.learning_rate = float(self.model.optimizer.learning_rate) * fall


class LogitNormalTimes(DiffusionModel):
    """Samples times in the middle more often than at the ends, so that they have more weight.

    Esser et al. 2024, section 3.1.
    """

    def corrupt_and_separate(self, images, denoise):
        schedule = self.schedule
        try:  # the sampled times are uniform; this makes their logits normal
            self.schedule = lambda times: schedule(
                ops.sigmoid(np.sqrt(2) * ops.erfinv(ops.clip(2 * times - 1, -0.9999, 0.9999)))
            )
            return super().corrupt_and_separate(images, denoise)
        finally:
            self.schedule = schedule


KINDS = {"plain": DiffusionModel, "logit-normal times": LogitNormalTimes}


def batch_normalised_unet(*sizes, **arguments):
    """Our U-Net with batch instead of group normalisation."""

    def clone(layer):
        if isinstance(layer, keras.layers.GroupNormalization):
            return keras.layers.BatchNormalization()
        return type(layer).from_config(layer.get_config())

    return keras.models.clone_model(unet(*sizes, **arguments), clone_function=clone)


RECIPE_NETWORKS = CONTINUOUS_NETWORKS | {"batch-normalised unet": batch_normalised_unet}


def dataset_for(recipe, split, seed, images):
    """Returns the training set, or the real images for KID.

    It has at most `images` images, so that a trial run with few images is fast.
    """
    count = min(images, TRAINING_IMAGES) if split == "train" else min(images, VALIDATION_IMAGES)
    flip = recipe.flip and not recipe.textbook and split == "train"
    return load_dataset(
        DATA, split, IMAGE_SIZE, recipe.batch_size, count=count, flip=flip, seed=seed
    )


def model_for(recipe, seed, width=1.0):
    """Returns the recipe's model with `width` as a factor on its width, compiled without XLA.

    XLA would only slow down both sides on a CPU.
    """
    keras.utils.set_random_seed(seed)
    arguments = dict(recipe.network_arguments)
    arguments["widths"] = tuple(round(width * channels) for channels in arguments["widths"])
    network = RECIPE_NETWORKS[recipe.network](IMAGE_SIZE, **arguments)
    if recipe.textbook:
        model = compile_textbook(TextbookDiffusion(network, second_average=True))
        model.jit_compile = False
        return model
    model = KINDS[recipe.kind](
        network,
        SCHEDULES[recipe.schedule],
        recipe.prediction,
        recipe.loss_on,
        recipe.ema_decay,
        seed,
    )
    if not recipe.ema_warmup:
        model.ema = WithoutWarmUp(network)
    model.compile(
        OPTIMIZERS[recipe.optimizer](recipe.learning_rate, weight_decay=1e-4),
        recipe.loss,
        jit_compile=False,
    )
    return model


def sampling_with(sampler, model, network):
    """Returns a function generate(num_images, diffusion_steps, seed), which uses a sampler of ours.

    `model` may also be the textbook's. `network` is that of the model, or another average of it.
    """

    def generate(num_images, diffusion_steps, seed):
        if isinstance(model, DiffusionModel):
            return model.generate(num_images, diffusion_steps, sampler=sampler, seed=seed)

        def denoise(noisy_images, noise_rates, signal_rates):
            pred_noises = network([noisy_images, noise_rates**2], training=False)
            return from_noise(pred_noises, noisy_images, noise_rates, signal_rates)

        noise = keras.random.normal((num_images, *model.image_shape), seed=seed)
        schedule = model.diffusion_schedule
        return model.denormalize(sampler(denoise, schedule, noise, steps=diffusion_steps))

    return generate


def train(model, recipe, dataset, images, measure):
    """Trains on this many images, in as many epochs as necessary."""
    model.normalizer.adapt(dataset.images[:4096] / np.float32(255))
    callbacks = [dataset.epoch_callback(), measure]
    if recipe.rate != "constant" and not recipe.textbook:
        schedule = {"warm-up": WarmUp, "cosine": Cosine}[recipe.rate]
        callbacks.append(
            schedule(
                TrainingConfig(
                    batch_size=recipe.batch_size,
                    learning_rate=recipe.learning_rate,
                    warmup=recipe.warmup,
                ),
                lambda: measure.seen / images,
                lambda: measure.seen,
            )
        )
    model.fit(
        dataset,
        shuffle=False,
        epochs=-(-images // (recipe.batch_size * len(dataset))),
        verbose=0,
        callbacks=callbacks,
    )


class Measure(keras.callbacks.Callback):
    """Measures KID and training time for each of {folder: generate}, and stops the training.

    Neither the seconds nor the CPU seconds, which are those of all threads, include the
    measurements.

    Args:
        contestants: {folder: generate(num_images, diffusion_steps, seed)}.
        real_images: to compare with.
        due: the numbers of training images after which to measure, increasing. The training stops
            after the last.
        batch_size: of the training.
        goal: the training also stops when the KID of the last contestant is this low.
    """

    def __init__(self, contestants, real_images, due, batch_size, goal=-math.inf):
        super().__init__()
        self.contestants, self.points = contestants, {folder: [] for folder in contestants}
        self.due, self.batch_size, self.goal = list(due), batch_size, goal
        self.extractor = flower_features()
        self.real_features = encode(self.extractor, real_images)
        self.seen, self.seconds, self.cpu_seconds = 0, 0.0, 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.begin, self.cpu_begin = time.perf_counter(), time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        if self.seen:  # leaves out the first batch, which is mostly compilation
            self.seconds += time.perf_counter() - self.begin
            self.cpu_seconds += time.process_time() - self.cpu_begin
        self.seen += self.batch_size
        if self.seen >= self.due[0]:
            kids = [self.measure(*contestant) for contestant in self.contestants.items()]
            self.due = [
                images for images in self.due if images > self.seen and kids[-1] > self.goal
            ]
        self.model.stop_training = not self.due

    def measure(self, folder, generate):
        generated = np.concatenate(
            [
                ops.convert_to_numpy(generate(GENERATE, STEPS, seed=seed))
                for seed in range(-(-len(self.real_features) // GENERATE))
            ]
        )
        kid = float(
            kernel_inception_distance(self.real_features, encode(self.extractor, generated))
        )
        self.points[folder].append(
            {
                "images": self.seen,
                "seconds": self.seconds,
                "cpu_seconds": self.cpu_seconds,
                "kid": kid,
            }
        )
        np.save(folder / "samples.npy", generated[:16])
        plots.save_png(plots.image_grid(generated[:32], scale=3), folder / "samples.png")
        return kid

    def on_train_end(self, logs=None):
        for folder, points in self.points.items():
            result = {"parameters": self.model.network.count_params(), "points": points} | points[
                -1
            ]
            write_atomically(folder / "result.json", json.dumps(result, indent=1).encode())
