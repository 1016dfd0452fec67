"""Lab 07, the assignment: `diffusion_schedule`, `denoise`, `reverse_diffusion`, each with a model of its own to live in."""

import math
from types import SimpleNamespace

import numpy as np
from keras import ops

from diffusion_lab.checks.core import CheckFailed, Exercise, array, arrays, compare, demand_graph, fits_a_graph
from diffusion_lab.schedules import offset_cosine_diffusion_schedule


class Method(Exercise):
    """An exercise whose function will be a method of the model."""

    advice = {
        r"takes \d positional arguments? but": "is `self` missing? It is the first argument of every method",
        "missing 1 required positional argument": "a method of the model is called with `self.` in front",
        "must be real number|0-dimensional|length-1|size-1|only integer scalar":
            "the functions of `math` take one number; those of `ops`, such as `ops.sin`, take a whole array",
    }


class DiffusionSchedule(Method):
    number, name = "7.1", "diffusion_schedule"
    praise = "the rates run along a quarter circle, so their squares always add to 1."

    def draw(self, rng):
        times = np.concatenate([[0, 1], rng.uniform(size=6)]).reshape(-1, 1, 1, 1)
        return {"times": times.astype("float32"), "min_signal_rate": rng.uniform(0.03, 0.06),
                "max_signal_rate": rng.uniform(0.85, 0.92)}

    def run(self, answer, inputs):
        model = SimpleNamespace(min_signal_rate=float(inputs["min_signal_rate"]),
                                max_signal_rate=float(inputs["max_signal_rate"]))
        times = ops.convert_to_tensor(inputs["times"])
        rates = arrays(self.call(answer, model, times), "noise_rates", "signal_rates")
        return rates | {"graph": fits_a_graph(lambda times: answer(model, times), times)}

    def judge(self, inputs, outputs):
        times, low, high = inputs["times"], inputs["min_signal_rate"], inputs["max_signal_rate"]
        start, end = math.acos(high), math.acos(low)

        def both(angles):
            return np.stack([np.sin(angles), np.cos(angles)])

        angles = start + times * (end - start)
        right, signal = both(angles), np.cos(angles)
        straight = high + times * (low - high)
        for name in ("noise_rates", "signal_rates"):
            if outputs[name].shape != times.shape:
                raise CheckFailed(f"each of the rates must have the shape of the times, {times.shape}, not "
                                  f"{outputs[name].shape}.")
        compare("the pair of rates", np.stack([outputs["noise_rates"], outputs["signal_rates"]]), right, {
            "the two come in the wrong order: noise_rates first, then signal_rates (arcsin in place of arccos swaps them, "
            "too).": right[::-1],
            "these are variances: the rates are the sine and the cosine themselves, not their squares.": right**2,
            "time runs the wrong way: at time 0 the signal rate is max_signal_rate, at time 1 min_signal_rate.":
                both(end + times * (start - end)),
            "this is the cosine schedule without the offset: the angle must start at arccos(max_signal_rate), not at 0, "
            "and end at arccos(min_signal_rate).": both(times * math.pi / 2),
            "the angle starts at 0: begin at arccos(max_signal_rate).": both(times * end),
            "the angle ends too far: the times multiply the *difference* of the two angles.": both(start + times * end),
            "you let the signal rate fall in a straight line; it is the angle that must grow in a straight line.":
                np.stack([np.sqrt(1 - straight**2), straight]),
            "the angles are in degrees somewhere: sine and cosine want radians.": both(np.degrees(angles)),
            "the noise rate is not 1 - signal rate: the *squares* add to 1, so take the sine of the same angle.":
                np.stack([1 - signal, signal]),
            "you use 0.02 and 0.95 as they are (or the notebook's variables): read self.min_signal_rate and self.max_signal_rate, so that the "
            "schedule can be changed.": np.stack([ops.convert_to_numpy(rate) for rate in
                                                 offset_cosine_diffusion_schedule(times)]),
        })
        demand_graph(outputs["graph"])


