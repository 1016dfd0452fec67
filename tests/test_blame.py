"""What a check says about an answer that stops or has an unknown mistake.

Each diagnosis rests on evidence, never on the words of a message.
"""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from diffusion_lab import checks
from diffusion_lab.gaussian_diffusion import GaussianDiffusion
from diffusion_lab.labs.failures import CheckFailed, NotDone
from tests.misconceptions import assert_hint, wrong

# as in a notebook
alphas_cumprod = np.cumprod(1 - np.linspace(1e-3, 0.06, 200))
diffusion = GaussianDiffusion(timesteps=200)
trained_network = keras.layers.Rescaling(2.0)
network = "unet"


def diffusion_schedule(self, diffusion_times):
    return diffusion_times, diffusion_times


def denoise(self, noisy_images, noise_rates, signal_rates, training):
    return noisy_images, noisy_images


# stubs, and functions that only look like stubs


def stub(*arguments):
    """A docstring is no code."""
    raise NotImplementedError("Exercise 7.1: write diffusion_schedule")


def stub_with_another_text(self, diffusion_times):
    raise NotImplementedError


def below(self, diffusion_times):
    angles = diffusion_times
    angles = angles + 1
    raise NotImplementedError("Exercise 7.1: write diffusion_schedule")


def above_the_answer(self, diffusion_times):
    """A docstring."""
    raise NotImplementedError("Exercise 7.1: write diffusion_schedule")
    return diffusion_times, diffusion_times


def below_a_branch(self, diffusion_times):
    if self is None:
        return diffusion_times
    raise NotImplementedError("Exercise 7.1: write diffusion_schedule")


@pytest.mark.parametrize("answer", [stub, stub_with_another_text, tf.function(stub)])
def test_a_stub_is_not_done(answer):
    with pytest.raises(NotDone, match=r"^Not done yet: exercise 7\.1, diffusion_schedule\.$"):
        checks.diffusion_schedule(answer)


def unreached(labelled, unlabelled, guidance):
    return unlabelled + guidance * (labelled - unlabelled)
    raise NotImplementedError("Exercise 9.2: write guide")


def looked_up(diffusion_times, beta_start=1e-4, beta_end=0.02, timesteps=1000):
    """A table without an entry for time 0, so that time 1 is beyond its end."""
    table = np.cumprod(1 - np.linspace(beta_start, beta_end, timesteps))
    alpha_bar = table[(diffusion_times * timesteps).astype(int)]
    return np.sqrt(1 - alpha_bar), np.sqrt(alpha_bar)


def test_a_wrong_index_is_not_blamed_on_the_type_of_the_table():
    with pytest.raises(CheckFailed, match="index 1000 is out of bounds") as failure:
        checks.linear_diffusion_schedule(looked_up)
    assert "float64" not in str(failure.value)


def test_int_of_an_array_is_not_blamed_on_the_type_of_the_table():
    def answer(diffusion_times, beta_start=1e-4, beta_end=0.02, timesteps=1000):
        table = np.cumprod(1 - np.linspace(beta_start, beta_end, timesteps))
        alpha_bar = table[int(diffusion_times * timesteps)]
        return np.sqrt(1 - alpha_bar), np.sqrt(alpha_bar)

    with pytest.raises(CheckFailed, match=r"write `x\.astype\(int\)`") as failure:
        checks.linear_diffusion_schedule(answer)
    assert "float64" not in str(failure.value)


def test_a_stub_below_a_right_answer_is_pointed_out(capsys):
    checks.guide(unreached)
    assert (
        "✓ Exercise 9.2" in (said := capsys.readouterr().out)
        and "`raise NotImplementedError(...)`" in said
    )


NO_STUBS = wrong(
    checks.diffusion_schedule,
    {
        "Layer Layer does not have a `call` method": lambda self, times: layers.Layer().call(times),
        "NotImplementedError: memoryview": (
            lambda self, times: memoryview(np.array("x", "U1")).tolist()
        ),
        "it ends at the line `raise NotImplementedError(...)`": below,
        "Python stops at the line `raise NotImplementedError(...)` above": above_the_answer,
        "remove that line": below_a_branch,
        "it calls `stub`, which is not written yet": lambda self, times: stub(self, times),
    },
)

