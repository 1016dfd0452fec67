"""Lab 10: `anagram_denoise`, which makes an image right under several views at once."""

from functools import partial

import numpy as np
from keras import ops

from diffusion_lab.backend import compiled
from diffusion_lab.ideal_denoisers import mixture_denoiser
from diffusion_lab.labs.blame import signature_mistake
from diffusion_lab.labs.diffusion_models import MyDiffusionModel
from diffusion_lab.labs.evidence import origin
from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import arrays
from diffusion_lab.labs.rehearsal import noise_like
from diffusion_lab.samplers import ddim

DENOISE = "noisy_images, noise_rates, signal_rates"
NO_FUNCTION = (
    "it must return a function that is called like `denoise`, not its result: define one inside,"
    f" with the arguments {DENOISE}, and return it without calling it."
)
VIEWS = [
    (partial(ops.rot90, axes=(1, 2)), partial(ops.rot90, k=-1, axes=(1, 2))),
    (lambda images: images, lambda images: images),  # not first: "only one view" has its own hint
    (lambda images: -ops.roll(images, 1, axis=-1), lambda images: -ops.roll(images, -1, axis=-1)),
]


class AnagramDenoise(Exercise):
    name, takes = "anagram_denoise", "denoise, views"
    praise = "every view has a vote, and the sampler never notices that there is an election."
    shape_hint = "`denoise` returns (pred_noises, pred_images): take the first, and turn it `back`"
    results = {"pred_noises": "pred_noises", "pred_images": "pred_images"}

    def draw(self, rng):
        angles = rng.uniform(0.4, 1.1, (3, 1, 1, 1)).astype("float32")
        return {
            "noisy_images": rng.normal(size=(3, 2, 2, 3)).astype("float32"),
            "means": 0.7 * rng.normal(size=(4, 2, 2, 3)).astype("float32"),
            "noise_rates": np.sin(angles),
            "signal_rates": np.cos(angles),
        }

    def measure(self, answer, inputs):
        denoise = mixture_denoiser(inputs["means"], standard_deviation=0.5)
        tensors = [ops.convert_to_tensor(inputs[name]) for name in DENOISE.split(", ")]
        combined = self.combined(answer, denoise, VIEWS)
        try:
            result = combined(*tensors)
        except Exception as error:
            raise self._failure(error, answer) from None
        if result is None:
            raise CheckFailed(
                "the function that it returns returns nothing: is its `return` missing, or in a"
                " loop or branch that does not run?"
            )
        return arrays(result, "pred_noises", "pred_images")

    def combined(self, answer, denoise, views):
        """Returns the function that the answer returns.

        Raises:
            CheckFailed: if it is no function, or does not take the arguments of `denoise`, or if
                the answer calls `denoise` before it returns.
        """
        returned = False

        def later(*arguments):
            if not returned:
                raise CheckFailed(NO_FUNCTION)
            return denoise(*arguments)

        combined = self.call(answer, later, views)
        returned = True
        if not callable(combined):
            raise CheckFailed(NO_FUNCTION)
        if signature_mistake(combined, DENOISE, [None] * 3, {}):
            raise CheckFailed(
                f"the function that it returns must take the three arguments of denoise, {DENOISE}."
            )
        return combined

    def explain(self, error, answer):
        """Explains a missing `noisy_images` by the function that is missing around it."""
        if getattr(origin(error), "name", None) in DENOISE.split(", "):
            return NO_FUNCTION
        return super().explain(error, answer)

    def rehearse(self, answer, inputs):
        model = MyDiffusionModel()
        denoise = compiled(partial(model.denoise, training=False))
        noise = ops.convert_to_tensor(noise_like(2, 4, 4, 3))
        combined = self.use(answer, denoise, VIEWS)
        return ddim(combined, model.diffusion_schedule, noise, 2)

    @staticmethod
    def right(denoise, views):
        def combined(noisy_images, noise_rates, signal_rates):
            votes = [
                back(denoise(there(noisy_images), noise_rates, signal_rates)[0])
                for there, back in views
            ]
            pred_noises = sum(votes) / len(votes)
            pred_images = (noisy_images - noise_rates * pred_noises) / signal_rates
            return pred_noises, pred_images

        return combined

    mistakes = [
        # A mistake with the right noise comes first: others may have the same images.
        Mistake(
            "Your images are those of the unchanged view alone. Compute them from noisy_images and"
            " the averaged noise.",
            (
                "(noisy_images - noise_rates * pred_noises) / signal_rates",
                "denoise(noisy_images, noise_rates, signal_rates)[1]",
            ),
        ),
        Mistake(
            "Your images are those of the last view alone. Compute them from noisy_images and the"
            " averaged noise.",
            lambda denoise, views: with_other_images(
                denoise, views, lambda images, backs: images[-1]
            ),
        ),
        Mistake(
            "Your images are those of the last view alone, turned back. Compute them from"
            " noisy_images and the averaged noise.",
            lambda denoise, views: with_other_images(
                denoise, views, lambda images, backs: backs[-1](images[-1])
            ),
        ),
        Mistake(
            "You averaged the predicted images without turning them back. Compute the images from"
            " noisy_images and the averaged noise.",
            lambda denoise, views: with_other_images(
                denoise, views, lambda images, backs: sum(images) / len(images)
            ),
        ),
        Mistake(
            "You swapped the rates in the formula of the images. Subtract noise rate * noise, and"
            " divide by the signal rate.",
            (
                "(noisy_images - noise_rates * pred_noises) / signal_rates",
                "(noisy_images - signal_rates * pred_noises) / noise_rates",
            ),
        ),
        Mistake(
            "You used the squares of the rates. The rates are the factors themselves, so leave the"
            " squares out.",
            (
                "(noisy_images - noise_rates * pred_noises) / signal_rates",
                "(noisy_images - noise_rates**2 * pred_noises) / signal_rates**2",
            ),
        ),
        Mistake(
            "You did not turn the predictions back before averaging them. Apply `back` to the noise"
            " that each view predicts.",
            (
                "back(denoise(there(noisy_images), noise_rates, signal_rates)[0])",
                "denoise(there(noisy_images), noise_rates, signal_rates)[0]",
            ),
        ),
        Mistake(
            "The network never sees the views. Pass there(noisy_images) to denoise.",
            ("there(noisy_images)", "noisy_images"),
        ),
        Mistake(
            "You swapped the two functions of a view. The first leads there, and the second back.",
            ("for there, back in", "for back, there in"),
        ),
        Mistake(
            "You applied neither function of the views. Pass there(noisy_images) to denoise, and"
            " apply `back` to the noise that it predicts.",
            (
                "back(denoise(there(noisy_images), noise_rates, signal_rates)[0])",
                "denoise(noisy_images, noise_rates, signal_rates)[0]",
            ),
        ),
        Mistake(
            "You applied `there` in place of `back` to the predictions. Use the second function of"
            " the pair.",
            ("back(denoise", "there(denoise"),
        ),
        Mistake(
            "You summed the predictions. Divide by their number to get the mean.",
            ("sum(votes) / len(votes)", "sum(votes)"),
        ),
        Mistake(
            "You divided by the square root of the number of views. Take the plain mean: the views"
            " predict the same noise, not independent ones.",
            ("/ len(votes)", "/ len(votes) ** 0.5"),
        ),
        Mistake(
            "You divided by 2, but there may be any number of views. Divide by len(views).",
            ("/ len(votes)", "/ 2"),
        ),
        Mistake(
            "Only the first view counts. Return after the loop, and average all views.",
            ("sum(votes) / len(votes)", "votes[0]"),
        ),
        Mistake(
            "Only the first view counts, because you return inside the loop. Return after it.",
            ("sum(votes) / len(votes)", "votes[0] / len(votes)"),
        ),
        Mistake(
            "Only the last view counts, because each overwrites the one before. Collect the"
            " predictions of all views, and average them.",
            ("sum(votes) / len(votes)", "votes[-1]"),
        ),
        *(
            Mistake(
                "Your first result is the mean of the predicted images. `denoise` returns"
                " (pred_noises, pred_images): average the first of them, and return in this order.",
                wrong,
            )
            for wrong in (
                ("[0]", "[1]"),
                ("return pred_noises, pred_images", "return pred_images, pred_noises"),
            )
        ),
        Mistake(
            "The noise is gone from your images, but they are still as pale as in the mixture."
            " Divide by the signal rate.",
            (") / signal_rates", ")"),
        ),
        Mistake(
            "You divided by the noise rate. Without its noise, the noisy image is signal rate *"
            " image: divide by the signal rate.",
            (") / signal_rates", ") / noise_rates"),
        ),
        Mistake(
            "You subtracted the noise at full strength. Multiply it by its rate first.",
            ("noise_rates * pred_noises", "pred_noises"),
        ),
        Mistake(
            "You added the noise a second time. Subtract it.",
            ("noisy_images - noise_rates", "noisy_images + noise_rates"),
        ),
        Mistake(
            "You swapped the rates that `denoise` takes: the noise rates come first.",
            (
                "denoise(there(noisy_images), noise_rates, signal_rates)",
                "denoise(there(noisy_images), signal_rates, noise_rates)",
            ),
        ),
        Mistake(
            "You averaged the noisy images of all views, and called `denoise` once. Call it for"
            " each view, and average what comes back.",
            lambda denoise, views: average_first(denoise, views),
        ),
        Mistake(
            "You overwrote noisy_images in the loop, so the next view begins with the images of the"
            " last one. Give there(noisy_images) another name.",
            lambda denoise, views: one_view_after_another(denoise, views),
        ),
        Mistake(
            "You returned the noisy images as the predicted ones. Subtract the noise from them,"
            " and divide by the signal rate.",
            ("return pred_noises, pred_images", "return pred_noises, noisy_images"),
        ),
    ]


