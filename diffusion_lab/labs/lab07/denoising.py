"""Lab 07: `denoise`, checked with networks whose output is known."""

import numpy as np
from keras import ops

from diffusion_lab.backend import parts
from diffusion_lab.labs.diffusion_models import MyDiffusionModel, train_and_sample
from diffusion_lab.labs.exercise import Method
from diffusion_lab.labs.failures import CheckFailed
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.oracle_network import OracleNetwork
from diffusion_lab.labs.outputs import array, arrays

USAGE = (
    "The network takes one list of two arrays, and `training` as a keyword argument: write"
    " `network([noisy_images, variances], training=training)`."
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
            model.network = OracleNetwork(inputs["noises"], USAGE)
            model.ema.network = OracleNetwork(inputs["ema_noises"], USAGE)
            tensors = [
                ops.convert_to_tensor(inputs[name])
                for name in ("noisy_images", "noise_rates", "signal_rates")
            ]
            result = arrays(
                self.call(answer, model, *tensors, training=training), "pred_noises", "pred_images"
            )
            networks = model.network, model.ema.network
            called = [network for network in networks if network.calls]
            if len(called) != 1 or len(called[0].calls) != 1:
                calls = sum(len(network.calls) for network in networks)
                raise CheckFailed(
                    f"You called a network {calls} times. Make exactly one call: to self.network in"
                    " training, and to self.ema_network otherwise."
                )
            ((images, variances, flag),) = called[0].calls
            emas.append(called[0] is model.ema.network)
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

        return train_and_sample(Model())

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
            "You used self.ema_network in training. Use self.network there: the optimizer trains"
            " its weights, and the EMA weights only follow them.",
            ("model.network if training else model.ema_network", "model.ema_network"),
        ),
        Mistake(
            "You used self.network although training is False. Use self.ema_network there: its EMA"
            " weights sample much better.",
            ("model.network if training else model.ema_network", "model.network"),
        ),
        Mistake(
            "You gave the network the noise rate. It was trained with the variance: give it"
            " noise_rates**2.",
            ("noise_rates**2", "noise_rates"),
        ),
        Mistake(
            "You gave the network the signal rate. It takes the variance of the noise: give it"
            " noise_rates**2.",
            ("noise_rates**2", "signal_rates"),
        ),
        Mistake(
            "You gave the network the variance of the signal. It takes the variance of the noise:"
            " give it noise_rates**2.",
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
            "You treated the network's output as the image. It is the noise: compute the image"
            " from it.",
            (
                "return pred_noises, pred_images",
                "return (noisy_images - signal_rates * pred_noises) / noise_rates, pred_noises",
            ),
        ),
        Mistake(
            "You divided by the noise rate. Subtracting the noise leaves signal_rate * image, so"
            " divide by the signal rate.",
            ("/ signal_rates", "/ noise_rates"),
        ),
        Mistake(
            "You clipped the images. Their values have no limits here: return them unclipped.",
            ("return pred_noises, pred_images", "return pred_noises, ops.clip(pred_images, -1, 1)"),
        ),
        Mistake(
            "You returned the noisy image as the predicted one. Subtract the noise from it, and"
            " divide by the signal rate.",
            ("return pred_noises, pred_images", "return pred_noises, noisy_images"),
        ),
        Mistake(
            "The noise is gone, but the image is still as pale as in the mixture. Divide by the"
            " signal rate.",
            (" / signal_rates", ""),
        ),
        Mistake(
            "You multiplied by the signal rate at the end. Divide by it, to undo the multiplication"
            " in the mixture.",
            ("/ signal_rates", "* signal_rates"),
        ),
        Mistake(
            "You subtracted the noise at full strength. Multiply it by its rate first.",
            ("noise_rates * pred_noises", "pred_noises"),
        ),
        Mistake(
            "You only subtracted the noise. The mixture is signal_rate * image + noise_rate *"
            " noise: solve that for the image.",
            (
                "(noisy_images - noise_rates * pred_noises) / signal_rates",
                "noisy_images - pred_noises",
            ),
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
            "You multiplied the noise by its variance. Multiply it by noise_rates itself, without"
            " the square.",
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
            "You divided by 1 - noise rate. That is not the signal rate, because it is the"
            " squares of the two rates that add up to 1: divide by signal_rates.",
            ("/ signal_rates", "/ (1 - noise_rates)"),
        ),
    ]
