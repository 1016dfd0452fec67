"""Lab 09: a step of a second-order solver, guidance, and the loss of flow matching."""

import math

import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import Exercise, numbered
from diffusion_lab.labs.lab09.flow_matching import FlowMatchingLoss, tiny_velocity_network
from diffusion_lab.labs.mistakes import Mistake
from diffusion_lab.labs.outputs import arrays
from diffusion_lab.labs.rehearsal import noise_like


class DPMSolverStep(Exercise):
    name = "dpmpp_2m_step"
    takes = "noisy_images, pred_images, last_pred_images, last, now, then"
    praise = "the last prediction, which DDIM throws away, gives the second order at no extra cost."

    def draw(self, rng):
        names = "noisy_images", "pred_images", "last_pred_images"
        # the two steps differ in width, so that an answer that ignores the widths is wrong
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
            "You took expm1(h). h is positive and the noise must shrink, so take expm1(-h).",
            ("expm1(-h)", "expm1(h)"),
        ),
        Mistake(
            "You computed h from the squares of the rates, which makes it twice as large. Use the "
            "rates themselves: log(signal rate / noise rate).",
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
            "You left out the last prediction, which gives DDIM, a first-order method. "
            "Extrapolate from the last prediction through the current one.",
            ("share = 0.5", "share = 0"),
        ),
        Mistake(
            "You went back towards the last prediction. Extrapolate in the direction in which the "
            "predictions move.",
            ("share = 0.5", "share = -0.5"),
        ),
        Mistake(
            "You added h / h_last times the whole difference. Add half of that, to extrapolate to "
            "the middle of the step.",
            ("share = 0.5", "share = 1"),
        ),
        Mistake(
            "The ratio of the two step widths is upside down. Divide the h of this step by the h "
            "of the last one.",
            ("h / (clock(now) - clock(last))", "(clock(now) - clock(last)) / h"),
        ),
        Mistake(
            "You treated both steps as equally wide. Multiply the difference by h / h_last, as "
            "the formula does.",
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
            "You used the last prediction in place of the current one. Start from the current "
            "one, and move away from the last.",
            ("= pred_images + share * (pred_images - last_pred_images)", "= last_pred_images"),
        ),
        Mistake(
            "You measured the widths of the steps in noise rates. Measure them in log(signal rate "
            "/ noise rate), the method's clock.",
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
        network, images = tiny_velocity_network(), ops.convert_to_tensor(noise_like(3, 1, 1, 2))
        for guidance in (0, 2):  # the lab passes whole numbers
            velocities = network([images, ops.full((3, 1, 1, 1), 0.5)])
            images = 0.6 * images + 0.8 * answer(velocities, -velocities, guidance)

    results = {"guided": "the guided prediction"}

    @staticmethod
    def right(labelled, unlabelled, guidance):
        return unlabelled + guidance * (labelled - unlabelled)

    mistakes = [
        Mistake(
            "You started from the labelled prediction, as in the paper, where guidance 0 is the "
            "conditional model. Start from the unlabelled one.",
            lambda c, u, w: c + w * (c - u),
        ),
        Mistake(
            "The difference points the wrong way, so guidance leads away from the label. Take "
            "labelled - unlabelled.",
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
            "Your weights add up to 1 + guidance, but they must add up to 1. Use guidance for the "
            "labelled prediction and 1 - guidance for the unlabelled one.",
            lambda c, u, w: u + w * c,
        ),
        Mistake(
            "You averaged the two predictions. Extrapolate: with a guidance above 1, go beyond "
            "the labelled one.",
            lambda c, u, w: (u + w * c) / (1 + w),
        ),
    ]


dpmpp_2m_step, guide, flow_matching_loss = numbered(9, DPMSolverStep, Guide, FlowMatchingLoss)