def with_other_images(denoise, views, choose):
    """Returns a `denoise` with the right noise, whose images are choose(images, backs)."""
    right, backs = AnagramDenoise.right(denoise, views), [back for _, back in views]

    def combined(noisy_images, *rates):
        images = [denoise(there(noisy_images), *rates)[1] for there, _ in views]
        return right(noisy_images, *rates)[0], choose(images, backs)

    return combined


def one_view_after_another(denoise, views):
    """Returns a `denoise` in which each view changes the images of the view before."""

    def combined(noisy_images, noise_rates, signal_rates):
        votes = []
        for there, back in views:
            noisy_images = there(noisy_images)
            votes.append(back(denoise(noisy_images, noise_rates, signal_rates)[0]))
        pred_noises = sum(votes) / len(votes)
        return pred_noises, (noisy_images - noise_rates * pred_noises) / signal_rates

    return combined


def average_first(denoise, views):
    """Returns a `denoise` that averages the noisy images of all views before it predicts."""

    def combined(noisy_images, noise_rates, signal_rates):
        mean = sum(there(noisy_images) for there, _ in views) / len(views)
        pred_noises, _ = denoise(mean, noise_rates, signal_rates)
        return pred_noises, (noisy_images - noise_rates * pred_noises) / signal_rates

    return combined
