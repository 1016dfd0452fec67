"""Lab 05: the exercises, and the way up."""

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.labs.exercise import Exercise, numbered
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.lab05.attention import PixelAttention
from diffusion_lab.labs.lab05.embedding import SinusoidalEmbedding
from diffusion_lab.labs.lab05.modulate import Modulate
from diffusion_lab.labs.lab05.residual import ResidualBlock
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array


class UpBlock(Exercise):
    name, takes = "up_block", "x, skips, block, block_depth"
    praise = "last in, first out: the skips come back in reverse order."
    shape_hint = (
        "make x twice as large once, at the beginning, and take the skip that was stored last"
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
                    f"The block received a tensor of shape {tuple(np.shape(x))}. Give it x,"
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
                f" of {len(inputs['skips']) - self.depth}. Take each one out with `skips.pop()`:"
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
            "You took the oldest skip first. Take the one that was stored last, `skips.pop()`.",
            ("pop()", "pop(0)"),
        ),
        Mistake(
            "You took the right two skips in the wrong order. Take the one that was stored last"
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


sinusoidal_embedding, residual_block, modulate, up_block, pixel_attention = numbered(
    5, SinusoidalEmbedding, ResidualBlock, Modulate, UpBlock, PixelAttention
)