class OracleNetwork:
    """Answers with noises that it was given, and writes down what it was asked."""

    def __init__(self, noises):
        self.noises, self.inputs, self.training = noises, None, None

    def __call__(self, inputs, *more, training=None):
        if more or not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise CheckFailed("the network takes one list of two things: `network([noisy_images, variances], training=...)`.")
        self.inputs, self.training = [np.array(part) for part in inputs], training
        return ops.convert_to_tensor(self.noises)

    def predict(self, *arguments, **options):
        raise CheckFailed("call the network itself, `network(...)`: `predict` is slow here, and nothing can be learned "
                          "through it.")


class Denoise(Method):
    number, name = "7.2", "denoise"
    praise = "a noisy image is separated into its noise and its image, by the right network, told the right variance."
    shape_hint = "the rates have the shape (B, 1, 1, 1) and multiply the images as they are"

    def draw(self, rng):
        shape = (4, 6, 6, 3)
        angles = rng.uniform(0.2, 1.4, (4, 1, 1, 1))
        return {name: rng.normal(size=shape).astype("float32") for name in ("noisy_images", "noises", "ema_noises")} | {
            "noise_rates": np.sin(angles).astype("float32"), "signal_rates": np.cos(angles).astype("float32")}

    def run(self, answer, inputs):
        outputs = {}
        for training in (True, False):
            model = SimpleNamespace(network=OracleNetwork(inputs["noises"]), ema_network=OracleNetwork(inputs["ema_noises"]))
            tensors = [ops.convert_to_tensor(inputs[name]) for name in ("noisy_images", "noise_rates", "signal_rates")]
            parts = arrays(self.call(answer, model, *tensors, training), "pred_noises", "pred_images")
            asked = [network for network in (model.network, model.ema_network) if network.inputs is not None]
            if len(asked) != 1:
                raise CheckFailed("ask exactly one network: self.network in training, self.ema_network at any other time.")
            (network,) = asked
            outputs |= {f"{name}, training={training}": part for name, part in parts.items()} | {
                f"used ema, training={training}": array(network is model.ema_network, "network"),
                f"flag, training={training}": array(network.training is training, "training"),
                f"images, training={training}": array(network.inputs[0], "the first input of the network"),
                f"variances, training={training}": array(network.inputs[1], "the second input of the network"),
            }
        network = lambda noisy_and_variances, training: 0.1 * noisy_and_variances[0] + noisy_and_variances[1]  # noqa: E731
        model = SimpleNamespace(network=network, ema_network=network)
        return outputs | {"graph": fits_a_graph(lambda *tensors: answer(model, *tensors, True), *tensors)}

    def judge(self, inputs, outputs):
        images, noise_rates, signal_rates = (inputs[name] for name in ("noisy_images", "noise_rates", "signal_rates"))
        if outputs["used ema, training=True"] and not outputs["used ema, training=False"]:
            raise CheckFailed("the networks are the wrong way round: self.network in training, self.ema_network otherwise.")
        if outputs["used ema, training=True"]:
            raise CheckFailed("when training is True, ask self.network: the averaged network cannot learn by itself.")
        if not outputs["used ema, training=False"]:
            raise CheckFailed("when training is False, ask self.ema_network: its averaged weights sample much better.")
        for training, noises in ((True, inputs["noises"]), (False, inputs["ema_noises"])):
            compare("the network's first input", outputs[f"images, training={training}"], images)
            compare("the network's second input", outputs[f"variances, training={training}"], noise_rates**2, {
                "the network is told the noise rate; it was trained to be told the *variance*, noise_rates**2.": noise_rates,
                "the network is told the signal rate; it wants the variance of the noise, noise_rates**2.": signal_rates,
                "the network is told the variance of the signal; it wants that of the noise, noise_rates**2.": signal_rates**2,
            })
            if not outputs[f"flag, training={training}"]:
                raise CheckFailed("hand `training` on to the network, `network([...], training=training)`: batch "
                                  "normalisation behaves differently while it learns.")
            self.judge_parts(images, noises, noise_rates, signal_rates,
                             *(outputs[f"pred_{name}, training={training}"] for name in ("noises", "images")))
        demand_graph(outputs["graph"])

    def judge_parts(self, noisy, noises, noise_rates, signal_rates, pred_noises, pred_images):
        def pair(images):
            return np.stack([noises, images])

        for name, part in (("pred_noises", pred_noises), ("pred_images", pred_images)):
            if part.shape != noisy.shape:
                raise CheckFailed(f"{name} has the shape {part.shape}, but should have {noisy.shape}.")

        right = (noisy - noise_rates * noises) / signal_rates
        mistakes = {
            "the two come in the wrong order: pred_noises first, then pred_images.": pair(right)[::-1],
            "you take the network's answer for the image: it predicts the *noise*.":
                np.stack([(noisy - signal_rates * noises) / noise_rates, noises]),
            "you divide by the noise rate: what is left without the noise is signal rate times image.":
                pair((noisy - noise_rates * noises) / noise_rates),
            "you clip: here the images have no limits, leave them as they come.": pair(np.clip(right, -1, 1)),
            "you return the noisy image as the predicted one: take the noise out of it first.": pair(noisy),
            "the noise is gone, but the image is still as dark as in the mixture: divide by the signal rate.":
                pair(noisy - noise_rates * noises),
            "you multiply by the signal rate at the end: dividing by it undoes the mixing.":
                pair((noisy - noise_rates * noises) * signal_rates),
            "the noise must be scaled by its rate before you subtract it.": pair((noisy - noises) / signal_rates),
            "the two rates are swapped: noisy = signal_rate * image + noise_rate * noise.":
                pair((noisy - signal_rates * noises) / noise_rates),
            "the noise is added once more: it must be subtracted.": pair((noisy + noise_rates * noises) / signal_rates),
            "you subtract with the variance: the noise comes in with its rate, the square root.":
                pair((noisy - noise_rates**2 * noises) / signal_rates),
            "only the noise is divided by the signal rate: brackets around the difference.":
                pair(noisy - noise_rates * noises / signal_rates),
            "1 - noise rate is not the signal rate: their *squares* add to 1.":
                pair((noisy - noise_rates * noises) / (1 - noise_rates)),
        }
        for hint, wrong in mistakes.items():
            if np.allclose([pred_noises, pred_images], wrong, rtol=1e-4, atol=1e-4):
                raise CheckFailed(hint)
        compare("pred_noises", pred_noises, noises)
        compare("pred_images", pred_images, right)


