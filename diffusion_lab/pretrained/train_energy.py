"""Trains the shipped energy model: `python -m diffusion_lab.pretrained.train_energy --out FILE`.

The settings are those of Du & Mordatch 2019, section 3, as courses use them, with two changes. The
buffer is smaller, because there are few digits. The learning rate starts ten times as high and
falls, so that training takes minutes instead of an hour.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

from diffusion_lab.data import load_dataset
from diffusion_lab.models.energy_based import EnergyBasedModel, contrastive_divergence
from diffusion_lab.models.io import save_energy_model
from diffusion_lab.networks import energy_network
from diffusion_lab.plots import image_grid, save_png

IMAGE_SIZE, BATCH_SIZE, LEARNING_RATE = 16, 64, 1e-3


def train(on_epoch_end, seed=0, epochs=100):
    """Trains an `EnergyBasedModel` on scikit-learn's digits, enlarged to 16 × 16.

    `on_epoch_end(model, epoch, logs)` is called after each epoch.
    """
    keras.utils.set_random_seed(seed)
    data = load_dataset("digits", "train", IMAGE_SIZE, BATCH_SIZE, seed=seed)
    arguments = {"image_size": IMAGE_SIZE, "channels": 1}
    model = EnergyBasedModel(
        energy_network(**arguments), buffer_size=2048, seed=seed, network_arguments=arguments
    )
    falling = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * len(data))
    model.compile(
        keras.optimizers.Adam(falling),
        contrastive_divergence,
        jit_compile=keras.backend.backend() == "jax",
    )
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: on_epoch_end(model, epoch, logs)
    )
    model.fit(
        data, shuffle=False, epochs=epochs, verbose=0, callbacks=[data.epoch_callback(), report]
    )
    return model


def picture(model, seed=1):
    """Returns rows of 16 digits: after 60, 250 and 1000 Langevin steps, and from the buffer."""
    rows = [
        np.asarray(keras.ops.convert_to_numpy(model.generate(16, steps, seed=seed)))
        for steps in (60, 250, 1000)
    ]
    rows.append(keras.ops.convert_to_numpy(model.denormalize(model.buffer[:16])))
    return image_grid(np.concatenate(rows).repeat(3, axis=-1), columns=16, scale=3)


def main():
    parser = argparse.ArgumentParser(description="Train the energy-based model of digits.")
    parser.add_argument(
        "--out", type=Path, required=True, help="where to write the weights; ends in .weights.h5"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=100)
    arguments = parser.parse_args()
    command = (
        f"python -m diffusion_lab.pretrained.train_energy --seed {arguments.seed} --epochs"
        f" {arguments.epochs}"
    )

    def on_epoch_end(model, epoch, logs):
        print(
            f"epoch {epoch + 1}:",
            "  ".join(f"{name} {value:.4f}" for name, value in logs.items()),
            flush=True,
        )
        if (epoch + 1) % 10 == 0 or epoch + 1 == arguments.epochs:
            save_energy_model(
                model, arguments.out, {"data": "digits", "epochs": epoch + 1, "command": command}
            )
            save_png(picture(model), arguments.out.with_suffix(".png"))

    train(on_epoch_end, arguments.seed, arguments.epochs)


if __name__ == "__main__":
    main()
