"""The experiments of lab 07: a student's sampler with trained weights, and two trainings."""

import time
from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import compiled
from diffusion_lab.errors import UserError
from diffusion_lab.labs.training_panel import TrainingStopped


def copy_weights(trained, model):
    """Copies the weights, EMA weights and normaliser of `trained` to a model of the same kind."""
    for network in (model.network, model.ema_network):
        network.set_weights(trained.ema_network.get_weights())
    model.normalizer.set_weights(trained.normalizer.get_weights())
    model.normalizer.finalize_state()


def sample_with(remix, model, initial_noise, steps, eta, seed=0):
    """Samples with a student's `remix`, at the times of exercise 7.3.

    Args:
        remix: the function of exercise 7.4.
        model: a `DiffusionModel`.
        initial_noise: (B, H, W, C).
        steps: the number of network evaluations for each image.
        eta: from 0, which is DDIM, to 1, which is DDPM.
        seed: of the fresh noise.

    Returns:
        Images in [0, 1], (B, H, W, C).
    """
    denoise = compiled(partial(model.denoise, training=False))
    fresh_noise = partial(
        keras.random.normal, initial_noise.shape, seed=keras.random.SeedGenerator(seed)
    )
    times = np.linspace(1, 0, steps + 1, dtype="float32")
    path = [model.diffusion_schedule(ops.full((len(initial_noise), 1, 1, 1), t)) for t in times]
    images = initial_noise
    for rates, next_rates in zip(path, path[1:]):
        components = denoise(images, *rates)
        remixed = remix(*components, fresh_noise(), rates, next_rates, eta)
        images = ops.convert_to_tensor(remixed, "float32")
    return model.denormalize(components[1])


def changed(settings, change):
    """Returns the settings with the change.

    Raises:
        UserError: for a setting that does not exist, or if not exactly one setting changes.
    """
    for name in change.keys() - settings.keys():
        raise UserError(f"There is no setting {name!r}: choose one of {', '.join(settings)}.")
    differences = [name for name, value in change.items() if value != settings[name]]
    if len(differences) != 1:
        raise UserError(
            f"{change} changes {len(differences)} of your settings: change exactly one, or you"
            " cannot tell what caused the result."
        )
    return settings | change


def compare_models(models, dataset, epochs, kid):
    """Trains each model on the same images in the same order, and prints its KID.

    Args:
        models: {name: a compiled `DiffusionModel`}.
        dataset: from `load_dataset`.
        epochs: of the training.
        kid: a `ValidationKID`, which says how many images are generated, and in how many steps.

    Raises:
        TrainingStopped: if the kernel is interrupted.
    """
    width = max(map(len, models))
    for name, model in models.items():
        print(f"{name:{width}}  ", end="", flush=True)  # says what is being trained
        begin = time.monotonic()
        try:
            model.fit(
                dataset,
                epochs=epochs,
                shuffle=False,
                verbose=0,
                callbacks=[dataset.epoch_callback()],
            )
        except KeyboardInterrupt:
            raise TrainingStopped("Stopped: run the cell again to compare the models.") from None
        seconds = time.monotonic() - begin
        value, error = kid.with_standard_error(model)
        print(f"KID {value:.2f} ± {error:.2f}, trained in {seconds:.0f} seconds")
