"""Lab 04: the six things that the script which fails should have done, each judged by itself."""

import numpy as np
from keras import ops

from diffusion_lab.backend import input_gradient, parts
from diffusion_lab.labs.exercise import CheckFailed, Exercise, NO_GRADIENT, array, arrays, compare, numbered
from diffusion_lab.labs.lab04.optimization import GradientStep, TrainingLoop, small_network
from diffusion_lab.labs.rehearsal import noise_like, train

LIMIT = 3.0  # of the predicted images, in standard deviations: the lab's own


class TrainingPair(Exercise):
    name, takes = "training_pair", "images, noises, noise_rates, signal_rates"
    praise = "an image goes in under its noise, and the noise that was mixed in is what the network must find."
    shape_hint = "the rates have the shape (B, 1, 1, 1) and multiply the images as they are"

    def draw(self, rng):
        angles = rng.uniform(0.3, 1.2, (5, 1, 1, 1))
        return {name: rng.normal(size=(5, 4, 4, 3)).astype("float32") for name in ("images", "noises")} | {
            "noise_rates": np.sin(angles).astype("float32"), "signal_rates": np.cos(angles).astype("float32")}

    def measure(self, answer, inputs):
        rates = [ops.convert_to_tensor(inputs[name]) for name in ("noise_rates", "signal_rates")]
        arguments = inputs["images"], inputs["noises"], *rates  # the lab's own kinds: NumPy images, tensors for the rates
        outputs = arrays(self.call(answer, *arguments), "noisy_images", "targets")
        again = arrays(self.call(answer, *arguments), "noisy_images again", "targets again")
        return outputs | again

    def rehearse(self, answer, inputs):
        rates = [ops.convert_to_tensor(inputs[name][:2]) for name in ("noise_rates", "signal_rates")]
        noisy_images, target = parts(answer(noise_like(2, 6, 6, 3), noise_like(2, 6, 6, 3), *rates))
        ops.mean(ops.abs(target - small_network()(noisy_images, training=True)))

    def examine(self, inputs, outputs):
        images, noises, noise, signal = (inputs[name] for name in ("images", "noises", "noise_rates", "signal_rates"))
        noisy, targets = outputs["noisy_images"], outputs["targets"]
        right = signal * images + noise * noises
        if noisy.shape == targets.shape == right.shape and np.allclose([noisy, targets], [noises, right], atol=1e-4):
            raise CheckFailed("the two come in the wrong order: the noisy images go into the network, they are first.")
        if not all(np.array_equal(outputs[name], outputs[f"{name} again"]) for name in ("noisy_images", "targets")):
            raise CheckFailed("two calls with the same arguments differ: use the `noises` that come in, and draw none.")
        compare("noisy_images", noisy, right, {
            "the images do not come in: this is the script's own mistake, noise mixed into noise.":
                signal * noises + noise * noises,
            "the noisy images are nothing but the noise: mix the images in.": noises,
            "the rates are swapped: noise_rates belong to the noises, signal_rates to the images.":
                noise * images + signal * noises,
            "you square the rates: they are standard deviations already, and multiply as they are.":
                signal**2 * images + noise**2 * noises,
            "the rates are missing: image plus noise is not at the noise level that the rates say.": images + noises,
            "the images keep their full size: shrink them by signal_rates.": images + noise * noises,
            "the noises come in at full size: shrink them by noise_rates.": signal * images + noises,
            "you take the root of the rates: they are standard deviations already, and multiply as they are.":
                np.sqrt(signal) * images + np.sqrt(noise) * noises,
            "the noise is subtracted, not added: it comes in with a plus sign.": signal * images - noise * noises,
        })
        compare("the target", targets, noises, {
            "the target is the image; this network is to find the *noise*.": images,
            "the target is the noise times its rate: return the noise itself, of the same size at every level.":
                noise * noises,
            "the target is the difference of noisy and clean image, and holds a part of the image: return `noises`.":
                right - images,
            "the target is the noisy image, so the network would learn to do nothing: return `noises`.": right,
        })


