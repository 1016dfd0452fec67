"""Lab 11: the loss of consistency distillation."""

from functools import partial

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import input_gradient, to_numpy_or_none
from diffusion_lab.ideal_denoisers import gaussian_denoiser
from diffusion_lab.labs.diffusion_models import MyDiffusionModel
from diffusion_lab.labs.exercise import CheckFailed, Exercise
from diffusion_lab.labs.lab11.loss_mistakes import MISTAKES, MORE_NOISE
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.rehearsal import noise_like, train
from diffusion_lab.labs.repeats import refuse_randomness
from diffusion_lab.schedules import offset_cosine_diffusion_schedule

GAP = 0.25
# not the models' own, so that an answer has to use its argument
schedule = partial(offset_cosine_diffusion_schedule, min_signal_rate=0.1, max_signal_rate=0.9)


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

        def watchful_schedule(diffusion_times):
            values = to_numpy_or_none(diffusion_times)
            # some of these are above 1, where the schedule would stop with a sentence about that
            if np.shape(values) == times.shape and np.allclose(values, inputs["times"] + GAP):
                raise CheckFailed(MORE_NOISE)
            return schedule(diffusion_times)

        def loss(strength):
            denoise, ema_denoise = adjustable_denoiser(strength), adjustable_denoiser(0.9)
            arguments = denoise, ema_denoise, teacher, watchful_schedule, noisy_images, times, GAP
            return self.call(answer, *arguments)

        losses, gradients, again = [], [], loss(ops.convert_to_tensor(inputs["strengths"][0]))
        for strength in map(ops.convert_to_tensor, inputs["strengths"]):
            losses.append(array(loss(strength), "the loss"))
            if losses[-1].ndim:
                raise CheckFailed(
                    f"the loss must be one number, but has the shape {losses[-1].shape}. Take the"
                    " mean over all images, pixels and channels."
                )
            gradient = input_gradient(loss, strength)
            gradients.append(np.zeros(1) if gradient is None else np.ravel(gradient))
        return {
            "loss": np.array(losses),
            "gradient": np.array(gradients),
            "again": array(again, "the loss"),
        }

    def examine(self, inputs, outputs):
        refuse_randomness(
            outputs["loss"][0],
            outputs["again"],
            "Add no noise of your own: mix the image and the noise that the teacher predicts.",
        )
        super().examine(inputs, outputs)

    def rehearse(self, answer, inputs):
        use, teacher = self.use, gaussian_denoiser()

        class ConsistencyModel(MyDiffusionModel):
            """The model of the lab."""

            def __init__(self):
                super().__init__()
                self.gap = self.add_weight(shape=(), initializer="ones", trainable=False)

            def call(self, images, training=False):
                return ops.convert_to_tensor(images)  # JAX outside a graph gives a NumPy array

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

    mistakes = MISTAKES
