"""Lab 08: `invert`, the way back from an image to its noise."""

from functools import partial

import numpy as np
from keras import ops

from diffusion_lab.backend import compiled
from diffusion_lab.ideal_denoisers import gaussian_denoiser
from diffusion_lab.labs.diffusion_models import MyDiffusionModel
from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import arrays
from diffusion_lab.labs.rehearsal import noise_like


class Invert(Exercise):
    name, takes = "invert", "denoise, schedule, images, steps"
    praise = (
        "the sampler's film runs backwards, so every image now has an address, even a real one."
    )
    shape_hint = "times and rates have the shape (B, 1, 1, 1): `ops.ones((B, 1, 1, 1)) * time`"
    steps = 4

    def draw(self, rng):
        return {
            "images": rng.normal(size=(3, 3, 3, 2)).astype("float32"),
            "mean": np.float32(rng.uniform(0.3, 0.6)),
            "deviation": np.float32(rng.uniform(0.5, 0.7)),
        }

    def measure(self, answer, inputs):
        oracle = Oracle(len(inputs["images"]), inputs["mean"], inputs["deviation"])
        images = ops.convert_to_tensor(inputs["images"])
        result = arrays(
            self.call(answer, oracle.denoise, oracle.schedule, images, self.steps), "noise"
        )
        called_at = np.array(oracle.called_at, "float64")
        again = arrays(
            self.call(answer, oracle.denoise, oracle.schedule, images, self.steps), "again"
        )
        return {**result, **again, "called at": called_at}

    def rehearse(self, answer, inputs):
        model = MyDiffusionModel()
        denoise = compiled(partial(model.denoise, training=False))
        for steps in (1, 2):
            noise = answer(
                denoise,
                model.diffusion_schedule,
                ops.convert_to_tensor(noise_like(2, 4, 4, 3)),
                steps,
            )
        denoise(
            ops.convert_to_tensor(noise, "float32"),
            *model.diffusion_schedule(ops.ones((2, 1, 1, 1))),
        )

    def examine(self, inputs, outputs):
        called_at, noise, again = (outputs[name] for name in ("called at", "noise", "again"))
        if len(called_at) == 0:
            raise CheckFailed(
                "You never called denoise. Any random noise is easy to make, but the noise of an"
                " image needs the network: call denoise once in each step."
            )
        if noise.shape == again.shape and not np.allclose(noise, again, atol=1e-4, equal_nan=True):
            raise CheckFailed(
                "The same image gives different noise each time. Add nothing random on the way"
                " back: mix in the predicted noise."
            )
        if called_at.shape == (self.steps - 1,) and noise.shape == inputs["images"].shape:
            if np.allclose(noise, self.measured(begin_at_first_step, inputs)["noise"], atol=1e-3):
                raise CheckFailed(
                    "You used the clean image as if it were already the noisy image of time"
                    " 1/steps. First take a step to that time, from noise rate 0 and signal rate"
                    " 1."
                )
        super().examine(inputs, outputs)

    results = {
        "called at": "the list of noise rates with which you call denoise",
        "noise": "the noise",
    }
    tolerance = 1e-3

    @staticmethod
    def right(denoise, schedule, images, steps):
        ones = ops.ones((len(images), 1, 1, 1))
        noisy, now = images, (0 * ones, ones)
        for time in np.arange(1, steps + 1) / steps:
            then = schedule(ones * time)
            pred_noises, pred_images = denoise(noisy, *then)
            pred_images = (noisy - now[0] * pred_noises) / now[1]
            noisy = then[1] * pred_images + then[0] * pred_noises
            now = then
        return noisy

    mistakes = [
        Mistake(
            "Your time runs backwards, as in the sampler. Begin at the clean image, and end at"
            " time 1.",
            ("np.arange(1, steps + 1)", "np.arange(steps, 0, -1)"),
        ),
        Mistake(
            "You called denoise with the rates of the time that you come from. At first the noise"
            " rate is 0, so there is no noise to find. Use the rates of the next time.",
            ("*then)", "*now)"),
        ),
        Mistake(
            "You called denoise at the time that you come from, beginning at 0. Use the next"
            " time, from 1/steps to 1.",
            ("np.arange(1, steps + 1)", "np.arange(steps)"),
        ),
        Mistake("The last step is missing. End the grid at time 1.", ("steps + 1)", "steps)")),
        Mistake(
            "The first step is missing. Begin the grid at time 1/steps.",
            ("np.arange(1,", "np.arange(2,"),
        ),
        Mistake(
            "You took one step too many. The grid has `steps` times, 1/steps, ..., 1: leave out"
            " time 0.",
            ("np.arange(1, steps + 1)", "np.arange(steps + 1)"),
        ),
        Mistake(
            "Your steps are too long and begin at 0. The times are 1/steps, 2/steps, ..., 1.",
            ("np.arange(1, steps + 1) / steps", "np.arange(steps) / (steps - 1)"),
        ),
        Mistake(
            "You swapped noise rate and signal rate. The schedule returns the noise rate first, and"
            " denoise takes it first.",
            ("*then)", "*then[::-1])"),
        ),
        Mistake(
            "You called denoise with the square of the noise rate. It takes the rate.",
            ("*then)", "then[0] ** 2, then[1])"),
        ),
        Mistake(
            "Your image comes back unchanged, because you separated and remixed it with the same"
            " rates. Separate it with the rates that it has, and remix it with the next.",
            ("(noisy - now[0] * pred_noises) / now[1]", "pred_images"),
        ),
        Mistake(
            "You returned the predicted noise. Return the noisy image of time 1: it is the noise"
            " that leads back here.",
            ("return noisy", "return pred_noises"),
        ),
        Mistake(
            "You returned the predicted image. Return the noisy image of time 1.",
            ("return noisy", "return pred_images"),
        ),
        Mistake(
            "You swapped the two results of denoise. It returns (pred_noises, pred_images), in this"
            " order.",
            ("pred_noises, pred_images = denoise", "pred_images, pred_noises = denoise"),
        ),
        Mistake(
            "You swapped the rates where you mix. The signal rate multiplies the image, the noise"
            " rate the noise.",
            (
                "then[1] * pred_images + then[0] * pred_noises",
                "then[0] * pred_images + then[1] * pred_noises",
            ),
        ),
        Mistake(
            "You treated the image as clean in every step. Subtract the noise that it already holds"
            " before you mix in more.",
            ("now = then", "pass"),
        ),
        Mistake(
            "You subtracted as much noise as there is at the next time. The image holds less: use"
            " the noise rate of this time.",
            ("now[0] * pred_noises", "then[0] * pred_noises"),
        ),
        Mistake(
            "You subtracted the noise, and what is left is signal_rate · image. Divide it by the"
            " signal rate.",
            ("(noisy - now[0] * pred_noises) / now[1]", "noisy - now[0] * pred_noises"),
        ),
        Mistake(
            "You called denoise with the clean image in every step. Pass the mixed image on to the"
            " next step.",
            ("denoise(noisy,", "denoise(images,"),
        ),
        Mistake(
            "You mixed the original image. Use the one that is in the noisy image now, (noisy -"
            " noise rate · noise) / signal rate.",
            ("(noisy - now[0] * pred_noises) / now[1]", "images"),
        ),
        Mistake(
            "You added noise without shrinking the image. Mix both with the next rates.",
            ("then[1] * pred_images", "pred_images"),
        ),
        Mistake("You subtracted the noise where you mix. Add it.", ("+ then[0]", "- then[0]")),
        Mistake(
            "You added the noise that was in the image already. Subtract it.",
            ("noisy - now[0]", "noisy + now[0]"),
        ),
    ]


