"""Lab 09: a step of a second-order solver, guidance, and the loss of flow matching."""

import math

import keras
import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import CheckFailed, Exercise, Mistake, array, arrays, numbered
from diffusion_lab.labs.rehearsal import noise_like, train


class DPMSolverStep(Exercise):
    name = "dpmpp_2m_step"
    takes = "noisy_images, pred_images, last_pred_images, last, now, then"
    praise = "the last prediction, which DDIM throws away, gives the second order at no extra cost."

    def draw(self, rng):
        names = "noisy_images", "pred_images", "last_pred_images"
        # the second step has to be wider than the first, or its width would not matter
        angles = rng.uniform((1.2, 0.95, 0.25), (1.3, 1.1, 0.4))
        return {name: rng.normal(size=(2, 3, 3, 3)).astype("float32") for name in names} | {
            "angles": angles
        }

    def measure(self, answer, inputs):
        last, now, then = (
            (float(np.sin(angle)), float(np.cos(angle))) for angle in inputs["angles"]
        )
        noisy, pred, last_pred = (
            ops.convert_to_tensor(inputs[name])
            for name in ("noisy_images", "pred_images", "last_pred_images")
        )
        return {
            **arrays(self.call(answer, noisy, pred, last_pred, last, now, then), "second step"),
            **arrays(self.call(answer, noisy, pred, None, None, now, then), "first step"),
        }

    def rehearse(self, answer, inputs):
        noisy_images = ops.convert_to_tensor(noise_like(3, 1, 1, 2))
        last_pred_images = last = None
        points = [(0.9, 0.44), (0.7, 0.71), (0.4, 0.92)]
        for now, then in zip(points, points[1:]):
            pred_images = (
                now[1] * noisy_images - now[0] * ops.ones((3, 1, 1, 2)) * noisy_images[:, :1]
            )
            noisy_images = answer(noisy_images, pred_images, last_pred_images, last, now, then)
            last_pred_images, last = pred_images, now
        ops.ones((3, 1, 1, 2)) * noisy_images

    results = {
        "first step": "the result of the first step, where there is no last prediction,",
        "second step": "the result of a step",
    }

    @staticmethod
    def right(noisy_images, pred_images, last_pred_images, last, now, then):
        def clock(rates):
            return math.log(rates[1] / rates[0])

        h = clock(then) - clock(now)
        if last_pred_images is not None:
            share = 0.5 * h / (clock(now) - clock(last))
            pred_images = pred_images + share * (pred_images - last_pred_images)
        return then[0] / now[0] * noisy_images - then[1] * math.expm1(-h) * pred_images

    mistakes = [
        Mistake(
            "You added the term of the predicted image. Subtract it: expm1(-h) is negative, so "
            "minus times minus adds the image.",
            ("- then[1]", "+ then[1]"),
        ),
        Mistake(
            "You took expm1(h). h is positive and the noise must get less, so take expm1(-h).",
            ("expm1(-h)", "expm1(h)"),
        ),
        Mistake(
            "You measured h with the squares of the rates, which makes it twice as large. Take "
            "log(signal / noise) of the *rates*.",
            ("math.log", "2 * math.log"),
        ),
        Mistake(
            "You multiplied the image by the signal rate of `now`. Take the signal rate of `then`.",
            ("- then[1]", "- now[1]"),
        ),
        Mistake(
            "The ratio of the noise rates is upside down. Multiply the noisy image by then[0] / "
            "now[0].",
            ("then[0] / now[0]", "now[0] / then[0]"),
        ),
        Mistake(
            "You swapped the two rates. Each pair is (noise_rate, signal_rate): noise first.",
            lambda x, pred, last_pred, last, now, then: DPMSolverStep.right(
                x, pred, last_pred, last and last[::-1], now[::-1], then[::-1]
            ),
        ),
        Mistake(
            "You left out the last prediction, which is DDIM, a method of first order. "
            "Extrapolate from the last prediction through the present one.",
            ("share = 0.5", "share = 0"),
        ),
        Mistake(
            "You went back towards the last prediction. Go *on* in the direction in which the "
            "predictions move.",
            ("share = 0.5", "share = -0.5"),
        ),
        Mistake(
            "You added h / last h times the whole difference. Add half of that: the middle of "
            "the step counts.",
            ("share = 0.5", "share = 1"),
        ),
        Mistake(
            "The ratio of the two step widths is upside down. Divide h of this step by h of the "
            "last one.",
            ("h / (clock(now) - clock(last))", "(clock(now) - clock(last)) / h"),
        ),
        Mistake(
            "You treated both steps as equally wide. Multiply the difference by h / last h.",
            (" * h / (clock(now) - clock(last))", ""),
        ),
        Mistake(
            "You averaged the two predictions. Extrapolate instead, beyond the newer one.",
            (
                "pred_images + share * (pred_images - last_pred_images)",
                "(pred_images + last_pred_images) / 2",
            ),
        ),
        Mistake(
            "You used the last prediction in place of the present one. Start from the present "
            "one, and go away from the last.",
            ("= pred_images + share * (pred_images - last_pred_images)", "= last_pred_images"),
        ),
        Mistake(
            "You measured the widths of the steps in noise rates. Measure them in log(signal / "
            "noise), the method's clock.",
            ("h / (clock(now) - clock(last))", "(then[0] - now[0]) / (now[0] - last[0])"),
        ),
    ]


