"""Lab 01: a step of Langevin dynamics, and the loss that teaches a network what is likely."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import CheckFailed, Exercise, array, arrays, compare, numbered
from diffusion_lab.labs.rehearsal import train
from diffusion_lab.models.energy_based import ChainsModel

LIMIT = 0.03


class LangevinStep(Exercise):
    name, takes = "langevin_step", "network, images, noises, step_size"
    praise = "a step downhill, not too long, and shaken a little: what is likely is found without knowing Z."

    def draw(self, rng):
        shape = (4, 5, 5, 1)
        return {"images": rng.uniform(-1, 1, shape).astype("float32"), "noises": (0.05 * rng.normal(size=shape)).astype("float32"),
                "valley": rng.uniform(-1.8, 1.8, shape[1:]).astype("float32"), "step_size": np.float32(rng.uniform(6, 12))}

    def measure(self, answer, inputs):
        network = Bowl(inputs["valley"])
        images, noises = (ops.convert_to_tensor(inputs[name]) for name in ("images", "noises"))
        return arrays(self.call(answer, network, images, noises, float(inputs["step_size"])), "images")

    def rehearse(self, answer, inputs):
        class MyEnergyModel(SmallEnergyModel):
            def langevin_step(self, images, noises, step_size):
                return answer(self.network, images, noises, step_size)

        live_in(MyEnergyModel(), lambda signs, energies: ops.mean(signs * energies))

    def examine(self, inputs, outputs):
        x, noises, valley, step = (inputs[name].astype("float64") for name in ("images", "noises", "valley", "step_size"))

        def gradient(x):
            return 0.05 * (x - valley)

        def walk(slope, noises=noises, step=step, low=-1):
            return np.clip(x - step * slope + noises, low, 1)

        def limited(slope, limit=LIMIT):
            return np.clip(slope, -limit, limit)

        slope = limited(gradient(x))
        shaken = np.clip(x + noises, -1, 1)
        compare("the new image", outputs["images"], walk(slope), {
            "you climb: energy is *low* where images are likely, so go against the gradient.": walk(-slope),
            "the gradient is not clipped: limit it to ±0.03 before you multiply by the step size, or one steep place throws "
            "the image out.": walk(gradient(x)),
            "you clip the whole step; it is the gradient that is limited to ±0.03, before it is multiplied.":
                walk(limited(step * gradient(x)) / step),
            "the images leave [-1, 1]: clip them at the end.": x - step * slope + noises,
            "the images are clipped to [0, 1]; inside the model they live in [-1, 1].": walk(slope, low=0),
            "the noise is missing: without it every chain runs down into the nearest valley and stays there.":
                walk(slope, noises=0),
            "the noise is multiplied by the step size, too: only the gradient is.": walk(slope, noises=step * noises),
            "the noise is subtracted: the formula adds it.": walk(slope, noises=-noises),
            "the step size is missing.": walk(slope, step=1),
            "the gradient is divided by the size of the batch: take it of the *sum* of the energies, not of their mean, so "
            "that each image walks by itself.": walk(limited(gradient(x) / len(x))),
            "you take the gradient after the noise has come in: take it at the image itself.":
                np.clip(shaken - step * limited(gradient(shaken)), -1, 1),
            "this is the gradient, not the new image.": gradient(x),
            "this is the clipped gradient, not the new image.": slope,
        })


class Bowl(keras.Model):
    """A bowl in pixel space: the gradient is 0.05 · (image - valley), beyond the limit for some pixels only."""

    def __init__(self, valley):
        super().__init__()
        self.valley = ops.convert_to_tensor(valley)

    def call(self, inputs, training=None):
        return 0.025 * ops.sum(ops.square(inputs - self.valley), axis=(1, 2, 3))[:, None]


class SmallEnergyModel(ChainsModel):
    """A small model of lab 01 whose chains stand still."""

    def __init__(self):
        images = keras.Input((4, 4, 1))
        energies = keras.layers.Dense(1)(keras.layers.Flatten()(keras.layers.Conv2D(2, 3, activation="swish")(images)))
        super().__init__(keras.Model(images, energies), buffer_size=8, langevin_steps=2, seed=0)

    def langevin_step(self, images, noises, step_size):
        return images


def live_in(model, loss):
    """Lets a model train with a loss and generate, as the lab does. Raises whatever stops it."""
    train(model, np.full((3, 4, 4, 1), 0.5, "float32"), loss=loss, network=model.network)
    ops.convert_to_numpy(model.generate(5, 2, seed=0))


class ContrastiveDivergenceLoss(Exercise):
    name = "contrastive_divergence_loss"
    takes = "real_energies, fake_energies, regularization"
    praise = "real images are pushed down, the model's own are pulled up, and the squares keep both near zero."

    def draw(self, rng):
        low, high = np.sort(rng.normal(size=(2, 6, 1)), axis=0).astype("float32")
        crossed = np.arange(6).reshape(-1, 1) < 2  # a few real images have more energy than the generated ones
        return {"real_energies": np.where(crossed, high, low), "fake_energies": np.where(crossed, low, high),
                "regularization": np.float32(rng.uniform(0.2, 0.5))}

    def measure(self, answer, inputs):
        energies = [ops.convert_to_tensor(inputs[name]) for name in ("real_energies", "fake_energies")]
        result = self.call(answer, *energies, float(inputs["regularization"]))
        if len(np.shape(result)) == 2 and np.shape(result)[-1] == 2:
            raise CheckFailed("return one number, the mean over the batch.")
        return {"loss": array(result, "the loss")}

    def rehearse(self, answer, inputs):
        live_in(SmallEnergyModel(), lambda signs, energies: answer(energies[:, :1], energies[:, 1:], 0.1))

    def examine(self, inputs, outputs):
        real, fake, weight = (inputs[name].astype("float64") for name in ("real_energies", "fake_energies", "regularization"))
        squares = real**2 + fake**2
        each = real - fake + weight * squares
        compare("the loss", outputs["loss"], each.mean(), {
            "the sign is that of a *score*, which is high for likely images; an energy is low for them: E(real) - E(fake).":
                (fake - real + weight * squares).mean(),
            "the squares are missing: without them the energies drift away, since only their difference counts.":
                (real - fake).mean(),
            "the squares are taken in full: multiply them by `regularization`.": (real - fake + squares).mean(),
            "the squares must be *added*: they hold the energies back.": (real - fake - weight * squares).mean(),
            "only the real energies are held back: add the squares of the generated ones, too.":
                (real - fake + weight * real**2).mean(),
            "only the generated energies are held back: add the squares of the real ones, too.":
                (real - fake + weight * fake**2).mean(),
            "you square the difference; each of the two energies is squared by itself.":
                (real - fake + weight * (real - fake) ** 2).mean(),
            "you square the mean energies; square each energy first, then take the mean.":
                (real - fake).mean() + weight * (real.mean() ** 2 + fake.mean() ** 2),
            "this is the sum over the batch: take the mean, so that its size does not matter.": each.sum(),
            "one number, please: the mean over the batch.": each,
            "one number, please: the mean over the batch, too.": each[:, 0],
            "the two must not be added: real images go down, generated ones up.": (real + fake + weight * squares).mean(),
            "the absolute value throws away which of the two is lower.": (abs(real - fake) + weight * squares).mean(),
        })


langevin_step, contrastive_divergence_loss = numbered(1, LangevinStep, ContrastiveDivergenceLoss)
