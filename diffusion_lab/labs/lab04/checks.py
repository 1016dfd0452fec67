"""Lab 04: the six things that the failing script should have done, each checked separately."""

import numpy as np
from keras import ops

from diffusion_lab.backend import input_gradient, parts
from diffusion_lab.labs.exercise import NO_GRADIENT, Exercise, numbered
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.lab04.network_input import WithNoiseLevel
from diffusion_lab.labs.lab04.optimization import GradientStep, small_network
from diffusion_lab.labs.lab04.sampling import StepBack
from diffusion_lab.labs.lab04.training_loop import TrainingLoop
from diffusion_lab.labs.language import say
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import arrays
from diffusion_lab.labs.rehearsal import noise_like, train


class TrainingPair(Exercise):
    name, takes = "training_pair", "images, noises, noise_rates, signal_rates"
    praise = (
        "a noisy image goes in, and the noise that was mixed into it is what the network must find."
    )
    shape_hint = "the rates already have the shape (B, 1, 1, 1): multiply by them directly"

    def draw(self, rng):
        angles = rng.uniform(0.3, 1.2, (5, 1, 1, 1))
        return {
            name: rng.normal(size=(5, 4, 4, 3)).astype("float32") for name in ("images", "noises")
        } | {
            "noise_rates": np.sin(angles).astype("float32"),
            "signal_rates": np.cos(angles).astype("float32"),
        }

    def measure(self, answer, inputs):
        rates = [ops.convert_to_tensor(inputs[name]) for name in ("noise_rates", "signal_rates")]
        # as in the lab, images are NumPy arrays and rates are tensors
        arguments = (inputs["images"], inputs["noises"], *rates)
        outputs = arrays(self.call(answer, *arguments), "noisy_images", "targets")
        again = arrays(self.call(answer, *arguments), "noisy_images again", "targets again")
        return outputs | again

    def rehearse(self, answer, inputs):
        rates = [
            ops.convert_to_tensor(inputs[name][:2]) for name in ("noise_rates", "signal_rates")
        ]
        noisy_images, target = parts(answer(noise_like(2, 6, 6, 3), noise_like(2, 6, 6, 3), *rates))
        ops.mean(ops.abs(target - small_network()(noisy_images, training=True)))

    def examine(self, inputs, outputs):
        noisy_images, targets = outputs["noisy_images"], outputs["targets"]
        right = self.measured(self.right, inputs)
        if _agree(noisy_images, right["targets"]) and _agree(targets, right["noisy_images"]):
            raise CheckFailed(
                "The two results are in the wrong order. Return the noisy images "
                "first: they go into the network."
            )
        if not all(
            np.array_equal(outputs[name], outputs[f"{name} again"]) for name in self.results
        ):
            raise CheckFailed(
                "Two calls with the same arguments gave different results. Use the "
                "`noises` that you receive instead of drawing your own."
            )
        super().examine(inputs, outputs)

    results = {"noisy_images": "noisy_images", "targets": "the target"}

    @staticmethod
    def right(images, noises, noise_rates, signal_rates):
        noisy_images = signal_rates * images + noise_rates * noises
        return noisy_images, noises

    mistakes = [
        Mistake(
            "You mixed noise into noise, as the script did. Mix it into the images.",
            lambda x, e, n, s: (s * e + n * e, e),
        ),
        Mistake(
            "Your noisy images contain only noise. Mix in the images.", lambda x, e, n, s: (e, e)
        ),
        Mistake(
            "The rates are swapped. Multiply the noise by noise_rates and the images by "
            "signal_rates.",
            lambda x, e, n, s: (n * x + s * e, e),
        ),
        Mistake(
            "You squared the rates. They are standard deviations already: multiply by them"
            " directly.",
            lambda x, e, n, s: (s**2 * x + n**2 * e, e),
        ),
        Mistake(
            "You left out the rates. Multiply the images by signal_rates and the noise by "
            "noise_rates.",
            lambda x, e, n, s: (x + e, e),
        ),
        Mistake(
            "You left the images at full size. Multiply them by signal_rates.",
            lambda x, e, n, s: (x + n * e, e),
        ),
        Mistake(
            "You left the noise at full size. Multiply it by noise_rates.",
            lambda x, e, n, s: (s * x + e, e),
        ),
        Mistake(
            "You took the square root of the rates. They are standard deviations already: multiply"
            " by them directly.",
            lambda x, e, n, s: (s**0.5 * x + n**0.5 * e, e),
        ),
        Mistake("You subtracted the noise. Add it.", lambda x, e, n, s: (s * x - n * e, e)),
        Mistake(
            "Your target is the image. Return the noise, because that is what this network "
            "has to find.",
            ("return noisy_images, noises", "return noisy_images, images"),
        ),
        Mistake(
            "Your target is the noise times its rate. Return the noise itself, which has the "
            "same size at every level.",
            ("return noisy_images, noises", "return noisy_images, noise_rates * noises"),
        ),
        Mistake(
            "Your target is the noisy image minus the clean one, which still contains a part "
            "of the image. Return `noises`.",
            ("return noisy_images, noises", "return noisy_images, noisy_images - images"),
        ),
        Mistake(
            "Your target is the noisy image, so the network would learn to copy its input. "
            "Return `noises`.",
            ("return noisy_images, noises", "return noisy_images, noisy_images"),
        ),
    ]