class NoiseLoss(Exercise):
    name, takes = "noise_loss", "noises, pred_noises"
    praise = "it is zero when the noise is found and never below, and a gradient flows through it."

    def draw(self, rng):
        return {name: rng.normal(size=(4, 5, 5, 3)).astype("float32") for name in ("noises", "pred_noises")}

    def measure(self, answer, inputs):
        noises, pred_noises = (ops.convert_to_tensor(inputs[name]) for name in ("noises", "pred_noises"))
        return arrays(self.call(answer, noises, pred_noises), "loss")

    def rehearse(self, answer, inputs):
        try:
            gradient = input_gradient(lambda predicted: answer(ops.zeros_like(predicted), predicted), ops.ones((2, 2, 2, 3)))
        except Exception:  # what does not flow stops in a way of its own in each backend
            gradient = None
        if gradient is None:
            raise CheckFailed(NO_GRADIENT)
        train(small_network(), noise_like(3, 6, 6, 3), noise_like(3, 6, 6, 3), loss=answer)

    def examine(self, inputs, outputs):
        noises, pred_noises = inputs["noises"], inputs["pred_noises"]
        error = noises - pred_noises
        squares = np.square(error)
        log_shares = pred_noises - np.log(np.exp(pred_noises).sum(-1, keepdims=True))
        cross_entropy = -(noises * log_shares).sum(-1)
        compare("the loss", outputs["loss"], squares.mean(), {
            "this is the script's softmax cross-entropy: it compares shares of classes, and noise has none.":
                cross_entropy.mean(),
            "this is a softmax cross-entropy for each pixel: noise has no classes; compare number with number.":
                cross_entropy,
            "errors of opposite sign cancel: square each difference before you average.": error.mean(),
            "errors of opposite sign cancel (and yours are turned round): square each difference before you average.":
                -error.mean(),
            "you average first and square then: square each difference, then average.": error.mean() ** 2,
            "this is the mean *absolute* error, a fair loss, but here the squares are asked for.": np.abs(error).mean(),
            "you add the squares up; their mean does not grow with the size of batch and image.": squares.sum(),
            "you add up within an image; take the mean over all numbers, so that the image's size does not matter.":
                squares.sum((1, 2, 3)).mean(),
            "you took the root of the mean square: leave it away.": np.sqrt(squares.mean()),
            "there is a factor 1/2 too much.": squares.mean() / 2,
            "this is one number for each image: the loss is one number for the batch.": squares.mean((1, 2, 3)),
            "this is one number for each pixel (Keras's `mean_squared_error` does that): take the mean of them all.":
                squares.mean(-1),
        })


class StepBack(Exercise):
    name, takes = "step_back", "noisy_images, pred_noises, rates, next_rates"
    praise = "separate, keep what an image can be, mix again with a little less noise: do that twenty times."
    shape_hint = "the rates have the shape (B, 1, 1, 1) and multiply the images as they are"

    def draw(self, rng):
        angles = rng.uniform(0.8, 1.4, (5, 1, 1, 1))
        both = {"rates": angles, "next_rates": angles * rng.uniform(0.5, 0.8, angles.shape)}
        return {name: rng.normal(size=(5, 4, 4, 3)).astype("float32") for name in ("noisy_images", "pred_noises")} | {
            name: np.stack([np.sin(angle), np.cos(angle)]).astype("float32") for name, angle in both.items()}

    def measure(self, answer, inputs):
        noisy_images, pred_noises, *rates = (
            ops.convert_to_tensor(inputs[name]) for name in ("noisy_images", "pred_noises", "rates", "next_rates"))
        arguments = noisy_images, pred_noises, *((pair[0], pair[1]) for pair in rates)
        return {name: array(self.call(answer, *arguments), "the noisy image") for name in ("result", "again")}

    def rehearse(self, answer, inputs):
        network, noisy_images = small_network(), noise_like(2, 6, 6, 3)  # the lab begins with a NumPy array
        rates = [tuple(ops.full((2, 1, 1, 1), rate) for rate in pair) for pair in ((0.8, 0.6), (0.6, 0.8), (0.0, 1.0))]
        for now, then in zip(rates, rates[1:]):
            noisy_images = answer(noisy_images, network(noisy_images, training=False), now, then)
        ops.clip(noisy_images * 0.5, 0, 1)

    def examine(self, inputs, outputs):
        noisy, noises = inputs["noisy_images"], inputs["pred_noises"]
        (noise, signal), (next_noise, next_signal) = inputs["rates"], inputs["next_rates"]
        free = (noisy - noise * noises) / signal
        images = np.clip(free, -LIMIT, LIMIT)
        result = outputs["result"]
        if set(np.unique(result)) <= {0.0, 1.0, 2.0}:
            raise CheckFailed("these are numbers of classes, as `categorical` draws them: images are not drawn by lot.")
        if not np.array_equal(result, outputs["again"]):
            raise CheckFailed("two calls with the same arguments differ: no fresh noise, mix the *predicted* one in.")
        compare("the next noisy image", result, next_signal * images + next_noise * noises, {
            "the predicted image is not clipped: where the signal rate is small, a small error becomes a huge one; "
            "keep it between -3 and 3.": next_signal * free + next_noise * noises,
            "you return the predicted image, all noise gone at once: mix it with the noise again, at the next rates.":
                images,
            "this is the predicted image, and not clipped: clip it, then mix it with the noise at the next rates.":
                free,
            "you mix at the rates of now, so you stay where you are: use the next rates.":
                signal * images + noise * noises,
            "the next rates are swapped: next_rates holds the noise rate first, then the signal rate.":
                next_noise * images + next_signal * noises,
            "both pairs of rates are swapped: the noise rate comes first, then the signal rate.":
                next_noise * np.clip((noisy - signal * noises) / noise, -LIMIT, LIMIT) + next_signal * noises,
            "the predicted image is too pale: divide by the signal rate after you took the noise away.":
                next_signal * np.clip(noisy - noise * noises, -LIMIT, LIMIT) + next_noise * noises,
            "you multiply by the signal rate where you should divide: the image was shrunk when it was mixed.":
                next_signal * np.clip((noisy - noise * noises) * signal, -LIMIT, LIMIT) + next_noise * noises,
            "you take the noise away at full size: in the noisy image it was multiplied by the noise rate.":
                next_signal * np.clip((noisy - noises) / signal, -LIMIT, LIMIT) + next_noise * noises,
            "the noise does not come back: next_noise_rate * pred_noises is missing.": next_signal * images,
            "you mix with the noisy image: the predicted noise belongs there.":
                next_signal * images + next_noise * noisy,
            "you clip the result: clip the predicted image, before you mix it.":
                np.clip(next_signal * free + next_noise * noises, -LIMIT, LIMIT),
            "you clip at ±1, but these images have unit variance and reach further: clip at ±3.":
                next_signal * np.clip(free, -1, 1) + next_noise * noises,
            "you square the rates: they are standard deviations and multiply as they are.":
                next_signal**2 * np.clip((noisy - noise**2 * noises) / signal**2, -LIMIT, LIMIT)
                + next_noise**2 * noises,
        })


