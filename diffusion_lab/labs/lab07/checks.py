"""Lab 07, the assignment: `diffusion_schedule`, `denoise`, `reverse_diffusion`, each with a model of its own to live in."""

import math
import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import parts
from diffusion_lab.labs.exercise import CheckFailed, Method, array, arrays, compare, numbered
from diffusion_lab.labs.diffusion_models import MyDiffusionModel, live_in, refuse_float64
from diffusion_lab.labs.lab07.sampling import ReverseDiffusion
from diffusion_lab.labs.rates import diagnose
from diffusion_lab.schedules import offset_cosine_diffusion_schedule


class DiffusionSchedule(Method):
    name, takes = "diffusion_schedule", "self, diffusion_times"
    praise = "the rates run along a quarter circle, so their squares always add to 1."

    def draw(self, rng):
        times = np.concatenate([[0, 1], rng.uniform(size=6)]).reshape(-1, 1, 1, 1)
        return {"times": times.astype("float32"), "min_signal_rate": rng.uniform(0.03, 0.06),
                "max_signal_rate": rng.uniform(0.85, 0.92)}

    def measure(self, answer, inputs):
        model = MyDiffusionModel()
        model.min_signal_rate, model.max_signal_rate = (float(inputs[f"{name}_signal_rate"]) for name in ("min", "max"))
        return arrays(self.call(answer, model, ops.convert_to_tensor(inputs["times"])), "noise_rates", "signal_rates")

    def rehearse(self, answer, inputs):
        class Model(MyDiffusionModel):
            def diffusion_schedule(self, diffusion_times):
                rates = parts(answer(self, diffusion_times))
                refuse_float64(*rates)
                return rates

        return live_in(Model())

    def examine(self, inputs, outputs):
        times, low, high = inputs["times"], inputs["min_signal_rate"], inputs["max_signal_rate"]
        start, end = math.acos(high), math.acos(low)

        def both(angles):
            return np.stack([np.sin(angles), np.cos(angles)])

        angles = start + times * (end - start)
        right, signal = both(angles), np.cos(angles)
        straight = high + times * (low - high)
        diagnose(times, (outputs["noise_rates"], outputs["signal_rates"]), right, {
            "the two come in the wrong order: noise_rates first, then signal_rates (arcsin in place of arccos swaps them, "
            "too).": right[::-1],
            "these are variances: the rates are the sine and the cosine themselves, not their squares.": right**2,
            "time runs the wrong way: at time 0 the signal rate is max_signal_rate, at time 1 min_signal_rate.":
                both(end + times * (start - end)),
            "arccos is the inverse function of the cosine, `math.acos`, and not 1 / cos.":
                both(1 / math.cos(high) + times * (1 / math.cos(low) - 1 / math.cos(high))),
            "you round the times to whole numbers: leave them as they come.": both(start + np.floor(times) * (end - start)),
            "this is the cosine schedule without the offset: the angle must start at arccos(max_signal_rate), not at 0, "
            "and end at arccos(min_signal_rate).": both(times * math.pi / 2),
            "the angle starts at 0: begin at arccos(max_signal_rate).": both(times * end),
            "the angle ends too far: the times multiply the *difference* of the two angles.": both(start + times * end),
            "you let the signal rate fall in a straight line; it is the angle that must grow in a straight line.":
                np.stack([np.sqrt(1 - straight**2), straight]),
            "the times themselves are no angles: the angle grows from arccos(max_signal_rate) at time 0 to "
            "arccos(min_signal_rate) at time 1.": both(times),
            "the angles are in degrees somewhere: sine and cosine want radians.": both(np.degrees(angles)),
            "the noise rate is not 1 - signal rate: the *squares* add to 1, so take the sine of the same angle.":
                np.stack([1 - signal, signal]),
            "you use 0.02 and 0.95 as they are (or the notebook's variables): read self.min_signal_rate and self.max_signal_rate, so that the "
            "schedule can be changed.": np.stack([ops.convert_to_numpy(rate) for rate in
                                                 offset_cosine_diffusion_schedule(times)]),
        })


class OracleNetwork(keras.Model):
    """Answers with noises that it was given, and writes down what it was asked."""

    def __init__(self, noises):
        super().__init__()
        self.noises, self.asked = ops.convert_to_tensor(noises), ()

    def __call__(self, inputs=None, *more, training=None, mask=None, **others):
        if more or others or not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise CheckFailed("the network takes one list of two things, and `training` by its name: "
                              "`network([noisy_images, variances], training=training)`.")
        asked = [array(part, "what the network is given") for part in inputs]
        self.asked = (*self.asked, (*asked, training))
        return self.noises

    def call(self, inputs=None, *more, training=None, mask=None, **others):
        return self(inputs, *more, training=training, mask=mask, **others)

    def predict(self, *arguments, **options):
        raise CheckFailed("call the network itself, `network(...)`: `predict` is slow here, and nothing can be learned "
                          "through it.")


class Denoise(Method):
    name, takes = "denoise", "self, noisy_images, noise_rates, signal_rates, training"
    praise = "a noisy image is separated into its noise and its image, by the right network, told the right variance."
    shape_hint = "the rates have the shape (B, 1, 1, 1) and multiply the images as they are"

    def draw(self, rng):
        shape = (4, 6, 6, 3)
        angles = rng.uniform(0.2, 1.4, (4, 1, 1, 1))
        return {name: rng.normal(size=shape).astype("float32") for name in ("noisy_images", "noises", "ema_noises")} | {
            "noise_rates": np.sin(angles).astype("float32"), "signal_rates": np.cos(angles).astype("float32")}

    def measure(self, answer, inputs):
        outputs, model = {}, MyDiffusionModel()
        for training in (True, False):
            model.network, model.ema.network = OracleNetwork(inputs["noises"]), OracleNetwork(inputs["ema_noises"])
            tensors = [ops.convert_to_tensor(inputs[name]) for name in ("noisy_images", "noise_rates", "signal_rates")]
            result = arrays(self.call(answer, model, *tensors, training=training), "pred_noises", "pred_images")
            asked = [network for network in (model.network, model.ema.network) if network.asked]
            if len(asked) != 1 or len(asked[0].asked) != 1:
                raise CheckFailed("ask exactly one network, once: self.network in training, self.ema_network at any other "
                                  "time.")
            ((images, variances, flag),) = asked[0].asked
            outputs |= {f"{name}, training={training}": part for name, part in result.items()} | {
                f"used ema, training={training}": array(asked[0] is model.ema.network, "network"),
                f"flag, training={training}": array(flag is not None and bool(flag) is training, "training"),
                f"images, training={training}": images, f"variances, training={training}": variances,
            }
        return outputs

    def rehearse(exercise, answer, inputs):  # noqa: N805  `self` is the model's
        class Model(MyDiffusionModel):
            def denoise(self, noisy_images, noise_rates, signal_rates, training):
                return parts(exercise.use(answer, self, noisy_images, noise_rates, signal_rates, training=training))

        return live_in(Model())

    def examine(self, inputs, outputs):
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


diffusion_schedule, denoise, reverse_diffusion = numbered(7, DiffusionSchedule, Denoise, ReverseDiffusion)
