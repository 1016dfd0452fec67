"""Lab 07: `reverse_diffusion`, run in a model whose perfect `denoise` is a formula."""

from types import SimpleNamespace

import numpy as np
from keras import ops

from diffusion_lab.ideal_denoisers import gaussian_denoiser
from diffusion_lab.labs.diffusion_models import MyDiffusionModel, live_in
from diffusion_lab.labs.exercise import (
    CheckFailed,
    Method,
    Mistake,
    NotDone,
    Undiagnosed,
    array,
    compare,
    said,
    words,
)

UPWARDS = (
    "Your time runs upwards. Begin at 1, where the noise is, and go down to 1 / diffusion_steps."
)
INITIAL = (
    "Every step starts from the initial noise again. Pass the remixed images on, and remix with the"
    " rates of the *next* time: those of this time change nothing."
)


def swapping_the_rates(model, initial_noise, diffusion_steps):
    """`reverse_diffusion` by somebody who takes the results of `diffusion_schedule` in the wrong
    order.
    """
    swapped = SimpleNamespace(
        denoise=model.denoise,
        diffusion_schedule=lambda times: model.diffusion_schedule(times)[::-1],
    )
    return ReverseDiffusion.right(swapped, initial_noise, diffusion_steps)


class ReverseDiffusion(Method):
    name, takes = "reverse_diffusion", "self, initial_noise, diffusion_steps"
    praise = "separate, remix with less noise, repeat; this is the whole sampler."
    shape_hint = "the times have the shape (num_images, 1, 1, 1): one for each image"
    step_counts = (3, 6, 1)  # three first: one alone could not tell most mistakes apart

    def draw(self, rng):
        return {
            "initial_noise": rng.normal(size=(3, 4, 4, 3)).astype("float32"),
            "mean": rng.uniform(0.5, 1.0),
            "deviation": rng.uniform(0.3, 0.6),
        }

    def measure(self, answer, inputs):
        model = OracleModel(inputs["mean"], inputs["deviation"])
        noise = ops.convert_to_tensor(inputs["initial_noise"])
        outputs = {
            "again": array(self.call(answer, model, noise, self.step_counts[0]), "the result")
        }
        for steps in self.step_counts:
            images, failure = np.zeros(()), ""
            model.forget()
            try:
                images = array(self.call(answer, model, noise, steps), "the result")
            except NotDone:
                raise
            except CheckFailed as stopped:  # what it does for other numbers of steps may say more
                if steps == self.step_counts[0]:
                    raise
                failure = f"For diffusion_steps={steps}: {stopped}"
            outputs |= {
                f"images, {steps}": images,
                f"failure, {steps}": words(failure),
                f"evaluations, {steps}": array(len(model.flags), "count"),
                f"times, {steps}": array(model.times, "times"),
                f"asked, {steps}": array(model.asked, "asked"),
                f"training, {steps}": array(any(model.flags), "training"),
            }
        return outputs

    def rehearse(self, answer, inputs):
        class Model(MyDiffusionModel):
            def reverse_diffusion(self, initial_noise, diffusion_steps):
                return answer(self, initial_noise, diffusion_steps)

        return live_in(Model(), training=False)

    def examine(self, inputs, outputs):
        right = self.measured(self.right, inputs)
        images, again = outputs[f"images, {self.step_counts[0]}"], outputs["again"]
        if images.shape == again.shape and not np.allclose(
            images, again, atol=1e-5, equal_nan=True
        ):
            raise CheckFailed(
                "The same noise gives a different image each time. Draw no new noise on the way:"
                " mix the *predicted* noise in again."
            )
        for steps in self.step_counts:
            if failure := said(outputs[f"failure, {steps}"]):
                raise CheckFailed(failure)
            for output, name in self.results.items():
                output, name = f"{output}, {steps}", f"{name} for diffusion_steps={steps}"
                known = self.known_at_these_times(output, outputs, inputs, steps)
                try:
                    compare(name, outputs[output], right[output], known, self.tolerance)
                except Undiagnosed:
                    self.examine_times(inputs, outputs, right, steps)
                    raise
            if (calls := outputs[f"evaluations, {steps}"]) != steps:
                raise CheckFailed(
                    f"The images are right, but for diffusion_steps={steps} you called denoise"
                    f" {calls:g} times. Call it once per step."
                )

    def known_at_these_times(self, output, outputs, inputs, steps):
        """Yields what `known_results` does, of the mistakes that call `denoise` at the same times.

        A loop that runs at other times may end with the same image, by chance.
        """
        asked = f"asked, {steps}"
        called = np.unique(outputs[asked].round(3))
        every = zip(self.known_results(output, inputs), self.known_results(asked, inputs))
        for (hint, wrong), (_, times) in every:
            if _same(called, np.unique(times.round(3))):
                yield hint, wrong

    def examine_times(self, inputs, outputs, right, steps):
        """Raises CheckFailed if `denoise` was called at wrong times, which say more about a loop
        than its result.
        """
        asked = f"asked, {steps}"
        for hint, wrong in self.known_results(asked, inputs):
            if _same(outputs[asked], wrong) and not _same(outputs[asked], right[asked]):
                raise CheckFailed(hint)
        finely = np.linspace(0, 1, 100_001)
        times = np.interp(outputs[asked], np.sqrt(noise_variance(finely)), finely)
        evenly = len(times) > 0 and np.allclose(times * steps, np.rint(times * steps), atol=0.01)
        if evenly and len(times) > 1 and np.all(np.diff(times) > 1e-3):
            raise CheckFailed(UPWARDS)
        if evenly and times[0] < 0.999:
            raise CheckFailed(
                f"You begin at time {times[0]:.3g}. Begin at 1, where the noise is, and go down to "
                "1 / diffusion_steps."
            )
        for time in outputs[f"times, {steps}"]:
            if not -1e-4 < time < 1 + 1e-4:
                raise CheckFailed(
                    f"You asked for the rates at time {time:.3g}. Times lie between 0 and 1, and"
                    " the next one is smaller: time - 1 / diffusion_steps."
                )

    results, tolerance = {"training": "the `training` of denoise", "images": "the result"}, 1e-3

    @staticmethod
    def right(model, initial_noise, diffusion_steps):
        ones = ops.ones((initial_noise.shape[0], 1, 1, 1))
        noisy_images = initial_noise
        for step in range(diffusion_steps):
            time = 1 - step / diffusion_steps
            noise_rates, signal_rates = model.diffusion_schedule(ones * time)
            pred_noises, pred_images = model.denoise(
                noisy_images, noise_rates, signal_rates, training=False
            )

            next_time = time - 1 / diffusion_steps
            next_noise_rates, next_signal_rates = model.diffusion_schedule(ones * max(next_time, 0))
            noisy_images = next_signal_rates * pred_images + next_noise_rates * pred_noises
        return pred_images

    mistakes = [
        Mistake(
            "You sampled with training=True, which uses the raw weights. Pass training=False, which"
            " uses the EMA weights.",
            ("training=False", "training=True"),
        ),
        Mistake(
            "You returned the last *noisy* image. Return the last predicted image, which is the"
            " clean one.",
            ("return pred_images", "return noisy_images"),
        ),
        Mistake(
            "You returned the predicted noise. denoise returns (pred_noises, pred_images), in this"
            " order: return the images.",
            ("return pred_images", "return pred_noises"),
        ),
        Mistake(
            "You returned the initial noise unchanged. Return the last predicted image.",
            ("return pred_images", "return initial_noise"),
        ),
        Mistake(
            "You passed the rates to denoise in the wrong order. Pass noise_rates first, then"
            " signal_rates.",
            ("noise_rates, signal_rates, training", "signal_rates, noise_rates, training"),
        ),
        Mistake(
            "Your steps are too long. The times are 1, 1 - 1/steps, ..., 1/steps, so step k begins"
            " at 1 - k/steps.",
            ("1 - step / diffusion_steps", "1 - step / max(1, diffusion_steps - 1)"),
        ),
        Mistake(
            "You swapped the rates where you remix. Multiply the image by the signal rate and the"
            " noise by the noise rate.",
            (
                "next_signal_rates * pred_images + next_noise_rates * pred_noises",
                "next_noise_rates * pred_images + next_signal_rates * pred_noises",
            ),
        ),
        Mistake(INITIAL, ("denoise(noisy_images", "denoise(initial_noise")),
        Mistake(INITIAL, ("max(next_time, 0)", "time")),
        Mistake(
            "You remixed with the *initial* noise. Use the noise predicted in this step.",
            ("next_noise_rates * pred_noises", "next_noise_rates * initial_noise"),
        ),
        Mistake(
            "The noise is missing where you remix. Add it, because the next step expects an image"
            " that is still noisy.",
            (" + next_noise_rates * pred_noises", ""),
        ),
        Mistake(
            "You passed the predicted image on without noise. Mix the predicted noise in again,"
            " with the rates of the next time.",
            ("next_signal_rates * pred_images + next_noise_rates * pred_noises", "pred_images"),
        ),
        Mistake(
            "You swapped the two results of denoise. It returns (pred_noises, pred_images), in this"
            " order.",
            ("pred_noises, pred_images =", "pred_images, pred_noises ="),
        ),
        Mistake(
            "You swapped the two results of diffusion_schedule. It returns (noise_rates,"
            " signal_rates), in this order.",
            swapping_the_rates,
        ),
        Mistake(
            "You returned the image of the first step. Move the `return` out of the loop, or"
            " replace `1 // diffusion_steps`, which is 0, by `1 / diffusion_steps`.",
            ("    return pred_images", "        return pred_images"),
        ),
        Mistake(
            "You subtracted the noise where you remix. Add it.",
            ("pred_images + next", "pred_images - next"),
        ),
        Mistake(
            "Your steps are too long, and there is one too few. Between `steps` points there are"
            " only steps - 1 intervals: use the length 1 / diffusion_steps.",
            (
                "noisy_images = initial_noise",
                "noisy_images, diffusion_steps = initial_noise, max(1, diffusion_steps - 1)",
            ),
        ),
        Mistake(
            "Your steps are too long, so the last one begins at time 0. Make each 1 /"
            " diffusion_steps long.",
            (
                "noisy_images = initial_noise\n    for step in range(diffusion_steps):",
                (
                    "noisy_images, steps, diffusion_steps = initial_noise, diffusion_steps, max(1,"
                    " diffusion_steps - 1)\n    for step in range(steps):"
                ),
            ),
        ),
        Mistake(
            "You left out the first step. Begin at time 1, where there is nothing but noise.",
            ("range(diffusion_steps)", "range(1, diffusion_steps + 1)"),
        ),
        Mistake(
            "You left out the first step, so there is one too few. Begin at time 1.",
            ("range(diffusion_steps)", "range(1, diffusion_steps)"),
        ),
        Mistake(
            "You left out the first step and the last. The times are 1, 1 - 1/steps, ..., 1/steps.",
            ("range(diffusion_steps)", "range(1, diffusion_steps - 1)"),
        ),
        Mistake(
            "There is one step too few. Take `diffusion_steps` of them, the last at time 1 /"
            " diffusion_steps.",
            ("range(diffusion_steps)", "range(diffusion_steps - 1)"),
        ),
        Mistake(
            "There is one step too many. Stop after the predicted image of time 1 /"
            " diffusion_steps.",
            ("range(diffusion_steps)", "range(diffusion_steps + 1)"),
        ),
        Mistake(UPWARDS, ("1 - step / diffusion_steps", "(step + 1) / diffusion_steps")),
        Mistake(UPWARDS, ("1 - step / diffusion_steps", "step / diffusion_steps")),
        Mistake(
            "Your next time is larger than this one. Time falls, so it is time - 1 /"
            " diffusion_steps.",
            ("time - 1 /", "time + 1 /"),
        ),
    ]


