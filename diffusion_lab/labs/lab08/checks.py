"""Lab 08: the way between two noises, and the way back from an image to its noise."""

from functools import partial

import numpy as np
from keras import ops

from diffusion_lab.backend import compiled
from diffusion_lab.labs.exercise import CheckFailed, Exercise, arrays, compare, numbered
from diffusion_lab.labs.diffusion_models import MyDiffusionModel
from diffusion_lab.labs.rehearsal import noise_like


class Slerp(Exercise):
    name, takes = "slerp", "noise_a, noise_b, share"
    praise = "on the arc, a noise between two noises is as long as they are, so the network knows it for noise."
    shape_hint = "one angle for each pair: sum over the axes (1, 2, 3) with keepdims=True, which gives (B, 1, 1, 1)"

    def draw(self, rng):
        """Four pairs, each with its own angle, well below 90 degrees, and its own lengths."""
        noise_a = rng.normal(size=(4, 3, 4, 3)) * np.linspace(0.8, 1.4, 4).reshape(-1, 1, 1, 1)
        noise_b = noise_a * np.linspace(0.3, 1.2, 4).reshape(-1, 1, 1, 1) + 0.7 * rng.normal(size=(4, 3, 4, 3))
        return {"noise_a": noise_a.astype("float32"), "noise_b": noise_b.astype("float32"),
                "share": np.float32(rng.uniform(0.2, 0.4))}

    def measure(self, answer, inputs):
        noise_a, noise_b = (ops.convert_to_tensor(inputs[name]) for name in ("noise_a", "noise_b"))
        share = float(inputs["share"])
        return {**arrays(self.call(answer, noise_a, noise_b, share), "between"),
                **arrays(self.call(answer, noise_a, noise_a, share), "between equal noises")}

    def rehearse(self, answer, inputs):
        noise_a, noise_b = ops.convert_to_tensor(noise_like(1, 4, 4, 3)), ops.ones((1, 4, 4, 3))
        ops.concatenate([answer(noise_a, noise_b, float(share)) for share in np.linspace(0, 1, 3)])

    def examine(self, inputs, outputs):
        arc = Arc(*(inputs[name].astype("float64") for name in ("noise_a", "noise_b", "share")))
        if np.isnan(outputs["between"]).any():
            raise CheckFailed("there is NaN in it: the arccos of something beyond ±1. The cosine of an angle is the "
                              "dot product *divided by both lengths*.")
        compare("the noise in between", outputs["between"], arc.point(), arc.mistakes(), tolerance=1e-3)
        equal = outputs["between equal noises"]
        if np.isnan(equal).any():
            raise CheckFailed("between two equal noises you get NaN: rounding may bring their cosine above 1 (clip it "
                              "to [-1, 1]), and the sine of their angle to 0 (there take the straight line instead).")
        compare("what lies between two equal noises", equal, inputs["noise_a"], {
            "between two equal noises you get zeros: where the angle is 0 take the straight line instead.":
                0 * inputs["noise_a"]}, tolerance=2e-3)


