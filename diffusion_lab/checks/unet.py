"""Lab 05: the embedding of the noise level, the residual block, and the way up."""

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.checks.core import CheckFailed, Exercise, array, arrays, compare


class SinusoidalEmbedding(Exercise):
    number, name = "5.1", "sinusoidal_embedding"
    praise = "slow waves tell clean from noisy, fast ones tell clean from nearly clean."
    shape_hint = "the frequencies have the shape (16,), the variances (B, 1, 1, 1): their product is (B, 1, 1, 16)"
    tolerance = 0.02  # single precision leaves an angle of 6,000 uncertain by a few thousandths

    def draw(self, rng):
        return {"noise_variances": (10 ** rng.uniform(-3.5, -0.01, (7, 1, 1, 1))).astype("float32")}

    def run(self, answer, inputs):
        return arrays(self.call(answer, ops.convert_to_tensor(inputs["noise_variances"])), "embedding")

    def judge(self, inputs, outputs):
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
            "you take the root first: what is embedded is the noise *variance*, as it "
            "comes.": of(right, np.sqrt(variances)),
            "you square the input: it is a variance already, embed it as it comes.": of(right, variances**2),
            "the numbers are right, but the shape is (B, 32): keep the (B, 1, 1, ...) of the input, so that it can be "
            "laid over an image.": of(right).reshape(-1, 32),
        }


def _waves(values, frequencies, turn=2 * np.pi):
    angles = turn * values * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)


class ResidualBlock(Exercise):
    number, name = "5.2", "residual_block"
    praise = "x goes through untouched, and the block only has to learn what to add to it."
    shape_hint = ('3 × 3 convolutions keep the size with padding="same", and x needs a 1 × 1 convolution where it has '
                  "another number of channels than `width`")
    cases = {"equal": (4, 4), "different": (3, 5)}  # channels of x, width

    def draw(self, rng):
        return {"equal": rng.normal(size=(2, 6, 6, 4)).astype("float32"),
                "different": rng.normal(size=(2, 6, 6, 3)).astype("float32"),
                "numbers": rng.normal(0.05, 0.25, 600).astype("float32")}

    def run(self, answer, inputs):
        outputs = {}
        for case, (channels, width) in self.cases.items():
            x = keras.Input((6, 6, channels))
            result = self.call(answer, x, width)
            if not isinstance(result, keras.KerasTensor):
                raise CheckFailed("return the tensor that comes out of the last layer, not a layer, a model or a list.")
            try:
                block = keras.Model(x, result)
            except ValueError:
                raise CheckFailed("what it returns has no connection with x: begin with the x you are given.") from None
            outputs |= {f"{key}, {case}": array(value, key) for key, value in _structure(block).items()}
            _fill(block, inputs["numbers"])
            outputs[case] = array(block(ops.convert_to_tensor(inputs[case]), training=False), "the result")
        return outputs

    def judge(self, inputs, outputs):
        found = {case: {key: outputs[f"{key}, {case}"] for key in STRUCTURE} for case in self.cases}
        self.judge_structure(found["equal"], found["different"])
        for case, (channels, width) in self.cases.items():
            reference = Reference(inputs[case].astype("float64"), inputs["numbers"].astype("float64"), width)
            compare(f"the result for {channels} channels and width {width}", outputs[case], reference(),
                    reference.mistakes(), tolerance=2e-3)

    @staticmethod
    def judge_structure(equal, different):
        """What the block consists of where x has `width` channels already, and where it has another number."""
        large, small = "3 × 3 convolutions", "1 × 1 convolutions"
        norms = max(equal["normalisations"], different["normalisations"])
        if norms == 0:
            raise CheckFailed("the BatchNormalization is missing: it comes first, before the convolutions.")
        if norms > 1:
            raise CheckFailed(f"there are {norms:g} normalisations: one, in front, is all that this block has.")
        if equal["centres and scales"]:
            raise CheckFailed("the BatchNormalization has weights of its own: center=False, scale=False, since the "
                              "convolution behind it can learn both.")
        if different[large] == 3 and different[small] == 0:
            raise CheckFailed("the shortcut's convolution is 3 × 3: 1 × 1 is enough to change the number of channels.")
        if equal[small]:
            raise CheckFailed("where x has `width` channels already, the shortcut is x itself: a convolution there "
                              "costs parameters and keeps x from passing untouched.")
        if equal[large] != 2:
            raise CheckFailed(f"convolutions of 3 × 3: there should be two, but there are {equal[large]:g}.")
        if equal["biases"] < 2 or different["biases"] < 2 + different[small]:
            raise CheckFailed("a convolution has no bias: leave Conv2D's `use_bias` at its default.")


STRUCTURE = ("3 × 3 convolutions", "1 × 1 convolutions", "biases", "normalisations", "centres and scales")
NORMALISATION, SHORTCUT, CONVOLUTIONS = 0, 2, 4  # where in the drawn numbers the weights of each layer begin


def _parts(layer):
    inner = [part for child in getattr(layer, "layers", []) for part in _parts(child)]
    return inner or [layer]


def _kernel_size(part):
    return tuple(part.kernel.shape[:-2]) or (1, 1)  # a Dense layer is a 1 × 1 convolution


def _structure(block):
    parts = _parts(block)
    norms = [part for part in parts if isinstance(part, layers.BatchNormalization)]
    sizes = [_kernel_size(part) for part in parts if hasattr(part, "kernel")]
    return dict(zip(STRUCTURE, (
        sizes.count((3, 3)), sizes.count((1, 1)), sum(getattr(part, "bias", None) is not None for part in parts),
        len(norms), sum(len(norm.trainable_weights) for norm in norms),
    )))