# exceptions


def returns_in_a_branch(self, noisy_images, noise_rates, signal_rates, training):
    pred_noises = (self.network if training else self.ema_network)(
        [noisy_images, noise_rates**2], training=training
    )
    if training:
        return pred_noises, (noisy_images - noise_rates * pred_noises) / signal_rates


def without_training(self, initial_noise, diffusion_steps):
    return self.denoise(
        initial_noise, *self.diffusion_schedule(ops.ones((initial_noise.shape[0], 1, 1, 1)))
    )[1]


def without_self(self, initial_noise, diffusion_steps):
    noise_rates, signal_rates = diffusion_schedule(ops.ones((initial_noise.shape[0], 1, 1, 1)))
    return initial_noise


def denoise_without_self(self, initial_noise, diffusion_steps):
    rates = self.diffusion_schedule(ops.ones((initial_noise.shape[0], 1, 1, 1)))
    return denoise(initial_noise, *rates, False)[1]


def power(self, noisy_images, noise_rates, signal_rates, training):
    return self.network([noisy_images, noise_rates ^ 2], training=training), noisy_images


STOPS = [
    *wrong(
        checks.diffusion_schedule,
        {
            "in keras.ops it is called `arccos`": lambda self, t: ops.acos(self.max_signal_rate),
            "in tensorflow it is called `acos`": lambda self, t: tf.arccos(self.max_signal_rate),
            "write ops.cast": lambda self, t: (t.astype(int), t),
            'write `x.astype(int)` (a NumPy array) or `ops.cast(x, "int32")`': lambda self, t: (
                int(t),
                t,
            ),
            "`float` takes one number": lambda self, t: (float(t), t),
            "take one number; for a whole array use": lambda self, t: (math.sin(t), t),
            "write `where`": lambda self, t: (t if t > 0.5 else 1 - t, t),
            "`minimum` or `maximum`": lambda self, t: (max(t, 0.5), t),
            "the numbers min_signal_rate and max_signal_rate": lambda self, t: self.schedule(t),
            "(self, diffusion_times): keep its first line": lambda self: self,
            "`self` is missing": lambda diffusion_times: diffusion_times,
            "the check cannot use what your function returns": lambda self, t: Unusable(),
        },
    ),
    *wrong(
        checks.denoise,
        {
            "it returns nothing with training=False": returns_in_a_branch,
            "in Python, powers are written with `**`": power,
            "`training` as a keyword argument": lambda self, x, n, s, training: (
                self.network([x, n**2], train=training),
                x,
            ),
            "a keyword argument: write `network([": lambda self, x, n, s, training: (
                self.network(x, n**2, training),
                x,
            ),
            "`self.network`)": lambda self, x, n, s, training: network(
                [x, n**2], training=training
            ),
            "the networks network and ema_network": lambda self, x, n, s, training: self.net(
                [x, n**2]
            ),
            "it has no argument named `training`": lambda self, x, n, s, train: (x, x),
        },
    ),
    *wrong(
        checks.reverse_diffusion,
        {
            "without `training`. Pass training=False": without_training,
            "`self.diffusion_schedule`)": without_self,
            "`self.denoise`)": denoise_without_self,
        },
    ),
    *wrong(
        checks.offset_cosine_diffusion_schedule,
        {
            "`self` is one argument too many": (
                lambda self, diffusion_times, min_signal_rate=0.02, max_signal_rate=0.95: (
                    1,
                    2,
                )
            ),
            "for a whole array use": lambda t, low=0.02, high=0.95: (math.sin(t), t),
        },
    ),
    *wrong(
        checks.cosine_diffusion_schedule,
        {
            "`int` takes one number": lambda t: (np.sin(int(t)), t),
            "it is called `mean`": lambda t: (np.reduce_mean(t), t),
            "is a different operation": lambda t: (t ^ 2, t),
            "write `where`": lambda t: (t if t > 0 else -t, t),
        },
    ),
    *wrong(
        checks.q_sample,
        {
            "`self` is one argument": lambda self, x, t, e, betas: x,
            "powers are written with `**`": lambda x, t, e, betas: np.cumprod(1 - betas) ^ 0.5,
        },
    ),
    *wrong(
        checks.p_sample,
        {"it has betas, alphas_cumprod": lambda self, e, x, t, z: self.posterior_variance},
    ),
    *wrong(
        checks.train_step,
        {"the method q_sample": lambda n, m, o, diffusion, x, t, e, d: diffusion.qsample(x, t, e)},
    ),
    *wrong(
        checks.training_loop,
        {"the network first": lambda make, batches, step: [step(batch) for batch in batches]},
    ),
    *wrong(
        checks.invert,
        {
            "called denoise with too many arguments. It takes three": (
                lambda denoise, schedule, x, steps: denoise(
                    x, *schedule(ops.ones((3, 1, 1, 1))), training=False
                )
            )
        },
    ),
    *wrong(
        checks.residual_block,
        {"it is called `Conv2D`": lambda x, width: layers.Conv2d(width, 3)(x)},
    ),
    *wrong(checks.slerp, {"it is called `arccos`": lambda a, b, share: ops.acos(a)}),
    *wrong(checks.guide, {"with `**`": lambda labelled, unlabelled, guidance: unlabelled ^ 2}),
]


