"""Lab 10: a drawing made with sliders, and the flowers that it becomes."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.errors import UserError
from diffusion_lab.labs.compose import labelled_strip
from diffusion_lab.labs.lab10.drawing import crude_flower
from diffusion_lab.labs.widgets import Explorer, slider


def sketching(model, denoise, sdedit, steps=12, num_flowers=3):
    """Returns an explorer of SDEdit: sliders draw a flower, and the model paints over it.

    Args:
        model: a `DiffusionModel`.
        denoise: called as denoise(noisy_images, noise_rates, signal_rates).
        sdedit: called as sdedit(denoise, schedule, images, noises, start, steps); returns
            normalised images.
        steps: network evaluations for each flower.
        num_flowers: how many flowers one drawing becomes, each with its own noise.
    """
    noises = keras.random.normal((num_flowers, *model.image_shape), seed=5)

    def render(strength, petals, petal_hue, background_hue):
        drawing = crude_flower(petals, petal_hue, background_hue, image_size=model.image_shape[0])
        images = model.normalizer(ops.repeat(drawing[None], num_flowers, axis=0))
        images = sdedit(denoise, model.diffusion_schedule, images, noises, strength, steps)
        if tuple(np.shape(images)) != tuple(noises.shape):
            raise UserError(
                f"sdedit must return images of shape {tuple(noises.shape)}, not"
                f" {tuple(np.shape(images))}."
            )
        flowers = ops.convert_to_numpy(model.denormalize(images))
        names = ["drawing", *(f"noise {number}" for number in range(1, num_flowers + 1))]
        readout = (
            f"strength <b>{strength:g}</b> · <b>{petals}</b> petals · hue of the petals"
            f" <b>{petal_hue:g}</b> · hue of the background <b>{background_hue:g}</b>"
        )
        return labelled_strip(np.concatenate([drawing[None], flowers]), names), readout

    controls = {
        "strength": slider("strength", 0.1, 1.0, 0.8, 0.05),
        "petals": slider("number of petals", 2, 12, 5, 1),
        "petal_hue": slider("hue of the petals", 0.0, 1.0, 0.95, 0.05),
        "background_hue": slider("hue of the background", 0.0, 1.0, 0.35, 0.05),
    }
    return Explorer(
        render,
        controls,
        "Left: a drawing made of discs. Right: what SDEdit makes of it with three different"
        " samples of noise. The strength is the time at which sampling begins.",
    )