def _agree(result, expected):
    """True if two arrays have the same shape and, up to 1e-4, the same values."""
    return result.shape == expected.shape and np.allclose(result, expected, atol=1e-4)


def _cross_entropy(labels, logits):
    """Returns the softmax cross-entropy of each pixel, (B, H, W)."""
    return -ops.sum(labels * ops.log_softmax(logits, axis=-1), axis=-1)


class NoiseLoss(Exercise):
    name, takes = "noise_loss", "noises, pred_noises"
    praise = (
        "it is zero when the noise is found and positive otherwise, and a gradient flows"
        " through it."
    )

    def draw(self, rng):
        return {
            name: rng.normal(size=(4, 5, 5, 3)).astype("float32")
            for name in ("noises", "pred_noises")
        }

    def measure(self, answer, inputs):
        noises, pred_noises = (
            ops.convert_to_tensor(inputs[name]) for name in ("noises", "pred_noises")
        )
        return arrays(self.call(answer, noises, pred_noises), "loss")

    def rehearse(self, answer, inputs):
        try:
            gradient = input_gradient(
                lambda predicted: answer(ops.zeros_like(predicted), predicted),
                ops.ones((2, 2, 2, 3)),
            )
        except Exception:  # each backend has its own exception for a missing gradient
            gradient = None
        if gradient is None:
            raise CheckFailed(say(NO_GRADIENT))
        train(small_network(), noise_like(3, 6, 6, 3), noise_like(3, 6, 6, 3), loss=answer)

    results = {"loss": "the loss"}

    @staticmethod
    def right(noises, pred_noises):
        return ops.mean(ops.square(noises - pred_noises))

    mistakes = [
        Mistake(
            "You returned the script's softmax cross-entropy, which compares probabilities of "
            "classes. Noise has no classes: compare the numbers themselves.",
            lambda e, p: ops.mean(_cross_entropy(e, p)),
        ),
        Mistake(
            "You returned a softmax cross-entropy for each pixel. Noise has no classes: "
            "compare the numbers themselves.",
            _cross_entropy,
        ),
        Mistake(
            "You averaged the plain differences, so errors of opposite sign cancel. Square "
            "each difference first.",
            lambda e, p: ops.mean(e - p),
        ),
        Mistake(
            "You averaged the plain differences, so errors of opposite sign cancel. Square "
            "each difference first.",
            lambda e, p: ops.mean(p - e),
        ),
        Mistake(
            "You averaged first and squared the average. Square each difference, then average.",
            lambda e, p: ops.square(ops.mean(e - p)),
        ),
        Mistake(
            "You returned the mean absolute error. It is a reasonable loss too, but this "
            "exercise asks for the mean squared error.",
            lambda e, p: ops.mean(ops.abs(e - p)),
        ),
        Mistake(
            "You added up the squares, so the loss grows with the batch and with the size of "
            "the image. Take their mean.",
            lambda e, p: ops.sum(ops.square(e - p)),
        ),
        Mistake(
            "You added up the squares within each image, so the loss grows with its size. "
            "Take the mean over all numbers.",
            lambda e, p: ops.mean(ops.sum(ops.square(e - p), axis=(1, 2, 3))),
        ),
        Mistake(
            "You took a square root of the mean squared error. Drop it: the loss is the mean "
            "squared error itself.",
            lambda e, p: ops.sqrt(ops.mean(ops.square(e - p))),
        ),
        Mistake(
            "Your loss is half the mean squared error. Drop the factor 1/2.",
            lambda e, p: ops.mean(ops.square(e - p)) / 2,
        ),
        Mistake(
            "You returned one number for each image. Average over the images too: the loss is "
            "one number for the batch.",
            lambda e, p: ops.mean(ops.square(e - p), axis=(1, 2, 3)),
        ),
        Mistake(
            "You returned one number for each pixel, as Keras's `mean_squared_error` does. "
            "Take the mean of them all.",
            lambda e, p: ops.mean(ops.square(e - p), axis=-1),
        ),
    ]


training_pair, noise_loss, training_loop, gradient_step, step_back, with_noise_level = numbered(
    4, TrainingPair, NoiseLoss, TrainingLoop, GradientStep, StepBack, WithNoiseLevel
)
