"""Lab 06: a step of ancestral sampling, and a training step written out by hand."""

import keras
import numpy as np
from keras import ops

from diffusion_lab.backend import BACKEND
from diffusion_lab.labs.exercise import CheckFailed, Exercise, Method, array, arrays, compare, numbered
from diffusion_lab.labs.rehearsal import noise_like


class MyDiffusion:
    """What lab 06 tells of a GaussianDiffusion: its tables, each of the shape (T,), and the limits of images."""

    has = "it", "betas, alphas_cumprod, alphas_cumprod_prev, timesteps, clip_min, clip_max and the method q_sample"
    clip_min, clip_max = -1.0, 1.0

    def __init__(self, betas):
        self.betas, self.alphas_cumprod, self.timesteps = betas, np.cumprod(1 - betas), len(betas)
        self.alphas_cumprod_prev = np.append(np.float32(1), self.alphas_cumprod[:-1])

    def q_sample(self, x_start, t, noise):
        kept = ops.reshape(ops.take(self.alphas_cumprod, t), (-1, 1, 1, 1))
        return ops.sqrt(kept) * x_start + ops.sqrt(1 - kept) * noise


class PSample(Method):
    name, takes = "p_sample", "self, pred_noise, x, t, noise"
    praise = "guess the image, aim for the step before, and shake by just the right amount."
    shape_hint = "t has the shape (B,): `at(table, t, x)` gives (B, 1, 1, 1)"

    def draw(self, rng):
        shape = (5, 4, 4, 3)
        return {"pred_noise": rng.normal(size=shape).astype("float32"), "x": rng.normal(size=shape).astype("float32"),
                "noise": rng.normal(size=shape).astype("float32"), "t": np.array([7, 0, 3, 1, 5]),
                "betas": np.sort(rng.uniform(0.05, 0.4, 8)).astype("float32")}

    def measure(self, answer, inputs):
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("pred_noise", "x", "t", "noise")]
        return arrays(self.call(answer, MyDiffusion(inputs["betas"]), *tensors), "x_{t-1}")

    def rehearse(self, answer, inputs):
        diffusion, images = MyDiffusion(np.linspace(0.1, 0.3, 3, dtype="float32")), ops.ones((2, 3, 3, 1))
        network = line_network([0.5, 0.1, 0.0])
        for step in (2, 1, 0):
            t = ops.full((2,), step, dtype="int32")  # the lab's own kind
            pred_noise = network([ops.convert_to_tensor(images), t], training=False)
            images = answer(diffusion, pred_noise, images, t, ops.ones((2, 3, 3, 1)))
        ops.convert_to_numpy(ops.clip(0.5 + 0.5 * images, 0, 1))

    def examine(self, inputs, outputs):
        pred_noise, x, noise, t, all_betas = (inputs[name].astype("float64") if name != "t" else inputs[name]
                                              for name in ("pred_noise", "x", "noise", "t", "betas"))
        all_cumprod = np.cumprod(1 - all_betas)
        beta, bar, before = (table[t].reshape(-1, 1, 1, 1) for table in (all_betas, all_cumprod, np.r_[1, all_cumprod[:-1]]))
        not_last = (t > 0).reshape(-1, 1, 1, 1)
        unclipped = (x - np.sqrt(1 - bar) * pred_noise) / np.sqrt(bar)
        image = np.clip(unclipped, -1, 1)
        variance = beta * (1 - before) / (1 - bar)

        def mean(image, beta=beta, before=before):
            return (np.sqrt(before) * beta * image + np.sqrt(1 - beta) * (1 - before) * x) / (1 - bar)

        def misprinted(scale, share):
            return scale * (x - share / np.sqrt(1 - bar) * pred_noise)

        shaken = not_last * np.sqrt(variance) * noise
        added = np.clip((x + np.sqrt(1 - bar) * pred_noise) / np.sqrt(bar), -1, 1)
        compare("x_{t-1}", outputs["x_{t-1}"], mean(image) + shaken, {
            "noise is added at t = 0, too: there the clean image is the result, so leave it out.":
                mean(image) + np.sqrt(np.where(not_last, variance, beta)) * noise,
            "the noise is multiplied by the variance: its factor is the standard deviation, the square root.":
                mean(image) + not_last * variance * noise,
            "this is the variance β_t of the forward step; asked for is that of the posterior, "
            "β_t · (1 - ᾱ_{t-1}) / (1 - ᾱ_t).": mean(image) + not_last * np.sqrt(beta) * noise,
            "the bars are misplaced, as in the course that printed 1/√ᾱ_t and 1 - ᾱ_t: the paper has 1/√α_t and β_t.":
                misprinted(1 / np.sqrt(bar), 1 - bar) + shaken,
            "this is the paper's short form, which does not clip: predict the image first, clip it to [clip_min, "
            "clip_max], and then take the mean.": mean(unclipped) + shaken,
            "you clip the result; it is the predicted *image* that must be clipped.":
                np.clip(mean(unclipped) + shaken, -1, 1),
            "the mean uses ᾱ_t where it should use ᾱ_{t-1}: the step before, alphas_cumprod_prev.":
                mean(image, before=bar) + shaken,
            "the noise is missing: without it this is only the mean, and the samples come out blurred.": mean(image),
            "this is the predicted image; a step goes only a little of the way there.": image,
            "the predicted noise is added where it should be subtracted: image = (x - √(1 - ᾱ) · noise) / √ᾱ.":
                mean(added) + shaken,
            "the two weights of the mean are swapped: β_t √ᾱ_{t-1} belongs to the predicted image.":
                (np.sqrt(before) * beta * x + np.sqrt(1 - beta) * (1 - before) * image) / (1 - bar) + shaken,
            "the noise is subtracted, not added.": mean(image) - shaken,
        })


