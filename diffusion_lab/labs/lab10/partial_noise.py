"""Lab 10: `sdedit`, which noises an image a part of the way, and samples from there."""

from functools import partial

import numpy as np
from keras import ops

from diffusion_lab.backend import compiled, to_numpy_or_none
from diffusion_lab.ideal_denoisers import mixture_denoiser
from diffusion_lab.labs.diffusion_models import MyDiffusionModel
from diffusion_lab.labs.evidence import frames_of, origin
from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.rehearsal import noise_like
from diffusion_lab.labs.repeats import refuse_randomness
from diffusion_lab.samplers import ddim, time_grid


class SDEdit(Exercise):
    name, takes = "sdedit", "denoise, schedule, images, noises, start, steps"
    praise = "just enough noise to hide the flaws, and a sampler that starts partway."
    shape_hint = "times and rates have the shape (B, 1, 1, 1), where B is images.shape[0]"
    results = {"evaluations": "the number of calls of `denoise`", "images": "the images"}
    tolerance = 1e-3
    steps, counted_steps = 2, 5  # more steps make mistakes less visible, except in their number

    def draw(self, rng):
        return {
            "images": rng.normal(size=(4, 1, 2, 2)).astype("float32"),
            "noises": rng.normal(size=(4, 1, 2, 2)).astype("float32"),
            "means": rng.normal(size=(3, 1, 2, 2)).astype("float32"),
            "start": np.float32(rng.uniform(0.55, 0.7)),
        }

    def measure(self, answer, inputs):
        images, noises = (ops.convert_to_tensor(inputs[name]) for name in ("images", "noises"))
        # so wide that the result depends on every step
        denoise, start = mixture_denoiser(inputs["means"], 0.7), float(inputs["start"])
        calls = []

        def counted(*arguments):
            calls.append(arguments)
            return denoise(*arguments)

        sample = lambda steps: self.call(
            answer, counted, curved_schedule, images, noises, start, steps
        )
        outputs = {name: array(sample(self.steps), "the images") for name in ("images", "again")}
        calls.clear()
        sample(self.counted_steps)
        return outputs | {"evaluations": array(len(calls), "the count")}

    def examine(self, inputs, outputs):
        refuse_randomness(
            outputs["images"],
            outputs["again"],
            "Use the noise that you are given, `noises`, and a sampler that adds none: ddim.",
        )
        super().examine(inputs, outputs)

    def explain(self, error, answer):
        stopped = frames_of(error)[-1][0]
        if isinstance(origin(error), TypeError) and stopped is time_grid.__code__:
            return (
                "ddim cannot call your schedule. Its second argument must be a function that takes"
                " times and returns rates, not the rates themselves."
            )
        return super().explain(error, answer)

    def rehearse(self, answer, inputs):
        model = MyDiffusionModel()
        denoise = compiled(partial(model.denoise, training=False))
        images = ops.convert_to_tensor(noise_like(2, 4, 4, 3))
        for start in (0.5, 1.0):  # the slider goes up to pure noise
            images = self.use(
                answer, denoise, model.diffusion_schedule, images, ops.ones_like(images), start, 2
            )
        return model.denormalize(images)

    @staticmethod
    def right(denoise, schedule, images, noises, start, steps):
        noise_rates, signal_rates = schedule(start * ops.ones((images.shape[0], 1, 1, 1)))
        noisy_images = signal_rates * images + noise_rates * noises
        return ddim(denoise, lambda times: schedule(start * times), noisy_images, steps)

    mistakes = [
        Mistake(
            "Your sampler begins at time 1, as if your images were pure noise. Let it begin at"
            " `start`: pass a schedule that multiplies the times by start.",
            ("lambda times: schedule(start * times)", "schedule"),
        ),
        Mistake(
            "You mixed in the noise of time 1, so hardly anything of the image is left. Mix at the"
            " time `start`.",
            ("start * ops.ones", "ops.ones"),
        ),
        Mistake(
            "You mixed at time 1 and sampled from time 1, so `start` has no effect. Use the time"
            " `start` for both.",
            lambda denoise, schedule, images, noises, start, steps: SDEdit.right(
                denoise, schedule, images, noises, 1.0, steps
            ),
        ),
        Mistake(
            "You mixed at the time start². Your shortened schedule already multiplies by start, so"
            " ask it for the time 1, or ask `schedule` for the time `start`.",
            ("start * ops.ones", "start**2 * ops.ones"),
        ),
        Mistake(
            "You counted the times from the wrong end. 0 is the clean image, so a small `start`"
            " adds little noise: use start, not 1 - start.",
            lambda denoise, schedule, images, noises, start, steps: SDEdit.right(
                denoise, schedule, images, noises, 1 - start, steps
            ),
        ),
        Mistake(
            "You swapped the rates. A schedule returns (noise_rates, signal_rates), and the signal"
            " rate belongs to the image.",
            ("noise_rates, signal_rates =", "signal_rates, noise_rates ="),
        ),
        Mistake(
            "You passed the clean images to the sampler. Mix them with noise first.",
            ("times), noisy_images", "times), images"),
        ),
        Mistake(
            "You passed bare noise to the sampler, so nothing of the image is left. Mix the noise"
            " with the images.",
            ("times), noisy_images", "times), noises"),
        ),
        Mistake(
            "You multiplied the images by the signal rate but added no noise. Add noise_rates *"
            " noises.",
            ("signal_rates * images + noise_rates * noises", "signal_rates * images"),
        ),
        Mistake(
            "You added noise but left the images at full strength. Multiply them by the signal"
            " rate.",
            ("signal_rates * images", "images"),
        ),
        Mistake(
            "You added the noise at full strength. Multiply it by the noise rate.",
            ("noise_rates * noises", "noises"),
        ),
        Mistake(
            "You used `start` as the noise rate. It is a time: let the schedule turn it into"
            " rates.",
            (
                "signal_rates * images + noise_rates * noises",
                "(1 - start**2) ** 0.5 * images + start * noises",
            ),
        ),
        Mistake(
            "You used 1 - start and start as the rates. `start` is a time: let the schedule turn it"
            " into rates.",
            (
                "signal_rates * images + noise_rates * noises",
                "(1 - start) * images + start * noises",
            ),
        ),
        Mistake(
            "You subtracted the noise. Add it.",
            ("images + noise_rates", "images - noise_rates"),
        ),
        Mistake(
            "You returned the noisy images. Denoise them with ddim.",
            ("return ddim", "return noisy_images\n    return ddim"),
        ),
        Mistake(
            "Your schedule returns the rates of the time `start` for all steps. It should return"
            " those of the times that it is given, multiplied by start.",
            ("schedule(start * times)", "schedule(start * ops.ones_like(times))"),
        ),
        Mistake(
            "You called `denoise` once. Sample with ddim, which calls it in each of the `steps`.",
            ("return ddim", "return denoise(noisy_images, noise_rates, signal_rates)[1]\n    ddim"),
        ),
        *(
            Mistake(
                "You took only start * steps steps. Take all `steps` of them, but between time"
                " `start` and 0.",
                ("noisy_images, steps", f"noisy_images, max(1, {number})"),
            )
            for number in (
                "int(start * steps)",
                "round(start * steps)",
                "-int(-start * steps // 1)",
            )
        ),
        Mistake(
            "You did not pass `steps` to the sampler, which then takes 20 steps. Pass it on.",
            ("noisy_images, steps", "noisy_images"),
        ),
        Mistake(
            "Your times run down from 1, but end too early. They should run from `start` down to"
            " 0: multiply them by start.",
            ("schedule(start * times)", "schedule(1 - start * (1 - times))"),
        ),
        Mistake(
            "You cut the times off at `start`, so the first steps do nothing. Multiply them by"
            " start, and all steps lie between start and 0.",
            ("schedule(start * times)", "schedule(np.minimum(start, times))"),
        ),
        Mistake(
            "Your steps are as long as those from time 1, so the last ones stay at 0. Multiply the"
            " times by start, and all steps lie between start and 0.",
            ("schedule(start * times)", "schedule(np.maximum(times - (1 - start), 0))"),
        ),
        Mistake(
            "You used the squares of the rates. The rates are the factors themselves, so leave the"
            " squares out.",
            (
                "signal_rates * images + noise_rates * noises",
                "signal_rates**2 * images + noise_rates**2 * noises",
            ),
        ),
        Mistake(
            "You clipped the images. They are normalised, so many of their values are outside"
            " [0, 1]: return what ddim returns.",
            lambda *arguments: ops.clip(SDEdit.right(*arguments), 0.0, 1.0),
        ),
        Mistake(
            "You returned the noisy images of your last step, which still have a little noise."
            " Return the last predicted images, or let ddim do the steps.",
            lambda *arguments: last_noisy_images(*arguments),
        ),
    ]


def last_noisy_images(denoise, schedule, images, noises, start, steps):
    """Returns the noisy images after the steps of DDIM, at time 0."""
    times = start * np.linspace(1, 0, steps + 1, dtype="float32")
    points = [schedule(ops.full((images.shape[0], 1, 1, 1), time)) for time in times]
    noisy_images = points[0][1] * images + points[0][0] * noises
    for now, (noise_rates, signal_rates) in zip(points, points[1:]):
        pred_noises, pred_images = denoise(noisy_images, *now)
        noisy_images = signal_rates * pred_images + noise_rates * pred_noises
    return noisy_images


def curved_schedule(diffusion_times):
    """Returns (noise_rates, signal_rates) of a schedule that no other lab has."""
    times = to_numpy_or_none(diffusion_times)
    if times is not None and (times.min() < 0 or times.max() > 1):
        raise CheckFailed(
            f"your schedule looks up times from {times.min():.2f} to {times.max():.2f}, but all of"
            " them must be between 0 and start: multiply the times by start."
        )
    angles = 0.1 + 1.4 * ops.convert_to_tensor(diffusion_times) ** 1.5
    return ops.sin(angles), ops.cos(angles)
