"""Lab 05: `sinusoidal_embedding`, which turns the noise level into waves."""

import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed, Undiagnosed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import arrays


class SinusoidalEmbedding(Exercise):
    name, takes = "sinusoidal_embedding", "noise_variances"
    praise = "slow waves tell clean from noisy, fast ones tell clean from nearly clean."
    shape_hint = (
        "the frequencies have the shape (16,), the variances (B, 1, 1, 1): their product is (B, 1,"
        " 1, 16)"
    )
    tolerance = 0.02  # single precision leaves an angle of 6,000 uncertain by a few thousandths

    def draw(self, rng):
        return {"noise_variances": (10 ** rng.uniform(-3.5, -0.01, (7, 1, 1, 1))).astype("float32")}

    def measure(self, answer, inputs):
        return arrays(
            self.call(answer, ops.convert_to_tensor(inputs["noise_variances"])), "embedding"
        )

    def rehearse(self, answer, inputs):
        variances = ops.convert_to_tensor(np.geomspace(1e-4, 1, 9).reshape(-1, 1, 1, 1), "float32")
        embedding = ops.convert_to_numpy(answer(variances))
        if embedding.shape != (9, 1, 1, 32):
            raise CheckFailed(
                "The embedding is right for 7 variances, but for 9 it has the shape"
                f" {embedding.shape}. Read the size of the batch from the input."
            )

    def examine(self, inputs, outputs):
        try:
            super().examine(inputs, outputs)
        except Undiagnosed:
            # single precision cannot hold a mistake's fastest waves: compare only the slow ones
            slow = [*range(6), *range(16, 22)]
            found = outputs["embedding"][..., slow]
            for hint, wrong in self.known_results("embedding", inputs):
                if wrong.shape[-1] == 32 and np.allclose(
                    found, wrong[..., slow], atol=self.tolerance
                ):
                    raise CheckFailed(hint) from None
            raise

    results = {"embedding": "the embedding"}

    @staticmethod
    def right(noise_variances):
        frequencies = np.geomspace(1, 1000, 16)
        angles = noise_variances * (2 * np.pi * frequencies).astype("float32")
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)

    mistakes = [
        Mistake(
            "The factor 2π is missing. A frequency of 1 is one whole turn, and sine and cosine"
            " count in radians: multiply by 2π.",
            ("2 * np.pi * ", ""),
        ),
        Mistake(
            "Your factor is π, so every wave runs at half its frequency. Use 2π, a whole turn.",
            ("2 * np.pi", "np.pi"),
        ),
        Mistake(
            "Your angles are in degrees. Sine and cosine take radians, in which one turn is 2π.",
            ("2 * np.pi", "360"),
        ),
        Mistake(
            "You spaced the frequencies evenly, so nearly all waves are fast. Space their"
            " logarithms evenly, as `np.geomspace` does.",
            ("geomspace", "linspace"),
        ),
        Mistake(
            "Your frequencies are still logarithms. Take the exponential of the evenly spaced"
            " numbers.",
            ("np.geomspace(1, 1000, 16)", "np.linspace(0, np.log(1000), 16)"),
        ),
        Mistake(
            "You combined `exp` with `log10`. Use a matching pair: `exp` undoes `log`, and `10**`"
            " undoes `log10`.",
            ("np.geomspace(1, 1000, 16)", "np.exp(np.linspace(0, np.log10(1000), 16))"),
        ),
        Mistake(
            "You combined `10**` with `log`. Use a matching pair: `exp` undoes `log`, and `10**`"
            " undoes `log10`.",
            ("np.geomspace(1, 1000, 16)", "10 ** np.linspace(0, np.log(1000), 16)"),
        ),
        Mistake(
            "The highest frequency, 1000 itself, is missing. Include both ends in the 16"
            " frequencies.",
            ("1000, 16)", "1000, 16, endpoint=False)"),
        ),
        Mistake(
            "The lowest frequency, 1 itself, is missing. Include both ends in the 16 frequencies.",
            ("1000, 16)", "1000, 17)[1:]"),
        ),
        Mistake(
            "Your frequencies run from fast to slow. Begin with 1 and end with 1000.",
            ("1, 1000", "1000, 1"),
        ),
        Mistake(
            "You used the Transformer's frequencies, from 1 down to 1/10000, made for integer"
            " positions. Noise variances lie between 0 and 1: use 1 to 1000.",
            ("2 * np.pi * frequencies", "np.geomspace(1, 1e-4, 16)"),
        ),
        Mistake(
            "You divided by the frequencies. A fast wave turns more often, so multiply by them.",
            ("np.pi * frequencies", "np.pi / frequencies"),
        ),
        Mistake(
            "Your cosines come first. Return the sines, then the cosines.",
            ("ops.sin(angles), ops.cos(angles)", "ops.cos(angles), ops.sin(angles)"),
        ),
        Mistake(
            "Your sines and cosines alternate. Return all 16 sines first, then all 16 cosines.",
            (
                "ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)",
                (
                    "ops.reshape(ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1), (-1, 1, 1,"
                    " 32))"
                ),
            ),
        ),
        Mistake("Both halves are sines. Make the second half cosines.", ("ops.cos", "ops.sin")),
        Mistake("Both halves are cosines. Make the first half sines.", ("ops.sin", "ops.cos")),
        Mistake(
            "The cosines are missing. Add them, because a sine alone cannot distinguish between two"
            " variances on either side of its crest.",
            (", ops.cos(angles)", ""),
        ),
        Mistake(
            "The sines are missing. Return them first, then the cosines.", ("ops.sin(angles), ", "")
        ),
        Mistake(
            "You returned 64 numbers. Use 16 frequencies: they give 16 sines and 16 cosines, 32"
            " numbers in all.",
            ("16", "32"),
        ),
        Mistake(
            "You returned 32 sines and no cosines. Use 16 frequencies: they give 16 sines and 16"
            " cosines.",
            lambda v: ops.sin(v * (2 * np.pi * np.geomspace(1, 1000, 32)).astype("float32")),
        ),
        Mistake(
            "You joined the halves along the batch. Join them along the last axis (axis=-1), which"
            " gives 32 numbers for each image.",
            ("axis=-1", "axis=0"),
        ),
        Mistake(
            "You joined the halves along the height. Join them along the last axis (axis=-1), which"
            " gives 32 channels of one pixel.",
            ("axis=-1", "axis=1"),
        ),
        Mistake(
            "You joined the halves along the width. Join them along the last axis (axis=-1), which"
            " gives 32 channels of one pixel.",
            ("axis=-1", "axis=2"),
        ),
        Mistake(
            "You rounded the variances to whole numbers. Embed them unchanged.",
            ("noise_variances *", "ops.floor(noise_variances) *"),
        ),
        Mistake(
            "You took the square root first. Embed the noise variance unchanged.",
            ("noise_variances *", "ops.sqrt(noise_variances) *"),
        ),
        Mistake(
            "You squared the input, but it is a variance already. Embed it unchanged.",
            ("noise_variances *", "noise_variances**2 *"),
        ),
        Mistake(
            "The numbers are right, but the shape is (B, 32). Keep the (B, 1, 1, ...) of the input:"
            " the lab spreads the embedding over an image.",
            ("noise_variances *", "ops.reshape(noise_variances, (-1, 1)) *"),
        ),
    ]
