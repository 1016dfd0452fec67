"""Lab 04: `with_noise_level`, which tells the network how noisy its input is."""

import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.lab04.optimization import small_network
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import arrays
from diffusion_lab.labs.rehearsal import noise_like


class WithNoiseLevel(Exercise):
    name, takes = "with_noise_level", "noisy_images, noise_rates"
    praise = "one more channel, and each image carries a label that says how noisy it is."
    shape_hint = (
        "spread the variances to one number per pixel, (B, H, W, 1), before you concatenate"
    )

    def draw(self, rng):
        return {
            "noisy_images": rng.normal(size=(4, 6, 5, 3)).astype("float32"),
            "noise_rates": rng.uniform(0.2, 0.9, (4, 1, 1, 1)).astype("float32"),
        }

    def measure(self, answer, inputs):
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("noisy_images", "noise_rates")]
        return arrays(self.call(answer, *tensors), "inputs")

    def rehearse(self, answer, inputs):
        network, rates = small_network(channels=4), ops.convert_to_tensor(inputs["noise_rates"][:2])
        for noisy_images in (noise_like(2, 6, 6, 3), ops.convert_to_tensor(noise_like(2, 6, 6, 3))):
            network(answer(noisy_images, rates), training=False)

    def examine(self, inputs, outputs):
        images, result = inputs["noisy_images"], outputs["inputs"]
        right_place = result.shape == (*images.shape[:3], 4) and np.allclose(
            result[..., :3], images
        )
        if right_place and np.ptp(result[..., 3], axis=(1, 2)).max() > 1e-4:
            raise CheckFailed(
                "The fourth channel varies from pixel to pixel. Fill it with one "
                "number for each image, the variance."
            )
        super().examine(inputs, outputs)

    results = {"inputs": "the network's input"}

    @staticmethod
    def right(noisy_images, noise_rates):
        plane = ops.square(noise_rates) * ops.ones_like(noisy_images[..., :1])
        return ops.concatenate([noisy_images, plane], axis=-1)

    mistakes = [
        Mistake(
            "Your plane holds the noise rate. The networks of this course receive the "
            "variance: square the rate.",
            ("ops.square(noise_rates)", "noise_rates"),
        ),
        Mistake(
            "Your plane holds the image's share, 1 - noise_rates**2. Tell the network how "
            "much noise there is.",
            ("ops.square(noise_rates)", "(1 - noise_rates**2)"),
        ),
        Mistake(
            "Your plane holds the signal rate. Tell the network how much noise there is.",
            ("ops.square(noise_rates)", "(1 - noise_rates**2) ** 0.5"),
        ),
        Mistake(
            "Your plane holds the square root of the noise rate. The variance is the square "
            "of the rate.",
            ("ops.square", "ops.sqrt"),
        ),
        Mistake(
            "Every image has the noise level of the first one. Use the whole array of rates.",
            ("(noise_rates)", "(noise_rates[:1])"),
        ),
        Mistake(
            "All images have the same mean noise level. Give each image its own.",
            ("ops.square(noise_rates)", "ops.mean(noise_rates**2)"),
        ),
        Mistake(
            "Your plane comes first. Put it after the colours.",
            ("noisy_images, plane]", "plane, noisy_images]"),
        ),
        Mistake(
            "You added the noise level to the colours. Make it a separate channel.",
            ("ops.concatenate([noisy_images, plane], axis=-1)", "noisy_images + plane"),
        ),
        Mistake(
            "You multiplied the colours by the noise level. Make it a separate channel.",
            ("ops.concatenate([noisy_images, plane], axis=-1)", "noisy_images * plane"),
        ),
        Mistake(
            "You appended the noise level three times, once for each colour. Append one channel "
            "only.",
            ("[..., :1]", ""),
        ),
        Mistake(
            "You returned the plane alone. Return the noisy images too, in front of it.",
            ("ops.concatenate([noisy_images, plane], axis=-1)", "plane"),
        ),
        Mistake(
            "You appended the plane as more pixels. Append it as a channel, with axis=-1.",
            lambda x, n: ops.concatenate([x, n**2 * ops.ones_like(x)], axis=2),
        ),
    ]