class Arc:
    """Spherical interpolation in NumPy when it is right, and when one thing in it is wrong."""

    def __init__(self, noise_a, noise_b, share):
        self.a, self.b, self.share = noise_a, noise_b, share
        self.dots, self.lengths = self.sum(noise_a * noise_b), self.length(noise_a) * self.length(noise_b)

    @staticmethod
    def sum(values, axis=(1, 2, 3)):
        return np.sum(values, axis, keepdims=True)

    def length(self, noise, axis=(1, 2, 3)):
        return np.sqrt(self.sum(noise**2, axis))

    def angle(self, axis=(1, 2, 3)):
        cosines = self.sum(self.a * self.b, axis) / (self.length(self.a, axis) * self.length(self.b, axis))
        return np.arccos(np.clip(cosines, -1, 1))

    def point(self, angle=None, share=None, sine=np.sin, over=np.sin):
        angle = self.angle() if angle is None else angle
        share = self.share if share is None else share
        return (sine((1 - share) * angle) * self.a + sine(share * angle) * self.b) / over(angle)

    def mistakes(self):
        a, b, share, angle = self.a, self.b, self.share, self.angle()
        straight, quarter = (1 - share) * a + share * b, share * np.pi / 2
        unit_a, unit_b = a / self.length(a), b / self.length(b)
        weight = np.sin((1 - share) * angle) / np.sin(angle)
        return {
            "this is the straight line, or an angle of 0: measure the angle between the two, by their dot product "
            "divided by both lengths, and weigh with sines of it.": straight,
            "share is reversed: 0 stands for noise_a, 1 for noise_b.": self.point(share=1 - share),
            "the angle is in degrees, but sin takes radians, which is what arccos returns.":
                self.point(np.degrees(angle)),
            "the division by sin(angle) is missing: at share 0 the weight of noise_a must be 1.":
                self.point(over=lambda angle: 1),
            "you divide by the angle: divide by its sine.": self.point(over=lambda angle: angle),
            "you measure an angle for each pixel: it is *one* angle for two whole images; sum over the axes (1, 2, 3).":
                self.point(self.angle(-1)),
            "you measure an angle for each colour channel: sum over the channels, too, the axes (1, 2, 3).":
                self.point(self.angle((1, 2))),
            "you measure one angle for the whole batch: each pair has its own; sum over the axes (1, 2, 3) only.":
                self.point(self.angle((0, 1, 2, 3))),
            "cosine and sine of share · 90° are right for a right angle only: measure the angle of each pair.":
                np.cos(quarter) * a + np.sin(quarter) * b,
            "sine and cosine are at the wrong ends, so share 0 gives noise_b; and they need the measured angle.":
                np.sin(quarter) * a + np.cos(quarter) * b,
            "cos(share · angle) and sin(share · angle) fit a right angle only: take two sines, divided by a third.":
                np.cos(share * angle) * a + np.sin(share * angle) * b,
            "the weights are made of cosines: they are sines.": self.point(sine=np.cos, over=np.cos),
            "you weigh with cosines: the weights are sines, divided by the sine of the angle.": self.point(sine=np.cos),
            "this is the cosine of the angle, not the angle itself: the arccos is missing.":
                self.point(self.dots / self.lengths),
            "the angle is the arccos of the cosine, not its arcsin.": self.point(np.pi / 2 - angle),
            "the lengths are squared: the dot product is divided by √(sum of squares) of each.":
                self.point(np.arccos(self.dots / self.lengths**2)),
            "the mean of the products is divided by lengths that are sums: take the sum in both.":
                self.point(np.arccos(self.dots / np.prod(a.shape[1:]) / self.lengths)),
            "your result has length 1: normalised noises measure the angle, but the noises *themselves* are mixed.":
                Arc(unit_a, unit_b, share).point(),
            "this is the straight line, stretched afterwards: it does not go evenly along the arc.":
                straight / self.length(straight) * ((1 - share) * self.length(a) + share * self.length(b)),
            "the two weights add to 1 in your code: on an arc they add to more.": weight * a + (1 - weight) * b,
        }


