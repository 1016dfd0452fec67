"""Lab 08: the exercises, and the arc between two noise arrays."""

import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import Exercise, numbered
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.lab08.inversion import Invert
from diffusion_lab.labs.lab08.kid import PolynomialMMD
from diffusion_lab.labs.mistakes import Mistake, compare
from diffusion_lab.labs.outputs import arrays
from diffusion_lab.labs.rehearsal import noise_like

# a part of `Slerp.right`
WEIGHTED = "(ops.sin((1 - share) * angle) * noise_a + ops.sin(share * angle) * noise_b)"


def unit(noise):
    """Returns the noise divided by its length."""
    return noise / length(noise)


def length(noise):
    """Returns the length of each noise array as a vector: (B, H, W, C) gives (B, 1, 1, 1)."""
    return ops.sqrt(ops.sum(noise**2, axis=(1, 2, 3), keepdims=True))


def stretched(noise_a, noise_b, share):
    """Returns the point on the straight line, rescaled to the length that it should have."""
    return unit((1 - share) * noise_a + share * noise_b) * (
        (1 - share) * length(noise_a) + share * length(noise_b)
    )


class Slerp(Exercise):
    name, takes = "slerp", "noise_a, noise_b, share"
    praise = (
        "on the arc, a mixture of two noise arrays is as long as they are, so the network"
        " recognises it as noise."
    )
    shape_hint = (
        "one angle for each pair: sum over the axes (1, 2, 3) with keepdims=True, which gives (B,"
        " 1, 1, 1)"
    )

    def draw(self, rng):
        """Returns four pairs, which differ in their lengths and angles, well below 90 degrees."""
        noise_a = rng.normal(size=(4, 3, 4, 3)) * np.linspace(0.8, 1.4, 4).reshape(-1, 1, 1, 1)
        noise_b = noise_a * np.linspace(0.3, 1.2, 4).reshape(-1, 1, 1, 1) + 0.7 * rng.normal(
            size=(4, 3, 4, 3)
        )
        return {
            "noise_a": noise_a.astype("float32"),
            "noise_b": noise_b.astype("float32"),
            "share": np.float32(rng.uniform(0.2, 0.4)),
        }

    def measure(self, answer, inputs):
        noise_a, noise_b = (ops.convert_to_tensor(inputs[name]) for name in ("noise_a", "noise_b"))
        share = float(inputs["share"])
        return {
            **arrays(self.call(answer, noise_a, noise_b, share), "between"),
            **arrays(self.call(answer, noise_a, noise_a, share), "between equal arrays"),
        }

    def rehearse(self, answer, inputs):
        noise_a, noise_b = ops.convert_to_tensor(noise_like(1, 4, 4, 3)), ops.ones((1, 4, 4, 3))
        ops.concatenate([answer(noise_a, noise_b, float(share)) for share in np.linspace(0, 1, 3)])

    def examine(self, inputs, outputs):
        if np.isnan(outputs["between"]).any():
            raise CheckFailed(
                "There is NaN in the result: you took the arccos of a number beyond ±1. The cosine"
                " of an angle is the dot product divided by both lengths."
            )
        super().examine(inputs, outputs)
        equal = outputs["between equal arrays"]
        if np.isnan(equal).any():
            raise CheckFailed(
                "Between two equal noise arrays you get NaN. Rounding may push their cosine above"
                " 1, so clip it to [-1, 1]. The sine of their angle may be 0: take the straight"
                " line there."
            )
        if not equal.any():
            raise CheckFailed(
                "Between two equal noise arrays you get zeros. Take the straight line where the"
                " angle is 0."
            )
        compare("the result between equal arrays", equal, inputs["noise_a"], tolerance=2e-3)

    results, tolerance = {"between": "the noise in between"}, 1e-3

    @staticmethod
    def right(noise_a, noise_b, share):
        def dot(x, y):
            return ops.sum(x * y, axis=(1, 2, 3), keepdims=True)

        cosine = dot(noise_a, noise_b) / ops.sqrt(dot(noise_a, noise_a) * dot(noise_b, noise_b))
        angle = ops.maximum(ops.arccos(ops.clip(cosine, -1, 1)), 1e-3)
        return (
            ops.sin((1 - share) * angle) * noise_a + ops.sin(share * angle) * noise_b
        ) / ops.sin(angle)

    mistakes = [
        Mistake(
            "You returned the straight line, or your angle is 0. Compute the angle from the dot"
            " product divided by both lengths, and build the weights from sines of the angle.",
            lambda a, b, share: (1 - share) * a + share * b,
        ),
        Mistake(
            "Your share runs backwards. 0 means noise_a, and 1 means noise_b.",
            lambda a, b, share: Slerp.right(b, a, share),
        ),
        Mistake(
            "Your angle is in degrees, but sin takes radians. Use what arccos returns.",
            ("ops.clip(cosine, -1, 1))", "ops.clip(cosine, -1, 1)) * 180 / np.pi"),
        ),
        Mistake(
            "You did not divide the weights by sin(angle). Divide them, so that the weight of"
            " noise_a is 1 at share 0.",
            (" / ops.sin(angle)", ""),
        ),
        Mistake("You divided by the angle. Divide by its sine.", ("/ ops.sin(angle)", "/ angle")),
        Mistake(
            "You measured an angle for each pixel. There is one angle for two whole images: sum"
            " over the axes (1, 2, 3).",
            ("(1, 2, 3)", "-1"),
        ),
        Mistake(
            "You measured an angle for each colour channel. Also sum over the channels: the axes"
            " are (1, 2, 3).",
            ("(1, 2, 3)", "(1, 2)"),
        ),
        Mistake(
            "You measured one angle for the whole batch. Each pair has its own: sum over the axes"
            " (1, 2, 3) only.",
            ("(1, 2, 3)", "(0, 1, 2, 3)"),
        ),
        Mistake(
            "You weighted by cosine and sine of share · 90°, which fit a right angle only. Measure"
            " the angle of each pair.",
            lambda a, b, share: np.cos(share * np.pi / 2) * a + np.sin(share * np.pi / 2) * b,
        ),
        Mistake(
            "You swapped the weights, so share 0 gives noise_b, and they fit a right angle only."
            " Measure the angle, and give noise_a the weight 1 at share 0.",
            lambda a, b, share: np.sin(share * np.pi / 2) * a + np.cos(share * np.pi / 2) * b,
        ),
        Mistake(
            "You weighted by cos(share · angle) and sin(share · angle), which fit a right angle"
            " only. Take two sines, divided by the sine of the angle.",
            (f"{WEIGHTED} / ops.sin(angle)", WEIGHTED.replace("sin((1 - share)", "cos(share")),
        ),
        Mistake(
            "You built the weights from cosines. Build them from sines.",
            (f"{WEIGHTED} / ops.sin(angle)", f"{WEIGHTED} / ops.sin(angle)".replace("sin", "cos")),
        ),
        Mistake(
            "You weighted by cosines. The weights are sines, divided by the sine of the angle.",
            (WEIGHTED, WEIGHTED.replace("sin", "cos")),
        ),
        Mistake(
            "You used the cosine of the angle as the angle. Take its arccos.",
            ("ops.arccos(ops.clip(cosine, -1, 1))", "cosine"),
        ),
        Mistake("You took the arcsin of the cosine. Take its arccos.", ("arccos", "arcsin")),
        Mistake(
            "You divided by the squares of the lengths. Divide the dot product by √(sum of squares)"
            " of each noise.",
            ("ops.sqrt(dot", "(dot"),
        ),
        Mistake(
            "You divided a mean of products by lengths made of sums. Use sums in both.",
            (
                "dot(noise_a, noise_b) /",
                "ops.mean(noise_a * noise_b, axis=[1, 2, 3], keepdims=True) /",
            ),
        ),
        Mistake(
            "Your result has length 1. Normalise noise_a and noise_b to measure the angle, but mix"
            " them unchanged.",
            lambda a, b, share: Slerp.right(unit(a), unit(b), share),
        ),
        Mistake(
            "You stretched the straight line, which moves unevenly along the arc. Use sines of the"
            " angle as the weights.",
            stretched,
        ),
        Mistake(
            "Your two weights add up to 1. On an arc they add up to more: weight noise_b by"
            " sin(share · angle) / sin(angle).",
            ("+ ops.sin(share * angle)", "+ (ops.sin(angle) - ops.sin((1 - share) * angle))"),
        ),
    ]


polynomial_mmd, slerp, invert = numbered(8, PolynomialMMD, Slerp, Invert)