class TrainStep(Exercise):
    name = "train_step"
    takes = "network, ema_network, optimizer, diffusion, images, t, noises, ema_decay"
    praise = "mix, predict, compare, follow the gradient, let the average follow: that is all that `fit` does."

    def __call__(self, answer):
        if BACKEND != "tensorflow":
            return print(f"Exercise {self.number}, {self.name}, is about TensorFlow's tape; this notebook runs on {BACKEND}.")
        return super().__call__(answer)

    def draw(self, rng):
        return {"images": rng.uniform(-1, 1, (4, 3, 3, 1)).astype("float32"), "t": np.array([0, 6, 2, 7]),
                "noises": rng.normal(size=(4, 3, 3, 1)).astype("float32"), "weights": rng.normal(size=3).astype("float32"),
                "ema_weights": rng.normal(size=3).astype("float32"), "ema_decay": np.float32(0.7),
                "learning_rate": np.float32(0.3), "betas": np.linspace(0.02, 0.4, 8).astype("float32")}

    def measure(self, answer, inputs):
        network, ema_network = (line_network(inputs[name]) for name in ("weights", "ema_weights"))
        optimizer = keras.optimizers.SGD(float(inputs["learning_rate"]))
        optimizer.build(network.trainable_variables)
        tensors = [ops.convert_to_tensor(inputs[name]) for name in ("images", "t", "noises")]
        loss = self.call(answer, network, ema_network, optimizer, MyDiffusion(inputs["betas"]), *tensors,
                         float(inputs["ema_decay"]))
        return {"loss": array(loss, "the loss"), "weights": weights_of(network), "ema_weights": weights_of(ema_network)}

    def rehearse(self, answer, inputs):
        if BACKEND == "tensorflow":
            networks = [line_network([0.5, 0.1, 0.0]) for _ in range(2)]
            optimizer, diffusion = keras.optimizers.Adam(0.01), MyDiffusion(np.linspace(0.1, 0.3, 3, dtype="float32"))
            for _ in range(2):
                t = ops.convert_to_tensor([0, 2], "int32")
                answer(*networks, optimizer, diffusion, noise_like(2, 3, 3, 1), t, ops.ones((2, 3, 3, 1)), 0.1)

    def examine(self, inputs, outputs):
        old, old_ema = inputs["weights"].astype("float64"), inputs["ema_weights"].astype("float64")
        decay, rate = float(inputs["ema_decay"]), float(inputs["learning_rate"])
        steps = Steps(inputs)
        new = old - rate * steps.gradient(old)
        self.judge_weights(outputs["weights"], old, new, rate, steps, outputs["ema_weights"], old_ema)
        compare("the averaged weights", outputs["ema_weights"], decay * old_ema + (1 - decay) * new, {
            "the average never moves: for each pair of weights, average ← decay · average + (1 - decay) · weight.": old_ema,
            "the decay is on the wrong side: the average keeps *most* of itself, decay · average + (1 - decay) · weight.":
                (1 - decay) * old_ema + decay * new,
            "the average follows the weights of before the step: update it after the optimizer.":
                decay * old_ema + (1 - decay) * old,
            "the averaged network is a plain copy of the other: it should follow slowly.": new,
            "only the new share is added, but the old average must shrink to make room: decay · average.":
                old_ema + (1 - decay) * new,
        })
        compare("the loss", outputs["loss"], steps.loss(old), {
            "this is the loss after the step; return the one that the gradient was taken of.": steps.loss(new)})

    def judge_weights(self, weights, old, new, rate, steps, ema_weights, old_ema):
        if np.allclose(weights, old, atol=1e-6) and not np.allclose(ema_weights, old_ema, atol=1e-6):
            raise CheckFailed("only the averaged network changes: the gradient is for `network`, the average follows it.")
        compare("the network's weights", weights, new, {
            "the weights never change: take the gradient with the tape, and hand it to optimizer.apply_gradients.": old,
            "you climb: the optimizer itself goes against the gradient, so hand it over with its sign.":
                old + rate * steps.gradient(old),
            "the network sees the clean images: mix the noise in with diffusion.q_sample first.":
                old - rate * steps.gradient(old, seen="images"),
            "the network sees the bare noise: mix it with the images by diffusion.q_sample.":
                old - rate * steps.gradient(old, seen="noises"),
            "the loss compares with the images; this network is to predict the *noise*.":
                old - rate * steps.gradient(old, target="images"),
            "the loss compares with the noisy images; this network is to predict the *noise*.":
                old - rate * steps.gradient(old, target="noisy"),
            "the network is told t = 0 for all images: hand it each image's own t.":
                old - rate * steps.gradient(old, t=np.zeros_like(steps.t)),
            "the loss is the sum of the squares: take their mean.": old - rate * steps.gradient(old) * steps.noises.size,
            "this is the absolute error; DDPM takes the square.": old - rate * steps.gradient(old, absolute=True),
            "the optimizer is applied twice.": new - rate * steps.gradient(new),
        })