class Unusable:
    """Something with a shape that breaks when it is read."""

    shape = (2,)

    def __getitem__(self, index):
        raise KeyError(index)


# wrong numbers


def mixed(kept, images, noises):
    kept = kept.reshape(-1, 1, 1, 1)
    return np.sqrt(kept) * images + np.sqrt(1 - kept) * noises


def of_the_notebook(images, t, noises, betas):
    return mixed(alphas_cumprod[t], images, noises)


def of_an_object_of_the_notebook(images, t, noises, betas):
    return mixed(np.asarray(diffusion.alphas_cumprod)[t], images, noises)


def of_a_network_of_the_notebook(images, t, noises, betas):
    return trained_network(images)


def sampled_without_self(self, initial_noise, diffusion_steps):
    noisy_images = initial_noise
    for step in range(diffusion_steps):
        times = ops.ones((len(initial_noise), 1, 1, 1)) * (1 - step / diffusion_steps)
        noise_rates, signal_rates = self.diffusion_schedule(times)
        pred_noises, pred_images = denoise(self, noisy_images, noise_rates, signal_rates, False)
        noise_rates, signal_rates = self.diffusion_schedule(times - 1 / diffusion_steps)
        noisy_images = signal_rates * pred_images + noise_rates * pred_noises
    return pred_images


def one_over_cosine(low, high):
    return 1 / math.cos(high), 1 / math.cos(low)


def turned(
    wave, times, low=0.02, high=0.95, between=lambda low, high: (math.acos(high), math.acos(low))
):
    start, end = between(low, high)
    angles = start + times * (end - start)
    return wave.sin(angles), wave.cos(angles)


NUMBERS = [
    *wrong(
        checks.forward_step,
        {
            "it returns 2 arrays: return only one": lambda x, e, b: (x, e),
        },
    ),
    *wrong(
        checks.q_sample,
        {
            "It reads `alphas_cumprod`, a variable of the notebook": of_the_notebook,
            "It reads `diffusion`, a variable of the notebook": of_an_object_of_the_notebook,
            "It reads `trained_network`, a variable of the notebook": of_a_network_of_the_notebook,
            "return only one, the noisy image": lambda x, t, e, b: (e, x),
        },
    ),
    *wrong(
        checks.offset_cosine_diffusion_schedule,
        {
            "You took 1 / cos": lambda t, low=0.02, high=0.95: turned(
                np, t, low, high, one_over_cosine
            ),
            "You rounded the times": lambda t, low=0.02, high=0.95: turned(
                np, t.astype(int), low, high
            ),
        },
    ),
    *wrong(
        checks.diffusion_schedule,
        {
            "You computed 1 / cos": lambda self, t: turned(
                ops, t, self.min_signal_rate, self.max_signal_rate, one_over_cosine
            ),
            "You rounded the times": lambda self, t: turned(
                ops, ops.floor(t), self.min_signal_rate, self.max_signal_rate
            ),
        },
    ),
    *wrong(
        checks.sinusoidal_embedding,
        {
            "You rounded the variances": lambda v: ops.concatenate(
                [ops.zeros((7, 1, 1, 16)), ops.ones((7, 1, 1, 16))], -1
            )
        },
    ),
    *wrong(
        checks.reverse_diffusion,
        {
            "return only one": lambda self, noise, steps: (noise, noise),
            "It calls the notebook's function `denoise`": sampled_without_self,
        },
    ),
]

