"""Lab 08: the way between two noises, and the way back from an image to its noise."""

from functools import partial

import numpy as np
from keras import ops

from diffusion_lab.backend import compiled
from diffusion_lab.ideal_denoisers import gaussian_denoiser
from diffusion_lab.labs.diffusion_models import MyDiffusionModel
from diffusion_lab.labs.exercise import CheckFailed, Exercise, Mistake, arrays, compare, numbered
from diffusion_lab.labs.rehearsal import noise_like

# in the right answer of slerp
WEIGHTED = "(ops.sin((1 - share) * angle) * noise_a + ops.sin(share * angle) * noise_b)"


def unit(noise):
    """The noise divided by its length."""
    return noise / length(noise)


def length(noise):
    return ops.sqrt(ops.sum(noise**2, axis=(1, 2, 3), keepdims=True))


def stretched(noise_a, noise_b, share):
    """The straight line, brought to the length that it should have."""
    return unit((1 - share) * noise_a + share * noise_b) * (
        (1 - share) * length(noise_a) + share * length(noise_b)
    )


class Slerp(Exercise):
    name, takes = "slerp", "noise_a, noise_b, share"
    praise = (
        "on the arc, a noise between two noises is as long as they are, so the network recognises"
        " it as noise."
    )
    shape_hint = (
        "one angle for each pair: sum over the axes (1, 2, 3) with keepdims=True, which gives (B,"
        " 1, 1, 1)"
    )

    def draw(self, rng):
        """Four pairs, each with its own angle, well below 90 degrees, and its own lengths."""
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
            **arrays(self.call(answer, noise_a, noise_a, share), "between equal noises"),
        }

    def rehearse(self, answer, inputs):
        noise_a, noise_b = ops.convert_to_tensor(noise_like(1, 4, 4, 3)), ops.ones((1, 4, 4, 3))
        ops.concatenate([answer(noise_a, noise_b, float(share)) for share in np.linspace(0, 1, 3)])

    def examine(self, inputs, outputs):
        if np.isnan(outputs["between"]).any():
            raise CheckFailed(
                "There is NaN in the result: you took the arccos of a number beyond ±1. The cosine"
                " of an angle is the dot product *divided by both lengths*."
            )
        super().examine(inputs, outputs)
        equal = outputs["between equal noises"]
        if np.isnan(equal).any():
            raise CheckFailed(
                "Between two equal noises you get NaN. Rounding may bring their cosine above 1, so"
                " clip it to [-1, 1]. The sine of their angle may be 0: take the straight line"
                " there."
            )
        if not equal.any():
            raise CheckFailed(
                "Between two equal noises you get zeros. Take the straight line where the angle"
                " is 0."
            )
        compare("what lies between two equal noises", equal, inputs["noise_a"], tolerance=2e-3)

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
            "You returned the straight line, or your angle is 0. Measure the angle by the dot"
            " product divided by both lengths, and weight the noises by its sines.",
            lambda a, b, share: (1 - share) * a + share * b,
        ),
        Mistake(
            "Your share runs backwards. 0 stands for noise_a, 1 for noise_b.",
            lambda a, b, share: Slerp.right(b, a, share),
        ),
        Mistake(
            "Your angle is in degrees, but sin takes radians. Use what arccos returns.",
            ("ops.clip(cosine, -1, 1))", "ops.clip(cosine, -1, 1)) * 180 / np.pi"),
        ),
        Mistake(
            "The weights lack the division by sin(angle). At share 0 the weight of noise_a must"
            " be 1.",
            (" / ops.sin(angle)", ""),
        ),
        Mistake("You divided by the angle. Divide by its sine.", ("/ ops.sin(angle)", "/ angle")),
        Mistake(
            "You measured an angle for each pixel. There is *one* angle for two whole images: sum"
            " over the axes (1, 2, 3).",
            ("(1, 2, 3)", "-1"),
        ),
        Mistake(
            "You measured an angle for each colour channel. Sum over the channels, too: the axes"
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
            "You made the weights of cosines. Make them of sines.",
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
            "You divided the mean of the products by lengths that are sums. Take the sum in both.",
            (
                "dot(noise_a, noise_b) /",
                "ops.mean(noise_a * noise_b, axis=[1, 2, 3], keepdims=True) /",
            ),
        ),
        Mistake(
            "Your result has length 1. Normalise the noises to measure the angle, but mix the"
            " noises *themselves*.",
            lambda a, b, share: Slerp.right(unit(a), unit(b), share),
        ),
        Mistake(
            "You stretched the straight line, which moves unevenly along the arc. Weight the noises"
            " by sines of the angle.",
            stretched,
        ),
        Mistake(
            "Your two weights add to 1. On an arc they add to more: weight noise_b by sin(share ·"
            " angle) / sin(angle).",
            ("+ ops.sin(share * angle)", "+ (ops.sin(angle) - ops.sin((1 - share) * angle))"),
        ),
    ]


