"""Lab 11: sampling with a consistency model."""

from functools import partial

import numpy as np
from keras import ops

from diffusion_lab.backend import compiled, to_numpy_or_none
from diffusion_lab.ideal_denoisers import mixture_denoiser
from diffusion_lab.labs.blame import shortened
from diffusion_lab.labs.diffusion_models import MyDiffusionModel
from diffusion_lab.labs.evidence import entry_of_answer, line_of, origin
from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.lab11.sampling_mistakes import MISTAKES
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.rehearsal import noise_like
from diffusion_lab.labs.repeats import refuse_randomness
from diffusion_lab.schedules import offset_cosine_diffusion_schedule


class SampleConsistency(Exercise):
    name, takes = "sample_consistency", "denoise, schedule, noises"
    praise = "each step begins a new path, from a place nearer to the images."
    shape_hint = "noises[k] and the predicted images both have the shape (B, H, W, C)"
    results = {"3 steps": "the result of three steps", "1 step": "the result of one step"}

    def draw(self, rng):
        return {
            "means": rng.normal(size=(4, 2, 2, 3)).astype("float32"),
            "noises": rng.normal(size=(3, 5, 2, 2, 3)).astype("float32"),
        }

    def measure(self, answer, inputs):
        # not the models' own schedule, so that an answer has to use its argument
        schedule = strict_schedule(
            partial(offset_cosine_diffusion_schedule, min_signal_rate=0.1, max_signal_rate=0.9)
        )
        denoise = strict(mixture_denoiser(inputs["means"], standard_deviation=0.3))
        noises = [ops.convert_to_tensor(noise) for noise in inputs["noises"]]
        return {
            name: array(self.call(answer, denoise, schedule, noises[:steps]), "the result")
            for name, steps in {"3 steps": 3, "again": 3, "1 step": 1}.items()
        }

    def explain(self, error, answer):
        """Explains an exception; often the image is missing in the first of several steps."""
        entry = entry_of_answer(error, answer)
        noises = entry.tb_frame.f_locals.get("noises", ()) if entry else ()
        if isinstance(origin(error), UnboundLocalError) and len(noises) > 1:
            return (
                f"your code stops in the line `{shortened(line_of(error, answer), 80)}`, because a"
                " variable has no value yet. The first step, k = 0, has no predicted image: there,"
                " noises[0] itself is the noisy image."
            )
        return super().explain(error, answer)

    def examine(self, inputs, outputs):
        refuse_randomness(
            outputs["3 steps"], outputs["again"], "Use the noise that you are given, noises[k]."
        )
        super().examine(inputs, outputs)

    def rehearse(self, answer, inputs):
        model = MyDiffusionModel()
        denoise = compiled(partial(model.denoise, training=False))
        noises = [ops.convert_to_tensor((1 + k) * noise_like(2, 4, 4, 3)) for k in range(2)]
        return model.denormalize(self.use(answer, denoise, model.diffusion_schedule, noises))

    @staticmethod
    def right(denoise, schedule, noises):
        noisy_images, pred_images = noises[0], None
        for step, noise in enumerate(noises):
            time = 1 - step / len(noises)
            times = ops.full((noise.shape[0], 1, 1, 1), time)
            noise_rates, signal_rates = schedule(times)
            if step > 0:
                noisy_images = signal_rates * pred_images + noise_rates * noise
            pred_noises, pred_images = denoise(noisy_images, noise_rates, signal_rates)
        return pred_images

    mistakes = MISTAKES


def strict_schedule(schedule):
    """Returns a `schedule` that says which times the steps have."""

    def watchful(times):
        values = to_numpy_or_none(times)
        outside = [] if values is None else np.ravel(values)[np.ravel(np.abs(values - 0.5) > 0.5)]
        if len(outside):
            raise CheckFailed(
                f"you called `schedule` with the time {outside[0]:.3g}. The times go from 1 down"
                " towards 0: step k of n, counted from 0, is at 1 - k / n."
            )
        return schedule(times)

    return watchful


def strict(denoise):
    """Returns a `denoise` that only takes the shapes that the lab's network takes."""

    def strict_denoise(noisy_images, noise_rates, signal_rates):
        shape = np.shape(noisy_images)
        if len(shape) != 4:
            raise CheckFailed(
                f"you passed noisy images of shape {shape} to `denoise`. It takes (B, H, W, C),"
                " and it returns two arrays, pred_noises and pred_images: mix only the second."
            )
        for rates in map(np.shape, (noise_rates, signal_rates)):
            if rates != (shape[0], 1, 1, 1):
                raise CheckFailed(
                    f"you passed rates of shape {rates} to `denoise`. It takes one for each"
                    f" image, here {(shape[0], 1, 1, 1)}: begin with times of this shape,"
                    " ops.full((B, 1, 1, 1), time)."
                )
        return denoise(noisy_images, noise_rates, signal_rates)

    return strict_denoise
