"""Sliders on trained models: the number of steps, fresh noise, and interpolation."""

import time
from functools import lru_cache

import keras
import numpy as np
from keras import ops

from diffusion_lab.errors import UserError
from diffusion_lab.labs.compose import above, grid, labelled_strip
from diffusion_lab.labs.language import say
from diffusion_lab.labs.widgets.controls import choices, slider
from diffusion_lab.labs.widgets.explorer import Explorer
from diffusion_lab.samplers import ddim

STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50)


def sampling(model, num_images=12, steps=STEPS):
    """Returns an explorer of DDIM on a `DiffusionModel`: steps, eta, and the noise's seed.

    With eta = 0 the model's own `reverse_diffusion` generates the images, otherwise the package's
    `ddim`. A seed gives the same initial noise for any number of steps and any eta.

    Args:
        model: a `DiffusionModel`.
        num_images: how many images one picture shows.
        steps: the numbers of steps to choose from.
    """

    def generate(steps, eta, seed):
        # without arguments, `generate` uses the model's own `reverse_diffusion`
        fresh_noise = {"sampler": ddim, "eta": eta} if eta else {}
        return ops.convert_to_numpy(model.generate(num_images, steps, seed=seed, **fresh_noise))

    generate(1, 0, seed=0)  # compiles, so that the first read-out is the time of sampling

    def render(steps, eta, seed):
        begin = time.perf_counter()
        images = generate(steps, eta, seed)
        seconds = time.perf_counter() - begin
        readout = say(
            "NFE <b>{steps}</b> per image · <b>{seconds:.2f} s</b> for {count} images · "
            "eta <b>{eta:g}</b> · seed <b>{seed}</b>",
            steps=steps,
            seconds=seconds,
            count=num_images,
            eta=eta,
            seed=seed,
        )
        return grid(images, columns=6, width=600), readout

    controls = {
        "steps": choices(say("number of steps"), steps, 10 if 10 in steps else steps[0]),
        "eta": slider(say("eta (fresh noise)"), 0.0, 1.0, 0.0, 0.1),
        "seed": slider(say("seed of the noise"), 0, 20, 1, 1),
    }
    return Explorer(
        render,
        controls,
        say(
            "The seed chooses {count} samples of noise, which stay the same while you move the"
            " other two sliders. With eta = 0 the path from there is fixed; with eta = 1 every step"
            " adds as much noise as DDPM does.",
            count=num_images,
        ),
    )


def circular_interpolation(first, second, position):
    """Returns the noise between two noise arrays, weighted by the cosine and sine of an angle.

    The angle grows from 0 to 90° with `position`, so the variance stays 1.
    """
    angle = position * np.pi / 2
    return np.cos(angle) * first + np.sin(angle) * second


def interpolation(model, slerp=circular_interpolation, steps=10, num_positions=17):
    """Returns an explorer of the images between two others: it interpolates their noise.

    Args:
        model: a `DiffusionModel`.
        slerp: called as slerp(first, second, position), noise (1, H, W, C) as tensors and a number
            in [0, 1]; returns the noise between them, in the same shape.
        steps: network evaluations for each image.
        num_positions: positions of the slider; their images are generated together.
    """
    positions = np.linspace(0, 1, num_positions)

    @lru_cache(maxsize=8)
    def path(*seeds):
        return generate_between(model, slerp, seeds, positions, steps)

    def render(position, first_seed, second_seed):
        noises, images = path(first_seed, second_seed)
        number = int(np.argmin(np.abs(positions - position)))
        shown = range(0, num_positions, 2)
        strip = labelled_strip(
            images[shown],
            [f"{positions[i]:.3g}" for i in shown],
            chosen=number // 2 if number % 2 == 0 else None,
        )
        readout = say(
            "from noise {first} to noise {second}: position <b>{position:.4g}</b> · standard"
            " deviation of the noise <b>{deviation:.2f}</b>",
            first=first_seed,
            second=second_seed,
            position=positions[number],
            deviation=noises[number].std(),
        )
        return above(strip, grid(images[number : number + 1], width=240), gap=8), readout

    controls = {
        "position": slider(say("position between the two"), 0.0, 1.0, 0.5, 1 / (num_positions - 1)),
        "first_seed": slider(say("seed of the first noise"), 0, 20, 3, 1),
        "second_seed": slider(say("seed of the second noise"), 0, 20, 16, 1),
    }
    return Explorer(
        render,
        controls,
        say(
            "From one flower to another. We mix the noise, not the images, so every stop "
            "on the way is a new flower."
        ),
    )


def generate_between(model, slerp, seeds, positions, steps):
    """Returns (noises, images) at all `positions` between the noise of two seeds, NumPy.

    Raises:
        UserError: if `slerp` returns an array of another shape.
    """
    first, second = (keras.random.normal((1, *model.image_shape), seed=seed) for seed in seeds)
    noises = [ops.convert_to_numpy(slerp(first, second, float(position))) for position in positions]
    if any(noise.shape != first.shape for noise in noises):
        raise UserError(
            f"slerp must return noise of shape {tuple(first.shape)}, not {noises[0].shape}."
        )
    noises = np.concatenate(noises).astype("float32")
    return noises, ops.convert_to_numpy(model.denormalize(model.reverse_diffusion(noises, steps)))


def langevin(model, num_images=12, max_steps=200, stride=5, **arguments):
    """Returns an explorer of Langevin dynamics on an `EnergyBasedModel`.

    It shows chains from uniform noise after any number of steps.

    Args:
        model: an `EnergyBasedModel`.
        num_images: number of chains.
        max_steps: the slider's largest number of steps.
        stride: the slider's step.
        arguments: step_size and noise_std, passed on to `model.langevin_sampling`.
    """

    @lru_cache(maxsize=8)
    def chains(seed):
        return Chains(model, num_images, stride, seed, arguments)

    def render(steps, seed):
        images, energy = chains(seed).after(steps)
        return (
            grid(images, columns=6, width=600),
            say(
                "Langevin steps <b>{steps}</b> · mean energy <b>{energy:.3f}</b>",
                steps=steps,
                energy=energy,
            ),
        )

    controls = {
        "steps": slider(say("Langevin steps"), 0, max_steps, min(60, max_steps), stride),
        "seed": slider(say("seed of the start"), 0, 10, 0, 1),
    }
    return Explorer(
        render,
        controls,
        say(
            "Chains that walk downhill in the energy, a little shaken, from uniform noise. The "
            "start is the same for any number of steps."
        ),
    )


class Chains:
    """Langevin chains that run only once: the images after every `stride` steps are kept."""

    def __init__(self, model, count, stride, seed, arguments):
        self.model, self.stride, self.seed, self.arguments = model, stride, seed, arguments
        self.snapshots = [keras.random.uniform((count, *model.image_shape), -1.0, 1.0, seed=seed)]

    def after(self, steps):
        """Returns (images in [0, 1], mean energy) after `steps`, a multiple of the stride."""
        while len(self.snapshots) <= steps // self.stride:
            seed = 1000 * self.seed + len(self.snapshots)  # each stretch always uses the same noise
            self.snapshots.append(
                self.model.langevin_sampling(
                    self.snapshots[-1], self.stride, seed=seed, **self.arguments
                )
            )
        images = self.snapshots[steps // self.stride]
        energy = float(ops.mean(self.model.network(images, training=False)))
        return ops.convert_to_numpy(self.model.denormalize(images)), energy
