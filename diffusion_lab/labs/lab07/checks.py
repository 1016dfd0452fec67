"""Lab 07, the assignment:

`diffusion_schedule`, `denoise`, `reverse_diffusion`, each in a model made for it alone.
"""

import math

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import parts
from diffusion_lab.labs.diffusion_models import MyDiffusionModel, live_in, refuse_float64
from diffusion_lab.labs.exercise import CheckFailed, Method, Mistake, array, arrays, numbered
from diffusion_lab.labs.lab07.sampling import ReverseDiffusion
from diffusion_lab.labs.rates import diagnose


class DiffusionSchedule(Method):
    name, takes = "diffusion_schedule", "self, diffusion_times"
    praise = "the rates run along a quarter circle, so their squares always add to 1."

    def draw(self, rng):
        times = np.concatenate([[0, 1], rng.uniform(size=6)]).reshape(-1, 1, 1, 1)
        return {
            "times": times.astype("float32"),
            "min_signal_rate": rng.uniform(0.03, 0.06),
            "max_signal_rate": rng.uniform(0.85, 0.92),
        }

    def measure(self, answer, inputs):
        model = MyDiffusionModel()
        model.min_signal_rate, model.max_signal_rate = (
            float(inputs[f"{name}_signal_rate"]) for name in ("min", "max")
        )
        return arrays(
            self.call(answer, model, ops.convert_to_tensor(inputs["times"])),
            "noise_rates",
            "signal_rates",
        )

    def rehearse(self, answer, inputs):
        class Model(MyDiffusionModel):
            def diffusion_schedule(self, diffusion_times):
                rates = parts(answer(self, diffusion_times))
                refuse_float64(*rates)
                return rates

        return live_in(Model())

    def examine(self, inputs, outputs):
        right = self.measured(self.right, inputs)
        pairs = zip(*(self.known_results(output, inputs) for output in self.results))
        mistakes = ((hint, np.stack([noise, signal])) for (hint, noise), (_, signal) in pairs)
        found, expected = (
            [numbers[output] for output in self.results] for numbers in (outputs, right)
        )
        diagnose(inputs["times"], found, np.stack(expected), mistakes)

    results = {"noise_rates": "the noise rate", "signal_rates": "the signal rate"}

    @staticmethod
    def right(model, diffusion_times):
        start_angle = math.acos(model.max_signal_rate)
        end_angle = math.acos(model.min_signal_rate)
        angles = start_angle + diffusion_times * (end_angle - start_angle)
        return ops.sin(angles), ops.cos(angles)

    mistakes = [
        Mistake(
            "The two results are in the wrong order (or you wrote arcsin for arccos, which swaps"
            " them). Return noise_rates first, then signal_rates.",
            ("ops.sin(angles), ops.cos(angles)", "ops.cos(angles), ops.sin(angles)"),
        ),
        Mistake(
            "You returned the variances. The rates are the sine and the cosine themselves: drop the"
            " squares.",
            ("ops.sin(angles), ops.cos(angles)", "ops.sin(angles) ** 2, ops.cos(angles) ** 2"),
        ),
        Mistake(
            "Your time runs the wrong way. Make the signal rate max_signal_rate at time 0 and"
            " min_signal_rate at time 1.",
            ("+ diffusion_times", "+ (1 - diffusion_times)"),
        ),
        Mistake(
            "You computed 1 / cos. The arccos is the inverse *function* of the cosine: use"
            " `math.acos`.",
            (
                "angles = start",
                (
                    "start_angle, end_angle = 1 / math.cos(model.max_signal_rate), "
                    "1 / math.cos(model.min_signal_rate)\n    angles = start"
                ),
            ),
        ),
        Mistake(
            "You rounded the times to whole numbers. Use them unchanged.",
            ("+ diffusion_times", "+ ops.floor(diffusion_times)"),
        ),
        Mistake(
            "This is the cosine schedule without the offset. Let the angle run from"
            " arccos(max_signal_rate) to arccos(min_signal_rate), instead of 0 to π/2.",
            (
                "start_angle + diffusion_times * (end_angle - start_angle)",
                "diffusion_times * math.pi / 2",
            ),
        ),
        Mistake(
            "Your angle starts at 0. Start at arccos(max_signal_rate).",
            (
                "start_angle + diffusion_times * (end_angle - start_angle)",
                "diffusion_times * end_angle",
            ),
        ),
        Mistake(
            "Your angle ends too far. Multiply the times by the *difference* of the two angles.",
            ("(end_angle - start_angle)", "end_angle"),
        ),
        Mistake(
            "Your signal rate falls in a straight line. Let the *angle* grow in a straight line,"
            " and take its cosine.",
            (
                "return ops.sin(angles), ops.cos(angles)",
                (
                    "rates = model.max_signal_rate + diffusion_times * (model.min_signal_rate -"
                    " model.max_signal_rate)\n    return ops.sqrt(1 - rates**2), rates"
                ),
            ),
        ),
        Mistake(
            "You used the times as angles. Let the angle grow from arccos(max_signal_rate) at time"
            " 0 to arccos(min_signal_rate) at time 1.",
            ("start_angle + diffusion_times * (end_angle - start_angle)", "diffusion_times"),
        ),
        Mistake(
            "Your angles are in degrees. Sine and cosine take radians, which `math.acos` returns:"
            " drop the conversion.",
            (
                "start_angle + diffusion_times * (end_angle - start_angle)",
                "(start_angle + diffusion_times * (end_angle - start_angle)) * 180 / math.pi",
            ),
        ),
        Mistake(
            "Your noise rate is 1 - signal rate. The *squares* add to 1: take the sine of the same"
            " angle.",
            ("ops.sin(angles),", "1 - ops.cos(angles),"),
        ),
        Mistake(
            "You used 0.02 and 0.95, or the notebook's variables. Read self.min_signal_rate and "
            "self.max_signal_rate, so that the schedule can be changed.",
            (
                "angles = start",
                "start_angle, end_angle = math.acos(0.95), math.acos(0.02)\n    angles = start",
            ),
        ),
        Mistake(
            "You used 0.02, or the notebook's variable. Read self.min_signal_rate, so that the"
            " schedule can be changed.",
            ("model.min_signal_rate", "0.02"),
        ),
        Mistake(
            "You used 0.95, or the notebook's variable. Read self.max_signal_rate, so that the"
            " schedule can be changed.",
            ("model.max_signal_rate", "0.95"),
        ),
    ]