class ReverseDiffusion(Method):
    number, name = "7.3", "reverse_diffusion"
    praise = "separate, remix with less noise, again; this is the whole sampler."
    shape_hint = "the times are of the shape (num_images, 1, 1, 1): one for each image"
    step_counts = (3, 6, 1)  # three first: one alone could not tell most mistakes apart

    def draw(self, rng):
        return {"initial_noise": rng.normal(size=(3, 4, 4, 3)).astype("float32"),
                "mean": rng.uniform(0.5, 1.0), "deviation": rng.uniform(0.3, 0.6)}

    def run(self, answer, inputs):
        outputs = {}
        for steps in self.step_counts:
            model = OracleModel(inputs["mean"], inputs["deviation"])
            for attempt in ("images", "again"):
                result = self.call(answer, model, ops.convert_to_tensor(inputs["initial_noise"]), steps)
                outputs[f"{attempt}, {steps}"] = array(result, "the result")
            outputs[f"evaluations, {steps}"] = array(len(model.flags) / 2, "count")
            outputs[f"times, {steps}"] = array(model.times, "times")
            outputs[f"training, {steps}"] = array(any(model.flags), "training")
        return outputs

    def judge(self, inputs, outputs):
        noise = inputs["initial_noise"].astype("float64")
        for steps in self.step_counts:
            if outputs[f"training, {steps}"]:
                raise CheckFailed("you sample with training=True, and so with the raw weights: pass training=False, which "
                                  "takes the averaged ones.")
            paths = Paths(noise, steps, inputs["mean"], inputs["deviation"])
            result = outputs[f"images, {steps}"]
            if result.shape == noise.shape and not np.allclose(result, outputs[f"again, {steps}"], atol=1e-5):
                raise CheckFailed("the same noise gives another image each time: this sampler draws no new noise on its "
                                  "way, it mixes the *predicted* noise in again.")
            mistakes = paths.mistakes()
            for time in outputs[f"times, {steps}"]:
                if not -1e-4 < time < 1 + 1e-4:
                    mistakes |= {f"you ask for the rates at time {time:.3g}: times lie between 0 and 1, and the next one is "
                                 "smaller, time - 1 / diffusion_steps.": result}
            compare(f"the result of {steps} step{'s' * (steps > 1)}", result, paths.run(), mistakes, tolerance=1e-3)
            if outputs[f"evaluations, {steps}"] != steps:
                raise CheckFailed(f"the images are right, but for {steps} steps the network was asked "
                                  f"{outputs[f'evaluations, {steps}']:g} times: once per step is enough.")


