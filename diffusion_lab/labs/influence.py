"""What a pixel of a network's output looks at, in labs 04 and 05."""

import numpy as np
from keras import ops

from diffusion_lab.backend import input_gradient


def influence(predict, noisy_images):
    """Returns how much each input pixel matters to the middle pixel of a prediction.

    Args:
        predict: a function of noisy images that returns the prediction, (N, H, W, C).
        noisy_images: (N, H, W, C).

    Returns:
        The absolute gradient of all channels of that pixel, summed over the images and their
        channels and scaled to the sum 1: (H, W). It is exactly 0 where the network does not look.
    """
    _, height, width, _ = noisy_images.shape
    middle = lambda images: predict(images)[:, height // 2, width // 2]
    gradient = input_gradient(middle, ops.convert_to_tensor(noisy_images))
    total = np.abs(ops.convert_to_numpy(gradient)).sum((0, -1))
    return total / total.sum()