class OracleNetwork(keras.Model):
    """Returns the noise that it was given, and records its arguments."""

    def __init__(self, noises):
        super().__init__()
        self.noises, self.asked = ops.convert_to_tensor(noises), ()

    def __call__(self, inputs=None, *more, training=None, mask=None, **others):
        if more or others or not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise CheckFailed(
                "The network takes one list of two things, and `training` by its name: "
                "`network([noisy_images, variances], training=training)`."
            )
        asked = [array(part, "what the network receives") for part in inputs]
        self.asked = (*self.asked, (*asked, training))
        return self.noises

    def call(self, inputs=None, *more, training=None, mask=None, **others):
        return self(inputs, *more, training=training, mask=mask, **others)

    def predict(self, *arguments, **options):
        raise CheckFailed(
            "You called `predict`, which is slow here and stops the gradient. Call the network"
            " itself, `network(...)`."
        )


class Denoise(Method):
    name, takes = "denoise", "self, noisy_images, noise_rates, signal_rates, training"
    praise = (
        "it separates a noisy image into its noise and its image, with the right network and the"
        " right variance."
    )
    shape_hint = "the rates have the shape (B, 1, 1, 1): multiply the images by them unchanged"

    def draw(self, rng):
        shape = (4, 6, 6, 3)
        angles = rng.uniform(0.2, 1.4, (4, 1, 1, 1))
        return {
            name: rng.normal(size=shape).astype("float32")
            for name in ("noisy_images", "noises", "ema_noises")
        } | {
            "noise_rates": np.sin(angles).astype("float32"),
            "signal_rates": np.cos(angles).astype("float32"),
        }

    def measure(self, answer, inputs):
        outputs, model, emas, flags = {}, MyDiffusionModel(), [], []
        for training in (True, False):
            model.network, model.ema.network = (
                OracleNetwork(inputs["noises"]),
                OracleNetwork(inputs["ema_noises"]),
            )
            tensors = [
                ops.convert_to_tensor(inputs[name])
                for name in ("noisy_images", "noise_rates", "signal_rates")
            ]
            result = arrays(
                self.call(answer, model, *tensors, training=training), "pred_noises", "pred_images"
            )
            asked = [network for network in (model.network, model.ema.network) if network.asked]
            if len(asked) != 1 or len(asked[0].asked) != 1:
                calls = len(model.network.asked) + len(model.ema.network.asked)
                raise CheckFailed(
                    f"You called a network {calls} times. Call exactly one, once: self.network in "
                    "training, self.ema_network otherwise."
                )
            ((images, variances, flag),) = asked[0].asked
            emas.append(asked[0] is model.ema.network)
            flags.append(flag is not None and bool(flag) is training)
            result |= {"images": images, "variances": variances}
            outputs |= {f"{name}, training={training}": part for name, part in result.items()}
        return outputs | {"emas": array(emas, "network"), "flags": array(flags, "training")}

    def rehearse(exercise, answer, inputs):  # noqa: N805  `self` is the model's
        class Model(MyDiffusionModel):
            def denoise(self, noisy_images, noise_rates, signal_rates, training):
                return parts(
                    exercise.use(
                        answer, self, noisy_images, noise_rates, signal_rates, training=training
                    )
                )

        return live_in(Model())

    results = {"emas": "the choice of the network", "flags": "the network's `training`"} | {
        f"{output}, training={training}": name
        for training in (True, False)
        for output, name in {
            "images": "the network's first input",
            "variances": "the network's second input",
            "pred_noises": "pred_noises",
            "pred_images": "pred_images",
        }.items()
    }

    @staticmethod
    def right(model, noisy_images, noise_rates, signal_rates, training):
        network = model.network if training else model.ema_network
        pred_noises = network([noisy_images, noise_rates**2], training=training)
        pred_images = (noisy_images - noise_rates * pred_noises) / signal_rates
        return pred_noises, pred_images

    mistakes = [
        Mistake(
            "You swapped the two networks. Use self.network in training, and self.ema_network"
            " otherwise.",
            (
                "model.network if training else model.ema_network",
                "model.ema_network if training else model.network",
            ),
        ),
        Mistake(
            "You used self.ema_network in training. Use self.network there: the EMA weights are not"
            " trained, they follow.",
            ("model.network if training else model.ema_network", "model.ema_network"),
        ),
        Mistake(
            "You used self.network although training is False. Use self.ema_network there: its EMA"
            " weights sample much better.",
            ("model.network if training else model.ema_network", "model.network"),
        ),
        Mistake(
            "You gave the network the noise rate. It was trained with the *variance*: give it"
            " noise_rates**2.",
            ("noise_rates**2", "noise_rates"),
        ),
        Mistake(
            "You gave the network the signal rate. It takes the variance of the noise: give it"
            " noise_rates**2.",
            ("noise_rates**2", "signal_rates"),
        ),
        Mistake(
            "You gave the network the variance of the signal. It takes that of the noise: give it"
            " noise_rates**2.",
            ("noise_rates**2", "signal_rates**2"),
        ),
        *(
            Mistake(
                "The network did not receive your `training`. Pass it on, `network([...],"
                " training=training)`, because batch normalisation behaves differently in"
                " training.",
                wrong,
            )
            for wrong in (
                (", training=training)", ")"),
                ("training=training", "training=False"),
                ("training=training", "training=True"),
            )
        ),
        Mistake(
            "The two results are in the wrong order. Return pred_noises first, then pred_images.",
            ("return pred_noises, pred_images", "return pred_images, pred_noises"),
        ),
        Mistake(
            "You took the network's output for the image. It predicts the *noise*: compute the"
            " image from it.",
            (
                "return pred_noises, pred_images",
                "return (noisy_images - signal_rates * pred_noises) / noise_rates, pred_noises",
            ),
        ),
        Mistake(
            "You divided by the noise rate. Without the noise, signal rate times image is left:"
            " divide by the signal rate.",
            ("/ signal_rates", "/ noise_rates"),
        ),
        Mistake(
            "You clipped the images. They have no limits here: return them unclipped.",
            ("return pred_noises, pred_images", "return pred_noises, ops.clip(pred_images, -1, 1)"),
        ),
        Mistake(
            "You returned the noisy image as the predicted one. Subtract the noise from it, and"
            " divide by the signal rate.",
            ("return pred_noises, pred_images", "return pred_noises, noisy_images"),
        ),
        Mistake(
            "The noise is gone, but the image is still as dark as in the mixture. Divide by the"
            " signal rate.",
            (" / signal_rates", ""),
        ),
        Mistake(
            "You multiplied by the signal rate at the end. Divide by it, because the mixing"
            " multiplied.",
            ("/ signal_rates", "* signal_rates"),
        ),
        Mistake(
            "You subtracted the noise at full strength. Multiply it by its rate first.",
            ("noise_rates * pred_noises", "pred_noises"),
        ),
        Mistake(
            "You swapped the two rates. The mixture is signal_rate * image + noise_rate * noise:"
            " solve that for the image.",
            (
                "(noisy_images - noise_rates * pred_noises) / signal_rates",
                "(noisy_images - signal_rates * pred_noises) / noise_rates",
            ),
        ),
        Mistake(
            "You added the noise a second time. Subtract it.",
            ("noisy_images - noise", "noisy_images + noise"),
        ),
        Mistake(
            "You multiplied the noise by its variance. Use its rate, noise_rates, the square root.",
            ("- noise_rates *", "- noise_rates**2 *"),
        ),
        Mistake(
            "You divided only the noise by the signal rate. Put parentheses around the difference.",
            (
                "(noisy_images - noise_rates * pred_noises)",
                "noisy_images - noise_rates * pred_noises",
            ),
        ),
        Mistake(
            "You divided by 1 - noise rate. That is not the signal rate, because their *squares*"
            " add to 1: divide by signal_rates.",
            ("/ signal_rates", "/ (1 - noise_rates)"),
        ),
    ]


diffusion_schedule, denoise, reverse_diffusion = numbered(
    7, DiffusionSchedule, Denoise, ReverseDiffusion
)
