"""Lab 03: the three schedules, each a pure function of time that returns `noise_rates, signal_rates`."""

import math

import numpy as np
from keras import ops

from diffusion_lab.backend import parts
from diffusion_lab.labs.blame import misfit
from diffusion_lab.labs.exercise import CheckFailed, Exercise, arrays, numbered
from diffusion_lab.labs.rates import diagnose

DEGREES = "the angles are in degrees somewhere: sine and cosine want radians, and a right angle is π / 2."
SQUARED = "these are variances: the rates are the sine and the cosine themselves, not their squares."
NOT_ONE_MINUS = ("the noise rate is not 1 - signal rate: the *squares* of the two add to 1, so take the sine of the "
                 "same angle.")
ROUNDED = "you round the times to whole numbers: leave them as they come."
OWN_TIMES = "you make times of your own: answer for the `diffusion_times` that you are given, in their order."

class Schedule(Exercise):
    """What the three have in common. Subclasses give `right(times, *parameters)` and `mistakes(times)`, both in pairs:
    arrays (2, B, 1, 1, 1), the noise rates first."""

    parameters = ()  # the names of what else the function takes; it is then called a second time, with other values
    tolerance = 1e-4

    def draw(self, rng):
        times = rng.permutation([0, 1, *rng.uniform(0.05, 0.95, 8)])  # in no order, and both ends among them
        return {"times": _column(times)}

    def measure(self, answer, inputs):
        outputs = arrays(self.call(answer, inputs["times"]), "noise_rates", "signal_rates")
        if self.parameters:
            others = {name: inputs[name].item() for name in self.parameters}
            if misfit(answer, self.takes, (inputs["other_times"],), others):  # then it has names of its own for them
                result = self.call(answer, inputs["other_times"], *others.values())
            else:
                result = self.call(answer, inputs["other_times"], **others)
            outputs |= {f"other_{name}": part for name, part in arrays(result, "noise_rates", "signal_rates").items()}
        return outputs

    def rehearse(self, answer, inputs):
        for count in (1, 201):  # one clean image, and a curve
            times = _column(np.linspace(0, 1, count))
            for rates in parts(answer(times)):
                if ops.convert_to_numpy(rates).shape != times.shape:
                    raise CheckFailed(f"right for {inputs['times'].size} times, but for {count} the rates have the shape "
                                      f"{np.shape(rates)} in place of {times.shape}.")

    def examine(self, inputs, outputs):
        times = inputs["times"].astype("float64")
        pair = outputs["noise_rates"], outputs["signal_rates"]
        diagnose(times, pair, self.right(times), self.mistakes(times), self.tolerance)
        if self.parameters:
            times, others = inputs["other_times"].astype("float64"), [inputs[name].item() for name in self.parameters]
            pair = outputs["other_noise_rates"], outputs["other_signal_rates"]
            setting = " with " + ", ".join(f"{name}={value:.3g}" for name, value in zip(self.parameters, others))
            diagnose(times, pair, self.right(times, *others), self.careless(times, *others), self.tolerance, setting)


