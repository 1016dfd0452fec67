"""Lab 04: `training_loop`, which shows all the batches to one network."""

import numpy as np
from keras import ops

from diffusion_lab.backend import parts
from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.lab04.optimization import small_network
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.rehearsal import noise_like


class Factory:
    """Makes stand-ins for networks, and numbers them."""

    def __init__(self):
        self.made = []

    def __call__(self):
        self.made.append(object())
        return self.made[-1]

    def number_of(self, thing):
        """Returns 1 for the first network made, 2 for the second, 0 for the factory, else -1."""
        things = [self, *self.made]
        return next((number for number, known in enumerate(things) if known is thing), -1)


class TrainingLoop(Exercise):
    name, takes = "training_loop", "make_network, batches, step"
    praise = "one network, made once, learns from every batch, and you get it back at the end."

    def draw(self, rng):
        return {
            "batches": rng.normal(size=(5, 2, 4, 4, 3)).astype("float32"),
            "losses": rng.uniform(1, 9, 5),
        }

    def measure(self, answer, inputs):
        factory, batches, steps = Factory(), inputs["batches"], []

        def step(network=None, images=None):
            seen = [
                index
                for index, batch in enumerate(batches)
                if np.shape(images) == batch.shape and np.array_equal(images, batch)
            ]
            if isinstance(network, np.ndarray) or images is None:
                raise CheckFailed(
                    "You called `step` with the wrong arguments. It takes the "
                    "network first, then the batch: `step(network, images)`."
                )
            if not seen:
                raise CheckFailed(
                    "You called `step` with something other than one batch. Give "
                    "it one batch at a time, as it comes out of `batches`."
                )
            steps.append([factory.number_of(network), seen[0]])
            return float(inputs["losses"][seen[0]])

        given = list(batches.copy())  # an answer may change its own list
        network, losses = self._both(self.call(answer, factory, given, step), factory)
        return {
            "steps": np.array(steps, "float64").reshape(-1, 2),
            "made": array(len(factory.made), "made"),
            "returned": array(factory.number_of(network), "network"),
            "losses": array(losses, "losses"),
        }

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
            raise CheckFailed(
                "You returned something other than two values. Return the network "
                "and the list of losses: the network is needed for saving."
            ) from None
        if factory.number_of(losses) > 0:
            raise CheckFailed(
                "The two results are in the wrong order. Return the network first, then the losses."
            )
        return network, losses

    def examine(self, inputs, outputs):
        used, seen = outputs["steps"].T
        if len(used) == 0:
            raise CheckFailed(
                "You never called `step`, which does the learning. Call it once for each batch."
            )
        if np.any(used == 0):
            raise CheckFailed(
                "You used `make_network` itself, which is the factory. Make a "
                "network with `make_network()`, with parentheses."
            )
        if np.any(used < 0):
            raise CheckFailed(
                "You called `step` with something other than a network. Give it "
                "what `make_network()` returned."
            )
        if len(set(used)) > 1:
            raise CheckFailed(
                "You made a fresh network for every batch, as the script did. Make "
                "it once, before the loop."
            )
        if len(seen) == 1:
            raise CheckFailed(
                "Your loop stopped after the first batch. Check whether the "
                "`return` is inside the loop."
            )
        if not np.array_equal(seen, np.arange(len(inputs["batches"]))):
            raise CheckFailed(
                f"You used the batches {[int(index) for index in seen]}. Use each "
                "batch once, in order."
            )
        if outputs["returned"] > 0 and outputs["returned"] != used[0]:
            raise CheckFailed("You returned a fresh network. Return the one that has been trained.")
        if outputs["returned"] != used[0]:
            raise CheckFailed(
                "You returned something other than the trained network. Return what "
                "`make_network()` gave you."
            )
        if outputs["made"] > 1:
            raise CheckFailed(
                f"You called `make_network` {int(outputs['made'])} times. Call it once."
            )
        super().examine(inputs, outputs)

    results = {"losses": "losses"}

    @staticmethod
    def right(make_network, batches, step):
        network = make_network()
        losses = [step(network, images) for images in batches]
        return network, losses

    mistakes = [
        Mistake(
            "You returned only the last loss. Return a list with one loss for each batch.",
            ("return network, losses", "return network, losses[-1]"),
        ),
        Mistake(
            "You returned the mean of the losses. Return a list with one loss for each batch.",
            ("return network, losses", "return network, np.mean(losses)"),
        ),
        Mistake(
            "You returned the sum of the losses. Return a list with one loss for each batch.",
            ("return network, losses", "return network, sum(losses)"),
        ),
    ]