def begin_at_first_step(denoise, schedule, images, steps):
    """Inverts as if the clean image were already the noisy one of time 1/steps."""
    ones = ops.ones((len(images), 1, 1, 1))
    noisy = images
    for step in range(1, steps):
        pred_noises, pred_images = denoise(noisy, *schedule(ones * step / steps))
        then = schedule(ones * (step + 1) / steps)
        noisy = then[1] * pred_images + then[0] * pred_noises
    return noisy


class Oracle:
    """A perfect `denoise` for normally distributed images, and a schedule.

    `called_at` records the noise rates with which `denoise` is called.
    """

    def __init__(self, count, mean, deviation):
        self.count, self.called_at = count, []
        self.ideal_denoise = gaussian_denoiser(float(mean), float(deviation))

    def schedule(self, diffusion_times):
        times = np.array(ops.convert_to_numpy(diffusion_times), "float32")
        if times.max() > 1 + 1e-5 or times.min() < -1e-5:
            outside = times.flat[np.argmax(np.abs(times - 0.5))]
            raise CheckFailed(
                f"You asked the schedule for time {outside:.3g}. The times of the grid are "
                "1/steps, 2/steps, ..., 1."
            )
        noise_rates = ops.convert_to_tensor(np.sqrt(noise_variance(times)))
        return noise_rates, ops.convert_to_tensor(np.sqrt(1 - noise_variance(times)))

    def denoise(self, noisy_images, noise_rates, signal_rates, *others, **named):
        if others or named:
            raise CheckFailed(
                "You called denoise with too many arguments. It takes three: `denoise(noisy_images,"
                " noise_rates, signal_rates)`."
            )
        if {np.shape(noise_rates), np.shape(signal_rates)} != {(self.count, 1, 1, 1)}:
            raise CheckFailed(
                f"You called denoise with rates of the shapes {np.shape(noise_rates)} and"
                f" {np.shape(signal_rates)}. They must be (B, 1, 1, 1): call `schedule(ops.ones((B,"
                " 1, 1, 1)) * time)`."
            )
        noise_rates, signal_rates, noisy_images = (
            ops.convert_to_tensor(values, "float32")
            for values in (noise_rates, signal_rates, noisy_images)
        )
        self.called_at.append(float(noise_rates[0, 0, 0, 0]))
        return self.ideal_denoise(noisy_images, noise_rates, signal_rates)


def noise_variance(times):
    """Returns the variance of the noise at these times, in the schedule of `Oracle`."""
    return 0.04 + 0.95 * times**2
