"""Lab 07: `reverse_diffusion`, run in a model whose perfect `denoise` is a formula."""

from types import SimpleNamespace

import numpy as np
from keras import ops

from diffusion_lab.labs.diffusion_models import MyDiffusionModel, train_and_sample
from diffusion_lab.labs.exercise import Method
from diffusion_lab.labs.failures import CheckFailed, NotDone, Undiagnosed
from diffusion_lab.labs.lab07.oracle_model import OracleModel, noise_variance
from diffusion_lab.labs.mistakes import Mistake, compare
from diffusion_lab.labs.outputs import array, decode_sentence, encode_sentence

UPWARDS = (
    "Your time runs upwards. Begin at 1, where the noise is, and go down to 1 / diffusion_steps."
)
INITIAL = (
    "Your steps lead nowhere: either each one starts from the initial noise again, or you remix"
    " with the rates of the current time, so that nothing changes. Pass the remixed images on, and"
    " remix with the rates of the next time."
)
CLIPPED = (
    "You clipped the images. Leave them as they are: the model has normalised them to mean 0 and"
    " variance 1, so many of their values are below -1 or above 1. `generate` clips at the end."
)


def swapping_the_rates(model, initial_noise, diffusion_steps):
    """Samples with the two results of `diffusion_schedule` in the wrong order."""
    swapped = SimpleNamespace(
        denoise=model.denoise,
        diffusion_schedule=lambda times: model.diffusion_schedule(times)[::-1],
    )
    return ReverseDiffusion.right(swapped, initial_noise, diffusion_steps)


