"""The model in which the checks of labs 07 and 08 try a student's functions."""

from functools import partial

import keras
import numpy as np
from keras import ops
from keras.backend import standardize_dtype

from diffusion_lab.backend import compiled
from diffusion_lab.labs.exercise import CheckFailed
from diffusion_lab.labs.rehearsal import train
from diffusion_lab.models.diffusion import DenoisingModel


class MyDiffusionModel(DenoisingModel):
    """A small model, one of whose methods a check replaces by the student's.

    The others work but give no answer away.
    """

    has = (
        "the model",
        "the methods diffusion_schedule, denoise and reverse_diffusion, the networks network and "
        "ema_network, and the numbers min_signal_rate and max_signal_rate",
    )
    min_signal_rate, max_signal_rate = 0.03, 0.9

    def __init__(self, size=4):
        # with a fixed seed, each rehearsal gives the same numbers
        initial = keras.initializers.GlorotUniform(seed=0)
        images, variances = keras.Input((size, size, 3)), keras.Input((1, 1, 1))
        mixed = keras.layers.Concatenate()([images, keras.layers.UpSampling2D(size)(variances)])
        super().__init__(
            keras.Model(
                [images, variances], keras.layers.Conv2D(3, 1, kernel_initializer=initial)(mixed)
            ),
            seed=0,
        )

    def diffusion_schedule(self, diffusion_times):
        variances = 0.05 + 0.9 * diffusion_times
        return ops.sqrt(variances), ops.sqrt(1 - variances)

    def denoise(self, noisy_images, noise_rates, signal_rates, training):
        if isinstance(noisy_images, np.ndarray):
            raise CheckFailed(
                "the numbers are right, but the network receives a NumPy array together with"
                " tensors, which Keras refuses: write `ops.` instead of `np.`."
            )
        refuse_float64(noisy_images, noise_rates, signal_rates)
        answer = (self.ema_network, self.network)[bool(training)](
            [noisy_images, 0.5 * noise_rates], training=training
        )
        return answer, noise_rates * noisy_images + signal_rates * answer

    def reverse_diffusion(self, initial_noise, diffusion_steps):
        rates = self.diffusion_schedule(ops.ones((initial_noise.shape[0], 1, 1, 1)))
        return self.denoise(initial_noise, *rates, training=False)[1]


def refuse_float64(*arrays):
    """Raises CheckFailed if an array is float64, while the network computes in float32."""
    if any(hasattr(x, "dtype") and standardize_dtype(x.dtype) == "float64" for x in arrays):
        raise CheckFailed(
            "the numbers are right, but they are float64 (NumPy makes such arrays), and the network"
            " computes in float32: write `ops.ones` instead of `np.ones`, or `ops.cast(x,"
            ' "float32")`.'
        )


def train_and_sample(model, training=True):
    """Uses a model as the labs do: trains it, generates images, and runs its `denoise` in a graph.

    Args:
        model: a `MyDiffusionModel`.
        training: False leaves out the training.

    Returns:
        The weights and images that come out, as one array.

    Raises:
        Exception: whatever stops it.
    """
    if training:
        train(model, np.full((3, *model.image_shape), 0.5, "float32"), network=model.network)
    images = [model.generate(2, steps, seed=0) for steps in (1, 2)]
    noise = ops.ones((5, *model.image_shape))
    components = compiled(partial(model.denoise, training=False))(
        noise, *model.diffusion_schedule(ops.ones((5, 1, 1, 1)))
    )
    return np.concatenate(
        [
            np.ravel(ops.convert_to_numpy(values))
            for values in (*model.network.weights, *images, *components)
        ]
    )
