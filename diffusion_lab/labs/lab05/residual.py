"""Lab 05: `residual_block`, the layers of a block and the shortcut around them."""

import keras
from keras import layers, ops

from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.lab05.structure import STRUCTURE, give_known_weights, structure_of
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.rehearsal import noise_like, train

# The steps of a block: functions of (x, the shortcut, width) that return the next x.
STEPS = {
    "norm": lambda x, shortcut, width: layers.BatchNormalization(center=False, scale=False)(x),
    "conv": lambda x, shortcut, width: layers.Conv2D(width, 3, padding="same")(x),
    "widen": lambda x, shortcut, width: widened(x, width),
    "swish": lambda x, shortcut, width: ops.silu(x),
    "relu": lambda x, shortcut, width: ops.relu(x),
    "sigmoid": lambda x, shortcut, width: ops.sigmoid(x),
    "add": lambda x, shortcut, width: shortcut + x,
    "multiply": lambda x, shortcut, width: shortcut * x,
    "subtract_x": lambda x, shortcut, width: x - shortcut,
    "subtract_from_x": lambda x, shortcut, width: shortcut - x,
    "concatenate": lambda x, shortcut, width: ops.concatenate([shortcut, x], axis=-1),
    "concatenate_first": lambda x, shortcut, width: ops.concatenate([x, shortcut], axis=-1),
}


def widened(x, width, **options):
    """Returns x with `width` channels; `options` are for the 1 × 1 convolution, if x needs one."""
    return x if x.shape[-1] == width else layers.Conv2D(width, 1, **options)(x)


def block_of(steps, **options):
    """Returns a `residual_block` of these steps; "keep" makes the current x the shortcut."""

    def residual_block(x, width):
        shortcut = None
        for step in steps.split():
            if step == "keep":
                shortcut = widened(x, width, **options)
            else:
                x = STEPS[step](x, shortcut, width)
        return x

    return residual_block


