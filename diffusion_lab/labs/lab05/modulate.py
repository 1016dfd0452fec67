"""Lab 05: `modulate`, through which every block learns the noise level."""

import keras
import numpy as np
from keras import layers, ops

from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array
from diffusion_lab.labs.rehearsal import noise_like, train

CHANNELS, DIMS = 4, 6


class Modulate(Exercise):
    name, takes = "modulate", "x, embedding"
    praise = "the noise level can now turn each channel up or down, in every block."
    shape_hint = (
        "x is (B, H, W, C) and the embedding (B, 1, 1, E): a dense layer with C outputs turns it"
        " into (B, 1, 1, C)"
    )
    # the weights come second: two layers with equal weights give the right result, too
    results = {"result": "the result", "weights": "the number of weights"}
    tolerance = 1e-3

    def draw(self, rng):
        return {
            "x": rng.normal(1, 1, (6, 4, 5, CHANNELS)).astype("float32"),
            "embedding": rng.normal(size=(6, 1, 1, DIMS)).astype("float32"),
            "numbers": rng.normal(0, 0.5, 400).astype("float32"),
        }

    def measure(self, answer, inputs):
        x, embedding = keras.Input((4, 5, CHANNELS)), keras.Input((1, 1, DIMS))
        result = self.call(answer, x, embedding)
        if not isinstance(result, keras.KerasTensor):
            raise CheckFailed(
                f"You returned a value of the type {type(result).__name__}. Return one tensor,"
                " x scaled and shifted."
            )
        network = keras.Model([x, embedding], result)
        give_known_weights(network, inputs["numbers"])
        given = [ops.convert_to_tensor(inputs[name]) for name in ("x", "embedding")]
        return {
            "result": array(network(given, training=False), "the result"),
            "weights": array(network.count_params(), "the number of weights"),
        }

    def rehearse(self, answer, inputs):
        x, embedding = features, level = keras.Input((4, 4, 3)), keras.Input((1, 1, DIMS))
        for width in (3, 5):  # several blocks of different widths in one network, as in a U-Net
            x = self.use(answer, layers.Conv2D(width, 1)(x), embedding)
        arrays = [noise_like(3, 4, 4, 3), noise_like(3, 1, 1, DIMS)], noise_like(3, 4, 4, 5)
        train(keras.Model([features, level], x), *arrays)

    @staticmethod
    def right(x, embedding):
        channels = x.shape[-1]
        scale, shift = layers.Dense(channels)(embedding), layers.Dense(channels)(embedding)
        return x * (1 + scale) + shift

    mistakes = [
        Mistake(
            "One layer makes both the scale and the shift, so they are always equal. Make a dense"
            " layer for each.",
            (
                "scale, shift = layers.Dense(channels)(embedding), layers.Dense(channels)",
                "scale = shift = layers.Dense(channels)",
            ),
        ),
        Mistake(
            "You multiplied by the scale alone, so a scale of 0 erases x. Multiply by 1 + scale:"
            " then 0 changes nothing.",
            ("(1 + scale)", "scale"),
        ),
        Mistake(
            "The shift is missing. Add it after the multiplication.", (" + shift", " + 0 * shift")
        ),
        Mistake(
            "The scale is missing, so x is only shifted. Multiply x by 1 + scale first.",
            ("(1 + scale)", "(1 + 0 * scale)"),
        ),
        Mistake(
            "You shifted x before you scaled it. Scale first, then shift.",
            ("x * (1 + scale) + shift", "(x + shift) * (1 + scale)"),
        ),
        Mistake("You subtracted the shift. Add it.", ("+ shift", "- shift")),
        Mistake("You multiplied by 1 - scale. Multiply by 1 + scale.", ("1 + scale", "1 - scale")),
        Mistake("You divided by 1 + scale. Multiply by it.", ("* (1 + scale)", "/ (1 + scale)")),
        Mistake(
            "You took the exponential of the scale. Multiply by 1 + scale.",
            ("(1 + scale)", "ops.exp(scale)"),
        ),
        Mistake(
            "You squeezed the scale through a sigmoid, so it can only turn channels down. Multiply"
            " by 1 + scale.",
            ("(1 + scale)", "ops.sigmoid(scale)"),
        ),
        Mistake(
            "You added 1 to the shift as well. Only the scale has 1 as its neutral value; that of"
            " the shift is 0.",
            ("+ shift", "+ 1 + shift"),
        ),
        Mistake(
            "You added x a second time. 1 + scale keeps x already; the block itself adds the"
            " shortcut.",
            ("x * (1 + scale)", "x + x * (1 + scale)"),
        ),
        Mistake(
            "You returned 1 + scale + shift, without x. Multiply x by 1 + scale.",
            ("x * (1 + scale)", "(1 + scale)"),
        ),
        Mistake(
            "You repeated scale and shift at every pixel and forgot x. Multiply x by 1 + scale.",
            ("x * (1 + scale)", "ops.ones_like(x) * (1 + scale)"),
        ),
        Mistake(
            "Your dense layers have one output, so all channels share a scale and a shift. Give"
            " them as many outputs as x has channels.",
            lambda x, embedding: x * (1 + layers.Dense(1)(embedding)) + layers.Dense(1)(embedding),
        ),
        Mistake(
            "Your dense layers have an activation, so scale and shift can hardly become negative."
            " Leave them linear.",
            lambda x, embedding: scaled_and_shifted(x, embedding, activation="swish"),
        ),
        Mistake(
            "Your dense layers have an activation, so scale and shift cannot become negative. Leave"
            " them linear.",
            lambda x, embedding: scaled_and_shifted(x, embedding, activation="relu"),
        ),
        Mistake(
            "Your dense layers have no bias. Leave Dense's `use_bias` at its default.",
            lambda x, embedding: scaled_and_shifted(x, embedding, use_bias=False),
        ),
        Mistake(
            "There is an activation after the shift. Leave it out: the block applies its own.",
            ("x * (1 + scale) + shift", "ops.silu(x * (1 + scale) + shift)"),
        ),
        Mistake(
            "You made scale and shift from x. Make them from the embedding, which knows the noise"
            " level.",
            lambda x, embedding: scaled_and_shifted(x, x),
        ),
        Mistake(
            "You made the shift from the scale. Make both from the embedding.",
            (
                "return x * (1 + scale) + shift",
                "return x * (1 + scale) + layers.Dense(channels)(scale)",
            ),
        ),
    ]


def scaled_and_shifted(x, embedding, **options):
    """Returns the right result if `options`, those of the dense layers, are Keras's defaults."""
    scale, shift = (layers.Dense(x.shape[-1], **options)(embedding) for _ in range(2))
    return x * (1 + scale) + shift


def give_known_weights(network, numbers):
    """Gives every weight known values, the same in both halves of a layer of twice the width.

    So two dense layers, and one that is split into halves, give the same result.
    """
    for weight in network.weights:
        *inputs, outputs = weight.shape
        width = CHANNELS if outputs % CHANNELS == 0 else outputs
        values = np.resize(numbers[bool(inputs) :], (*inputs, width))
        weight.assign(np.tile(values, outputs // width))