class LinearDiffusionSchedule(Schedule):
    name, takes = "linear_diffusion_schedule", "diffusion_times, beta_start, beta_end, timesteps"
    praise = "a function of time alone: it answers for any times, in any order, one by one or a thousand at once."
    parameters = "beta_start", "beta_end", "timesteps"
    tolerance = 0.012  # a table of 1,000 products is right as well, and a step more or less in it

    def draw(self, rng):
        return super().draw(rng) | {
            "other_times": _column(rng.uniform(0.2, 1, 6)), "beta_start": np.array(rng.uniform(0.003, 0.005)),
            "beta_end": np.array(rng.uniform(0.010, 0.014)), "timesteps": np.array(500)}

    def right(self, times, beta_start=1e-4, beta_end=0.02, timesteps=1000):
        area = timesteps * (beta_start * times + (beta_end - beta_start) * times**2 / 2)
        return _roots(np.exp(-area))

    def mistakes(self, times):
        start, growth, steps = 1e-4, 0.02 - 1e-4, 1000
        noise_rates, signal_rates = right = self.right(times)
        kept, beta = signal_rates**2, start + times * growth
        multiplied = np.cumprod(1 - beta).reshape(times.shape)
        over_given = ("you multiply up the times that happen to be in this batch, so an image's noise depends on its "
                      "neighbours: multiply over a *fixed* grid of 1,000 steps, or use the integral")
        return {
            "the two come in the wrong order: noise_rates first, then signal_rates.": right[::-1],
            "these are ᾱ and 1 - ᾱ, the variances: the rates are their square roots.": right**2,
            "the exponent is twice too large: one of its two halves is missing, either that of the root, √ᾱ = "
            "exp(-integral / 2), or that of the triangle inside the integral, whose area is *half* of width times height, "
            "t² / 2.": _roots(kept**2),
            "this takes β at time t for all the steps: take the *area* under β from time 0 to t.":
                _roots(np.exp(-steps * beta)),
            "this takes β at time t for all the steps (and forgets the root): take the *area* under β from time 0 to t.":
                _roots(np.exp(-2 * steps * beta)),
            "one root too many: √ᾱ is the signal rate already, exp(-integral / 2).": _roots(np.sqrt(kept)),
            "the noise rate still lacks its square root: √(1 - ᾱ).": np.stack([1 - kept, signal_rates]),
            "the signal rate still lacks its square root: √ᾱ.": np.stack([noise_rates, kept]),
            "the noise rate is not 1 - signal rate: the *squares* add to 1, so it is √(1 - ᾱ).":
                np.stack([1 - signal_rates, signal_rates]),
            over_given + ".": _roots(multiplied),
            over_given + "; besides, the rates are the square roots.": np.stack([1 - multiplied, multiplied]),
            "these are the rates of a *single* step, √β and √(1 - β): ᾱ gathers up all the steps until then.":
                _roots(1 - beta),
            "the factor `timesteps` is missing: the integral over time is the average β, and there are 1,000 steps.":
                _roots(np.exp(-(start * times + growth * times**2 / 2))),
            "the exponent grows evenly, as if β were the same at all times: β grows, and the triangle's height with it, so "
            "the area has a t².":
                _roots(np.exp(-steps * (start + growth / 2) * times)),
            "β must grow from beta_start to beta_end; yours falls.":
                _roots(np.exp(-steps * ((start + growth) * times - growth * times**2 / 2))),
            "time runs the wrong way: 0 is the clean image, 1 is noise.": self.right(1 - times),
            "the exponent needs a minus sign: ᾱ falls as time goes on.":
                np.stack([np.sqrt(np.expm1(steps * (start * times + growth * times**2 / 2))), 1 / signal_rates]),
            "np.exp undoes the natural logarithm, np.log, and not np.log10.":
                _roots(kept ** (1 / math.log(10))),
            "at time 0 you get pure noise: the index -1 is the *last* entry of the table.":
                self.right(np.where(times == 0, 1, times)),
            "you round the time to a whole number before you multiply it: first `* timesteps`, then `astype(int)`.":
                self.right(np.floor(times)),
            "it is β that grows in a straight line; here the rates themselves do.": np.stack([times, 1 - times]),
            "it is β that grows in a straight line; here the variances do.": _roots(1 - times),
            OWN_TIMES: self.right(_evenly(times)),
            "you put the times in order: each rate belongs to the time that stands in its place.":
                self.right(np.sort(times, axis=0)),
        }

    def careless(self, times, beta_start, beta_end, timesteps):
        return {
            "right for the usual numbers, but it does not use its arguments: write beta_start, beta_end and timesteps "
            "where you now have 1e-4, 0.02 and 1000.": self.right(times),
            "it has 1000 steps built in: write timesteps instead.": self.right(times, beta_start, beta_end),
            "it has 1e-4 and 0.02 built in: write beta_start and beta_end instead.":
                self.right(times, timesteps=timesteps),
            "β does not start at 0: the part beta_start · t of the integral is missing.":
                self.right(times, 0, beta_end - beta_start, timesteps),
            "β grows from beta_start by beta_end - beta_start; you let it grow by all of beta_end.":
                self.right(times, beta_start, beta_start + beta_end, timesteps),
        }


class CosineDiffusionSchedule(Schedule):
    name, takes = "cosine_diffusion_schedule", "diffusion_times"
    praise = "sine and cosine of one angle: their squares add to 1 all by themselves."

    def right(self, times):
        return _turned(times * math.pi / 2)

    def mistakes(self, times):
        noise_rates, signal_rates = right = self.right(times)
        return {
            "noise and signal have changed places: return noise_rates first, and at time 0 let them be 0 and the "
            "signal rates 1.": right[::-1],
            SQUARED: right**2,
            DEGREES: _turned(times * 90),
            "you turn by 1 radian in all, 57 degrees: the turn must end at a right angle, π / 2.": _turned(times),
            "this is an eighth of a turn: from pure image to pure noise it is a *quarter*, π / 2.":
                _turned(times * math.pi / 4),
            "this is half a turn: from pure image to pure noise it is a *quarter*, π / 2.": _turned(times * math.pi),
            "this is a full turn, which ends where it began: from image to noise it is a *quarter*, π / 2.":
                _turned(times * 2 * math.pi),
            NOT_ONE_MINUS: np.stack([1 - signal_rates, signal_rates]),
            "the rates go in straight lines, and their squares do not add to 1: let the *angle* grow evenly.":
                np.stack([times, 1 - times]),
            "you let the signal rate fall in a straight line; it is the angle that grows in a straight line.":
                np.stack([np.sqrt(1 - (1 - times) ** 2), 1 - times]),
            "you let the noise rate grow in a straight line; it is the angle that grows in a straight line.":
                np.stack([times, np.sqrt(1 - times**2)]),
            "one root too many: sine and cosine are the rates already; their *squares* are the variances.":
                np.sqrt(np.abs(right)),
            "you return the angle or the time itself in one place: the noise rate is its sine.":
                np.stack([times * math.pi / 2, signal_rates]),
            OWN_TIMES: self.right(_evenly(times)),
            ROUNDED: self.right(np.floor(times)),
        }