class Guide(Exercise):
    name, takes = "guide", "labelled, unlabelled, guidance"
    praise = "guidance leads from 'any flower' through 'a red flower' to 'a very red flower'."

    def draw(self, rng):
        return {
            name: rng.normal(size=(2, 3, 3, 3)).astype("float32")
            for name in ("labelled", "unlabelled")
        } | {"guidance": np.float32(rng.uniform(2.2, 4))}

    def measure(self, answer, inputs):
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("labelled", "unlabelled")]
        return arrays(self.call(answer, *tensors, float(inputs["guidance"])), "guided")

    def rehearse(self, answer, inputs):
        network, images = velocity_network(), ops.convert_to_tensor(noise_like(3, 1, 1, 2))
        for guidance in (0, 2):  # the lab's are whole numbers
            velocities = network([images, ops.full((3, 1, 1, 1), 0.5)])
            images = 0.6 * images + 0.8 * answer(velocities, -velocities, guidance)

    results = {"guided": "the guided prediction"}

    @staticmethod
    def right(labelled, unlabelled, guidance):
        return unlabelled + guidance * (labelled - unlabelled)

    mistakes = [
        Mistake(
            "You started from the labelled prediction: in that convention of the paper, 0 is "
            "the conditional model. Start from the *unlabelled* one.",
            lambda c, u, w: c + w * (c - u),
        ),
        Mistake(
            "The difference points the wrong way, so the label pushes away. Take labelled - "
            "unlabelled.",
            lambda c, u, w: u + w * (u - c),
        ),
        Mistake(
            "You swapped the two predictions. Start from the unlabelled one, and go towards the "
            "labelled one.",
            lambda c, u, w: c + w * (u - c),
        ),
        Mistake(
            "You returned the difference alone. Add it to the unlabelled prediction.",
            lambda c, u, w: w * (c - u),
        ),
        Mistake(
            "You returned the labelled prediction, whatever the guidance. Multiply the "
            "difference by `guidance`.",
            lambda c, u, w: c,
        ),
        Mistake(
            "Your weights add to 1 + guidance. They must add to 1: guidance and 1 - guidance.",
            lambda c, u, w: u + w * c,
        ),
        Mistake(
            "You averaged the two predictions. Extrapolate: with a guidance above 1, go beyond "
            "the labelled one.",
            lambda c, u, w: (u + w * c) / (1 + w),
        ),
    ]


def velocity_network():
    """Returns a network like that of lab 09, only smaller."""
    points, times = keras.Input((1, 1, 2)), keras.Input((1, 1, 1))
    return keras.Model(
        [points, times], keras.layers.Dense(2)(keras.layers.Concatenate()([points, times]))
    )


class Velocities(keras.Model):
    """Returns the velocities that it was made with, and records what it is called with."""

    def __init__(self, prediction):
        super().__init__()
        self.prediction, self.calls = ops.convert_to_tensor(prediction), ()

    def __call__(self, inputs=None, *more, training=None, mask=None, **others):
        if more or others or not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise CheckFailed(
                "The network takes one list of two arrays: `network([noisy_images, times])`."
            )
        named = zip(inputs, ("the first input", "the second input"))
        self.calls = (*self.calls, [array(value, name) for value, name in named])
        return self.prediction

    def call(self, inputs=None, *more, training=None, mask=None, **others):
        return self(inputs, *more, training=training, mask=mask, **others)


