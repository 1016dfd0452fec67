"""Lab 09: the loss of flow matching."""

import math  # noqa: F401  the wrong answers use it

import keras
from keras import ops

from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.oracle_network import OracleNetwork
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.rehearsal import noise_like, train

USAGE = "The network takes one list of two arrays: write `network([noisy_images, times])`."


def tiny_velocity_network():
    """Returns a network that is called in the same way as lab 09's, but is much smaller."""
    points, times = keras.Input((1, 1, 2)), keras.Input((1, 1, 1))
    return keras.Model(
        [points, times], keras.layers.Dense(2)(keras.layers.Concatenate()([points, times]))
    )


class FlowMatchingLoss(Exercise):
    name, takes = "flow_matching_loss", "network, images, noises, times"
    praise = "a straight line from image to noise, and a network that learns which way it points."
    shape_hint = "the times have the shape (B, 1, 1, 1): multiply the images by them unchanged"

    def draw(self, rng):
        return {
            name: rng.normal(size=(3, 4, 4, 2)).astype("float32")
            for name in ("images", "noises", "prediction")
        } | {"times": rng.uniform(0.1, 0.9, (3, 1, 1, 1)).astype("float32")}

    def measure(self, answer, inputs):
        network = OracleNetwork(inputs["prediction"], USAGE)
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("images", "noises", "times")]
        loss = array(self.call(answer, network, *tensors), "the loss")
        if len(network.calls) != 1:
            raise CheckFailed(f"You called the network {len(network.calls)} times. Call it once.")
        ((noisy, times, _),) = network.calls
        return {"loss": loss, "noisy": noisy, "times": times}

    def rehearse(self, answer, inputs):
        class FlowMatching(keras.Model):
            """The model of the lab."""

            def __init__(self):
                super().__init__()
                self.network = tiny_velocity_network()

            def call(self, images):
                return images

            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return answer(
                    self.network, x, ops.ones_like(x), ops.full_like(x[:, :1, :1, :1], 0.5)
                )

        train(FlowMatching(), noise_like(3, 1, 1, 2), loss=None)

    results = {
        "noisy": "the first input of the network",
        "times": "the second input of the network",
        "loss": "the loss",
    }

    @staticmethod
    def right(network, images, noises, times):
        noisy_images = (1 - times) * images + times * noises
        velocities = network([noisy_images, times])
        return ops.mean(ops.square(velocities - (noises - images)))

    mistakes = [
        Mistake(
            "Time runs the wrong way: 0 is the image, 1 is the noise. Multiply the image by 1 - "
            "t, and the noise by t.",
            ("(1 - times) * images + times * noises", "times * images + (1 - times) * noises"),
        ),
        Mistake(
            "You mixed on the quarter circle of diffusion. Flow matching goes straight: (1 - t) "
            "· image + t · noise.",
            (
                "(1 - times) * images + times * noises",
                "ops.cos(times * math.pi / 2) * images + ops.sin(times * math.pi / 2) * noises",
            ),
        ),
        Mistake(
            "The network receives the clean images. Mix the noise in first.",
            ("(1 - times) * images + times * noises", "images"),
        ),
        Mistake(
            "The network receives the bare noise. Mix it with the images first.",
            ("(1 - times) * images + times * noises", "noises"),
        ),
        Mistake(
            "The image keeps its full strength while the noise grows. Multiply the image by 1 - t.",
            ("(1 - times) * images", "images"),
        ),
        Mistake(
            "The network receives the square of the time. Pass the time itself.",
            ("times])", "times**2])"),
        ),
        Mistake("The network receives 1 - t. Pass t.", ("times])", "1 - times])")),
        Mistake(
            "The target points the wrong way. As t grows, the image becomes noise, so the "
            "velocity is noises - images.",
            ("noises - images", "images - noises"),
        ),
        Mistake(
            "Your target is the noise. Make it the velocity, noises - images.",
            ("noises - images", "noises"),
        ),
        Mistake(
            "Your target is the image. Make it the velocity, noises - images.",
            ("noises - images", "images"),
        ),
        Mistake(
            "You took the mean absolute error, which teaches the network a median. It should learn "
            "a mean: take the mean of the squared errors.",
            ("ops.square", "ops.abs"),
        ),
        Mistake(
            "You summed the squares. Take their mean, so that the loss does not depend on the "
            "size of the images or of the batch.",
            ("ops.mean", "ops.sum"),
        ),
        Mistake(
            "You took a square root of the mean squared error. Drop it: the loss is the mean "
            "squared error itself.",
            ("(noises - images)))", "(noises - images))) ** 0.5"),
        ),
        Mistake(
            "Your target is the velocity of diffusion. On a straight line the velocity is "
            "noises - images.",
            (
                "noises - images",
                "ops.cos(times * math.pi / 2) * noises - ops.sin(times * math.pi / 2) * images",
            ),
        ),
        Mistake(
            "You returned one number for each image. Return a single number, the mean over the "
            "whole batch.",
            ("(noises - images)))", "(noises - images)), axis=(1, 2, 3))"),
        ),
        Mistake(
            "You subtracted one square from the other. Take the difference first, and then "
            "square it.",
            (
                "ops.square(velocities - (noises - images))",
                "ops.square(velocities) - ops.square(noises - images)",
            ),
        ),
    ]
