"""Lab 06: a training step written out by hand."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import BACKEND
from diffusion_lab.labs.blame import what_went_wrong
from diffusion_lab.labs.evidence import frames_of, origin, values_on_the_line
from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.lab06.small_models import (
    MyDiffusion,
    WithTimesteps,
    line_network,
    weights_of,
)
from diffusion_lab.labs.lab06.watchful_optimizer import NO_LIST, WatchfulSGD
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.rehearsal import noise_like


class TrainStep(WithTimesteps, Exercise):
    name = "train_step"
    takes = "network, ema_network, optimizer, diffusion, images, t, noises, ema_decay"
    praise = "mix, predict, compare, descend, and let the average follow."

    def __call__(self, answer):
        if BACKEND != "tensorflow":
            return print(
                f"Exercise {self.number}, {self.name}, is about TensorFlow's tape; "
                f"this notebook runs on {BACKEND}."
            )
        return super().__call__(answer)

    def draw(self, rng):
        return {
            "images": rng.uniform(-1, 1, (4, 3, 3, 1)).astype("float32"),
            "t": np.array([0, 6, 2, 7]),
            "noises": rng.normal(size=(4, 3, 3, 1)).astype("float32"),
            "weights": rng.normal(size=3).astype("float32"),
            "ema_weights": rng.normal(size=3).astype("float32"),
            "ema_decay": np.float32(0.7),
            "learning_rate": np.float32(0.3),
            "betas": np.linspace(0.02, 0.4, 8).astype("float32"),
        }

    def measure(self, answer, inputs):
        network, ema_network = (line_network(inputs[name]) for name in ("weights", "ema_weights"))
        optimizer = WatchfulSGD(float(inputs["learning_rate"]))
        optimizer.build(network.trainable_variables)
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("images", "t", "noises")]
        diffusion, ema_decay = MyDiffusion(inputs["betas"]), float(inputs["ema_decay"])
        loss = self.call(answer, network, ema_network, optimizer, diffusion, *tensors, ema_decay)
        return {
            "loss": array(loss, "the loss"),
            "weights": weights_of(network),
            "ema_weights": weights_of(ema_network),
        }

    def explain(self, error, answer):
        """Explains what the tape did: it names the loss, not the line where the answer stops."""
        values = values_on_the_line(error, answer).values()
        asked_tape = any(code.co_name == "gradient" for code, _, _ in frames_of(error))
        if asked_tape and any(isinstance(one, (np.ndarray, np.generic, float)) for one in values):
            return (
                "No gradient flows through the loss, because NumPy (`np.`) and `float` forget how a"
                " number was made. Compute it with `tf.` or `ops.`."
            )
        cause = origin(error)
        assigned = cause.obj if isinstance(cause, AttributeError) and cause.name == "assign" else ()
        if isinstance(assigned, np.ndarray):
            return (
                f"{what_went_wrong(error, answer)} (`get_weights` returns copies, as NumPy arrays:"
                " walk through `ema_network.weights` and `network.weights`)."
            )
        if isinstance(cause, TypeError) and any(one is None for one in values):
            return NO_LIST
        return super().explain(error, answer)

    def rehearse(self, answer, inputs):
        if BACKEND == "tensorflow":
            networks = [line_network([0.5, 0.1, 0.0]) for _ in range(2)]
            optimizer = keras.optimizers.Adam(0.01)
            diffusion = MyDiffusion(np.linspace(0.1, 0.3, 3, dtype="float32"))
            images, noises = noise_like(2, 3, 3, 1), ops.ones((2, 3, 3, 1))
            for _ in range(2):
                t = ops.convert_to_tensor([0, 2], "int32")
                answer(*networks, optimizer, diffusion, images, t, noises, 0.1)

    def examine(self, inputs, outputs):
        if outputs["loss"].ndim:
            raise CheckFailed(
                f"The loss has the shape {outputs['loss'].shape}. Make it one number: take the mean"
                " over all images and pixels."
            )
        unchanged, ema_unchanged = (
            np.allclose(outputs[name], inputs[name], atol=1e-6)
            for name in ("weights", "ema_weights")
        )
        if unchanged and not ema_unchanged:
            raise CheckFailed(
                "Only the EMA network changes. Apply the gradients to `network`, and let the "
                "average follow it."
            )
        super().examine(inputs, outputs)

    results = {
        "weights": "the network's weights",
        "ema_weights": "the EMA weights",
        "loss": "the loss",
    }

    @staticmethod
    def right(network, ema_network, optimizer, diffusion, images, t, noises, ema_decay):
        import tensorflow as tf

        noisy_images = diffusion.q_sample(images, t, noises)
        with tf.GradientTape() as tape:
            pred_noises = network([noisy_images, t], training=True)
            loss = tf.reduce_mean(tf.square(pred_noises - noises))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables))
        for average, weight in zip(ema_network.weights, network.weights):
            average.assign(ema_decay * average + (1 - ema_decay) * weight)
        return loss

    mistakes = [
        # Mistakes that leave the network's weights right come first: all others also change the
        # average.
        Mistake(
            "The average never changes. For each pair of weights, assign ema_decay · average + (1 "
            "- ema_decay) · weight.",
            ("average.assign(ema_decay * average + (1 - ema_decay) * weight)", "pass"),
        ),
        Mistake(
            "You multiplied the wrong term by the decay. The average keeps most of itself: "
            "ema_decay · average + (1 - ema_decay) · weight.",
            (
                "ema_decay * average + (1 - ema_decay) * weight",
                "(1 - ema_decay) * average + ema_decay * weight",
            ),
        ),
        Mistake(
            "The average follows the weights from before the step. Update it after the optimizer's "
            "step.",
            lambda *arguments: average_first(*arguments),
        ),
        Mistake(
            "You used a decay of 0.999. Use the argument `ema_decay`.",
            (
                "ema_decay * average + (1 - ema_decay) * weight",
                "0.999 * average + (1 - 0.999) * weight",
            ),
        ),
        Mistake(
            "Parentheses are missing around 1 - ema_decay. Python multiplies before it subtracts.",
            ("(1 - ema_decay) * weight", "1 - ema_decay * weight"),
        ),
        *(
            Mistake(
                "You assigned the average to the weights of `network`. Assign it to those of"
                " `ema_network`.",
                wrong,
            )
            for wrong in (
                ("average.assign(", "weight.assign("),
                (
                    "zip(ema_network.weights, network.weights)",
                    "zip(network.weights, ema_network.weights)",
                ),
            )
        ),
        Mistake(
            "The EMA network is a plain copy of `network`. Let it follow slowly: ema_decay · "
            "average + (1 - ema_decay) · weight.",
            ("ema_decay * average + (1 - ema_decay) * weight", "weight"),
        ),
        Mistake(
            "You added the new share and kept all of the old average. Shrink the old one: "
            "ema_decay · average.",
            ("ema_decay * average", "average"),
        ),
        Mistake(
            "You returned the loss after the step. Return the one that you took the gradient of.",
            (
                "return loss",
                "return tf.reduce_mean(tf.square(network([noisy_images, t]) - noises))",
            ),
        ),
        Mistake(
            "The weights never change. Take the gradient with the tape, and pass it to "
            "optimizer.apply_gradients.",
            (
                "optimizer.apply_gradients(zip(gradients, network.trainable_variables))",
                "return loss",
            ),
        ),
        Mistake(
            "You moved uphill. The optimizer already moves against the gradient, so leave the "
            "gradient's sign unchanged.",
            ("zip(gradients,", "zip([-gradient for gradient in gradients],"),
        ),
        Mistake(
            "The network receives the clean images. Mix the noise in first, with "
            "diffusion.q_sample.",
            ("diffusion.q_sample(images, t, noises)", "images"),
        ),
        Mistake(
            "The network receives the bare noise. Mix it with the images, with diffusion.q_sample.",
            ("diffusion.q_sample(images, t, noises)", "noises"),
        ),
        Mistake(
            "Your loss compares the prediction with the images. Compare it with the noise, "
            "which this network predicts.",
            ("pred_noises - noises", "pred_noises - images"),
        ),
        Mistake(
            "Your loss compares the prediction with the noisy images. Compare it with the "
            "noise, which this network predicts.",
            ("pred_noises - noises", "pred_noises - noisy_images"),
        ),
        Mistake(
            "The network receives t = 0 for all images. Pass each image's own t, unchanged: a"
            " fraction such as t / 1000 is rounded down to 0.",
            ("noisy_images, t]", "noisy_images, 0 * t]"),
        ),
        Mistake("You summed the squares. Take their mean.", ("tf.reduce_mean", "tf.reduce_sum")),
        *(
            Mistake(
                "You did not square the differences. Square them, and then take their mean.",
                ("tf.square", other),
            )
            for other in ("tf.abs", "")  # the same if all differences have one sign
        ),
        Mistake(
            "You applied the optimizer twice. Apply it once in each step.",
            ("optimizer.apply", "for _ in range(2): optimizer.apply"),
        ),
        Mistake(
            "You applied the optimizer twice. Apply it once in each step.",
            lambda *arguments: [TrainStep.right(*arguments) for _ in range(2)][1],
        ),
    ]


def average_first(network, ema_network, *others):
    """Does a training step, but updates the average before the weights. Returns the loss."""
    *others, ema_decay = others
    for average, weight in zip(ema_network.weights, network.weights):
        average.assign(ema_decay * average + (1 - ema_decay) * weight)
    return TrainStep.right(network, ema_network, *others, 1.0)
