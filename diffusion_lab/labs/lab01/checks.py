"""Lab 01: a step of Langevin dynamics, and the loss that teaches a network what is likely."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import input_gradient
from diffusion_lab.labs.exercise import Exercise, numbered
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array, arrays
from diffusion_lab.labs.rehearsal import train
from diffusion_lab.models.energy_based import ChainsModel


class LangevinStep(Exercise):
    name, takes = "langevin_step", "network, images, noises, step_size"
    praise = (
        "you step downhill, not too far, and shake a little: that finds likely images without Z."
    )

    def draw(self, rng):
        shape = (4, 5, 5, 1)
        return {
            "images": rng.uniform(-1, 1, shape).astype("float32"),
            "noises": (0.05 * rng.normal(size=shape)).astype("float32"),
            "valley": rng.uniform(-1.8, 1.8, shape[1:]).astype("float32"),
            "step_size": np.float32(rng.uniform(6, 12)),
        }

    def measure(self, answer, inputs):
        network = Bowl(inputs["valley"])
        images, noises = (ops.convert_to_tensor(inputs[name]) for name in ("images", "noises"))
        return arrays(
            self.call(answer, network, images, noises, float(inputs["step_size"])), "images"
        )

    def rehearse(self, answer, inputs):
        class MyEnergyModel(SmallEnergyModel):
            def langevin_step(self, images, noises, step_size):
                return answer(self.network, images, noises, step_size)

        train_and_generate(MyEnergyModel(), lambda signs, energies: ops.mean(signs * energies))

    results = {"images": "the new image"}

    @staticmethod
    def right(network, images, noises, step_size):
        gradients = input_gradient(network, images)
        step = step_size * ops.clip(gradients, -0.03, 0.03)
        return ops.clip(images - step + noises, -1, 1)

    mistakes = [
        Mistake(
            "You climbed. Energy is low where images are likely, so go against the gradient.",
            ("images - step", "images + step"),
        ),
        Mistake(
            "The gradient is not clipped, so one steep place throws the image far away. Limit it "
            "to ±0.03 before you multiply it by the step size.",
            ("ops.clip(gradients, -0.03, 0.03)", "gradients"),
        ),
        Mistake(
            "You clipped the whole step. Clip the gradient to ±0.03 first, and then multiply it "
            "by the step size.",
            (
                "step_size * ops.clip(gradients, -0.03, 0.03)",
                "ops.clip(step_size * gradients, -0.03, 0.03)",
            ),
        ),
        Mistake(
            "The images leave [-1, 1]. Clip them at the end.",
            ("ops.clip(images - step + noises, -1, 1)", "images - step + noises"),
        ),
        Mistake(
            "You clipped the images to [0, 1]. Clip them to [-1, 1], the range of images inside "
            "the model.",
            ("noises, -1, 1", "noises, 0, 1"),
        ),
        Mistake(
            "The noise is missing, so every chain runs down into the nearest valley and stays "
            "there. Add the noise.",
            (" + noises", ""),
        ),
        Mistake(
            "You multiplied the noise by the step size. Multiply only the gradient by it.",
            ("+ noises", "+ step_size * noises"),
        ),
        Mistake("You subtracted the noise. Add it.", ("+ noises", "- noises")),
        Mistake(
            "The step size is missing. Multiply the clipped gradient by it.", ("step_size * ", "")
        ),
        Mistake(
            "You took the gradient of the mean energy, which divides it by the batch size. "
            "Take the gradient of the sum: each image walks independently of the others.",
            ("(network, images)\n", "(lambda x: ops.mean(network(x)), images)\n"),
        ),
        Mistake(
            "You took the gradient after adding the noise. Take it at the image itself.",
            lambda network, x, noises, step_size: LangevinStep.right(
                network, ops.clip(x + noises, -1, 1), 0 * noises, step_size
            ),
        ),
        Mistake(
            "You returned the gradient. Return the new image.",
            ("ops.clip(images - step + noises, -1, 1)", "gradients"),
        ),
        Mistake(
            "You returned the clipped gradient. Return the new image.",
            ("ops.clip(images - step + noises, -1, 1)", "ops.clip(gradients, -0.03, 0.03)"),
        ),
    ]


class Bowl(keras.Model):
    """An energy like a bowl; its gradient, 0.05 · (image - valley), is too large at some pixels."""

    def __init__(self, valley):
        super().__init__()
        self.valley = ops.convert_to_tensor(valley)

    def call(self, inputs, training=None):
        return 0.025 * ops.sum(ops.square(inputs - self.valley), axis=(1, 2, 3))[:, None]


class SmallEnergyModel(ChainsModel):
    """A small model of lab 01 whose chains do not move."""

    def __init__(self):
        images = keras.Input((4, 4, 1))
        energies = keras.layers.Dense(1)(
            keras.layers.Flatten()(keras.layers.Conv2D(2, 3, activation="swish")(images))
        )
        super().__init__(keras.Model(images, energies), buffer_size=8, langevin_steps=2, seed=0)

    def langevin_step(self, images, noises, step_size):
        return images


def train_and_generate(model, loss):
    """Trains a model with a loss and generates images, as the lab does. Raises what stops it."""
    train(model, np.full((3, 4, 4, 1), 0.5, "float32"), loss=loss, network=model.network)
    ops.convert_to_numpy(model.generate(5, 2, seed=0))


class ContrastiveDivergenceLoss(Exercise):
    name = "contrastive_divergence_loss"
    takes = "real_energies, fake_energies, regularization"
    praise = "real images are pushed down, generated ones up, and the squares keep both near zero."

    def draw(self, rng):
        low, high = np.sort(rng.normal(size=(2, 6, 1)), axis=0).astype("float32")
        # the absolute value is wrong only if a real image has more energy than a generated one
        crossed = np.arange(6).reshape(-1, 1) < 2
        return {
            "real_energies": np.where(crossed, high, low),
            "fake_energies": np.where(crossed, low, high),
            "regularization": np.float32(rng.uniform(0.2, 0.5)),
        }

    def measure(self, answer, inputs):
        energies = [
            ops.convert_to_tensor(inputs[name]) for name in ("real_energies", "fake_energies")
        ]
        result = self.call(answer, *energies, float(inputs["regularization"]))
        if len(np.shape(result)) == 2 and np.shape(result)[-1] == 2:
            raise CheckFailed(
                "You returned two numbers for each image. Return one, the mean over the batch."
            )
        return {"loss": array(result, "the loss")}

    def rehearse(self, answer, inputs):
        train_and_generate(
            SmallEnergyModel(),
            lambda signs, energies: answer(energies[:, :1], energies[:, 1:], 0.1),
        )

    results = {"loss": "the loss"}

    @staticmethod
    def right(real_energies, fake_energies, regularization):
        squares = ops.square(real_energies) + ops.square(fake_energies)
        return ops.mean(real_energies - fake_energies + regularization * squares)

    mistakes = [
        Mistake(
            "Your loss has the sign of a score, which is high for likely images. An energy is "
            "low for them: take E(real) - E(fake).",
            ("real_energies - fake_energies", "fake_energies - real_energies"),
        ),
        Mistake(
            "The squares are missing, so the energies can drift away together: only their "
            "difference counts. Add `regularization` times the squares.",
            (" + regularization * squares", ""),
        ),
        Mistake(
            "You added the squares in full. Multiply them by `regularization`.",
            ("regularization * squares", "squares"),
        ),
        Mistake(
            "You subtracted the squares. Add them: they keep the energies near zero.",
            ("+ regularization", "- regularization"),
        ),
        Mistake(
            "You added the squares of the real energies only. Add those of the generated ones as "
            "well.",
            (" + ops.square(fake_energies)", ""),
        ),
        Mistake(
            "You added the squares of the generated energies only. Add those of the real ones as "
            "well.",
            ("ops.square(real_energies) + ", ""),
        ),
        Mistake(
            "You squared the difference. Square each of the two energies separately.",
            (
                "ops.square(real_energies) + ops.square(fake_energies)",
                "ops.square(real_energies - fake_energies)",
            ),
        ),
        Mistake(
            "You squared the mean energies. Square each energy first, and then take the mean.",
            (
                "ops.square(real_energies) + ops.square(fake_energies)",
                "ops.square(ops.mean(real_energies)) + ops.square(ops.mean(fake_energies))",
            ),
        ),
        Mistake(
            "You summed over the batch. Take the mean, so that the loss does not depend on the "
            "batch size.",
            ("ops.mean", "ops.sum"),
        ),
        Mistake(
            "You returned one number for each image. Return one, the mean over the batch.",
            ("ops.mean", ""),
        ),
        Mistake(
            "You returned one number for each image. Return one, the mean over the batch.",
            ("squares)", "squares, axis=-1)"),
        ),
        Mistake(
            "You added the two energies. Subtract the generated ones: real images go down, "
            "generated ones up.",
            ("real_energies - fake_energies", "real_energies + fake_energies"),
        ),
        Mistake(
            "You took the absolute value, so the loss cannot tell which of the two energies is "
            "lower. Keep the sign of the difference.",
            ("real_energies - fake_energies", "ops.abs(real_energies - fake_energies)"),
        ),
    ]


langevin_step, contrastive_divergence_loss = numbered(1, LangevinStep, ContrastiveDivergenceLoss)
