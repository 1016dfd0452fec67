"""Lab 05: the embedding of the noise level, the residual block, and the way up."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import CheckFailed, Exercise, array, arrays, compare, numbered
from diffusion_lab.labs.lab05.residual import ResidualBlock


class SinusoidalEmbedding(Exercise):
    name, takes = "sinusoidal_embedding", "noise_variances"
    praise = "slow waves tell clean from noisy, fast ones tell clean from nearly clean."
    shape_hint = "the frequencies have the shape (16,), the variances (B, 1, 1, 1): their product is (B, 1, 1, 16)"
    tolerance = 0.02  # single precision leaves an angle of 6,000 uncertain by a few thousandths

    def draw(self, rng):
        return {"noise_variances": (10 ** rng.uniform(-3.5, -0.01, (7, 1, 1, 1))).astype("float32")}

    def measure(self, answer, inputs):
        return arrays(self.call(answer, ops.convert_to_tensor(inputs["noise_variances"])), "embedding")

    def rehearse(self, answer, inputs):
        embedding = ops.convert_to_numpy(answer(ops.convert_to_tensor(np.geomspace(1e-4, 1, 9).reshape(-1, 1, 1, 1), "float32")))
        if embedding.shape != (9, 1, 1, 32):
            raise CheckFailed(f"right for 7 variances, but for 9 the embedding has the shape {embedding.shape}.")

    def examine(self, inputs, outputs):
        variances, embedding = inputs["noise_variances"].astype("float64"), outputs["embedding"]
        right = np.geomspace(1, 1000, 16)
        mistakes = self.mistakes(variances, right, embedding)
        compare("the embedding", embedding, _waves(variances, right), mistakes, self.tolerance)

    @staticmethod
    def mistakes(variances, right, embedding):
        def of(frequencies, values=variances, turn=2 * np.pi):
            return _waves(values, frequencies, turn)

        def slow_part(wrong):  # faster waves than 1,000 are beyond single precision: whatever came out of them
            return np.where(np.arange(32) % 16 < 6, wrong, embedding) if embedding.shape == wrong.shape else wrong

        sines, cosines = np.split(of(right), 2, axis=-1)
        exponents = np.linspace(0, 1, 16)
        return {
            "the factor 2π is missing: a frequency of 1 is one whole turn, and sine and cosine count in radians.":
                of(right, turn=1),
            "a whole turn is 2π; yours is π, so every wave runs at half of its frequency.": of(right, turn=np.pi),
            "the angles are in degrees: sine and cosine want radians, and one turn is "
            "2π.": slow_part(of(right, turn=360)),
            "the frequencies are spaced evenly, so nearly all of the waves are fast: space their *logarithms* evenly, "
            "as np.geomspace does.": of(np.linspace(1, 1000, 16)),
            "these frequencies are still logarithms: take the exponential of the evenly spaced ones.":
                of(exponents * np.log(1000)),
            "two logarithms are mixed up: exp undoes log, and 10** undoes log10; here exp meets log10.":
                of(np.exp(3 * exponents)),
            "two logarithms are mixed up: exp undoes log, and 10** undoes log10; here 10** meets log.":
                slow_part(of(10 ** (exponents * np.log(1000)))),
            "the highest frequency, 1000 itself, is missing: the 16 frequencies include both ends.":
                of(1000 ** (np.arange(16) / 16)),
            "the lowest frequency, 1 itself, is missing: the 16 frequencies include both ends.":
                of(1000 ** (np.arange(1, 17) / 16)),
            "the frequencies run from fast to slow: begin with 1 and end with 1000.": of(right[::-1]),
            "these are the Transformer's frequencies, from 1 down to 1/10000, made for integer positions; noise "
            "variances lie between 0 and 1 and need 1 to 1000.": of(np.geomspace(1, 1e-4, 16), turn=1),
            "you divide by the frequencies: a fast wave turns *more* often, so multiply.": of(1 / right),
            "the cosines come first: sines, then cosines.": np.concatenate([cosines, sines], -1),
            "sines and cosines alternate: all 16 sines first, then all 16 cosines.":
                np.stack([sines, cosines], -1).reshape(-1, 1, 1, 32),
            "both halves are sines: the second half are the cosines.": np.concatenate([sines, sines], -1),
            "both halves are cosines: the first half are the sines.": np.concatenate([cosines, cosines], -1),
            "the cosines are missing: a sine alone cannot tell apart two variances that lie on either side of its "
            "crest.":
                sines,
            "the sines are missing: they come first, the cosines behind them.": cosines,
            "these are 64 numbers: 16 frequencies give 16 sines and 16 cosines, 32 in "
            "all.": of(np.geomspace(1, 1000, 32)),
            "32 numbers of which only sines: 16 frequencies give 16 sines and 16 cosines.":
                np.sin(2 * np.pi * variances * np.geomspace(1, 1000, 32)),
            "the halves are joined along the batch: along the last axis (axis=-1) they become 32 numbers for each "
            "image.":
                np.concatenate([sines, cosines], 0),
            "the halves are joined along the height: along the last axis (axis=-1) they become 32 channels of one "
            "pixel.":
                np.concatenate([sines, cosines], 1),
            "the halves are joined along the width: along the last axis (axis=-1) they become 32 channels of one "
            "pixel.":
                np.concatenate([sines, cosines], 2),
            "you round the variances to whole numbers: embed them as they come.": of(right, np.floor(variances)),
            "you take the root first: what is embedded is the noise *variance*, as it "
            "comes.": of(right, np.sqrt(variances)),
            "you square the input: it is a variance already, embed it as it comes.": of(right, variances**2),
            "the numbers are right, but the shape is (B, 32): keep the (B, 1, 1, ...) of the input, so that it can be "
            "laid over an image.": of(right).reshape(-1, 32),
        }


def _waves(values, frequencies, turn=2 * np.pi):
    angles = turn * values * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)


class UpBlock(Exercise):
    name, takes = "up_block", "x, skips, block, block_depth"
    praise = "last in, first out: the skips come back in the order in which the picture shrank."
    shape_hint = "make x twice as large once, at the beginning, and take the skip that was put away *last*"
    depth = 2

    def draw(self, rng):
        shapes = {"x": (2, 3, 3, 5), "skips": (4, 2, 6, 6, 5), "kernel": (10, 5)}
        return {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}

    def measure(self, answer, inputs):
        skips, seen = [ops.convert_to_tensor(skip) for skip in inputs["skips"]], []

        def block(x):
            if tuple(np.shape(x))[1:3] != (6, 6) or np.shape(x)[-1] > len(inputs["kernel"]):
                raise CheckFailed(f"the block gets a tensor of the shape {tuple(np.shape(x))}: give it x, twice as "
                                  "large, and the channels of one skip behind it.")
            seen.append(np.shape(x)[-1])
            return ops.matmul(ops.convert_to_tensor(x), ops.convert_to_tensor(inputs["kernel"][: np.shape(x)[-1]]))

        result = self.call(answer, ops.convert_to_tensor(inputs["x"]), skips, block, self.depth)
        return {"result": array(result, "the result"), "left": array(len(skips), "count"),
                "seen": array(len(seen), "count")}

    def rehearse(self, answer, inputs):
        x, *skips = [keras.Input(shape) for shape in ((3, 3, 4), (6, 6, 3), (6, 6, 2), (6, 6, 5))]
        result = answer(x, list(skips), lambda x: keras.layers.Conv2D(4, 3, padding="same")(x), 2)
        network = keras.Model([x, *skips[-2:]], result)
        network([ops.ones((2, *given.shape[1:])) for given in network.inputs])

    def examine(self, inputs, outputs):
        if outputs["seen"] != self.depth:
            raise CheckFailed(f"the block is called {outputs['seen']:g} times: for a block_depth of {self.depth} it is "
                              f"{self.depth} times, each time with a skip of its own.")
        first, second, third, fourth = inputs["skips"]
        x = inputs["x"].repeat(2, 1).repeat(2, 2)

        def way(*skips, x=x, join=lambda x, skip: np.concatenate([x, skip], -1)):
            for skip in skips:
                joined = join(x, skip)
                x = joined @ inputs["kernel"][: joined.shape[-1]]
            return x

        compare("the result", outputs["result"], way(fourth, third), {
            "you take the oldest skip first: the last one put away fits here, `skips.pop()`.": way(first, second),
            "these are the right two skips in the wrong order: the last one put away comes back "
            "first.": way(third, fourth),
            "the same skip comes back each time: take a new one for every block, `skips.pop()`.": way(fourth, fourth),
            "the oldest skip comes back each time: take a new one for every block, `skips.pop()`.": way(first, first),
            "the skip stands in front of x: x first, then the skip.":
                way(fourth, third, join=lambda x, skip: np.concatenate([skip, x], -1)),
            "the skip is added to x: put it beside x, so that the block can tell the two apart.":
                way(fourth, third, join=np.add),
            "the skips are missing: without them only the small, coarse picture goes up.":
                way(fourth, third, join=lambda x, skip: x),
            "x is missing: put the skip beside it, not in its place.": way(fourth, third, join=lambda x, skip: skip),
            "x is copied in tiles, not enlarged: each pixel becomes a square of two by two.":
                way(fourth, third, x=np.tile(inputs["x"], (1, 2, 2, 1))),
            "the enlargement is bilinear: take the nearest pixel, UpSampling2D's default.":
                way(fourth, third, x=_bilinear(inputs["x"])),
        })
        if outputs["left"] != len(inputs["skips"]) - self.depth:
            raise CheckFailed(f"the result is right, but {outputs['left']:g} skips are left in the list where "
                              f"{len(inputs['skips']) - self.depth} should be: `skips.pop()` takes one *out*, and the "
                              f"next "
                              "level needs the list without it.")


def _bilinear(images):
    return ops.convert_to_numpy(ops.image.resize(images, (6, 6), interpolation="bilinear"))


sinusoidal_embedding, residual_block, up_block = numbered(5, SinusoidalEmbedding, ResidualBlock, UpBlock)
