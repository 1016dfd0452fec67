"""Lab 04: `gradient_step`, one step of the optimizer."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.errors import NoGradient
from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.lab04.experiments import value_and_gradients
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array, arrays
from diffusion_lab.labs.rehearsal import has_no_gradient, noise_like


class LinearNetwork(keras.Model):
    """Computes inputs @ kernel + bias, and has a third weight that is not trainable.

    Attributes:
        in_training: for each call so far, True if it was in training mode.
    """

    def __init__(self, kernel, bias):
        super().__init__()
        self.kernel = self.add_weight(shape=kernel.shape, name="kernel")
        self.bias = self.add_weight(shape=bias.shape, name="bias")
        self.moving_mean = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="moving_mean"
        )
        self.set_weights([kernel, bias, np.float32(0)])
        self.built, self.in_training = True, ()

    def call(self, inputs, training=False):
        self.in_training = (*self.in_training, bool(training))
        return ops.matmul(inputs, self.kernel) + self.bias + self.moving_mean


APPLY = "optimizer.apply(gradients, network.trainable_variables)"


def assigning(value):
    """Returns code that gives each weight this value.

    The value is an expression, which may use `variable` and `gradient`.
    """
    return (
        f"[variable.assign({value}) for variable, gradient in zip(network.trainable_variables,"
        " gradients)]"
    )


class GradientStep(Exercise):
    name, takes = "gradient_step", "network, optimizer, loss_function, inputs, noises"
    praise = (
        "the weights move a little way downhill, and the loss tells you how high they were before."
    )

    def draw(self, rng):
        shapes = {"inputs": (6, 4, 4, 3), "noises": (6, 4, 4, 3), "kernel": (3, 3), "bias": (3,)}
        return {
            name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()
        } | {"learning_rate": np.float32(rng.uniform(0.1, 0.2))}

    def measure(self, answer, inputs):
        network = LinearNetwork(inputs["kernel"], inputs["bias"])
        optimizer = keras.optimizers.SGD(float(inputs["learning_rate"]))
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("inputs", "noises")]
        result = self.call(answer, network, optimizer, _some_loss, *tensors)
        kernel, bias = array(network.kernel, "kernel"), array(network.bias, "bias")
        return arrays(result, "loss") | {
            "weights": np.concatenate([kernel, bias[np.newaxis]]),
            "moving_mean": array(network.moving_mean, "moving_mean"),
            "in_training": np.array(network.in_training, "float64"),
            "steps": array(optimizer.iterations, "steps"),
        }

    def explain(self, error, answer):
        if has_no_gradient(error) or isinstance(error, NoGradient):
            return (
                "No gradient flows from the loss to the weights. Call the network and the loss"
                " inside the function (or the tape) that is differentiated."
            )
        return super().explain(error, answer)

    def rehearse(self, answer, inputs):
        network, optimizer = small_network(), keras.optimizers.Adam(0.01)
        for _ in range(2):
            float(
                answer(
                    network, optimizer, _some_loss, noise_like(2, 6, 6, 3), noise_like(2, 6, 6, 3)
                )
            )

    def examine(self, inputs, outputs):
        if len(outputs["in_training"]) == 0:
            raise CheckFailed(
                "You never called the network. Its prediction is `network(inputs, training=True)`."
            )
        super().examine(inputs, outputs)
        if outputs["moving_mean"] != 0:
            raise CheckFailed(
                "You moved a weight that is not trainable. Use `network.trainable_variables`."
            )
        if outputs["steps"] != 1:
            raise CheckFailed(
                f"The weights are right, but the optimizer made {outputs['steps']:g} "
                "steps. Move the weights with one `optimizer.apply`, so that your "
                "code works with every optimizer."
            )
        if not outputs["in_training"][0]:
            raise CheckFailed(
                "The network was not in training mode. Call it with training=True: "
                "BatchNormalization then uses the batch itself."
            )

    results = {"weights": "the weights after the step", "loss": "the loss"}

    @staticmethod
    def right(network, optimizer, loss_function, inputs, noises):
        def loss_of():
            return loss_function(noises, network(inputs, training=True))

        loss, gradients = value_and_gradients(loss_of, network)
        optimizer.apply(gradients, network.trainable_variables)
        return loss

    mistakes = [
        Mistake(
            "The weights have not moved, because nothing applied the gradients. Give them to "
            "`optimizer.apply`.",
            (APPLY, "pass"),
        ),
        Mistake(
            "Your step goes uphill. Give the optimizer the gradients without a minus sign: it"
            " already subtracts them.",
            ("apply(gradients", "apply([-gradient for gradient in gradients]"),
        ),
        Mistake(
            "You took two steps. Take one.",
            lambda *given: [GradientStep.right(*given) for _ in range(2)][0],
        ),
        Mistake(
            "Your loss compares the prediction with the inputs. Compare it with the noise, "
            "which the network must find.",
            ("loss_function(noises", "loss_function(inputs"),
        ),
        Mistake(
            "You subtracted the whole gradients. Use `optimizer.apply`, which knows how long "
            "a step should be.",
            (APPLY, assigning("variable - gradient")),
        ),
        Mistake(
            "You replaced the weights with the gradients. Use `optimizer.apply`, which takes "
            "a step instead.",
            (APPLY, assigning("gradient")),
        ),
        Mistake(
            "Only the first variable has moved. Give the optimizer all of "
            "`network.trainable_variables`.",
            (APPLY, "optimizer.apply(gradients[:1], network.trainable_variables[:1])"),
        ),
        Mistake(
            "Only the last variable has moved. Give the optimizer all of "
            "`network.trainable_variables`.",
            (APPLY, "optimizer.apply(gradients[-1:], network.trainable_variables[-1:])"),
        ),
        Mistake(
            "You returned the loss after the step. Return the loss that you differentiated.",
            ("return loss\n", "return loss_of()\n"),
        ),
        Mistake(
            "You returned the loss with a minus sign. Return the loss itself.",
            ("return loss\n", "return -loss\n"),
        ),
    ]


def small_network(channels=3):
    """Returns a small version of the network of lab 04."""
    layers = [
        keras.layers.Conv2D(2, 3, padding="same"),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
    ]
    return keras.Sequential(
        [keras.Input((None, None, channels)), *layers, keras.layers.Conv2D(3, 1)]
    )


def _some_loss(noises, pred_noises):
    """Returns twice the mean squared error, so that it is no answer to exercise 4.2."""
    return 2 * ops.mean(ops.square(noises - pred_noises))
