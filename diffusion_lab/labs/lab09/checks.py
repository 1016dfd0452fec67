"""Lab 09: a step of a second-order solver, guidance, and the loss of flow matching."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import CheckFailed, Exercise, array, arrays, compare, numbered
from diffusion_lab.labs.rehearsal import noise_like, train


class DPMSolverStep(Exercise):
    name = "dpmpp_2m_step"
    takes = "noisy_images, pred_images, last_pred_images, last, now, then"
    praise = "the last prediction, which DDIM throws away, pays for the second order: no extra network evaluation."

    def draw(self, rng):
        angles = np.sort(rng.uniform(0.2, 1.4, 3))[::-1]
        return {name: rng.normal(size=(2, 3, 3, 3)).astype("float32")
                for name in ("noisy_images", "pred_images", "last_pred_images")} | {"angles": angles}

    def measure(self, answer, inputs):
        last, now, then = ((float(np.sin(angle)), float(np.cos(angle))) for angle in inputs["angles"])
        noisy, pred, last_pred = (ops.convert_to_tensor(inputs[name])
                                  for name in ("noisy_images", "pred_images", "last_pred_images"))
        return {**arrays(self.call(answer, noisy, pred, last_pred, last, now, then), "second step"),
                **arrays(self.call(answer, noisy, pred, None, None, now, then), "first step")}

    def rehearse(self, answer, inputs):
        noisy_images, last_pred_images, last = ops.convert_to_tensor(noise_like(3, 1, 1, 2)), None, None
        points = [(0.9, 0.44), (0.7, 0.71), (0.4, 0.92)]
        for now, then in zip(points, points[1:]):
            pred_images = now[1] * noisy_images - now[0] * ops.ones((3, 1, 1, 2)) * noisy_images[:, :1]
            noisy_images = answer(noisy_images, pred_images, last_pred_images, last, now, then)
            last_pred_images, last = pred_images, now
        ops.ones((3, 1, 1, 2)) * noisy_images

    def examine(self, inputs, outputs):
        x, pred, last_pred = (inputs[name].astype("float64") for name in ("noisy_images", "pred_images", "last_pred_images"))
        last, now, then = ((np.sin(angle), np.cos(angle)) for angle in inputs["angles"])

        def step(extrapolated, width, keep=then[0] / now[0], signal=then[1], expm1=lambda h: np.expm1(-h), sign=-1):
            return keep * x + sign * signal * expm1(width) * extrapolated

        def log_snr(rates):
            return np.log(rates[1] / rates[0])

        h, last_h = log_snr(then) - log_snr(now), log_snr(now) - log_snr(last)
        ahead = pred + 0.5 * h / last_h * (pred - last_pred)
        variances = pred + 0.5 * (then[0] - now[0]) / (now[0] - last[0]) * (pred - last_pred)
        compare("the result of the first step, where there is no last prediction,", outputs["first step"], step(pred, h),
                {"the signs: x is kept, and expm1(-h) is negative, so minus times minus adds the image.": step(pred, h, sign=1),
                 "expm1(-h), with a minus: h is positive, and the noise must get less.": step(pred, h, expm1=np.expm1, sign=-1),
                 "h is measured in log(signal / noise) of the *rates*; with their squares it is twice as large.":
                     step(pred, 2 * h),
                 "you multiply the image by the signal rate of *now*: it is for the next time.": step(pred, h, signal=now[1]),
                 "the noisy image is scaled by next noise rate / noise rate now; yours is the other way round.":
                     step(pred, h, keep=now[0] / then[0]),
                 "the rates are (noise_rate, signal_rate): noise first.":
                     step(pred, -h, keep=then[1] / now[1], signal=then[0])})
        compare("the result of a step", outputs["second step"], step(ahead, h), {
            "this is DDIM, first order: the last prediction must come in.": step(pred, h),
            "you go back towards the last prediction; go *on* in the direction in which the predictions move.":
                step(pred - 0.5 * h / last_h * (pred - last_pred), h),
            "you go on by the whole difference: half of it, because the middle of the step counts.":
                step(pred + h / last_h * (pred - last_pred), h),
            "the ratio of the two widths is upside down: h of this step over h of the last one.":
                step(pred + 0.5 * last_h / h * (pred - last_pred), h),
            "the two steps are not equally wide: the difference must be multiplied by h / last h.":
                step(pred + 0.5 * (pred - last_pred), h),
            "you average the two predictions; extrapolate instead, beyond the newer one.": step((pred + last_pred) / 2, h),
            "you use the last prediction in place of this one.": step(last_pred, h),
            "the widths of the steps are measured in the noise rate; the method's clock is log(signal / noise).":
                step(variances, h),
        })


class Guide(Exercise):
    name, takes = "guide", "labelled, unlabelled, guidance"
    praise = "guidance goes on from 'any flower' through 'a red flower' to 'a very red flower'."

    def draw(self, rng):
        return {name: rng.normal(size=(2, 3, 3, 3)).astype("float32") for name in ("labelled", "unlabelled")} | {
            "guidance": np.float32(rng.uniform(2.2, 4))}

    def measure(self, answer, inputs):
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("labelled", "unlabelled")]
        return arrays(self.call(answer, *tensors, float(inputs["guidance"])), "guided")

    def rehearse(self, answer, inputs):
        network, images = velocity_network(), ops.convert_to_tensor(noise_like(3, 1, 1, 2))
        for guidance in (0, 2):  # the lab's are whole numbers
            velocities = network([images, ops.full((3, 1, 1, 1), 0.5)])
            images = 0.6 * images + 0.8 * answer(velocities, -velocities, guidance)

    def examine(self, inputs, outputs):
        labelled, unlabelled, w = (inputs[name].astype("float64") for name in ("labelled", "unlabelled", "guidance"))
        compare("the guided prediction", outputs["guided"], unlabelled + w * (labelled - unlabelled), {
            "this is the paper's other way of counting, in which 0 stands for the conditional model: start from the "
            "*unlabelled* prediction.": labelled + w * (labelled - unlabelled),
            "the difference is the wrong way round, so the label pushes away: labelled - unlabelled.":
                unlabelled + w * (unlabelled - labelled),
            "the two predictions are swapped.": labelled + w * (unlabelled - labelled),
            "the difference alone is not a prediction: add it to the unlabelled one.": w * (labelled - unlabelled),
            "this ignores how much guidance is asked for.": labelled,
            "the weights must add to 1: yours add to 1 + guidance.": unlabelled + w * labelled,
            "this averages instead of going beyond: guidance may be larger than 1.":
                (unlabelled + w * labelled) / (1 + w),
        })


def velocity_network():
    """A network of lab 09, only smaller."""
    points, times = keras.Input((1, 1, 2)), keras.Input((1, 1, 1))
    return keras.Model([points, times], keras.layers.Dense(2)(keras.layers.Concatenate()([points, times])))


class Velocities(keras.Model):
    """Answers with velocities that it was given, and writes down what it was asked."""

    def __init__(self, prediction):
        super().__init__()
        self.prediction, self.asked = ops.convert_to_tensor(prediction), ()

    def __call__(self, inputs=None, *more, training=None, mask=None, **others):
        if more or others or not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise CheckFailed("the network takes one list of two things: `network([noisy_images, times])`.")
        self.asked = (*self.asked, (array(inputs[0], "the first input"), array(inputs[1], "the second input")))
        return self.prediction

    def call(self, inputs=None, *more, training=None, mask=None, **others):
        return self(inputs, *more, training=training, mask=mask, **others)


class FlowMatchingLoss(Exercise):
    name, takes = "flow_matching_loss", "network, images, noises, times"
    praise = "a straight line from image to noise, and a network that learns which way it points."
    shape_hint = "the times have the shape (B, 1, 1, 1) and multiply the images as they are"

    def draw(self, rng):
        return {name: rng.normal(size=(3, 4, 4, 2)).astype("float32") for name in ("images", "noises", "prediction")} | {
            "times": rng.uniform(0.1, 0.9, (3, 1, 1, 1)).astype("float32")}

    def measure(self, answer, inputs):
        network = Velocities(inputs["prediction"])
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("images", "noises", "times")]
        loss = array(self.call(answer, network, *tensors), "the loss")
        if len(network.asked) != 1:
            raise CheckFailed(f"ask the network once; it was asked {len(network.asked)} times.")
        ((noisy, times),) = network.asked
        return {"loss": loss, "noisy": noisy, "times": times}

    def rehearse(self, answer, inputs):
        class FlowMatching(keras.Model):
            """The lab's own."""

            def __init__(self):
                super().__init__()
                self.network = velocity_network()

            def call(self, images):
                return images

            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return answer(self.network, x, ops.ones_like(x), ops.full_like(x[:, :1, :1, :1], 0.5))

        train(FlowMatching(), noise_like(3, 1, 1, 2), loss=None)

    def examine(self, inputs, outputs):
        images, noises, times, prediction = (inputs[name].astype("float64")
                                             for name in ("images", "noises", "times", "prediction"))
        angle = times * np.pi / 2
        compare("what the network sees", outputs["noisy"], (1 - times) * images + times * noises, {
            "time runs the wrong way: 0 is the image, 1 is the noise.": times * images + (1 - times) * noises,
            "this is the quarter circle of diffusion; flow matching goes straight: (1 - t) · image + t · noise.":
                np.cos(angle) * images + np.sin(angle) * noises,
            "the network sees the clean images: mix the noise in first.": images,
            "the network sees the bare noise: mix it with the images first.": noises,
            "the image must shrink as the noise grows: 1 - t.": images + times * noises,
        })
        compare("the time that the network is told", outputs["times"], times,
                {"the network is told the square of the time: tell it the time itself.": times**2,
                 "the network is told 1 - t: tell it t.": 1 - times})

        def loss(target):
            return np.mean((prediction - target) ** 2)

        right = loss(noises - images)
        compare("the loss", outputs["loss"], right, {
            "the target points the wrong way: with t growing towards the noise, the velocity is noises - images.":
                loss(images - noises),
            "this trains for the noise; the target is the velocity, noises - images.": loss(noises),
            "this trains for the image; the target is the velocity, noises - images.": loss(images),
            "this is the mean absolute error; with it the network would learn the median, but the velocity is a mean.":
                np.mean(np.abs(prediction - noises + images)),
            "this is the sum of the squares: take their mean, so that the size of images and batch does not matter.":
                right * prediction.size,
            "the root is too much: the mean of the squares is the loss.": np.sqrt(right),
            "the target is diffusion's velocity; on a straight line it is simply noises - images.":
                loss(np.cos(angle) * noises - np.sin(angle) * images),
            "one number, please: the mean over the whole batch, too.": np.mean((prediction - noises + images) ** 2, (1, 2, 3)),
            "the square has the wrong brackets: first the difference, then the square.":
                np.mean(prediction**2 - (noises - images) ** 2),
        })


dpmpp_2m_step, guide, flow_matching_loss = numbered(9, DPMSolverStep, Guide, FlowMatchingLoss)