class WithNoiseLevel(Exercise):
    name, takes = "with_noise_level", "noisy_images, noise_rates"
    praise = "one more channel, and each image comes with a label that says how noisy it is."
    shape_hint = "spread the variances to one number per pixel, (B, H, W, 1), before you put the two together"

    def draw(self, rng):
        return {"noisy_images": rng.normal(size=(4, 6, 5, 3)).astype("float32"),
                "noise_rates": rng.uniform(0.2, 0.9, (4, 1, 1, 1)).astype("float32")}

    def measure(self, answer, inputs):
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("noisy_images", "noise_rates")]
        return arrays(self.call(answer, *tensors), "inputs")

    def rehearse(self, answer, inputs):
        network, rates = small_network(channels=4), ops.convert_to_tensor(inputs["noise_rates"][:2])
        for noisy_images in (noise_like(2, 6, 6, 3), ops.convert_to_tensor(noise_like(2, 6, 6, 3))):
            network(answer(noisy_images, rates), training=False)

    def examine(self, inputs, outputs):
        noisy, rates = inputs["noisy_images"], inputs["noise_rates"]
        result = outputs["inputs"]

        def labelled(level):
            return np.concatenate([noisy, np.broadcast_to(level, (*noisy.shape[:3], 1))], axis=-1)

        right = labelled(rates**2)
        if result.shape == right.shape and np.ptp(result[..., -1], axis=(1, 2)).max() > 1e-4 and np.allclose(
                result[..., :3], noisy):
            raise CheckFailed("the fourth channel varies from pixel to pixel: it should hold one number, the variance.")
        compare("the network's input", result, right, {
            "the plane holds the noise *rate*: the networks of this course are told the variance, its square.":
                labelled(rates),
            "the plane holds the image's share, 1 - noise_rates**2: tell the network how much *noise* there is.":
                labelled(1 - rates**2),
            "the plane holds the signal rate: tell the network how much *noise* there is.":
                labelled(np.sqrt(1 - rates**2)),
            "the plane holds the root of the noise rate: the variance is its square.": labelled(np.sqrt(rates)),
            "every image has the level of the first one: use the whole array of rates.": labelled(rates[:1] ** 2),
            "all images have the same mean level: each has its own.": labelled(np.mean(rates**2)),
            "the plane comes first: put it *behind* the colours.": right[..., [3, 0, 1, 2]],
            "the level is added to the colours: it should be a channel of its own.": noisy + rates**2,
            "the colours are multiplied by the level: it should be a channel of its own.": noisy * rates**2,
            "the level comes three times, once for each colour: one channel is enough.":
                np.concatenate([noisy, np.broadcast_to(rates**2, noisy.shape)], axis=-1),
            "this is the plane alone: the noisy images must go in, too.": right[..., 3:],
            "the plane is stuck to the side of the image, as more pixels: put it behind the colours, axis=-1.":
                np.concatenate([noisy, np.broadcast_to(rates**2, noisy.shape)], axis=2),
        })


training_pair, noise_loss, training_loop, gradient_step, step_back, with_noise_level = numbered(
    4, TrainingPair, NoiseLoss, TrainingLoop, GradientStep, StepBack, WithNoiseLevel)
