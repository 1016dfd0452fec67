"""Lab 04, where a network learns: `training_loop`, and `gradient_step` on a linear network, whose gradient is a formula."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import parts
from diffusion_lab.labs.exercise import CheckFailed, Exercise, array, arrays, compare
from diffusion_lab.labs.rehearsal import has_no_gradient, noise_like
from diffusion_lab.errors import NoGradient


class Factory:
    """Makes networks without anything in them, and numbers them."""

    def __init__(self):
        self.made = []

    def __call__(self):
        self.made.append(object())
        return self.made[-1]

    def number_of(self, thing):
        """1, 2, ... in the order of making, 0 for the factory itself, -1 for anything else."""
        things = [self, *self.made]
        return next((number for number, known in enumerate(things) if known is thing), -1)


class TrainingLoop(Exercise):
    name, takes = "training_loop", "make_network, batches, step"
    praise = "one network, made once, learns from every batch, and is still there at the end."

    def draw(self, rng):
        return {"batches": rng.normal(size=(5, 2, 4, 4, 3)).astype("float32"), "losses": rng.uniform(1, 9, 5)}

    def measure(self, answer, inputs):
        factory, batches, steps = Factory(), list(inputs["batches"]), []

        def step(network=None, images=None):
            seen = [index for index, batch in enumerate(batches) if np.shape(images) == batch.shape
                    and np.array_equal(images, batch)]
            if isinstance(network, np.ndarray) or images is None:
                raise CheckFailed("step takes the network first, then the batch: `step(network, images)`.")
            if not seen:
                raise CheckFailed("give `step` one batch at a time, as it comes out of `batches`.")
            steps.append([factory.number_of(network), seen[0]])
            return float(inputs["losses"][seen[0]])

        network, losses = self._both(self.call(answer, factory, batches, step), factory)
        return {"steps": np.array(steps, "float64").reshape(-1, 2), "made": array(len(factory.made), "made"),
                "returned": array(factory.number_of(network), "network"), "losses": array(losses, "losses")}

    def rehearse(self, answer, inputs):
        def step(network, images):
            return float(ops.mean(network(images, training=True)))

        network, losses = parts(answer(small_network, [noise_like(2, 6, 6, 3)] * 2, step))
        network.get_weights(), losses[0], losses[-1], np.ones(len(losses))

    @staticmethod
    def _both(result, factory):
        try:
            network, losses = parts(result)
        except (TypeError, ValueError):
            raise CheckFailed("it must return two things, the network and the list of losses: whoever saves the "
                              "network needs it.") from None
        if factory.number_of(losses) > 0:
            raise CheckFailed("the two come in the wrong order: first the network, then the losses.")
        return network, losses

    def examine(self, inputs, outputs):
        used, seen = outputs["steps"].T
        if len(used) == 0:
            raise CheckFailed("`step` is never called: it is what learns, so call it once for each batch.")
        if np.any(used == 0):
            raise CheckFailed("`make_network` is the factory; `make_network()`, with brackets, makes a network.")
        if np.any(used < 0):
            raise CheckFailed("`step` must get the network that `make_network()` returned.")
        if len(set(used)) > 1:
            raise CheckFailed("a fresh network for every batch, as in the script: make it once, *before* the loop.")
        if len(seen) == 1:
            raise CheckFailed("it stops after the first batch: does the `return` stand inside the loop?")
        if not np.array_equal(seen, np.arange(len(inputs["batches"]))):
            raise CheckFailed(f"each batch once, in order: yours takes the batches number {[int(i) for i in seen]}.")
        if outputs["returned"] > 0 and outputs["returned"] != used[0]:
            raise CheckFailed("the network that you return is a fresh one: return the one that has been trained.")
        if outputs["returned"] != used[0]:
            raise CheckFailed("return the trained network itself, the thing that `make_network()` gave you.")
        if outputs["made"] > 1:
            raise CheckFailed(f"`make_network` is called {int(outputs['made'])} times: once is enough.")
        losses = inputs["losses"]
        compare("losses", outputs["losses"], losses, {
            "you return the last loss alone: collect one for each batch in a list.": losses[-1],
            "you return the mean of the losses: collect one for each batch in a list.": losses.mean(),
            "you return the sum of the losses: collect one for each batch in a list.": losses.sum(),
        })


class LinearNetwork(keras.Model):
    """inputs @ kernel + bias, so that its gradient is known; has a third weight that nobody may train."""

    def __init__(self, kernel, bias):
        super().__init__()
        self.kernel = self.add_weight(shape=kernel.shape, name="kernel")
        self.bias = self.add_weight(shape=bias.shape, name="bias")
        self.moving_mean = self.add_weight(shape=(), initializer="zeros", trainable=False, name="moving_mean")
        self.set_weights([kernel, bias, np.float32(0)])
        self.built, self.in_training = True, ()

    def call(self, inputs, training=False):
        self.in_training = (*self.in_training, bool(training))
        return ops.matmul(inputs, self.kernel) + self.bias + self.moving_mean


class GradientStep(Exercise):
    name, takes = "gradient_step", "network, optimizer, loss_function, inputs, noises"
    praise = "the weights move, a little way downhill, and the loss says where they were."

    def draw(self, rng):
        shapes = {"inputs": (6, 4, 4, 3), "noises": (6, 4, 4, 3), "kernel": (3, 3), "bias": (3,)}
        return {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()} | {
            "learning_rate": np.float32(rng.uniform(0.1, 0.2))}

    def measure(self, answer, inputs):
        network = LinearNetwork(inputs["kernel"], inputs["bias"])
        optimizer = keras.optimizers.SGD(float(inputs["learning_rate"]))
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("inputs", "noises")]
        result = self.call(answer, network, optimizer, _some_loss, *tensors)
        names = ("kernel", "bias", "moving_mean")
        return arrays(result, "loss") | {name: array(getattr(network, name), name) for name in names} | {
            "in_training": np.array(network.in_training, "float64"), "steps": array(optimizer.iterations, "steps")}

    def explain(self, error, answer):
        if has_no_gradient(error) or isinstance(error, NoGradient):
            return ("there is no way from the loss back to the weights: call the network and the loss inside the function "
                    "(or the tape) that is differentiated.")
        return super().explain(error, answer)

    def rehearse(self, answer, inputs):
        network, optimizer = small_network(), keras.optimizers.Adam(0.01)
        for _ in range(2):
            float(answer(network, optimizer, _some_loss, noise_like(2, 6, 6, 3), noise_like(2, 6, 6, 3)))

    def examine(self, inputs, outputs):
        x, noises, rate = inputs["inputs"], inputs["noises"], inputs["learning_rate"]
        before = _packed(inputs["kernel"], inputs["bias"])
        after = _packed(outputs["kernel"], outputs["bias"])
        slope = _slope(before, x, noises)
        right = before - rate * slope
        if len(outputs["in_training"]) == 0:
            raise CheckFailed("the network is never asked: its prediction is `network(inputs, training=True)`.")
        compare("the weights after the step", after, right, {
            "the weights have not moved: a gradient that nobody applies changes nothing; `optimizer.apply` does.":
                before,
            "the step goes uphill: give the optimizer the gradient as it is, it does the subtracting.":
                before + rate * slope,
            "two steps are taken, not one.": right - rate * _slope(right, x, noises),
            "the loss compares with the inputs: it is the noises that the network must find.":
                before - rate * _slope(before, x, x),
            "the whole gradient is subtracted: the optimizer knows how long a step should be, `optimizer.apply`.":
                before - slope,
            "the weights have become the gradient: `optimizer.apply` makes a step along it.": slope,
            "only the first variable has moved: give the optimizer all of `network.trainable_variables`.":
                _packed(right[:-1], before[-1]),
            "only the last variable has moved: give the optimizer all of `network.trainable_variables`.":
                _packed(before[:-1], right[-1]),
        })
        if outputs["moving_mean"] != 0:
            raise CheckFailed("a weight that is not trainable has moved: use `network.trainable_variables`.")
        if outputs["steps"] != 1:
            raise CheckFailed("the weights are right, but the optimizer made no step: let `optimizer.apply` move them, "
                              "so that others than plain descent work, too.")
        if not outputs["in_training"][0]:
            raise CheckFailed("call the network with training=True: BatchNormalization then uses the batch itself.")
        compare("the loss", outputs["loss"], _loss(before, x, noises), {
            "this is the loss after the step: return the one that the gradient was taken of.": _loss(right, x, noises),
            "the loss is negative: return it as it is.": -_loss(before, x, noises),
        })


def small_network(channels=3):
    """A network of lab 04, only smaller."""
    layers = [keras.layers.Conv2D(2, 3, padding="same"), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    return keras.Sequential([keras.Input((None, None, channels)), *layers, keras.layers.Conv2D(3, 1)])


def _some_loss(noises, pred_noises):
    """Twice the mean square, so that it is of no use as an answer to exercise 4.2."""
    return 2 * ops.mean(ops.square(noises - pred_noises))


def _packed(kernel, bias):
    return np.concatenate([kernel, np.reshape(bias, (1, -1))])


def _loss(weights, x, noises):
    return 2 * np.square(x @ weights[:-1] + weights[-1] - noises).mean()


def _slope(weights, x, noises):
    """The gradient of `_some_loss` by the kernel and the bias below it: (4, 3)."""
    error = 4 * (x @ weights[:-1] + weights[-1] - noises).reshape(-1, 3) / noises.size
    return _packed(x.reshape(-1, 3).T @ error, error.sum(0))
