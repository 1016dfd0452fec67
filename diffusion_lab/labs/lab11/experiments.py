"""The experiments of lab 11: tuning, and what few steps cost."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.metrics import encode, flower_features, kid_with_standard_error
from diffusion_lab.models.generating import generate_in_batches
from diffusion_lab.samplers import ddim


class ShrinkGap(keras.callbacks.Callback):
    """Halves the gap of a model `halvings` times during the training, smoothly, from 1.

    The learning rate falls to zero in the last third.
    """

    def __init__(self, steps, halvings, learning_rate):
        super().__init__()
        self.step, self.steps, self.halvings = 0, steps, halvings
        self.learning_rate = learning_rate

    def on_train_batch_begin(self, batch, logs=None):
        done = self.step / self.steps
        self.model.gap.assign(0.5 ** (self.halvings * min(1, done / 0.8)))
        self.model.optimizer.learning_rate = self.learning_rate * min(1, 3 * (1 - done))
        self.step += 1


class Judge:
    """Measures images against real ones: KID with its standard error, and variety.

    Args:
        real_images: (N, H, W, C), uint8.
    """

    def __init__(self, real_images):
        self.extractor, self.count = flower_features(), len(real_images)
        self.real_features = encode(self.extractor, real_images)

    def __call__(self, model, steps, **arguments):
        """Returns (KID, its standard error, variety as a share of that of the real images).

        `arguments`, such as sampler, go to `model.generate`.
        """
        images = generate_in_batches(model, self.count, steps, seed=1, **arguments)
        features = encode(self.extractor, images)
        kid, error = kid_with_standard_error(self.real_features, features)
        spread = [np.mean(np.std(each, axis=0)) for each in (features, self.real_features)]
        return float(kid), float(error), float(spread[0] / spread[1])


def guesses_along_the_path(model, noise, steps):
    """Returns the predicted images at each step of DDIM, in [0, 1]: a list of (B, H, W, C)."""
    guesses = []
    model.sample(
        ddim,
        noise,
        steps=steps,
        on_step=lambda step, time, noisy_images, pred_images: guesses.append(
            ops.convert_to_numpy(model.denormalize(pred_images))
        ),
    )
    return guesses
