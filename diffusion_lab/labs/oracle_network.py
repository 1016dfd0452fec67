"""The network that checks give to a student's function: its output is known in advance."""

import keras
from keras import ops

from diffusion_lab.labs.exercise import CheckFailed
from diffusion_lab.labs.outputs import array


class OracleNetwork(keras.Model):
    """A network that returns a given array and records its calls.

    Args:
        prediction: what it returns.
        usage: the sentence for a student who does not call it with one list of two arrays.

    Attributes:
        calls: (first input, second input, training) of each call.
    """

    def __init__(self, prediction, usage):
        super().__init__()
        self._prediction, self._usage, self.calls = ops.convert_to_tensor(prediction), usage, ()

    def __call__(self, inputs=None, *more, training=None, mask=None, **others):
        if more or others or not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise CheckFailed(self._usage)
        first, second = (array(part, "what the network receives") for part in inputs)
        self.calls = (*self.calls, (first, second, training))
        return self._prediction

    def call(self, inputs=None, *more, training=None, mask=None, **others):
        return self(inputs, *more, training=training, mask=mask, **others)

    def predict(self, *arguments, **options):
        raise CheckFailed(
            "You called `predict`, which is slow here and stops the gradient. Call the network"
            " itself, `network(...)`."
        )
