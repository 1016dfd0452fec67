"""Lab 11: the loss of consistency distillation."""

from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import input_gradient
from diffusion_lab.ideal_denoisers import gaussian_denoiser
from diffusion_lab.labs.diffusion_models import MyDiffusionModel
from diffusion_lab.labs.exercise import CheckFailed, Exercise, array
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.rehearsal import noise_like, train
from diffusion_lab.schedules import offset_cosine_diffusion_schedule as schedule

GAP = 0.25


def adjustable_denoiser(strength):
    """Returns a `denoise` whose predicted images are multiplied by `strength`, a tensor."""
    ideal = gaussian_denoiser(mean=0.5, standard_deviation=0.8)

    def denoise(noisy_images, noise_rates, signal_rates):
        pred_images = strength * ideal(noisy_images, noise_rates, signal_rates)[1]
        return (noisy_images - signal_rates * pred_images) / noise_rates, pred_images

    return denoise


class ConsistencyLoss(Exercise):
    name, takes = (
        "consistency_loss",
        "denoise, ema_denoise, teacher, schedule, noisy_images, times, gap",
    )
    praise = "two neighbours on one path, and they should agree about its end."
    shape_hint = "the times have the shape (B, 1, 1, 1), so schedule(times) has it as well"
    results = {"loss": "the loss", "gradient": "the gradient of the loss"}

    def draw(self, rng):
        return {
            "noisy_images": rng.normal(size=(6, 4, 4, 3)).astype("float32"),
            # the first two are below the gap, where the teacher's image is the target
            "times": (rng.uniform(0.05, 0.1, 6) + [0, 0.1, 0.3, 0.5, 0.7, 0.9])
            .reshape(-1, 1, 1, 1)
            .astype("float32"),
            # three, because two mistakes may happen to have the same loss for one
            "strengths": rng.uniform(0.7, 1.3, (3, 1, 1, 1, 1)).astype("float32"),
        }

    def measure(self, answer, inputs):
        noisy_images, times = map(ops.convert_to_tensor, (inputs["noisy_images"], inputs["times"]))
        teacher = gaussian_denoiser(mean=-0.3, standard_deviation=0.5)

        def loss(strength):
            denoise, ema_denoise = adjustable_denoiser(strength), adjustable_denoiser(0.9)
            arguments = denoise, ema_denoise, teacher, schedule, noisy_images, times, GAP
            return self.call(answer, *arguments)

        losses, gradients = [], []
        for strength in map(ops.convert_to_tensor, inputs["strengths"]):
            losses.append(array(loss(strength), "the loss"))
            if losses[-1].ndim:
                raise CheckFailed(
                    f"the loss must be one number, but has the shape {losses[-1].shape}. Take the"
                    " mean over all images, pixels and channels."
                )
            gradient = input_gradient(loss, strength)
            gradients.append(np.zeros(1) if gradient is None else np.ravel(gradient))
        return {"loss": np.array(losses), "gradient": np.array(gradients)}

    def rehearse(self, answer, inputs):
        use, teacher = self.use, gaussian_denoiser()

        class ConsistencyModel(MyDiffusionModel):
            """The model of the lab."""

            def __init__(self):
                super().__init__()
                self.gap = self.add_weight(shape=(), initializer="ones", trainable=False)

            def call(self, images, training=False):
                return images

            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                times = keras.random.uniform((ops.shape(y_pred)[0], 1, 1, 1))
                denoise, ema_denoise = (
                    partial(self.denoise, training=training) for training in (True, False)
                )
                gap = 1.0 * self.gap  # a tensor: a variable would stop a `tf.function`
                arguments = denoise, ema_denoise, teacher, schedule, y_pred, times, gap
                return use(answer, *arguments)

        model = ConsistencyModel()
        train(model, noise_like(3, 4, 4, 3), loss=None, network=model.network)

    @staticmethod
    def right(denoise, ema_denoise, teacher, schedule, noisy_images, times, gap):
        noise_rates, signal_rates = schedule(times)
        pred_noises, pred_images = denoise(noisy_images, noise_rates, signal_rates)
        end_noises, ends = teacher(noisy_images, noise_rates, signal_rates)

        noise_rates, signal_rates = schedule(ops.maximum(times - gap, 0.0))
        neighbours = signal_rates * ends + noise_rates * end_noises
        target_noises, targets = ema_denoise(neighbours, noise_rates, signal_rates)
        targets = ops.where(times < gap, ends, targets)
        return ops.mean(ops.square(pred_images - targets))

    mistakes = [
        Mistake(
            "The tuned network predicts its own target, so the target runs ahead of it. Let"
            " `ema_denoise` predict the target.",
            ("ema_denoise(neighbours", "denoise(neighbours"),
        ),
        Mistake(
            "No gradient flows through the prediction, so nothing is learned. Leave out"
            " `stop_gradient`: no gradient flows through the target anyway.",
            ("square(pred_images", "square(ops.stop_gradient(pred_images)"),
        ),
        Mistake(
            "Only the EMA network predicts, so nothing is learned. Let `denoise` predict at the"
            " later time.",
            (
                "pred_images = denoise(",
                "pred_images = ema_denoise(",
            ),
        ),
        Mistake(
            "You swapped the two networks. `denoise` predicts at the later time, `ema_denoise` at"
            " the earlier one.",
            (
                "pred_noises, pred_images = denoise(noisy_images, noise_rates, signal_rates)",
                "pred_noises, pred_images = ema_denoise(noisy_images, noise_rates, signal_rates)\n"
                "    ema_denoise = denoise",
            ),
        ),
        Mistake(
            "Where times < gap, your target is a prediction of the EMA network. There the path ends"
            " at the teacher's image: use ops.where(times < gap, ...).",
            ("ops.where(times < gap, ends, targets)", "targets"),
        ),
        Mistake(
            "Your target is always the teacher's image, so the network stays what it was. Where"
            " times >= gap, the target is the prediction for the neighbour.",
            ("ops.where(times < gap, ends, targets)", "ends"),
        ),
        Mistake(
            "You swapped the two cases: the teacher's image is the target where times < gap, and"
            " the prediction for the neighbour is elsewhere.",
            ("ops.where(times < gap, ends, targets)", "ops.where(times < gap, targets, ends)"),
        ),
        Mistake(
            "The tuned network walked to the neighbour. It changes all the time: let the teacher"
            " predict the image and the noise that you mix.",
            (
                "signal_rates * ends + noise_rates * end_noises",
                "ops.stop_gradient(signal_rates * pred_images + noise_rates * pred_noises)",
            ),
        ),
        Mistake(
            "The teacher predicts your target. Let it walk to the neighbour, and then ask"
            " `ema_denoise` where the path ends.",
            ("ema_denoise(neighbours", "teacher(neighbours"),
        ),
        Mistake(
            "The target was predicted from the later noisy image. Make the neighbour first: mix"
            " the teacher's image and noise at the earlier rates.",
            ("ema_denoise(neighbours,", "ema_denoise(noisy_images,"),
        ),
        Mistake(
            "The target was predicted from the teacher's clean image. Mix it with the teacher's"
            " noise first, at the earlier rates.",
            ("ema_denoise(neighbours,", "ema_denoise(ends,"),
        ),
        Mistake(
            "You swapped the rates where you mix. Multiply the image by the signal rate and the"
            " noise by the noise rate.",
            (
                "signal_rates * ends + noise_rates * end_noises",
                "noise_rates * ends + signal_rates * end_noises",
            ),
        ),
        Mistake(
            "The neighbour is at the same time. It lies one gap earlier, at times - gap.",
            ("schedule(ops.maximum(times - gap, 0.0))", "schedule(times)"),
        ),
        Mistake(
            "Your neighbour has more noise. It lies at the earlier time, times - gap.",
            ("ops.maximum(times - gap, 0.0)", "ops.minimum(times + gap, 1.0)"),
        ),
        Mistake(
            "Your neighbour is at the time `gap`. It lies one gap before each time: times - gap.",
            ("ops.maximum(times - gap, 0.0)", "gap * ops.ones_like(times)"),
        ),
        Mistake(
            "You multiplied the time by 1 - gap. Subtract the gap: times - gap.",
            ("ops.maximum(times - gap, 0.0)", "times * (1 - gap)"),
        ),
        Mistake(
            "You compared the predicted noise. Compare the predicted images, the second result.",
            (
                "targets = ops.where(times < gap, ends, targets)\n"
                "    return ops.mean(ops.square(pred_images - targets))",
                "targets = ops.where(times < gap, end_noises, target_noises)\n"
                "    return ops.mean(ops.square(pred_noises - targets))",
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
    ]
