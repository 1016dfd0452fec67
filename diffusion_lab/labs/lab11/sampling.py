"""Lab 11: sampling with a consistency model."""

from functools import partial

from keras import ops

from diffusion_lab.backend import compiled
from diffusion_lab.ideal_denoisers import mixture_denoiser
from diffusion_lab.labs.diffusion_models import MyDiffusionModel
from diffusion_lab.labs.exercise import Exercise, array
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.rehearsal import noise_like
from diffusion_lab.schedules import offset_cosine_diffusion_schedule as schedule


class SampleConsistency(Exercise):
    name, takes = "sample_consistency", "denoise, schedule, noises"
    praise = "each step begins a new path, from a place nearer to the images."
    shape_hint = "one time per image: ops.full((B, 1, 1, 1), time)"
    results = {"3 steps": "the result of three steps", "1 step": "the result of one step"}

    def draw(self, rng):
        return {
            "means": rng.normal(size=(4, 2, 2, 3)).astype("float32"),
            "noises": rng.normal(size=(3, 5, 2, 2, 3)).astype("float32"),
        }

    def measure(self, answer, inputs):
        denoise = mixture_denoiser(inputs["means"], standard_deviation=0.3)
        noises = [ops.convert_to_tensor(noise) for noise in inputs["noises"]]
        return {
            name: array(self.call(answer, denoise, schedule, noises[:steps]), "the result")
            for name, steps in {"3 steps": 3, "1 step": 1}.items()
        }

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

    mistakes = [
        Mistake(
            "You put the predicted noise back, which is DDIM. A consistency model mixes its image"
            " with fresh noise: noises[step].",
            ("noise_rates * noise\n", "noise_rates * pred_noises\n"),
        ),
        Mistake(
            "You used the first noise in every step. Each step has its own: noises[step].",
            ("noise_rates * noise\n", "noise_rates * noises[0]\n"),
        ),
        Mistake(
            "You used the noise of the step before. Step k mixes in noises[k].",
            ("noise_rates * noise\n", "noise_rates * noises[step - 1]\n"),
        ),
        Mistake(
            "The noise is missing where you mix. The network expects an image that is noisy again.",
            (
                "signal_rates * pred_images + noise_rates * noise\n",
                "signal_rates * pred_images\n",
            ),
        ),
        Mistake(
            "You passed the predicted image on without noise. Mix it with fresh noise, at the rates"
            " of the new time.",
            ("signal_rates * pred_images + noise_rates * noise\n", "pred_images\n"),
        ),
        Mistake(
            "The network receives the first noise in every step. Mix the predicted image with fresh"
            " noise, and pass that on.",
            ("signal_rates * pred_images + noise_rates * noise\n", "noises[0]\n"),
        ),
        Mistake(
            "You swapped the rates where you mix. Multiply the image by the signal rate and the"
            " noise by the noise rate.",
            (
                "signal_rates * pred_images + noise_rates * noise\n",
                "noise_rates * pred_images + signal_rates * noise\n",
            ),
        ),
        Mistake(
            "All steps are at time 1. Step k of n is at 1 - k / n.",
            ("1 - step / len(noises)", "1.0"),
        ),
        Mistake(
            "Your times run upwards. Begin at 1, where there is only noise: step k of n is at"
            " 1 - k / n.",
            ("1 - step / len(noises)", "(step + 1) / len(noises)"),
        ),
        Mistake(
            "Your steps are too long, so the last one is at time 0. Step k of n is at 1 - k / n.",
            ("1 - step / len(noises)", "1 - step / max(1, len(noises) - 1)"),
        ),
        Mistake(
            "You left out time 1. The first step begins there: step k of n is at 1 - k / n.",
            ("1 - step / len(noises)", "1 - (step + 1) / (len(noises) + 1)"),
        ),
        Mistake(
            "You halve the time in each step. Here the times are evenly spaced: step k of n is at"
            " 1 - k / n.",
            ("1 - step / len(noises)", "0.5**step"),
        ),
        Mistake(
            "You returned the last noisy image. Return the last predicted image.",
            ("return pred_images", "return noisy_images"),
        ),
        Mistake(
            "You returned the predicted noise. `denoise` returns (pred_noises, pred_images).",
            ("return pred_images", "return pred_noises"),
        ),
        Mistake(
            "You returned the image of the first step. Move the `return` out of the loop.",
            ("    return pred_images", "        return pred_images"),
        ),
        Mistake(
            "There is one step too few. Take as many steps as there are noises.",
            ("enumerate(noises)", "enumerate(noises[:-1] or noises)"),
        ),
    ]