class ReverseDiffusion(Method):
    name, takes = "reverse_diffusion", "self, initial_noise, diffusion_steps"
    praise = "separate, remix with less noise, repeat; this is the whole sampler."
    shape_hint = "the times have the shape (num_images, 1, 1, 1): one for each image"
    step_counts = (3, 6, 1)  # 3 comes first: with one step, most mistakes look the same

    def draw(self, rng):
        return {
            "initial_noise": rng.normal(size=(3, 4, 4, 3)).astype("float32"),
            "mean": rng.uniform(0.5, 1.0),
            "deviation": rng.uniform(0.3, 0.6),
        }

    def measure(self, answer, inputs):
        distribution = inputs["mean"], inputs["deviation"]
        noise = ops.convert_to_tensor(inputs["initial_noise"])
        model = OracleModel(*distribution)
        again = self.call(answer, model, noise, self.step_counts[0])
        first = noise if model.first_images is None else model.first_images
        outputs = {"again": array(again, "the result"), "first": array(first, "the first images")}
        for steps in self.step_counts:
            images, failure, model = np.zeros(()), "", OracleModel(*distribution)
            try:
                images = array(self.call(answer, model, noise, steps), "the result")
            except NotDone:
                raise
            except CheckFailed as stopped:
                if steps == self.step_counts[0]:
                    raise
                # not raised yet, since a wrong result with other numbers of steps may say more
                failure = f"For diffusion_steps={steps}: {stopped}"
            outputs |= {
                f"images, {steps}": images,
                f"failure, {steps}": encode_sentence(failure),
                f"evaluations, {steps}": array(len(model.flags), "count"),
                f"times, {steps}": array(model.times, "times"),
                f"called at, {steps}": array(model.called_at, "noise rates"),
                f"training, {steps}": array(any(model.flags), "training"),
            }
        return outputs

    def rehearse(self, answer, inputs):
        class Model(MyDiffusionModel):
            def reverse_diffusion(self, initial_noise, diffusion_steps):
                return answer(self, initial_noise, diffusion_steps)

        return train_and_sample(Model(), training=False)

    def examine(self, inputs, outputs):
        right = self.measured(self.right, inputs)
        if not np.array_equal(outputs["first"], inputs["initial_noise"]):
            raise CheckFailed(
                "You did not begin with `initial_noise`. Pass it to `denoise` in the first step,"
                " instead of noise of your own."
            )
        images, again = outputs[f"images, {self.step_counts[0]}"], outputs["again"]
        if images.shape == again.shape and not np.allclose(
            images, again, atol=1e-5, equal_nan=True
        ):
            raise CheckFailed(
                "The same noise gives a different image each time. Instead of sampling new noise on"
                " the way, mix the predicted noise back in."
            )
        for steps in self.step_counts:
            times = outputs[f"times, {steps}"]
            # other wrong loops begin at time 1 or below, and end at 1 + 2 / steps or below
            if times.size and (times[0] > 1.01 or times.max() > 1.9):
                raise CheckFailed(
                    f"You asked for the rates at time {times.max():.3g}. Times lie between 0 and 1:"
                    " divide the number of the step by diffusion_steps."
                )
            if failure := decode_sentence(outputs[f"failure, {steps}"]):
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
        """Yields `known_results`, but only of mistakes that call `denoise` at the same times.

        A loop over other times may end with the same image by chance.
        """
        called_at = f"called at, {steps}"
        found = np.unique(outputs[called_at].round(3))
        pairs = zip(self.known_results(output, inputs), self.known_results(called_at, inputs))
        for (hint, wrong), (_, noise_rates) in pairs:
            if _same(found, np.unique(noise_rates.round(3))):
                yield hint, wrong

    def examine_times(self, inputs, outputs, right, steps):
        """Raises CheckFailed if `denoise` was called at wrong times.

        The times say more about a loop than its result does.
        """
        called_at = f"called at, {steps}"
        found = outputs[called_at]
        for hint, wrong in self.known_results(called_at, inputs):
            if _same(found, wrong) and not _same(found, right[called_at]):
                raise CheckFailed(hint)
        fine_grid = np.linspace(0, 1, 100_001)
        times = np.interp(found, np.sqrt(noise_variance(fine_grid)), fine_grid)
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
                    " each is smaller than the one before: use time - 1 / diffusion_steps."
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
            next_noise_rates, next_signal_rates = model.diffusion_schedule(ones * next_time)
            noisy_images = next_signal_rates * pred_images + next_noise_rates * pred_noises
        return pred_images

    mistakes = [
        Mistake(
            "You sampled with training=True, which uses the raw weights. Pass training=False, which"
            " uses the EMA weights.",
            ("training=False", "training=True"),
        ),
        Mistake(
            "You returned the last noisy image. Return the last predicted image, which is the"
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
            "All your steps are at time 1. Either your time does not depend on the variable of the"
            " loop, or it contains `step // diffusion_steps`, which is 0: compute it from the step,"
            " with `/`.",
            ("1 - step / diffusion_steps", "1 - step // diffusion_steps"),
        ),
        Mistake(
            CLIPPED,
            (
                "next_time = time",
                "pred_images = ops.clip(pred_images, -1.0, 1.0)\n        next_time = time",
            ),
        ),
        Mistake(
            CLIPPED,
            (
                "next_time = time",
                "pred_images = ops.clip(pred_images, 0.0, 1.0)\n        next_time = time",
            ),
        ),
        Mistake(CLIPPED, ("return pred_images", "return ops.clip(pred_images, -1.0, 1.0)")),
        Mistake(CLIPPED, ("return pred_images", "return ops.clip(pred_images, 0.0, 1.0)")),
        Mistake(
            "You swapped the rates where you remix. Multiply the image by the signal rate and the"
            " noise by the noise rate.",
            (
                "next_signal_rates * pred_images + next_noise_rates * pred_noises",
                "next_noise_rates * pred_images + next_signal_rates * pred_noises",
            ),
        ),
        Mistake(INITIAL, ("denoise(noisy_images", "denoise(initial_noise")),
        Mistake(INITIAL, ("ones * next_time", "ones * time")),
        Mistake(
            "You remixed with the initial noise. Use the noise predicted in this step.",
            ("next_noise_rates * pred_noises", "next_noise_rates * initial_noise"),
        ),
        Mistake(
            "You remixed with the noise rate of the current time. Use both rates of the next time.",
            ("next_noise_rates * pred_noises", "noise_rates * pred_noises"),
        ),
        Mistake(
            "You remixed the noisy images with the noise. Use the predicted images, which have no"
            " noise left.",
            ("next_signal_rates * pred_images", "next_signal_rates * noisy_images"),
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
            " replace `1 // diffusion_steps`, which is 0, with `1 / diffusion_steps`.",
            ("    return pred_images", "        return pred_images"),
        ),
        Mistake(
            "You subtracted the noise where you remix. Add it.",
            ("pred_images + next", "pred_images - next"),
        ),
        Mistake(
            "Your steps are too long, and there is one too few. Between `steps` points there are"
            " only steps - 1 intervals: make each step 1 / diffusion_steps long.",
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
            "There is one step too many. Stop after predicting the image at time 1 /"
            " diffusion_steps.",
            ("range(diffusion_steps)", "range(diffusion_steps + 1)"),
        ),
        Mistake(UPWARDS, ("1 - step / diffusion_steps", "(step + 1) / diffusion_steps")),
        Mistake(UPWARDS, ("1 - step / diffusion_steps", "step / diffusion_steps")),
        Mistake(
            "Your next time is larger than the current one. Time runs down to 0, so the next time"
            " is time - 1 / diffusion_steps.",
            ("time - 1 /", "time + 1 /"),
        ),
    ]


def _same(noise_rates, others):
    return noise_rates.shape == others.shape and np.allclose(noise_rates, others, atol=1e-3)