class ResidualBlock(Exercise):
    name, takes = "residual_block", "x, width"
    praise = "x goes through untouched, and the block only has to learn what to add to it."
    shape_hint = (
        '3 × 3 convolutions keep the size with padding="same", and x needs a 1 × 1 convolution'
        " if its number of channels is not `width`"
    )
    cases = {"equal": (4, 4), "different": (3, 5)}  # channels of x, width
    tolerance = 2e-3

    def draw(self, rng):
        return {
            "equal": rng.normal(size=(2, 6, 6, 4)).astype("float32"),
            "different": rng.normal(size=(2, 6, 6, 3)).astype("float32"),
            "numbers": rng.normal(0.05, 0.25, 600).astype("float32"),
        }

    def measure(self, answer, inputs):
        outputs = {}
        for case, (channels, width) in self.cases.items():
            x = keras.Input((6, 6, channels))
            result = self.call(answer, x, width)
            if not isinstance(result, keras.KerasTensor):
                raise CheckFailed(
                    f"You returned a value of the type {type(result).__name__}. Return the tensor"
                    " that comes out of the last layer."
                )
            try:
                block = keras.Model(x, result)
            except ValueError:
                raise CheckFailed(
                    "Your result does not depend on x. Begin with the x that you receive."
                ) from None
            outputs |= {
                f"{key}, {case}": array(value, key) for key, value in structure_of(block).items()
            }
            give_known_weights(block, inputs["numbers"])
            outputs[case] = array(
                block(ops.convert_to_tensor(inputs[case]), training=False), "the result"
            )
        return outputs

    def rehearse(self, answer, inputs):
        x = images = keras.Input((4, 4, 3))
        for width in (4, 4, 6):  # several blocks in one network, as in a U-Net
            x = self.use(answer, x, width=width)
        train(keras.Model(images, x), noise_like(3, 4, 4, 3), noise_like(3, 4, 4, 6))

    def examine(self, inputs, outputs):
        equal, different = (
            {key: outputs[f"{key}, {case}"] for key in STRUCTURE} for case in self.cases
        )
        self.judge_structure(equal, different)
        super().examine(inputs, outputs)

    results = {
        "equal": "the result for 4 channels and width 4",
        "different": "the result for 3 channels and width 5",
    }

    @staticmethod
    def judge_structure(equal, different):
        """Raises CheckFailed for wrong layers.

        Args:
            equal: {kind of STRUCTURE: how many of it} if x already has `width` channels.
            different: the same if x has a different number of channels.
        """
        large, small = "3 × 3 convolutions", "1 × 1 convolutions"
        norms = max(equal["normalisations"], different["normalisations"])
        if norms == 0:
            raise CheckFailed(
                "The BatchNormalization is missing. Put it first, before the convolutions."
            )
        if norms > 1:
            raise CheckFailed(
                f"There are {norms:g} normalisations. Use one, before the convolutions."
            )
        if equal["centres and scales"]:
            raise CheckFailed(
                "Your BatchNormalization has its own weights. Set center=False and scale=False: the"
                " convolution after it can learn both."
            )
        if different[large] == 3 and different[small] == 0:
            raise CheckFailed(
                "The shortcut's convolution is 3 × 3. Make it 1 × 1: that is enough to change the"
                " number of channels."
            )
        if equal[small]:
            raise CheckFailed(
                "Your shortcut has a convolution even where x has `width` channels already. Use x"
                " itself there, so that it passes untouched."
            )
        if equal[large] != 2:
            raise CheckFailed(f"The number of 3 × 3 convolutions is {equal[large]:g}. Make it two.")
        if equal["biases"] < 2 or different["biases"] < 2 + different[small]:
            raise CheckFailed(
                "A convolution has no bias. Leave Conv2D's `use_bias` at its default."
            )

    @staticmethod
    def right(x, width):
        shortcut = x if x.shape[-1] == width else layers.Conv2D(width, 1)(x)
        x = layers.BatchNormalization(center=False, scale=False)(x)
        x = layers.Conv2D(width, 3, padding="same", activation="swish")(x)
        x = layers.Conv2D(width, 3, padding="same")(x)
        return layers.Add()([shortcut, x])

    mistakes = [
        Mistake(
            "You never added x, so these are just two convolutions in a row. Add the shortcut to"
            " their result.",
            block_of("norm conv swish conv"),
        ),
        Mistake(
            "You added the normalised x, so the block can no longer be the identity. Keep x as it"
            " was before the normalisation.",
            block_of("norm keep conv swish conv add"),
        ),
        Mistake(
            "There is an activation after the second convolution, so the block adds hardly anything"
            " but positive numbers to x. Leave the second convolution linear.",
            block_of("keep norm conv swish conv swish add"),
        ),
        Mistake(
            "The activation is after the wrong convolution. Put swish after the first, and nothing"
            " after the second.",
            block_of("keep norm conv conv swish add"),
        ),
        Mistake(
            "There is no activation, so your two convolutions can do no more than one. Put swish"
            " after the first.",
            block_of("keep norm conv conv add"),
        ),
        Mistake(
            "Your activation is ReLU. Use swish, which has no kink.",
            block_of("keep norm conv relu conv add"),
        ),
        Mistake(
            "Your activation is a sigmoid. Use swish, which is x times the sigmoid of x.",
            block_of("keep norm conv sigmoid conv add"),
        ),
        Mistake(
            "Your activation comes before the first convolution. Put it between the two"
            " convolutions.",
            block_of("keep norm swish conv conv add"),
        ),
        Mistake(
            "There is a second activation, before the first convolution. Keep only the one between"
            " the two convolutions.",
            block_of("keep norm swish conv swish conv add"),
        ),
        Mistake(
            "There is an activation after the addition. Remove it, so that x comes out untouched.",
            block_of("keep norm conv swish conv add swish"),
        ),
        Mistake(
            "Your only activation comes after the addition. Put it between the two convolutions.",
            block_of("keep norm conv conv add swish"),
        ),
        Mistake(
            "You normalised after the first convolution. Normalise first of all, before both"
            " convolutions.",
            block_of("keep conv norm swish conv add"),
        ),
        Mistake(
            "You normalised between the activation and the second convolution. Normalise first of"
            " all, before both convolutions.",
            block_of("keep conv swish norm conv add"),
        ),
        Mistake(
            "You normalised last. Normalise first of all, before both convolutions.",
            block_of("keep conv swish conv norm add"),
        ),
        Mistake(
            "You normalised the sum. Normalise before the convolutions instead, so that x comes out"
            " untouched.",
            block_of("keep conv swish conv add norm"),
        ),
        Mistake(
            "You concatenated the shortcut and the result. Add them.",
            block_of("keep norm conv swish conv concatenate"),
        ),
        Mistake(
            "You concatenated the shortcut and the result. Add them.",
            block_of("keep norm conv swish conv concatenate_first"),
        ),
        Mistake(
            "You multiplied the result by the shortcut. Add them.",
            block_of("keep norm conv swish conv multiply"),
        ),
        Mistake(
            "You subtracted x from the result. Add it.",
            block_of("keep norm conv swish conv subtract_x"),
        ),
        Mistake(
            "You subtracted the result from x. Add it.",
            block_of("keep norm conv swish conv subtract_from_x"),
        ),
        Mistake(
            "There is an activation in the shortcut. Use a plain 1 × 1 convolution there.",
            block_of("keep norm conv swish conv add", activation="swish"),
        ),
        Mistake(
            "You widened x before the block began. Normalise x as it came in: the 1 × 1 convolution"
            " is for the shortcut alone.",
            block_of("widen keep norm conv swish conv add"),
        ),
    ]