class Steps:
    """The loss and the gradient of `line_network` in NumPy: prediction = a · x + b · t + c."""

    def __init__(self, inputs):
        self.images, self.noises, self.t = inputs["images"].astype("float64"), inputs["noises"].astype("float64"), inputs["t"]
        kept = np.cumprod(1 - inputs["betas"].astype("float64"))[self.t].reshape(-1, 1, 1, 1)
        self.noisy = np.sqrt(kept) * self.images + np.sqrt(1 - kept) * self.noises

    def parts(self, weights, seen="noisy", target="noises", t=None):
        x, t = getattr(self, seen), (self.t if t is None else t).reshape(-1, 1, 1, 1) / 10
        difference = weights[0] * x + weights[1] * t + weights[2] - getattr(self, target)
        return difference, (x, t + 0 * x, 1 + 0 * x)

    def loss(self, weights):
        return np.mean(self.parts(weights)[0] ** 2)

    def gradient(self, weights, absolute=False, **what):
        difference, inner = self.parts(weights, **what)
        outer = np.sign(difference) if absolute else 2 * difference
        return np.array([np.mean(outer * part) for part in inner])


def line_network(weights):
    """A network of three weights, called as network([images, t])."""
    images, t = keras.Input((3, 3, 1)), keras.Input((), dtype="int64")
    times = keras.layers.Reshape((1, 1, 1))(keras.layers.Rescaling(0.1)(ops.cast(t, "float32")))
    slope, time_slope = keras.layers.Dense(1, use_bias=False), keras.layers.Dense(1)
    network = keras.Model([images, t], keras.layers.Add()([slope(images), time_slope(times)]))
    a, b, c = np.asarray(weights, "float32")
    slope.set_weights([np.array([[a]])])
    time_slope.set_weights([np.array([[b]]), np.array([c])])
    return network


def weights_of(network):
    return np.array([float(np.squeeze(weight)) for weight in network.get_weights()])


p_sample, train_step = numbered(6, PSample, TrainStep)