class OracleModel:
    """A model whose images are normally distributed: its perfect `denoise` is a formula."""

    def __init__(self, mean, deviation):
        self.mean, self.variance, self.flags, self.times = float(mean), float(deviation) ** 2, [], []

    def diffusion_schedule(self, diffusion_times):
        """Another schedule than that of exercise 7.1, which must not be right by accident: the variance grows evenly."""
        diffusion_times = _of_images(diffusion_times, "diffusion_schedule takes times")
        self.times.append(float(diffusion_times[0, 0, 0, 0]))
        noise_variances = 0.01 + 0.98 * ops.clip(diffusion_times, 0, 1)
        return ops.sqrt(noise_variances), ops.sqrt(1 - noise_variances)

    def denoise(self, noisy_images, noise_rates, signal_rates, training):
        self.flags.append(bool(training))
        noise_rates = _of_images(noise_rates, "denoise takes rates")
        signal_rates = _of_images(signal_rates, "denoise takes rates")
        noisy_images = ops.convert_to_tensor(noisy_images, "float32")
        gain = signal_rates * self.variance / (signal_rates**2 * self.variance + noise_rates**2)
        pred_images = self.mean + gain * (noisy_images - signal_rates * self.mean)
        return (noisy_images - signal_rates * pred_images) / noise_rates, pred_images


def _of_images(values, what):
    if len(np.shape(values)) != 4 or tuple(np.shape(values))[1:] != (1, 1, 1):
        raise CheckFailed(f"{what} of the shape (num_images, 1, 1, 1), but got {tuple(np.shape(values))}: try "
                          "`ops.ones((num_images, 1, 1, 1)) * time`.")
    return ops.convert_to_tensor(values, "float32")