class FlowMatchingLoss(Exercise):
    name, takes = "flow_matching_loss", "network, images, noises, times"
    praise = "a straight line from image to noise, and a network that learns which way it points."
    shape_hint = "the times have the shape (B, 1, 1, 1) and multiply the images as they are"

    def draw(self, rng):
        return {
            name: rng.normal(size=(3, 4, 4, 2)).astype("float32")
            for name in ("images", "noises", "prediction")
        } | {"times": rng.uniform(0.1, 0.9, (3, 1, 1, 1)).astype("float32")}

    def measure(self, answer, inputs):
        network = Velocities(inputs["prediction"])
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("images", "noises", "times")]
        loss = array(self.call(answer, network, *tensors), "the loss")
        if len(network.calls) != 1:
            raise CheckFailed(f"You called the network {len(network.calls)} times. Call it once.")
        ((noisy, times),) = network.calls
        return {"loss": loss, "noisy": noisy, "times": times}

    def rehearse(self, answer, inputs):
        class FlowMatching(keras.Model):
            """The model of the lab."""

            def __init__(self):
                super().__init__()
                self.network = velocity_network()

            def call(self, images):
                return images

            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return answer(
                    self.network, x, ops.ones_like(x), ops.full_like(x[:, :1, :1, :1], 0.5)
                )

        train(FlowMatching(), noise_like(3, 1, 1, 2), loss=None)

    results = {
        "noisy": "the first input of the network",
        "times": "the second input of the network",
        "loss": "the loss",
    }

    @staticmethod
    def right(network, images, noises, times):
        noisy_images = (1 - times) * images + times * noises
        velocities = network([noisy_images, times])
        return ops.mean(ops.square(velocities - (noises - images)))

    mistakes = [
        Mistake(
            "Time runs the wrong way: 0 is the image, 1 is the noise. Multiply the image by 1 - "
            "t, and the noise by t.",
            ("(1 - times) * images + times * noises", "times * images + (1 - times) * noises"),
        ),
        Mistake(
            "You mixed on the quarter circle of diffusion. Flow matching goes straight: (1 - t) "
            "· image + t · noise.",
            (
                "(1 - times) * images + times * noises",
                "ops.cos(times * math.pi / 2) * images + ops.sin(times * math.pi / 2) * noises",
            ),
        ),
        Mistake(
            "The network receives the clean images. Mix the noise in first.",
            ("(1 - times) * images + times * noises", "images"),
        ),
        Mistake(
            "The network receives the bare noise. Mix it with the images first.",
            ("(1 - times) * images + times * noises", "noises"),
        ),
        Mistake(
            "The image keeps its size while the noise grows. Multiply the image by 1 - t.",
            ("(1 - times) * images", "images"),
        ),
        Mistake(
            "The network receives the square of the time. Pass the time itself.",
            ("times])", "times**2])"),
        ),
        Mistake("The network receives 1 - t. Pass t.", ("times])", "1 - times])")),
        Mistake(
            "The target points the wrong way. As t grows, the image becomes noise, so the "
            "velocity is noises - images.",
            ("noises - images", "images - noises"),
        ),
        Mistake(
            "You trained for the noise. The target is the velocity, noises - images.",
            ("noises - images", "noises"),
        ),
        Mistake(
            "You trained for the image. The target is the velocity, noises - images.",
            ("noises - images", "images"),
        ),
        Mistake(
            "You took the mean absolute error, which teaches a median. The velocity is a mean: "
            "take the mean of the squares.",
            ("ops.square", "ops.abs"),
        ),
        Mistake(
            "You summed the squares. Take their mean, so that the loss does not depend on the "
            "size of images and batch.",
            ("ops.mean", "ops.sum"),
        ),
        Mistake(
            "You took a square root of the mean squared error. Drop it: the loss is the mean "
            "squared error itself.",
            ("(noises - images)))", "(noises - images))) ** 0.5"),
        ),
        Mistake(
            "Your target is the velocity of diffusion. On a straight line the velocity is "
            "noises - images.",
            (
                "noises - images",
                "ops.cos(times * math.pi / 2) * noises - ops.sin(times * math.pi / 2) * images",
            ),
        ),
        Mistake(
            "You returned one number for each image. Return one, the mean over the whole batch.",
            ("(noises - images)))", "(noises - images)), axis=(1, 2, 3))"),
        ),
        Mistake(
            "You subtracted one square from the other. Take the difference first, and then "
            "square it.",
            (
                "ops.square(velocities - (noises - images))",
                "ops.square(velocities) - ops.square(noises - images)",
            ),
        ),
    ]


dpmpp_2m_step, guide, flow_matching_loss = numbered(9, DPMSolverStep, Guide, FlowMatchingLoss)