class Invert(Exercise):
    name, takes = "invert", "denoise, schedule, images, steps"
    praise = "the sampler's film runs backwards: every image has an address now, real ones, too."
    shape_hint = "times and rates have the shape (B, 1, 1, 1): `ops.ones((B, 1, 1, 1)) * time`"
    steps = 4

    def draw(self, rng):
        return {"images": rng.normal(size=(3, 3, 3, 2)).astype("float32"),
                "mean": np.float32(rng.uniform(0.3, 0.6)), "deviation": np.float32(rng.uniform(0.5, 0.7))}

    def measure(self, answer, inputs):
        oracle = Oracle(len(inputs["images"]), inputs["mean"], inputs["deviation"])
        images = ops.convert_to_tensor(inputs["images"])
        result = arrays(self.call(answer, oracle.denoise, oracle.schedule, images, self.steps), "noise")
        asked = np.array(oracle.asked, "float64")
        again = arrays(self.call(answer, oracle.denoise, oracle.schedule, images, self.steps), "again")
        return {**result, **again, "asked": asked}

    def rehearse(self, answer, inputs):
        model = MyDiffusionModel()
        denoise = compiled(partial(model.denoise, training=False))
        for steps in (1, 2):
            noise = answer(denoise, model.diffusion_schedule, ops.convert_to_tensor(noise_like(2, 4, 4, 3)), steps)
        denoise(ops.convert_to_tensor(noise, "float32"), *model.diffusion_schedule(ops.ones((2, 1, 1, 1))))

    def examine(self, inputs, outputs):
        way = Way(inputs["images"].astype("float64"), float(inputs["mean"]), float(inputs["deviation"]), self.steps)
        asked, noise = outputs["asked"], outputs["noise"]
        if len(asked) == 0:
            raise CheckFailed("denoise is never called: random noise can be added without a network, but *the* noise "
                              "of an image must be asked for, step by step.")
        again = outputs["again"]
        if noise.shape == again.shape and not np.allclose(noise, again, atol=1e-4, equal_nan=True):
            raise CheckFailed("the same image gives another noise each time: nothing random is added on the way back; "
                              "mix the *predicted* noise in.")
        rates = way.noise_rates
        if asked.shape == (self.steps - 1,) and np.allclose(noise, way.pretending(), atol=1e-3):
            raise CheckFailed("you take the clean image for the noisy one of time 1/steps: it must be led there first, "
                              "from noise rate 0 and signal rate 1.")
        compare("the list of noise rates at which the network is asked", asked, rates[1:], way.mistaken_rates())
        compare("the noise", noise, way.run(), way.mistakes(), tolerance=1e-3)


class Oracle:
    """A perfect `denoise` for normally distributed images, and a schedule of its own; it notes what it is asked."""

    def __init__(self, count, mean, deviation):
        self.count, self.mean, self.variance, self.asked = count, float(mean), float(deviation) ** 2, []

    def schedule(self, diffusion_times):
        times = np.array(ops.convert_to_numpy(diffusion_times), "float32")
        if times.max() > 1 + 1e-5 or times.min() < -1e-5:
            strange = times.flat[np.argmax(np.abs(times - 0.5))]
            raise CheckFailed(f"the schedule is asked for time {strange:.3g}: the times of the grid are "
                              "1/steps, 2/steps, ..., 1.")
        noise_rates = ops.convert_to_tensor(np.sqrt(noise_variance(times)))
        return noise_rates, ops.convert_to_tensor(np.sqrt(1 - noise_variance(times)))

    def denoise(self, noisy_images, noise_rates, signal_rates, *others, **named):
        if others or named:
            raise CheckFailed("here denoise takes three arguments: `denoise(noisy_images, noise_rates, signal_rates)`.")
        if {np.shape(noise_rates), np.shape(signal_rates)} != {(self.count, 1, 1, 1)}:
            raise CheckFailed(f"denoise takes rates of the shape (B, 1, 1, 1), but got {np.shape(noise_rates)} and "
                              f"{np.shape(signal_rates)}: give the schedule `ops.ones((B, 1, 1, 1)) * time`.")
        noise_rates, signal_rates, noisy_images = (
            ops.convert_to_tensor(values, "float32") for values in (noise_rates, signal_rates, noisy_images))
        self.asked.append(float(noise_rates[0, 0, 0, 0]))
        gain = signal_rates * self.variance / (signal_rates**2 * self.variance + noise_rates**2)
        pred_images = self.mean + gain * (noisy_images - signal_rates * self.mean)
        return (noisy_images - signal_rates * pred_images) / noise_rates, pred_images


def noise_variance(times):
    return 0.04 + 0.95 * times**2


