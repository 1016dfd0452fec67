"""Tunes a model for few steps: `python -m diffusion_lab.pretrained.train_few_steps --out FILE`."""

import argparse
from dataclasses import replace
from pathlib import Path

import keras

from diffusion_lab.backend import BACKEND
from diffusion_lab.data import load_dataset
from diffusion_lab.metrics.validation import ValidationKID
from diffusion_lab.models.consistency import ConsistencyModel, pseudo_huber
from diffusion_lab.models.generating import generate_in_batches
from diffusion_lab.models.io import load_model, save_model
from diffusion_lab.networks import NETWORKS
from diffusion_lab.plots import image_grid, save_png
from diffusion_lab.training import ConvolutionalMuon, ShrinkGap

DATA, BATCH_SIZE, LEARNING_RATE, MOST_STEPS = "procedural_flowers", 32, 5e-4, 4
HALVINGS = 4  # of the gap, so that the smallest is 1 / 16


def tune(weights, on_epoch_end, seed=0, count=20_000, epochs=2):
    """Returns a `ConsistencyModel`, tuned from a model that predicts velocity.

    Args:
        weights: those that `load_model` takes.
        on_epoch_end: called as on_epoch_end(model, epoch).
        seed: of the noise and the order of the images.
        count: number of training images.
        epochs: passes over them.
    """
    keras.utils.set_random_seed(seed)
    start, _ = load_model(weights)
    config = replace(start.config, most_steps=MOST_STEPS)
    model = ConsistencyModel(
        NETWORKS[config.network](**config.network_arguments), seed=seed, config=config
    )
    for network in (model.network, model.ema_network):
        network.set_weights(start.network.get_weights())
    model.normalizer.set_weights(start.normalizer.get_weights())
    model.normalizer.finalize_state()
    model.compile(
        ConvolutionalMuon(LEARNING_RATE, weight_decay=0.0),
        pseudo_huber,
        jit_compile=BACKEND == "jax",
    )
    image_size = model.image_shape[0]
    data = load_dataset(DATA, "train", image_size, BATCH_SIZE, count=count, seed=seed)
    shrink = ShrinkGap(
        epochs * len(data), HALVINGS, LEARNING_RATE, shrinking=0.8, warm_up=0.02, fall=0.3
    )
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: on_epoch_end(model, epoch)
    )
    model.fit(
        data,
        shuffle=False,
        epochs=epochs,
        verbose=0,
        callbacks=[data.epoch_callback(), shrink, report],
    )
    return model


def main():
    parser = argparse.ArgumentParser(description="Tune a model for few steps.")
    parser.add_argument(
        "--out", type=Path, required=True, help="where to write the weights; ends in .weights.h5"
    )
    parser.add_argument("--weights", default="flowers32", help="the model to start from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000, help="number of training images")
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    real = load_dataset(DATA, "validation", 32, BATCH_SIZE, count=256).images
    kid = ValidationKID(real, steps=2)

    def on_epoch_end(model, epoch):
        val_kid = float(kid(model))
        print(
            f"epoch {epoch + 1}: gap {float(model.gap):.3f}, KID with 2 steps {val_kid:.3f}",
            flush=True,
        )
        save_model(model, arguments.out, {"data": DATA, "epochs": epoch + 1, "val_kid": val_kid})
        images = generate_in_batches(model, 64, 2)
        save_png(image_grid(images, columns=16, scale=2), arguments.out.with_suffix(".png"))

    tune(arguments.weights, on_epoch_end, arguments.seed, arguments.count, arguments.epochs)


if __name__ == "__main__":
    main()