# loops that are off by one or run in the other direction


def loop(first, last, upwards, next_upwards, clipped):
    def reverse_diffusion(self, initial_noise, diffusion_steps):
        ones, noisy_images = ops.ones((initial_noise.shape[0], 1, 1, 1)), initial_noise
        for k in range(first, diffusion_steps + last):
            time = k / diffusion_steps if upwards else 1 - k / diffusion_steps
            pred_noises, pred_images = self.denoise(
                noisy_images, *self.diffusion_schedule(ones * time), training=False
            )
            next_time = time + (1 if next_upwards else -1) / diffusion_steps
            noise_rates, signal_rates = self.diffusion_schedule(
                ones * (min(max(next_time, 0), 1) if clipped else next_time)
            )
            noisy_images = signal_rates * pred_images + noise_rates * pred_noises
        return pred_images

    return reverse_diffusion


LOOPS = [
    pytest.param(
        checks.reverse_diffusion,
        loop(first, last, upwards, next_upwards, clipped),
        hint,
        id=f"range({first}, steps{last:+}), {upwards=}, {next_upwards=}, {clipped=}",
    )
    for upwards, hints in {
        True: {
            (0, -1): "upwards",
            (0, 0): "upwards",
            (0, 1): "upwards",
            (1, -1): "Begin at 1, where the noise is",
            (1, 0): "upwards",
            (1, 1): "upwards",
        },
        False: {
            (0, -1): "There is one step too few",
            (0, 1): "There is one step too many",
            (1, -1): "You left out the first step and the last",
            (1, 0): "You left out the first step, so there is one too few",
            (1, 1): "You left out the first step. Begin",
        },
    }.items()
    for (first, last), hint in hints.items()
    for next_upwards in ((True, False) if upwards else (False,))
    for clipped in (True, False)
]


@pytest.mark.parametrize("check, answer, hint", [*NO_STUBS, *STOPS, *NUMBERS, *LOOPS])
def test_a_diagnosis_has_evidence(check, answer, hint):
    assert_hint(check, answer, hint)
    with pytest.raises(checks.CheckFailed) as failure:
        check(answer)
    assert not isinstance(failure.value, NotDone)
    assert not [
        name
        for name in ("SimpleNamespace", "<locals>", "Oracle", "Factory", "Velocities", "Bowl")
        if name in str(failure.value)
    ]


def test_what_stops_at_one_step_is_reported_after_what_is_wrong_at_three():
    def only_for_several(self, initial_noise, diffusion_steps):
        if diffusion_steps > 1:
            images = loop(0, 0, False, False, True)(self, initial_noise, diffusion_steps)
        return images

    assert_hint(
        checks.reverse_diffusion, only_for_several, "For diffusion_steps=1: your code stops"
    )
    assert_hint(checks.reverse_diffusion, only_for_several, "a branch that was not taken")


def test_remarks_on_the_code_accompany_unknown_mistakes_only():
    with pytest.raises(checks.CheckFailed) as failure:
        checks.q_sample(lambda x, t, e, b: mixed(np.cumprod(1 - b)[t], x, 0 * e))
    assert "notebook" not in str(failure.value)


def test_a_recursion_that_ends_is_no_mistake():
    def forward_step(image, noise, beta):
        def product(factors):
            return factors[0] * product(factors[1:]) if factors else 1

        return product([(1 - beta) ** 0.5, image]) + beta**0.5 * noise

    checks.forward_step.diagnose(forward_step)
