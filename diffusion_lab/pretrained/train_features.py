"""Trains the network of `flower_features`, once.

Command: python -m diffusion_lab.pretrained.train_features --seed 0 --out PATH

The features must capture what makes a flower, and what makes an image look wrong. So the network
learns three things at the same time: to predict the parameters of a clean flower, which of the
`KINDS` of corruption an image has, and how strong it is. Three small heads predict them from the
features, and are discarded after the training.
"""

import argparse
import math

import keras
import numpy as np
from keras import layers

from diffusion_lab.data.flowers import draw_flowers
from diffusion_lab.metrics.corruptions import KINDS, corrupt
from diffusion_lab.metrics.features import FeatureExtractor, encode, flower_network
from diffusion_lab.metrics.kid import kid_with_standard_error

FIRST_FLOWER = 10_000_000  # far from the flowers for training and validation
CLEAN_SHARE = 0.3
STRENGTHS = (0.1, 0.2, 0.4, 0.8)


def flower_targets(labels):
    """Returns the labels of `draw_flowers` as numbers (N, 18), each of mean 0 and variance 1.

    Only what an image determines is kept. An angle becomes a point on a circle: it is multiplied by
    the symmetry of the shape, and the radius is how visible it is.
    """
    names = (
        "petals",
        "layers",
        "saturation",
        "value",
        "radius",
        "petal_width",
        "petal_tip",
        "notch",
        "disc_radius",
        "tilt",
        "centre_x",
        "centre_y",
    )
    angles = [
        (2 * np.pi * labels["hue"], labels["saturation"]),
        (2 * labels["tilt_direction"], labels["tilt"]),
        (labels["petals"] * labels["rotation"], 1.0),
    ]
    columns = [labels[name] for name in names]
    columns += [radius * wave(angle) for angle, radius in angles for wave in (np.cos, np.sin)]
    columns = np.stack(columns, axis=1).astype(np.float32)
    return (columns - columns.mean(axis=0)) / columns.std(axis=0)


class CorruptedFlowers(keras.utils.PyDataset):
    """Batches of (images, targets, weights).

    Each image is clean, or corrupted in one way with its own random strength.
    """

    def __init__(self, images, labels, batch_size, seed):
        super().__init__()
        self.images, self.targets = images, flower_targets(labels)
        self.batch_size, self.rng = batch_size, np.random.default_rng(seed)
        self.order = self.rng.permutation(len(images))

    def __len__(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        images = self.images[chosen].astype(np.float32) / 255
        shares = [CLEAN_SHARE] + [(1 - CLEAN_SHARE) / len(KINDS)] * len(KINDS)
        kinds = self.rng.choice(len(KINDS) + 1, len(images), p=shares)  # 0 = clean
        strengths = np.where(kinds > 0, self.rng.random(len(images)), 0).astype(np.float32)
        for number, name in enumerate(KINDS, start=1):
            rows = kinds == number
            images[rows] = corrupt(images[rows], name, strengths[rows], self.rng)
        targets = {
            "parameters": self.targets[chosen],
            "kind": kinds,
            "strength": strengths[:, None],
        }
        weights = {
            "parameters": (kinds == 0) / CLEAN_SHARE,
            "kind": np.ones(len(images)),
            "strength": 10 * (kinds > 0),
        }
        return images * 2 - 1, targets, weights

    def on_epoch_end(self):
        self.order = self.rng.permutation(len(self.images))


def train(seed, count, epochs, batch_size=128):
    """Trains and returns the network."""
    keras.utils.set_random_seed(seed)
    images, labels = draw_flowers(count, 32, seed=seed, first=FIRST_FLOWER)
    data = CorruptedFlowers(images, labels, batch_size, seed)
    network = flower_network()
    pooled = network.get_layer("pooled").output
    model = keras.Model(
        network.input,
        {
            "parameters": layers.Dense(data.targets.shape[1], name="parameters")(pooled),
            "kind": layers.Dense(len(KINDS) + 1, name="kind")(pooled),
            "strength": layers.Dense(1, name="strength")(pooled),
        },
    )
    steps = epochs * len(data)
    rates = keras.optimizers.schedules.CosineDecay(
        1e-4, steps, warmup_target=2e-3, warmup_steps=min(200, math.ceil(steps / 10))
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(rates, weight_decay=1e-3, clipnorm=1.0),
        loss={
            "parameters": "mse",
            "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "strength": "mse",
        },
        weighted_metrics={"kind": ["accuracy"]},
        jit_compile=keras.backend.backend() == "jax",
    )
    model.fit(data, epochs=epochs, verbose=2)
    network.get_layer("features").adapt(_pooled(network, data))
    return network


def _pooled(network, data, batches=32):
    """Returns the last layer's inputs for a few batches, which are corrupted as in training."""
    pooled = keras.Model(network.input, network.get_layer("pooled").output)
    return np.concatenate(
        [keras.ops.convert_to_numpy(pooled(data[i][0])) for i in range(min(batches, len(data)))]
    )


def print_table(extractor, count=1000, seed=0):
    """Prints the KID of corrupted flowers that the network was not trained on."""
    images, _ = draw_flowers(2 * count, 32, seed=seed, first=2 * FIRST_FLOWER)
    real, clean = encode(extractor, images[:count]), images[count:].astype(np.float32) / 255
    rng = np.random.default_rng(seed)

    def row(name, *corrupted):
        estimates = [
            kid_with_standard_error(real, encode(extractor, part), repeats=20) for part in corrupted
        ]
        print(f"{name:12}", *(f"{e.value:9.4f} ± {e.standard_error:.4f}" for e in estimates))

    print(f"{'strength':12}", *(f"{strength:>18}" for strength in STRENGTHS))
    row("none", clean)
    row("mirrored", clean[:, :, ::-1])
    for kind in KINDS:
        row(kind, *(corrupt(clean, kind, strength, rng) for strength in STRENGTHS))


def main():
    parser = argparse.ArgumentParser(description="Train the network of the flower features.")
    parser.add_argument(
        "--out", required=True, help="where to write the weights; ends in .weights.h5"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000, help="number of flowers to draw")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    network = train(arguments.seed, arguments.count, arguments.epochs)
    network.save_weights(arguments.out)
    print_table(FeatureExtractor(network, name="flowers"))


if __name__ == "__main__":
    main()
