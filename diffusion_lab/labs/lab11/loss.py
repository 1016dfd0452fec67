"""Lab 11: the loss of consistency models."""

from keras import ops

from diffusion_lab.backend import input_gradient
from diffusion_lab.ideal_denoisers import gaussian_denoiser
from diffusion_lab.labs.exercise import Exercise, array
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.schedules import offset_cosine_diffusion_schedule as schedule


def adjustable_denoiser(strength):
    """Returns a `denoise` whose predicted images are multiplied by `strength`, a tensor."""
    ideal = gaussian_denoiser(mean=0.5, standard_deviation=0.8)

    def denoise(noisy_images, noise_rates, signal_rates):
        _, pred_images = ideal(noisy_images, noise_rates, signal_rates)
        pred_images = strength * pred_images
        return (noisy_images - signal_rates * pred_images) / noise_rates, pred_images

    return denoise


class ConsistencyLoss(Exercise):
    name, takes = "consistency_loss", "denoise, schedule, images, noises, times, gap"
    praise = "neighbours on a path agree, and the clean end of the path says on what."
    shape_hint = "the times have the shape (B, 1, 1, 1), so schedule(times) has it as well"
    results = {"loss": "the loss", "gradient": "the gradient of the loss"}

    def draw(self, rng):
        return {
            "images": rng.normal(size=(6, 4, 4, 3)).astype("float32"),
            "noises": rng.normal(size=(6, 4, 4, 3)).astype("float32"),
            # the first two are below the gap, where the clean image is the target
            "times": (rng.uniform(0.05, 0.1, 6) + [0, 0.1, 0.3, 0.5, 0.7, 0.9])
            .reshape(-1, 1, 1, 1)
            .astype("float32"),
            "strength": rng.uniform(0.8, 1.2, (1, 1, 1, 1)).astype("float32"),
        }

    def measure(self, answer, inputs):
        images, noises, times, strength = (
            ops.convert_to_tensor(inputs[name])
            for name in ("images", "noises", "times", "strength")
        )

        def loss(strength):
            return self.call(
                answer, adjustable_denoiser(strength), schedule, images, noises, times, 0.25
            )

        gradient = input_gradient(loss, strength)
        if gradient is None:
            gradient = ops.zeros_like(strength)
        return {
            "loss": array(loss(strength), "the loss"),
            "gradient": array(gradient, "the gradient of the loss"),
        }

    @staticmethod
    def right(denoise, schedule, images, noises, times, gap):
        noise_rates, signal_rates = schedule(times)
        noisy_images = signal_rates * images + noise_rates * noises
        pred_noises, pred_images = denoise(noisy_images, noise_rates, signal_rates)

        earlier = ops.maximum(times - gap, 0.0)
        noise_rates, signal_rates = schedule(earlier)
        noisy_images = signal_rates * images + noise_rates * noises
        target_noises, targets = denoise(noisy_images, noise_rates, signal_rates)
        targets = ops.where(times < gap, images, ops.stop_gradient(targets))
        return ops.mean(ops.square(pred_images - targets))

    mistakes = [
        Mistake(
            "The gradient also flows through the target, so the target is pulled towards the"
            " prediction. Wrap it in ops.stop_gradient.",
            ("ops.stop_gradient(targets)", "targets"),
        ),
        Mistake(
            "You stopped the gradient of the prediction, so nothing is learned. Stop that of the"
            " target.",
            ("square(pred_images", "square(ops.stop_gradient(pred_images)"),
        ),
        Mistake(
            "Where the earlier time is below 0, your target is a prediction. There it is the clean"
            " image itself: use ops.where(times < gap, images, ...).",
            (
                "ops.where(times < gap, images, ops.stop_gradient(targets))",
                "ops.stop_gradient(targets)",
            ),
        ),
        Mistake(
            "Your target is always the clean image. That is the loss of a diffusion model: take the"
            " prediction at the earlier time, unless that time is below 0.",
            (
                "ops.where(times < gap, images, ops.stop_gradient(targets))",
                "images",
            ),
        ),
        Mistake(
            "You swapped the two cases: the clean image is the target where times < gap, and the"
            " earlier prediction is elsewhere.",
            (
                "ops.where(times < gap, images, ops.stop_gradient(targets))",
                "ops.where(times < gap, ops.stop_gradient(targets), images)",
            ),
        ),
        Mistake(
            "Both predictions are at the same time. The target belongs to the *earlier* time,"
            " times - gap.",
            ("ops.maximum(times - gap, 0.0)", "times"),
        ),
        Mistake(
            "Your target is at a later time, with more noise. It belongs to times - gap.",
            ("ops.maximum(times - gap, 0.0)", "ops.minimum(times + gap, 1.0)"),
        ),
        Mistake(
            "The earlier time is the gap itself. It lies one gap before each time: times - gap.",
            ("ops.maximum(times - gap, 0.0)", "gap * ops.ones_like(times)"),
        ),
        Mistake(
            "The earlier time is a share of the time. It lies one gap before it: times - gap.",
            ("ops.maximum(times - gap, 0.0)", "times * (1 - gap)"),
        ),
        Mistake(
            "The target was predicted from the *later* noisy image. Mix image and noise again, at"
            " the earlier rates.",
            (
                "noise_rates, signal_rates = schedule(earlier)\n"
                "    noisy_images = signal_rates * images + noise_rates * noises",
                "noise_rates, signal_rates = schedule(earlier)",
            ),
        ),
        Mistake(
            "You compared the predicted noise. Compare the predicted *images*, the second result of"
            " `denoise`.",
            (
                "ops.mean(ops.square(pred_images - targets))",
                "ops.mean(ops.square(pred_noises - ops.stop_gradient(target_noises)))",
            ),
        ),
        Mistake(
            "You summed the squares. Take their mean.",
            ("ops.mean(ops.square", "ops.sum(ops.square"),
        ),
        Mistake("You took the absolute difference. Take the square.", ("ops.square(", "ops.abs(")),
        Mistake(
            "You took the square root of the mean. The loss is the mean of the squares itself.",
            (
                "ops.mean(ops.square(pred_images - targets))",
                "ops.sqrt(ops.mean(ops.square(pred_images - targets)))",
            ),
        ),
        Mistake(
            "You swapped the rates where you mix the first noisy image. Multiply the image by the"
            " signal rate and the noise by the noise rate.",
            (
                "noisy_images = signal_rates * images + noise_rates * noises\n    pred_noises",
                "noisy_images = noise_rates * images + signal_rates * noises\n    pred_noises",
            ),
        ),
        Mistake(
            "The network receives the clean images. Mix in the noise first, as in training.",
            (
                "noisy_images = signal_rates * images + noise_rates * noises\n    pred_noises",
                "noisy_images = images\n    pred_noises",
            ),
        ),
    ]