class Paths:
    """What sampling gives in NumPy when it is done right, and when one thing in it is wrong."""

    def __init__(self, noise, steps, mean, deviation):
        self.noise, self.steps, self.mean, self.variance = noise, steps, mean, deviation**2

    def denoise(self, noisy, noise_rate, signal_rate):
        gain = signal_rate * self.variance / (signal_rate**2 * self.variance + noise_rate**2)
        images = self.mean + gain * (noisy - signal_rate * self.mean)
        return (noisy - signal_rate * images) / noise_rate, images

    def run(self, times=None, remix=None, returned="images", last_time=None, keep_start=False, swap_parts=False,
            swap_now=False, swap_then=False, own_next=False):
        """DDIM over the times 1, 1 - 1/steps, ..., 1/steps; the arguments put one mistake in."""
        noisy = self.noise
        times = [1 - step / self.steps for step in range(self.steps)] if times is None else times
        for time, next_time in zip(times, [*times[1:], last_time if last_time is not None else times[-1] - 1 / self.steps]):
            next_time = time - 1 / self.steps if own_next else next_time
            now, then = self.rates(time), self.rates(min(max(next_time, 0), 1))
            now, then = now[::-1] if swap_now else now, then[::-1] if swap_then else then
            pred_noises, pred_images = self.denoise(self.noise if keep_start else noisy, *now)
            if swap_parts:
                pred_noises, pred_images = pred_images, pred_noises
            noisy = (remix or self.remix)(pred_noises, pred_images, now, then)
        return {"images": pred_images, "noisy": noisy, "noises": pred_noises}[returned]

    @staticmethod
    def rates(time):
        noise_variance = 0.01 + 0.98 * time
        return math.sqrt(noise_variance), math.sqrt(1 - noise_variance)

    @staticmethod
    def remix(noises, images, now, then):
        return then[1] * images + then[0] * noises

    def mistakes(self):
        steps = self.steps
        at_any_number = {
            "you return the last *noisy* image; the last predicted image is the clean one.": self.run(returned="noisy"),
            "you return the predicted noise: denoise returns (pred_noises, pred_images), in this order.":
                self.run(returned="noises"),
            "this is the initial noise: nothing has been done to it.": self.noise,
            "denoise takes noise_rates first, then signal_rates.": self.run(swap_now=True),
        }
        return at_any_number if steps == 1 else at_any_number | {
            "the first step is left out: the grid starts at time 1, where there is nothing but noise.":
                self.run(times=[1 - (step + 1) / steps for step in range(steps)]),
            "one step too many: after the predicted image of time 1/steps you are done.":
                self.run(times=[1 - step / steps for step in range(steps + 1)]),
            "one step too few: there are `diffusion_steps` of them, the last at time 1/steps.":
                self.run(times=[1 - step / steps for step in range(steps - 1)]),
            "time runs forwards: begin at 1, where the noise is, and go down.":
                self.run(times=[(step + 1) / steps for step in range(steps)]),
            "time runs forwards: it begins at 1, where the noise is, and goes down.":
                self.run(times=[(step + 1) / steps for step in range(steps)], own_next=True),
            "time runs forwards, from 0: it begins at 1, where the noise is, and goes down.":
                self.run(times=[step / steps for step in range(steps)], own_next=True),
            "the steps are too long: the times are 1, 1 - 1/steps, ..., 1/steps, so step number k begins at 1 - k/steps.":
                self.run(times=[1 - step / (steps - 1) for step in range(steps)], own_next=True),
            "the rates are swapped where you remix: signal rate with the image, noise rate with the noise.":
                self.run(remix=lambda noises, images, now, then: then[0] * images + then[1] * noises),
            "every step sees the initial noise again: hand the remixed images on to the next step, and remix with the "
            "rates of the *next* time, since those of this time give back what there was.": self.run(keep_start=True),
            "you remix with the *initial* noise: take the noise that was predicted in this step.":
                self.run(remix=lambda noises, images, now, then: then[1] * images + then[0] * self.noise),
            "the noise is missing where you remix: the next step expects an image that is still noisy.":
                self.run(remix=lambda noises, images, now, then: then[1] * images),
            "you hand the predicted image on as it is: mix its noise in again, with the rates of the next time.":
                self.run(remix=lambda noises, images, now, then: images),
            "denoise returns (pred_noises, pred_images), in this order: you take them the wrong way round.":
                self.run(swap_parts=True),
            "diffusion_schedule returns (noise_rates, signal_rates), in this order: you take them the wrong way round.":
                self.run(swap_now=True, swap_then=True),
            "the image of the first step comes out: does the `return` stand inside the loop, or is the step "
            "`1 // diffusion_steps`, which is 0?": self.run(times=[1]),
            "the noise is subtracted where you remix: it is added.":
                self.run(remix=lambda noises, images, now, then: then[1] * images - then[0] * noises),
            "the steps are too long, and there is one too few: between `steps` points lie only steps - 1 intervals.":
                self.run(times=[1 - step / (steps - 1) for step in range(steps - 1)]),
            "the steps are too long, so that the last one begins at time 0: their length is 1 / diffusion_steps.":
                self.run(times=[1 - step / (steps - 1) for step in range(steps)]),
        }


diffusion_schedule, denoise, reverse_diffusion = DiffusionSchedule(), Denoise(), ReverseDiffusion()