class Invert(Exercise):
    name, takes = "invert", "denoise, schedule, images, steps"
    praise = (
        "the sampler's film runs backwards, so every image now has an address, even a real one."
    )
    shape_hint = "times and rates have the shape (B, 1, 1, 1): `ops.ones((B, 1, 1, 1)) * time`"
    steps = 4

    def draw(self, rng):
        return {
            "images": rng.normal(size=(3, 3, 3, 2)).astype("float32"),
            "mean": np.float32(rng.uniform(0.3, 0.6)),
            "deviation": np.float32(rng.uniform(0.5, 0.7)),
        }

    def measure(self, answer, inputs):
        oracle = Oracle(len(inputs["images"]), inputs["mean"], inputs["deviation"])
        images = ops.convert_to_tensor(inputs["images"])
        result = arrays(
            self.call(answer, oracle.denoise, oracle.schedule, images, self.steps), "noise"
        )
        asked = np.array(oracle.asked, "float64")
        again = arrays(
            self.call(answer, oracle.denoise, oracle.schedule, images, self.steps), "again"
        )
        return {**result, **again, "asked": asked}

    def rehearse(self, answer, inputs):
        model = MyDiffusionModel()
        denoise = compiled(partial(model.denoise, training=False))
        for steps in (1, 2):
            noise = answer(
                denoise,
                model.diffusion_schedule,
                ops.convert_to_tensor(noise_like(2, 4, 4, 3)),
                steps,
            )
        denoise(
            ops.convert_to_tensor(noise, "float32"),
            *model.diffusion_schedule(ops.ones((2, 1, 1, 1))),
        )

    def examine(self, inputs, outputs):
        asked, noise, again = (outputs[name] for name in ("asked", "noise", "again"))
        if len(asked) == 0:
            raise CheckFailed(
                "You never called denoise. Random noise needs no network, but *the* noise of an"
                " image does: ask step by step."
            )
        if noise.shape == again.shape and not np.allclose(noise, again, atol=1e-4, equal_nan=True):
            raise CheckFailed(
                "The same image gives another noise each time. Add nothing random on the way back:"
                " mix in the *predicted* noise."
            )
        if asked.shape == (self.steps - 1,) and noise.shape == inputs["images"].shape:
            if np.allclose(noise, self.measured(begin_at_first_step, inputs)["noise"], atol=1e-3):
                raise CheckFailed(
                    "You took the clean image for the noisy one of time 1/steps. Lead it there"
                    " first, from noise rate 0 and signal rate 1."
                )
        super().examine(inputs, outputs)

    results = {
        "asked": "the list of noise rates at which the network is asked",
        "noise": "the noise",
    }
    tolerance = 1e-3

    @staticmethod
    def right(denoise, schedule, images, steps):
        ones = ops.ones((len(images), 1, 1, 1))
        noisy, now = images, (0 * ones, ones)
        for time in np.arange(1, steps + 1) / steps:
            then = schedule(ones * time)
            pred_noises, pred_images = denoise(noisy, *then)
            pred_images = (noisy - now[0] * pred_noises) / now[1]
            noisy = then[1] * pred_images + then[0] * pred_noises
            now = then
        return noisy

    mistakes = [
        Mistake(
            "Your time runs backwards, as in the sampler. Begin at the clean image, and end at"
            " time 1.",
            ("np.arange(1, steps + 1)", "np.arange(steps, 0, -1)"),
        ),
        Mistake(
            "You called denoise with the rates that you come from, but the clean image has noise"
            " rate 0, by which denoise divides. Use the rates of the *next* time.",
            ("*then)", "*now)"),
        ),
        Mistake(
            "You called denoise at the time that you come from, beginning at 0. Use the *next*"
            " time, from 1/steps to 1.",
            ("np.arange(1, steps + 1)", "np.arange(steps)"),
        ),
        Mistake("The last step is missing. End the grid at time 1.", ("steps + 1)", "steps)")),
        Mistake(
            "The first step is missing. Begin the grid at time 1/steps.",
            ("np.arange(1,", "np.arange(2,"),
        ),
        Mistake(
            "You took one step too many. The grid has `steps` times, 1/steps, ..., 1: leave out"
            " time 0.",
            ("np.arange(1, steps + 1)", "np.arange(steps + 1)"),
        ),
        Mistake(
            "Your steps are too long and begin at 0. The times are 1/steps, 2/steps, ..., 1.",
            ("np.arange(1, steps + 1) / steps", "np.arange(steps) / (steps - 1)"),
        ),
        Mistake(
            "You swapped noise rate and signal rate. The schedule returns the noise rate first, and"
            " denoise takes it first.",
            ("*then)", "*then[::-1])"),
        ),
        Mistake(
            "You called denoise with the square of the noise rate. It takes the *rate*.",
            ("*then)", "then[0] ** 2, then[1])"),
        ),
        Mistake(
            "Your image comes back as it was, because you took it apart and mixed it with the same"
            " rates. Take it apart with the rates that it *has*, and mix it with the next.",
            ("(noisy - now[0] * pred_noises) / now[1]", "pred_images"),
        ),
        Mistake(
            "You returned the predicted noise. Return the noisy image of time 1: it is the noise"
            " that leads back here.",
            ("return noisy", "return pred_noises"),
        ),
        Mistake(
            "You returned the predicted image. Return the noisy image of time 1.",
            ("return noisy", "return pred_images"),
        ),
        Mistake(
            "You took denoise's second result for its first. It returns (pred_noises, pred_images),"
            " in this order.",
            ("pred_noises, pred_images = denoise", "pred_images, pred_noises = denoise"),
        ),
        Mistake(
            "You swapped the rates where you mix. The signal rate multiplies the image, the noise"
            " rate the noise.",
            (
                "then[1] * pred_images + then[0] * pred_noises",
                "then[0] * pred_images + then[1] * pred_noises",
            ),
        ),
        Mistake(
            "You treated the image as clean in every step. Take out the noise that it has by now"
            " before you mix in more.",
            ("now = then", "pass"),
        ),
        Mistake(
            "You subtracted the noise of the *next* time. The image holds only as much as the rates"
            " of *this* time say.",
            ("now[0] * pred_noises", "then[0] * pred_noises"),
        ),
        Mistake(
            "You subtracted the noise, and what is left is signal_rate · image. Divide it by the"
            " signal rate.",
            ("(noisy - now[0] * pred_noises) / now[1]", "noisy - now[0] * pred_noises"),
        ),
        Mistake(
            "You called denoise with the clean image in every step. Pass the mixed image on to the"
            " next step.",
            ("denoise(noisy,", "denoise(images,"),
        ),
        Mistake(
            "You mixed the *original* image. Use the one that is in the noisy image now, (noisy -"
            " noise rate · noise) / signal rate.",
            ("(noisy - now[0] * pred_noises) / now[1]", "images"),
        ),
        Mistake(
            "You added noise without shrinking the image. Mix both with the next rates.",
            ("then[1] * pred_images", "pred_images"),
        ),
        Mistake("You subtracted the noise where you mix. Add it.", ("+ then[0]", "- then[0]")),
        Mistake(
            "You added the noise that was in the image already. Subtract it.",
            ("noisy - now[0]", "noisy + now[0]"),
        ),
    ]


