"""The exponential moving average (EMA) of a network's weights, which samples better."""

import keras
from keras import ops

from diffusion_lab.errors import UserError


class EMA(keras.layers.Layer):
    """Keeps a copy of a network whose weights are an exponential moving average: `ema.network`.

    The copy starts from the network's weights (`clone_model` alone would initialise it at random)
    and warms up: after n updates the decay is min(decay, (1 + n) / (10 + n)). Without the warm-up,
    a decay of 0.999 would leave the copy near its start for the first thousand steps.

    Raises:
        UserError: unless the decay is at least 0 and less than 1.
    """

    def __init__(self, network, decay=0.999, **kwargs):
        super().__init__(trainable=False, **kwargs)
        if not 0 <= decay < 1:
            raise UserError(
                f"The decay of the EMA must be at least 0 and less than 1, not {decay}."
            )
        self.decay = decay
        self.network = keras.models.clone_model(network)
        self.network.set_weights(network.get_weights())
        self.network.trainable = False
        self.updates = self.add_weight(
            name="updates", shape=(), initializer="zeros", trainable=False
        )
        self.built = True

    def update(self, network):
        """Moves the copy a little towards the network, including batch-normalisation statistics."""
        decay = ops.minimum(self.decay, (1.0 + self.updates) / (10.0 + self.updates))
        for average, weight in zip(self.network.weights, network.weights):
            average.assign(decay * average + (1 - decay) * ops.cast(weight, average.dtype))
        self.updates.assign_add(1.0)
