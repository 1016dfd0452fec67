"""Lab 05: `pixel_attention`, in which every pixel looks at every other."""

import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import Exercise
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import array

# parts of `PixelAttention.right`
SCORES = "ops.matmul(q, ops.transpose(k, (0, 2, 1))) / channels**0.5"
WEIGHTS = f"ops.softmax({SCORES})"


class PixelAttention(Exercise):
    name, takes = "pixel_attention", "x, normalise, query, key, value"
    praise = "each pixel collects from all others, and x itself goes through untouched."
    shape_hint = (
        "flatten the pixels: (B, H, W, C) becomes (B, H · W, C), and the product of q and kᵀ is"
        " (B, H · W, H · W)"
    )
    results = {"result": "the result"}

    def draw(self, rng):
        kernels = ("query", "key", "value")
        return {
            "x": rng.normal(1, 2, (2, 3, 4, 5)).astype("float32"),
            **{name: rng.normal(0, 0.7, (5, 5)).astype("float32") for name in kernels},
        }

    def measure(self, answer, inputs):
        def layer(name):
            return lambda x: ops.matmul(ops.convert_to_tensor(x, "float32"), inputs[name])

        parts = [layer(name) for name in ("query", "key", "value")]
        x = ops.convert_to_tensor(inputs["x"])
        return {"result": array(self.call(answer, x, normalise, *parts), "the result")}

    @staticmethod
    def right(x, normalise, query, key, value):
        batch, height, width, channels = x.shape
        normalised, pixels = normalise(x), (batch, height * width, channels)
        q, k, v = (ops.reshape(part(normalised), pixels) for part in (query, key, value))
        weights = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))) / channels**0.5)
        return x + ops.reshape(ops.matmul(weights, v), x.shape)

    mistakes = [
        Mistake(
            "You added the normalised x, which has lost its scale. Add x as it came in.",
            ("return x +", "return normalised +"),
        ),
        Mistake(
            "You returned only what the pixels collect. Add it to x.",
            ("return x +", "return"),
        ),
        Mistake("You subtracted the result from x. Add it.", ("x + ops", "x - ops")),
        Mistake("You multiplied x by the result. Add it.", ("x + ops", "x * ops")),
        Mistake(
            "You did not normalise x. Queries, keys and values are made from normalise(x).",
            ("normalise(x)", "x"),
        ),
        Mistake(
            "You normalised the result. Normalise x, before the queries, keys and values.",
            lambda x, normalise, *parts: (
                x + normalise(PixelAttention.right(x, lambda x: x, *parts) - x)
            ),
        ),
        Mistake(
            "The scale is missing: divide q kᵀ by √C before the softmax.", (" / channels**0.5", "")
        ),
        Mistake("You divided by C. Divide by its square root.", ("channels**0.5", "channels")),
        Mistake("You multiplied by √C. Divide by it.", (" / channels**0.5", " * channels**0.5")),
        Mistake(
            "You divided by the square root of the number of pixels. Divide by √C, for the number"
            " of channels.",
            ("channels**0.5", "(height * width) ** 0.5"),
        ),
        Mistake(
            "You divided by √C after the softmax, so the weights no longer add up to 1. Divide"
            " before it.",
            (WEIGHTS, "ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1)))) / channels**0.5"),
        ),
        Mistake(
            "The softmax is missing. Apply it to the scores, so that each pixel's weights add up to"
            " 1.",
            (WEIGHTS, SCORES),
        ),
        Mistake(
            "Your softmax goes over the pixels that ask. It must go over those that answer: the"
            " last axis of q kᵀ.",
            (WEIGHTS, f"ops.softmax({SCORES}, axis=1)"),
        ),
        Mistake(
            "Your weights add up to 1 over all pairs of pixels. They must do so for each pixel that"
            " asks: softmax over the last axis.",
            (
                WEIGHTS,
                f"(lambda s: ops.exp(s) / ops.sum(ops.exp(s), (1, 2), keepdims=True))({SCORES})",
            ),
        ),
        Mistake(
            "You used a sigmoid, so the weights do not compete. Use softmax.",
            (WEIGHTS, f"ops.sigmoid({SCORES})"),
        ),
        Mistake(
            "You swapped queries and keys: each row of q kᵀ belongs to one query.",
            ("in (query, key, value)", "in (key, query, value)"),
        ),
        Mistake(
            "You compared the queries with each other. Compare them with the keys.",
            ("in (query, key, value)", "in (query, query, value)"),
        ),
        Mistake(
            "You compared the keys with each other. Compare the queries with them.",
            ("in (query, key, value)", "in (key, key, value)"),
        ),
        Mistake(
            "Each pixel collects keys. Let it collect values.",
            ("in (query, key, value)", "in (query, key, key)"),
        ),
        Mistake(
            "Each pixel collects queries. Let it collect values.",
            ("in (query, key, value)", "in (query, key, query)"),
        ),
        Mistake(
            "Each pixel collects the normalised x. Let it collect value(normalise(x)).",
            ("in (query, key, value)", "in (query, key, lambda x: x)"),
        ),
        Mistake(
            "Each pixel collects value(x), without the normalisation. Make the values from"
            " normalise(x), too.",
            ("in (query, key, value)", "in (query, key, lambda _: value(x))"),
        ),
        Mistake(
            "You transposed the weights. Multiply them by v as they are: row i holds the weights"
            " with which pixel i collects.",
            ("matmul(weights, v)", "matmul(ops.transpose(weights, (0, 2, 1)), v)"),
        ),
        Mistake(
            "Your pixels look along their own row only. Flatten height and width into one axis"
            " first.",
            ("(batch, height * width, channels)", "(batch * height, width, channels)"),
        ),
        Mistake(
            "Your pixels also look at the other images of the batch. Flatten height and width only:"
            " (B, H · W, C).",
            ("(batch, height * width, channels)", "(1, batch * height * width, channels)"),
        ),
        Mistake(
            "You compared channels instead of pixels: qᵀ k is (B, C, C). Use q kᵀ, one row for"
            " each pixel.",
            lambda *arguments: channel_attention(*arguments),
        ),
    ]


def normalise(x):
    """Returns x (B, H, W, C) with mean 0 and variance 1 in each image, as one group."""
    axes = {"axis": (1, 2, 3), "keepdims": True}
    x = ops.convert_to_tensor(x, "float32")
    return (x - ops.mean(x, **axes)) / ops.sqrt(ops.var(x, **axes) + np.float32(1e-3))


def channel_attention(x, normalise, query, key, value):
    """Returns x plus attention of each channel to all channels."""
    batch, height, width, channels = x.shape
    pixels = batch, height * width, channels
    q, k, v = (ops.reshape(part(normalise(x)), pixels) for part in (query, key, value))
    weights = ops.softmax(ops.matmul(ops.transpose(q, (0, 2, 1)), k) / channels**0.5)
    return x + ops.reshape(ops.matmul(v, ops.transpose(weights, (0, 2, 1))), x.shape)
