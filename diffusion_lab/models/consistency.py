"""Consistency tuning: a trained diffusion model learns to need only a few steps."""

import keras
from keras import ops

from diffusion_lab.models.diffusion import DiffusionModel


class ConsistencyModel(DiffusionModel):
    """Learns to predict the same image everywhere on the path from an image to noise.

    The network of a diffusion model predicts the *mean* of all images that may lie under the noise,
    which is blurred where there is much of it. If the prediction is the same all along the path, it
    is the image at the path's beginning, and a single step leads there (Song et al. 2023).

    Each training image is mixed with the same noise at two times, `time` and `time` - `gap`. The
    prediction at the first should equal that at the second, where a time below 0 stands for the
    clean image. With a gap of 1 this is the loss of a diffusion model, so tuning starts there, from
    the weights of such a model. Then the gap shrinks (Geng et al. 2024, "Consistency Models Made
    Easy", with times instead of logarithms). Compile with `pseudo_huber`.

    Args:
        arguments, keywords: those of `DiffusionModel`, but the loss is always on the image.
    """

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords, loss_on="image")
        self.gap = self.add_weight(name="gap", shape=(), initializer="ones", trainable=False)

    def corrupt_and_separate(self, images, denoise):
        """Mixes images in [0, 1] with noise at random times; returns targets and predictions."""
        images = self.normalizer(images)
        noises = keras.random.normal(ops.shape(images), seed=self.seed_generator)
        times = keras.random.uniform((ops.shape(images)[0], 1, 1, 1), seed=self.seed_generator)
        pred_noises, pred_images = denoise(*self.mixed(images, noises, times))
        _, target = denoise(*self.mixed(images, noises, times - self.gap))
        return {"noise": (noises, pred_noises), "image": (ops.stop_gradient(target), pred_images)}

    def mixed(self, images, noises, times):
        """Returns noisy images and their rates at times (B, 1, 1, 1); before 0, all is image."""
        noise_rates, signal_rates = self.diffusion_schedule(ops.maximum(times, 0.0))
        noise_rates = ops.where(times < 0, 0.0, noise_rates)
        signal_rates = ops.where(times < 0, 1.0, signal_rates)
        return signal_rates * images + noise_rates * noises, noise_rates, signal_rates


def pseudo_huber(targets, predictions, width=0.03):
    """Returns sqrt(MSE + width²) - width of each image, (B,), for two batches (B, H, W, C).

    It grows like the distance, not like its square, so a few targets that are far off, as at large
    gaps, do not dominate. Song & Dhariwal 2024, section 3.3.
    """
    mean_square = ops.mean(ops.square(targets - predictions), axis=(1, 2, 3))
    return ops.sqrt(mean_square + width**2) - width
