"""Lab 07: `reverse_diffusion`, run in a model whose perfect `denoise` is a formula."""

import math

import numpy as np
from keras import ops

from diffusion_lab.labs.exercise import CheckFailed, Method, NotDone, array, compare, said, words
from diffusion_lab.labs.diffusion_models import MyDiffusionModel, live_in


class ReverseDiffusion(Method):
    name, takes = "reverse_diffusion", "self, initial_noise, diffusion_steps"
    praise = "separate, remix with less noise, again; this is the whole sampler."
    shape_hint = "the times are of the shape (num_images, 1, 1, 1): one for each image"
    step_counts = (3, 6, 1)  # three first: one alone could not tell most mistakes apart

    def draw(self, rng):
        return {"initial_noise": rng.normal(size=(3, 4, 4, 3)).astype("float32"),
                "mean": rng.uniform(0.5, 1.0), "deviation": rng.uniform(0.3, 0.6)}

    def measure(self, answer, inputs):
        outputs = {}
        for steps in self.step_counts:
            model, results, failure = OracleModel(inputs["mean"], inputs["deviation"]), [], ""
            try:
                for _ in range(2):
                    result = self.call(answer, model, ops.convert_to_tensor(inputs["initial_noise"]), steps)
                    results.append(array(result, "the result"))
            except NotDone:
                raise
            except CheckFailed as stopped:  # what it does for other numbers of steps may say more
                if steps == self.step_counts[0]:
                    raise
                failure = f"asked for {steps} step{'s' * (steps > 1)}, {stopped}"
            results += [np.zeros(())] * (2 - len(results))
            outputs |= {f"images, {steps}": results[0], f"again, {steps}": results[1], f"failure, {steps}": words(failure),
                        f"evaluations, {steps}": array(len(model.flags) / 2, "count"),
                        f"times, {steps}": array(model.times, "times"), f"asked, {steps}": array(model.asked, "asked"),
                        f"training, {steps}": array(any(model.flags), "training")}
        return outputs

    def rehearse(self, answer, inputs):
        class Model(MyDiffusionModel):
            def reverse_diffusion(self, initial_noise, diffusion_steps):
                return answer(self, initial_noise, diffusion_steps)

        return live_in(Model(), training=False)

    def examine(self, inputs, outputs):
        noise = inputs["initial_noise"].astype("float64")
        for steps in self.step_counts:
            if outputs[f"training, {steps}"]:
                raise CheckFailed("you sample with training=True, and so with the raw weights: pass training=False, which "
                                  "takes the averaged ones.")
            if failure := said(outputs[f"failure, {steps}"]):
                raise CheckFailed(failure)
            paths = Paths(noise, steps, inputs["mean"], inputs["deviation"])
            result = outputs[f"images, {steps}"]
            if result.shape == noise.shape and not np.allclose(result, outputs[f"again, {steps}"], atol=1e-5):
                raise CheckFailed("the same noise gives another image each time: this sampler draws no new noise on its "
                                  "way, it mixes the *predicted* noise in again.")
            if result.shape == noise.shape and not np.allclose(result, paths.run(), 1e-3, 1e-3):
                self.examine_times(outputs[f"asked, {steps}"], steps)
            mistakes = paths.mistakes()
            for time in outputs[f"times, {steps}"]:
                if not -1e-4 < time < 1 + 1e-4:
                    mistakes |= {f"you ask for the rates at time {time:.3g}: times lie between 0 and 1, and the next one is "
                                 "smaller, time - 1 / diffusion_steps.": result}
            compare(f"the result of {steps} step{'s' * (steps > 1)}", result, paths.run(), mistakes, tolerance=1e-3)
            if outputs[f"evaluations, {steps}"] != steps:
                raise CheckFailed(f"the images are right, but for {steps} steps the network was asked "
                                  f"{outputs[f'evaluations, {steps}']:g} times: once per step is enough.")


    @staticmethod
    def examine_times(asked, steps):
        """Raises CheckFailed if denoise was asked at wrong times, which say more about a loop than its result does."""
        finely = np.linspace(0, 1, 100_001)
        times = np.interp(asked[: len(asked) // 2], np.sqrt(noise_variance(finely)), finely)  # of the first of two runs
        right = 1 - np.arange(steps) / steps
        if steps == 1 or len(times) == 0 or len(times) == steps and np.allclose(times, right, atol=1e-3):
            return
        if len(times) > 1 and np.all(np.diff(times) > 1e-3) and np.all(np.isclose(times * steps, np.rint(times * steps), atol=0.01)):
            raise CheckFailed("time runs upwards: begin at 1, where the noise is, and go down to 1/steps.")
        for hint, wrong in {
            "the first step is left out: the grid starts at time 1, where there is nothing but noise.":
                [*right[1:], 0],
            "the first step is left out, and so there is one too few: the grid starts at time 1.": right[1:],
            "the first step and the last are left out: the times are 1, 1 - 1/steps, ..., 1/steps.": right[1:-1],
            "one step too few: there are `diffusion_steps` of them, the last at time 1/steps.": right[:-1],
            "one step too many: after the predicted image of time 1/steps you are done.": [*right, 0],
        }.items():
            if len(times) == len(wrong) and np.allclose(times, wrong, atol=1e-3):
                raise CheckFailed(hint)
        if times[0] < 0.999 and np.all(np.isclose(times * steps, np.rint(times * steps), atol=0.01)):
            raise CheckFailed(f"you begin at time {times[0]:.3g}: begin at 1, where the noise is, and go down to 1/steps.")


class OracleModel(MyDiffusionModel):
    """A model whose images are normally distributed: its perfect `denoise` is a formula."""

    def __init__(self, mean, deviation):
        super().__init__()
        self.mean, self.image_variance, self.flags, self.times = float(mean), float(deviation) ** 2, (), ()
        self.asked = ()

    def diffusion_schedule(self, diffusion_times):
        """Another schedule than that of exercise 7.1, which must not be right by accident, and no mirror image of itself
        when time runs backwards."""
        diffusion_times = _of_images(diffusion_times, "diffusion_schedule takes times")
        self.times = (*self.times, float(diffusion_times[0, 0, 0, 0]))
        variances = noise_variance(ops.clip(diffusion_times, 0, 1))
        return ops.sqrt(variances), ops.sqrt(1 - variances)

    def denoise(self, noisy_images=None, noise_rates=None, signal_rates=None, training=None, **others):
        if others or noisy_images is None or signal_rates is None:
            raise CheckFailed("denoise is called as `self.denoise(noisy_images, noise_rates, signal_rates, training=False)`.")
        if training is None:
            raise CheckFailed("you call `self.denoise` without `training`: sampling takes training=False.")
        self.flags = (*self.flags, bool(training))
        noise_rates = _of_images(noise_rates, "denoise takes rates")
        signal_rates = _of_images(signal_rates, "denoise takes rates")
        self.asked = (*self.asked, float(noise_rates[0, 0, 0, 0]))
        noisy_images = ops.convert_to_tensor(noisy_images, "float32")
        gain = signal_rates * self.image_variance / (signal_rates**2 * self.image_variance + noise_rates**2)
        pred_images = self.mean + gain * (noisy_images - signal_rates * self.mean)
        return (noisy_images - signal_rates * pred_images) / noise_rates, pred_images


def noise_variance(times):
    return 0.01 + 0.98 * (0.3 * times + 0.7 * times * times)


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
        return math.sqrt(noise_variance(time)), math.sqrt(1 - noise_variance(time))

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
