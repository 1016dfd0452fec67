"""Lab 05: the embedding of the noise level, the residual block, and the way up."""

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.labs.exercise import (
    CheckFailed,
    Exercise,
    Mistake,
    Undiagnosed,
    array,
    arrays,
    numbered,
)
from diffusion_lab.labs.lab05.residual import ResidualBlock


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
        # the waves of a mistake may be too fast for single precision: compare the slow ones alone
        except Undiagnosed:
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
            " *logarithms* evenly, as `np.geomspace` does.",
            ("geomspace", "linspace"),
        ),
        Mistake(
            "Your frequencies are still logarithms. Take the exponential of the evenly spaced"
            " numbers.",
            ("np.geomspace(1, 1000, 16)", "np.linspace(0, np.log(1000), 16)"),
        ),
        Mistake(
            "You combined `exp` with `log10`. Use a pair that fits: `exp` undoes `log`, and `10**`"
            " undoes `log10`.",
            ("np.geomspace(1, 1000, 16)", "np.exp(np.linspace(0, np.log10(1000), 16))"),
        ),
        Mistake(
            "You combined `10**` with `log`. Use a pair that fits: `exp` undoes `log`, and `10**`"
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
            "You divided by the frequencies. A fast wave turns *more* often, so multiply by them.",
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
            "The cosines are missing. Add them, because a sine alone cannot tell apart two"
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
            "You took the square root first. Embed the noise *variance* unchanged.",
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


class UpBlock(Exercise):
    name, takes = "up_block", "x, skips, block, block_depth"
    praise = "last in, first out: the skips come back in reverse order."
    shape_hint = (
        "make x twice as large once, at the beginning, and take the skip that was put away *last*"
    )
    depth = 2

    def draw(self, rng):
        shapes = {"x": (2, 3, 3, 5), "skips": (4, 2, 6, 6, 5), "kernel": (10, 5)}
        return {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}

    def measure(self, answer, inputs):
        skips, seen = [ops.convert_to_tensor(skip) for skip in inputs["skips"]], []

        def block(x):
            if tuple(np.shape(x))[1:3] != (6, 6) or np.shape(x)[-1] > len(inputs["kernel"]):
                raise CheckFailed(
                    f"The block received a tensor of the shape {tuple(np.shape(x))}. Give it x,"
                    " twice as large, followed by the channels of one skip."
                )
            seen.append(np.shape(x)[-1])
            return ops.matmul(
                ops.convert_to_tensor(x), ops.convert_to_tensor(inputs["kernel"][: np.shape(x)[-1]])
            )

        result = self.call(answer, ops.convert_to_tensor(inputs["x"]), skips, block, self.depth)
        return {
            "result": array(result, "the result"),
            "left": array(len(skips), "count"),
            "seen": array(len(seen), "count"),
        }

    def rehearse(self, answer, inputs):
        x, *skips = [keras.Input(shape) for shape in ((3, 3, 4), (6, 6, 3), (6, 6, 2), (6, 6, 5))]
        result = answer(x, list(skips), lambda x: keras.layers.Conv2D(4, 3, padding="same")(x), 2)
        network = keras.Model([x, *skips[-2:]], result)
        network([ops.ones((2, *given.shape[1:])) for given in network.inputs])

    def examine(self, inputs, outputs):
        if outputs["seen"] != self.depth:
            raise CheckFailed(
                f"The number of calls to the block is {outputs['seen']:g}. Make it {self.depth},"
                " the block_depth: one call for each skip."
            )
        super().examine(inputs, outputs)
        if outputs["left"] != len(inputs["skips"]) - self.depth:
            raise CheckFailed(
                f"The result is right, but {outputs['left']:g} skips are left in the list instead"
                f" of {len(inputs['skips']) - self.depth}. Take each one *out* with `skips.pop()`:"
                " the next level needs the list without it."
            )

    results = {"result": "the result"}

    @staticmethod
    def right(x, skips, block, block_depth):
        x = layers.UpSampling2D(2)(x)
        for _ in range(block_depth):
            x = block(layers.Concatenate()([x, skips.pop()]))
        return x

    mistakes = [
        Mistake(
            "You took the oldest skip first. Take the one that was put away last, `skips.pop()`.",
            ("pop()", "pop(0)"),
        ),
        Mistake(
            "You took the right two skips in the wrong order. Take the one that was put away last"
            " first, `skips.pop()`.",
            ("for _ in", "skips[-2:] = reversed(skips[-2:])\n    for _ in"),
        ),
        Mistake(
            "You used the last skip each time. Take a new one for every block, `skips.pop()`.",
            ("skips.pop()", "skips[-1]"),
        ),
        Mistake(
            "You used the oldest skip each time. Take a new one for every block, `skips.pop()`.",
            ("skips.pop()", "skips[0]"),
        ),
        Mistake(
            "You put the skip in front of x. Concatenate x first, then the skip.",
            ("[x, skips.pop()]", "[skips.pop(), x]"),
        ),
        Mistake(
            "You added the skip to x. Concatenate them, so that the block can tell the two apart.",
            ("layers.Concatenate()([x, skips.pop()])", "x + skips.pop()"),
        ),
        Mistake(
            "The skips are missing, so only the small, coarse picture goes up. Concatenate x and a"
            " skip for each block.",
            ("layers.Concatenate()([x, skips.pop()])", "x"),
        ),
        Mistake(
            "You gave the block the skip without x. Concatenate x and the skip.",
            ("layers.Concatenate()([x, skips.pop()])", "skips.pop()"),
        ),
        Mistake(
            "You copied x in tiles. Enlarge it instead: each pixel becomes a square of two by two.",
            ("layers.UpSampling2D(2)(x)", "ops.tile(x, (1, 2, 2, 1))"),
        ),
        Mistake(
            "You enlarged x bilinearly. Repeat the nearest pixel, as UpSampling2D does by default.",
            ("UpSampling2D(2)", 'UpSampling2D(2, interpolation="bilinear")'),
        ),
    ]


sinusoidal_embedding, residual_block, up_block = numbered(
    5, SinusoidalEmbedding, ResidualBlock, UpBlock
)