def _fill(block, numbers):
    """Gives every weight known values: the result then depends on what is computed, not on how it is written."""
    convolutions = 0
    for part in _parts(block):
        if not hasattr(part, "kernel"):
            place = NORMALISATION
        elif _kernel_size(part) == (1, 1):
            place = SHORTCUT
        else:
            place, convolutions = CONVOLUTIONS + 2 * convolutions, convolutions + 1
        for weight in part.weights:
            second = weight.name in ("bias", "moving_variance")
            weight.assign(_values(numbers, place + second, tuple(weight.shape)))


def _values(numbers, place, shape):
    values = np.resize(np.roll(numbers, -37 * place), shape)
    return 0.5 + np.abs(values) if place == NORMALISATION + 1 else values


def _swish(x):
    return x / (1 + np.exp(-x))


class Reference:
    """The block in NumPy, done right, and with one thing wrong in it."""

    def __init__(self, x, numbers, width):
        self.x, self.numbers, self.width, self.used = x, numbers, width, 0

    def normalised(self, x):
        mean, variance = (_values(self.numbers, NORMALISATION + i, x.shape[-1:]) for i in range(2))
        return (x - mean) / np.sqrt(variance + 1e-3)

    def convolved(self, x):
        kernel = _values(self.numbers, CONVOLUTIONS + 2 * self.used, (3, 3, x.shape[-1], self.width))
        bias = _values(self.numbers, CONVOLUTIONS + 2 * self.used + 1, (self.width,))
        self.used += 1
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        return np.einsum("bhwcij,ijco->bhwo", windows, kernel) + bias

    def shortcut(self, x):
        if x.shape[-1] == self.width:
            return x
        kernel = _values(self.numbers, SHORTCUT, (x.shape[-1], self.width))
        return x @ kernel + _values(self.numbers, SHORTCUT + 1, (self.width,))

    def chain(self, *steps, x=None):
        """The given steps one after another, on x."""
        self.used, x = 0, self.x if x is None else x
        for step in steps:
            x = step(x)
        return x

    def __call__(self):
        return self.shortcut(self.x) + self.chain(self.normalised, self.convolved, _swish, self.convolved)

    def mistakes(self):
        norm, conv, chain, shortcut = self.normalised, self.convolved, self.chain, self.shortcut(self.x)
        right, narrow = chain(norm, conv, _swish, conv), self.x.shape[-1] == self.width
        known = {
            "x is never added: this is two convolutions in a row; add the shortcut to what they return.": right,
            "you add the *normalised* x, so the block can no longer be the identity: keep x as it came in, before the "
            "normalisation.": self.shortcut(norm(self.x)) + right,
            "there is an activation behind the second convolution, too: it could only add positive numbers to x; leave "
            "that one linear.": shortcut + chain(norm, conv, _swish, conv, _swish),
            "the activation is behind the wrong convolution: swish behind the first, none behind the second.":
                shortcut + chain(norm, conv, conv, _swish),
            "there is no activation: two convolutions without one in between are no more than one; swish behind the "
            "first.": shortcut + chain(norm, conv, conv),
            "the activation is ReLU: take swish, which has no kink.":
                shortcut + chain(norm, conv, lambda x: np.maximum(x, 0), conv),
            "the activation is a sigmoid: swish is x times it.":
                shortcut + chain(norm, conv, lambda x: 1 / (1 + np.exp(-x)), conv),
            "the activation comes before the first convolution; it belongs between the two.":
                shortcut + chain(norm, _swish, conv, conv),
            "there is an activation before the first convolution, too: one is enough, between the two.":
                shortcut + chain(norm, _swish, conv, _swish, conv),
            "there is an activation behind the addition: x must come out untouched.": _swish(shortcut + right),
            "the activation is behind the addition only: it belongs between the two convolutions.":
                _swish(shortcut + chain(norm, conv, conv)),
            "the normalisation comes after the first convolution: it comes first of all.":
                shortcut + chain(conv, norm, _swish, conv),
            "the normalisation comes between the activation and the second convolution: it comes first of all.":
                shortcut + chain(conv, _swish, norm, conv),
            "the normalisation comes last: it comes first, before the convolutions.":
                shortcut + chain(conv, _swish, conv, norm),
            "you normalise the sum: x must come out untouched, and the normalisation stand before the convolutions.":
                norm(shortcut + chain(conv, _swish, conv)),
            "the shortcut is laid beside the result, not added to it: Add, not Concatenate.":
                np.concatenate([shortcut, right], -1),
            "the result is laid beside the shortcut, not added to it: Add, not Concatenate.":
                np.concatenate([right, shortcut], -1),
            "you multiply with the shortcut: add it.": shortcut * right,
            "you subtract x from the result: add it.": right - shortcut,
            "you subtract the result from x: add it.": shortcut - right,
        }
        return known if narrow else known | {
            "there is an activation in the shortcut: a plain 1 × 1 convolution, so that x comes out as it is.":
                _swish(shortcut) + right,
            "the shortcut's convolution changed x before the block began: the normalisation wants x as it came in, the "
            "1 × 1 convolution is for the shortcut alone.":
                shortcut + chain(norm, conv, _swish, conv, x=shortcut),
        }


class UpBlock(Exercise):
    number, name = "5.3", "up_block"
    praise = "last in, first out: the skips come back in the order in which the picture shrank."
    shape_hint = "make x twice as large once, at the beginning, and take the skip that was put away *last*"
    depth = 2

    def draw(self, rng):
        shapes = {"x": (2, 3, 3, 5), "skips": (4, 2, 6, 6, 5), "kernel": (10, 5)}
        return {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}

    def run(self, answer, inputs):
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

    def judge(self, inputs, outputs):
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


sinusoidal_embedding, residual_block, up_block = SinusoidalEmbedding(), ResidualBlock(), UpBlock()