def begin_at_first_step(denoise, schedule, images, steps):
    """Inversion that takes the clean image for the noisy one of time 1/steps."""
    ones = ops.ones((len(images), 1, 1, 1))
    noisy = images
    for step in range(1, steps):
        pred_noises, pred_images = denoise(noisy, *schedule(ones * step / steps))
        then = schedule(ones * (step + 1) / steps)
        noisy = then[1] * pred_images + then[0] * pred_noises
    return noisy


class Oracle:
    """A perfect `denoise` for normally distributed images, and a schedule of its own; it notes what
    it is asked.
    """

    def __init__(self, count, mean, deviation):
        self.count, self.asked = count, []
        self.perfect = gaussian_denoiser(float(mean), float(deviation))

    def schedule(self, diffusion_times):
        times = np.array(ops.convert_to_numpy(diffusion_times), "float32")
        if times.max() > 1 + 1e-5 or times.min() < -1e-5:
            strange = times.flat[np.argmax(np.abs(times - 0.5))]
            raise CheckFailed(
                f"You asked the schedule for time {strange:.3g}. The times of the grid are "
                "1/steps, 2/steps, ..., 1."
            )
        noise_rates = ops.convert_to_tensor(np.sqrt(noise_variance(times)))
        return noise_rates, ops.convert_to_tensor(np.sqrt(1 - noise_variance(times)))

    def denoise(self, noisy_images, noise_rates, signal_rates, *others, **named):
        if others or named:
            raise CheckFailed(
                "You called denoise with other arguments. It takes three: `denoise(noisy_images,"
                " noise_rates, signal_rates)`."
            )
        if {np.shape(noise_rates), np.shape(signal_rates)} != {(self.count, 1, 1, 1)}:
            raise CheckFailed(
                f"You called denoise with rates of the shapes {np.shape(noise_rates)} and"
                f" {np.shape(signal_rates)}. They must be (B, 1, 1, 1): call `schedule(ops.ones((B,"
                " 1, 1, 1)) * time)`."
            )
        noise_rates, signal_rates, noisy_images = (
            ops.convert_to_tensor(values, "float32")
            for values in (noise_rates, signal_rates, noisy_images)
        )
        self.asked.append(float(noise_rates[0, 0, 0, 0]))
        return self.perfect(noisy_images, noise_rates, signal_rates)


def noise_variance(times):
    return 0.04 + 0.95 * times**2


slerp, invert = numbered(8, Slerp, Invert)