class OracleModel(MyDiffusionModel):
    """A model whose images are normally distributed: its perfect `denoise` is a formula."""

    def __init__(self, mean, deviation):
        super().__init__()
        self.perfect = gaussian_denoiser(float(mean), float(deviation))
        self.forget()

    def forget(self):
        """Forgets what the methods were called with: times of the schedule, noise rates and
        `training` of `denoise`.
        """
        self.times = self.asked = self.flags = ()

    def diffusion_schedule(self, diffusion_times):
        """A schedule unlike that of exercise 7.1, so that nobody is right by accident, and unlike
        its mirror image.
        """
        diffusion_times = _of_images(diffusion_times, "diffusion_schedule takes times")
        self.times = (*self.times, float(diffusion_times[0, 0, 0, 0]))
        variances = noise_variance(ops.clip(diffusion_times, 0, 1))
        return ops.sqrt(variances), ops.sqrt(1 - variances)

    def denoise(
        self, noisy_images=None, noise_rates=None, signal_rates=None, training=None, **others
    ):
        if others or noisy_images is None or signal_rates is None:
            raise CheckFailed(
                "You called `self.denoise` with other arguments than its own. Write "
                "`self.denoise(noisy_images, noise_rates, signal_rates, training=False)`."
            )
        if training is None:
            raise CheckFailed("You called `self.denoise` without `training`. Pass training=False.")
        self.flags = (*self.flags, bool(training))
        noise_rates = _of_images(noise_rates, "denoise takes rates")
        signal_rates = _of_images(signal_rates, "denoise takes rates")
        self.asked = (*self.asked, float(noise_rates[0, 0, 0, 0]))
        noisy_images = ops.convert_to_tensor(noisy_images, "float32")
        return self.perfect(noisy_images, noise_rates, signal_rates)


def noise_variance(times):
    return 0.01 + 0.98 * (0.3 * times + 0.7 * times * times)


def _of_images(values, what):
    if len(np.shape(values)) != 4 or tuple(np.shape(values))[1:] != (1, 1, 1):
        raise CheckFailed(
            f"{what} of the shape (num_images, 1, 1, 1), but received {tuple(np.shape(values))}."
            " Write `ops.ones((num_images, 1, 1, 1)) * time`."
        )
    return ops.convert_to_tensor(values, "float32")


def _same(times, others):
    return times.shape == others.shape and np.allclose(times, others, atol=1e-3)