class Way:
    """Inversion in NumPy when it is right, and when one thing in it is wrong."""

    def __init__(self, images, mean, deviation, steps):
        self.images, self.mean, self.variance, self.steps = images, mean, deviation**2, steps
        self.noise_rates = np.append(0.0, np.sqrt(noise_variance(np.arange(1, steps + 1) / steps)))
        self.signal_rates = np.sqrt(1 - self.noise_rates**2)

    def separate(self, x, n, s):
        images = self.mean + s * self.variance / (s**2 * self.variance + n**2) * (x - s * self.mean)
        return (x - s * images) / n, images

    def run(self, remove=lambda x, noises, n, s, next_n: (x - n * noises) / s,
            remix=lambda x, noises, images, n, s: s * images + n * noises,
            seen=lambda x: x, parts=lambda noises, images: noises, stuck=False, returned="noisy"):
        """The arguments put one mistake in."""
        x = self.images
        for step in range(self.steps):
            n, s = (0.0, 1.0) if stuck else (self.noise_rates[step], self.signal_rates[step])
            next_n, next_s = self.noise_rates[step + 1], self.signal_rates[step + 1]
            noises = parts(*self.separate(seen(x), next_n, next_s))
            images = remove(x, noises, n, s, next_n)
            x = remix(x, noises, images, next_n, next_s)
        return {"noisy": x, "noises": noises, "images": images}[returned]

    def pretending(self):
        """The clean image is taken for the noisy one of time 1/steps, and the network asked where it stands."""
        x = self.images
        for now in range(1, self.steps):
            noises, images = self.separate(x, self.noise_rates[now], self.signal_rates[now])
            x = self.signal_rates[now + 1] * images + self.noise_rates[now + 1] * noises
        return x

    def mistaken_rates(self):
        rates, steps = self.noise_rates, self.steps
        at = lambda times: np.sqrt(noise_variance(np.asarray(times)))  # noqa: E731
        too_short = at(np.arange(steps) / (steps - 1))
        return {
            "time runs the wrong way, as in the sampler: begin at the clean image, and end at time 1.": rates[:0:-1],
            "you ask at the rates that you come from, and the clean image has none (its noise rate is 0, and denoise "
            "divides by it): ask at the rates of the *next* time.": rates[:-1],
            "you ask at the time that you come from, beginning at 0: ask at the *next* one, from 1/steps to 1.":
                at(np.arange(steps) / steps),
            "the last step is missing: the grid ends at time 1.": rates[1:-1],
            "the first step is missing: the grid begins at time 1/steps.": rates[2:],
            "one step too many: the grid has `steps` times, 1/steps, ..., 1, and time 0 is not one of them.":
                at(np.arange(steps + 1) / steps),
            "the steps are too long and begin at 0: the times are 1/steps, 2/steps, ..., 1.": too_short,
            "noise rate and signal rate are swapped: the schedule returns noise first, denoise takes it first.":
                self.signal_rates[1:],
            "denoise takes the noise *rate*, not its square.": rates[1:] ** 2,
        }

    def mistakes(self):
        return {
            "your image comes back as it was: taken apart and mixed with the same rates, it gives itself again. Take "
            "it apart with the rates that it *has*, and remix with the next.": self.images,
            "you return the predicted noise: the noisy image of time 1 is the noise that leads back here.":
                self.run(returned="noises"),
            "you return the predicted image: it is the noisy image of time 1 that is wanted.":
                self.run(returned="images"),
            "denoise returns (pred_noises, pred_images), in this order: you take the second for the first.":
                self.run(parts=lambda noises, images: images),
            "the rates are swapped where you remix: signal rate with the image, noise rate with the noise.":
                self.run(remix=lambda x, noises, images, n, s: n * images + s * noises),
            "every step takes its image for a clean one: take out the noise that it has by now, before mixing in more.":
                self.run(stuck=True),
            "you take away the noise of the *next* time; there is only as much in it as the rates of *this* time say.":
                self.run(remove=lambda x, noises, n, s, next_n: (x - next_n * noises) / s),
            "what is left without the noise is signal_rate · image: divide by the signal rate.":
                self.run(remove=lambda x, noises, n, s, next_n: x - n * noises),
            "every step asks about the clean image again: hand the remixed image on to the next step.":
                self.run(seen=lambda x: self.images),
            "you remix the *original* image: take the one that is in the noisy image now, (noisy - noise rate · noise) "
            "/ signal rate.": self.run(remove=lambda x, noises, n, s, next_n: self.images),
            "you add noise but do not shrink the image: remix both with the next rates.":
                self.run(remix=lambda x, noises, images, n, s: images + n * noises),
            "the noise comes in with a minus: it is added.":
                self.run(remix=lambda x, noises, images, n, s: s * images - n * noises),
            "the noise that was in the image is put in twice: subtract it.":
                self.run(remove=lambda x, noises, n, s, next_n: (x + n * noises) / s),
        }


slerp, invert = numbered(8, Slerp, Invert)
