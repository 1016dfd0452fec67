"""The rows on training: images per second, and the share of the machine's peak."""

import statistics
from functools import cache, partial

import keras
import numpy as np

from benchmarks import textbook
from benchmarks.flops import convolution_peak, forward_flops
from benchmarks.plain_tensorflow import plain_tensorflow
from benchmarks.report import Row, in_turn, medians, times_faster
from diffusion_lab.data.pipeline import ImageDataset
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.networks import residual_unet


def some_images(count, size, channels=3):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, channels)).astype("uint8")


def train(model, images, batch_size):
    """Trains for one epoch, as the labs do."""
    model.fit(ImageDataset(images, None, batch_size, drop_remainder=True), shuffle=False, verbose=0)


def ours(network, bfloat16=False):
    """Returns our model with the network of `network()`, compiled for speed on a CPU."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if bfloat16 else "float32")
    model = DiffusionModel(network(), seed=0)
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=1e-4), "mse", jit_compile=False)
    keras.mixed_precision.set_global_policy("float32")
    return model


def network_of_the_rows(quick, **options):
    return (
        residual_unet(16, (8, 16), block_depth=1, **options)
        if quick
        else residual_unet(64, **options)
    )


@cache
def textbooks(quick, xla=True):
    """Returns the textbook's model: the same one for each call in a process."""
    model = textbook.compile_textbook(
        textbook.TextbookDiffusion(network_of_the_rows(quick, upsampling="bilinear"))
    )
    model.normalizer.adapt(some_images(16, model.image_shape[0]) / np.float32(255))
    model.jit_compile = model.jit_compile and xla
    return model


def train_textbook(quick, images, batch_size):
    train(textbooks(quick), images, batch_size)


def training(quick=False):
    """Measures the training throughput of a residual U-Net, and its share of the convolution peak.

    Both are measured in the same round. The textbook runs in a separate process with TensorFlow's
    default settings; a second textbook has our settings, and no XLA.
    """
    size, batch_size, steps = (16, 8, 2) if quick else (64, 32, 4)
    images = some_images(batch_size * steps, size)
    network = partial(network_of_the_rows, quick)
    models = {
        "textbook, our settings": textbooks(quick, xla=False),
        "ours float32": ours(network),
        "ours bfloat16": ours(network, bfloat16=True),
    }
    one_batch = in_turn(
        {
            name: partial(train, model, images[:batch_size], batch_size)
            for name, model in models.items()
        },
        rounds=1,
    )
    speeds = {
        f"{name} images/s": batch_size / seconds for name, seconds in medians(one_batch).items()
    }
    if times_faster(one_batch, "ours bfloat16", "ours float32") > 2:
        del models["ours bfloat16"]  # very slow if the processor has no instructions for it
    contestants = {
        name: partial(train, model, images, batch_size) for name, model in models.items()
    }
    short, peaks = {"shapes": ((8, 8),), "seconds": 0.1} if quick else {}, []
    with plain_tensorflow() as process:
        contestants["textbook"] = lambda: process.submit(
            train_textbook, quick, images, batch_size
        ).result()
        seconds = in_turn(
            contestants | {"peak": lambda: peaks.append(convolution_peak(**short))}, rounds=4
        )
    speeds |= {f"{name} images/s": len(images) / medians(seconds)[name] for name in contestants}
    best = max(
        (name for name in models if name.startswith("ours")),
        key=lambda name: speeds[f"{name} images/s"],
    )
    flops = 3 * len(images) * forward_flops(models["ours float32"].network)
    # the first round is a warm-up
    shares = [flops / s / peak for s, peak in zip(seconds["ours float32"], peaks[1:])]
    return [
        Row(
            "training, float32",
            times_faster(seconds, "textbook", "ours float32"),
            at_least=1.0,
            numbers=speeds,
        ),
        Row(
            "training, best setting",
            times_faster(seconds, "textbook", best),
            at_least=1.4,
            numbers={"best": best},
        ),
        Row(
            "training, float32, textbook with our settings",
            times_faster(seconds, "textbook, our settings", "ours float32"),
        ),
        Row(
            "share of the convolution peak",
            100 * statistics.median(shares),
            at_least=50,
            unit="%",
            numbers={
                "GFLOP/s in training": flops / medians(seconds)["ours float32"] / 1e9,
                "peak": statistics.median(peaks[1:]) / 1e9,
            },
        ),
    ]
