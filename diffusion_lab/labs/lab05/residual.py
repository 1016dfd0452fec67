"""Lab 05: `residual_block`, whose weights are given known values and whose result is computed again in NumPy."""

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.labs.exercise import CheckFailed, Exercise, array, compare
from diffusion_lab.labs.rehearsal import noise_like, train


class ResidualBlock(Exercise):
    name, takes = "residual_block", "x, width"
    praise = "x goes through untouched, and the block only has to learn what to add to it."
    shape_hint = ('3 × 3 convolutions keep the size with padding="same", and x needs a 1 × 1 convolution where it has '
                  "another number of channels than `width`")
    cases = {"equal": (4, 4), "different": (3, 5)}  # channels of x, width

    def draw(self, rng):
        return {"equal": rng.normal(size=(2, 6, 6, 4)).astype("float32"),
                "different": rng.normal(size=(2, 6, 6, 3)).astype("float32"),
                "numbers": rng.normal(0.05, 0.25, 600).astype("float32")}

    def measure(self, answer, inputs):
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

    def rehearse(self, answer, inputs):
        x = images = keras.Input((4, 4, 3))
        for width in (4, 4, 6):  # several in one network, as in a U-Net
            x = self.use(answer, x, width=width)
        train(keras.Model(images, x), noise_like(3, 4, 4, 3), noise_like(3, 4, 4, 6))

    def examine(self, inputs, outputs):
        found = {case: {key: outputs[f"{key}, {case}"] for key in STRUCTURE} for case in self.cases}
        self.judge_structure(found["equal"], found["different"])
        for case, (channels, width) in self.cases.items():
            reference = Reference(inputs[case].astype("float64"), inputs["numbers"].astype("float64"), width)
            result, turned = outputs[case], reference(order=(1, 0))
            if result.shape == turned.shape and np.allclose(result, turned, 2e-3, 2e-3):
                continue  # a layer of the student's own may have made its second convolution first
            compare(f"the result for {channels} channels and width {width}", result, reference(), reference.mistakes(),
                    tolerance=2e-3)

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
    inner = layer._flatten_layers(include_self=False, recursive=False)  # a layer of one's own has no public list of its parts
    return [part for child in inner for part in _parts(child)] or [layer]


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
        self.x, self.numbers, self.width, self.order = x, numbers, width, iter(())

    def normalised(self, x):
        mean, variance = (_values(self.numbers, NORMALISATION + i, x.shape[-1:]) for i in range(2))
        return (x - mean) / np.sqrt(variance + 1e-3)

    def convolved(self, x):
        place = CONVOLUTIONS + 2 * next(self.order)
        kernel = _values(self.numbers, place, (3, 3, x.shape[-1], self.width))
        bias = _values(self.numbers, place + 1, (self.width,))
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        return np.einsum("bhwcij,ijco->bhwo", windows, kernel) + bias

    def shortcut(self, x):
        if x.shape[-1] == self.width:
            return x
        kernel = _values(self.numbers, SHORTCUT, (x.shape[-1], self.width))
        return x @ kernel + _values(self.numbers, SHORTCUT + 1, (self.width,))

    def chain(self, *steps, x=None, order=(0, 1)):
        """The given steps one after another, on x; `order` is that in which the convolutions were filled with numbers."""
        self.order, x = iter(order), self.x if x is None else x
        for step in steps:
            x = step(x)
        return x

    def __call__(self, order=(0, 1)):
        return self.shortcut(self.x) + self.chain(self.normalised, self.convolved, _swish, self.convolved, order=order)

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