class OffsetCosineDiffusionSchedule(Schedule):
    name, takes = "offset_cosine_diffusion_schedule", "diffusion_times, min_signal_rate, max_signal_rate"
    praise = "a quarter turn without its two ends: never quite clean, never quite noise."
    parameters = "min_signal_rate", "max_signal_rate"

    def draw(self, rng):
        return super().draw(rng) | {
            "other_times": _column(rng.permutation([0, 1, *rng.uniform(0.1, 0.9, 4)])),
            "min_signal_rate": np.array(rng.uniform(0.1, 0.2)), "max_signal_rate": np.array(rng.uniform(0.8, 0.9))}

    def right(self, times, min_signal_rate=0.02, max_signal_rate=0.95):
        start, end = math.acos(max_signal_rate), math.acos(min_signal_rate)
        return _turned(start + times * (end - start))

    def mistakes(self, times):
        low, high, quarter = 0.02, 0.95, math.pi / 2
        noise_rates, signal_rates = right = self.right(times)
        start, end = math.acos(high), math.acos(low)
        angles, straight = start + times * (end - start), high + times * (low - high)
        squeezed, clipped = low + (high - low) * np.cos(times * quarter), np.clip(np.cos(times * quarter), low, high)
        squeeze = "you squeeze the cosine's values between the two rates; what is to be cut short is the *angle*."
        clip = "you clip the rates, so many times get the same noise: let the angle run from one end to the other."
        result = {
            "noise and signal have changed places: noise_rates come first and are the sine, and the angle of a signal "
            "rate is its arccos, not its arcsin.": right[::-1],
            SQUARED: right**2,
            DEGREES: _turned(np.degrees(angles)),
            "time runs the wrong way: at time 0 the signal rate is max_signal_rate, at time 1 min_signal_rate.":
                self.right(1 - times),
            "this is the cosine schedule without the offset: begin at the angle arccos(max_signal_rate), and end at "
            "arccos(min_signal_rate).": _turned(times * quarter),
            "the difference is the wrong way round: the last angle minus the first.": _turned(start + times * (start - end)),
            "the angle starts at 0: begin at arccos(max_signal_rate).": _turned(times * end),
            "the angle ends at π / 2: it should end at arccos(min_signal_rate).":
                _turned(start + times * (quarter - start)),
            "the angle goes too far: the times multiply the *difference* of the last angle and the first.":
                _turned(start + times * end),
            "you took the cosine of the rates: the angle that *has* this cosine is the arccos.":
                _turned(math.cos(high) + times * (math.cos(low) - math.cos(high))),
            "arccos is the inverse function of the cosine, `np.arccos`, and not 1 / cos.":
                _turned(1 / math.cos(high) + times * (1 / math.cos(low) - 1 / math.cos(high))),
            ROUNDED: self.right(np.floor(times)),
            "you use the rates as if they were angles: the angle of a rate is its arccos.": _turned(straight),
            NOT_ONE_MINUS: np.stack([1 - signal_rates, signal_rates]),
            "you let the signal rate fall in a straight line; it is the *angle* that grows in a straight line.":
                np.stack([np.sqrt(1 - straight**2), straight]),
            "you let both rates go in straight lines; it is the *angle* that grows in a straight line.":
                np.stack([math.sin(start) + times * (math.sin(end) - math.sin(start)), straight]),
            "the angles are in radians already: no further π / 2.": _turned(angles * quarter),
            OWN_TIMES: self.right(_evenly(times)),
        }
        for hint, signal in ((squeeze, squeezed), (clip, clipped)):  # and the noise rate by the circle, or not
            result |= {hint: np.stack([np.sqrt(1 - signal**2), signal]),
                       hint + " Besides, the squares must add to 1.": np.stack([np.sin(times * quarter), signal])}
        return result

    def careless(self, times, min_signal_rate, max_signal_rate):
        return {"right for the usual numbers, but it does not use its arguments: write min_signal_rate and "
                "max_signal_rate where you now have 0.02 and 0.95.": self.right(times)}


def _column(times):
    return np.asarray(times, "float32").reshape(-1, 1, 1, 1)


def _evenly(times):
    return np.linspace(0, 1, times.size).reshape(times.shape)


def _roots(kept):
    """The pair that belongs to the share `kept` of the variance: noise rates and signal rates."""
    return np.stack([np.sqrt(1 - kept), np.sqrt(kept)])


def _turned(angles):
    return np.stack([np.sin(angles), np.cos(angles)])


linear_diffusion_schedule, cosine_diffusion_schedule, offset_cosine_diffusion_schedule = numbered(
    3, LinearDiffusionSchedule, CosineDiffusionSchedule, OffsetCosineDiffusionSchedule)
