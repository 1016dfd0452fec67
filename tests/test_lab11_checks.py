"""Lab 11: wrong answers get a sentence, and the loss and the sampler agree with closed forms."""

import keras
import numpy as np
import pytest
from keras import ops

from diffusion_lab import checks
from diffusion_lab.ideal_denoisers import gaussian_denoiser
from diffusion_lab.labs.lab11.experiments import Judge, predictions_along_the_path
from diffusion_lab.labs.lab11.loss import ConsistencyLoss, adjustable_denoiser
from diffusion_lab.labs.lab11.sampling import SampleConsistency
from diffusion_lab.samplers import ddim
from diffusion_lab.schedules import offset_cosine_diffusion_schedule as schedule
from diffusion_lab.training import ShrinkGap
from tests.misconceptions import assert_hint, not_done, wrong


def fresh_noise(denoise, ema_denoise, teacher, *others):
    def random_teacher(noisy_images, *rates):
        return keras.random.normal(ops.shape(noisy_images)), teacher(noisy_images, *rates)[1]

    return ConsistencyLoss.right(denoise, ema_denoise, random_teacher, *others)


def own_noise(denoise, schedule, noises):
    noises = [keras.random.normal(ops.shape(noise)) for noise in noises]
    return SampleConsistency.right(denoise, schedule, noises)


def sample_at(shape):
    """Returns an answer to exercise 11.2 whose times have this shape."""
    return lambda denoise, schedule, noises: denoise(noises[0], *schedule(ops.ones(shape)))[1]


def sample_at_times(time):
    """Returns an answer to exercise 11.2 whose step k of n is at time(k, n)."""

    def sample(denoise, schedule, noises):
        pred_images = ops.zeros_like(noises[0])
        for k, noise in enumerate(noises):
            times = ops.full((len(noise), 1, 1, 1), time(k, len(noises)))
            noise_rates, signal_rates = schedule(times)
            noisy_images = signal_rates * pred_images + noise_rates * noise
            pred_images = denoise(noisy_images, noise_rates, signal_rates)[1]
        return pred_images

    return sample


def mixed_before_the_first_image(denoise, schedule, noises):
    for k, noise in enumerate(noises):
        times = ops.full((len(noise), 1, 1, 1), 1 - k / len(noises))
        noise_rates, signal_rates = schedule(times)
        noisy_images = signal_rates * pred_images + noise_rates * noise  # noqa: F821
        pred_images = denoise(noisy_images, noise_rates, signal_rates)[1]  # noqa: F841
    return pred_images


def with_another_schedule(exercise):
    """Returns a right answer, but for a schedule that is not its argument."""

    def answer(*arguments):
        return exercise.right(*(schedule if one is arguments[place] else one for one in arguments))

    place = exercise.takes.split(", ").index("schedule")
    return answer


def both_results(denoise, schedule, noises):
    noise_rates, signal_rates = schedule(ops.ones((len(noises[0]), 1, 1, 1)))
    results = denoise(noises[0], noise_rates, signal_rates)
    return denoise(signal_rates * ops.stack(results), noise_rates, signal_rates)[1]


def set_after_the_first_step(denoise, schedule, noises):
    return SampleConsistency.right(denoise, schedule, noises) if len(noises) > 1 else None


WRONG = [  # besides the known mistakes, which tests/test_mistakes.py tries
    *wrong(
        checks.consistency_loss,
        {
            "Not done yet: exercise 11.1": not_done,
            "You did not use the argument `schedule`": with_another_schedule(ConsistencyLoss),
            "must be one number, but has the shape (6,)": lambda *arguments: (
                ConsistencyLoss.right(*arguments) * ops.ones(6)
            ),
            "Add no noise of your own": fresh_noise,
            "cut them off with ops.maximum(times, 0)": (
                lambda denoise, ema_denoise, teacher, schedule, noisy_images, times, gap: schedule(
                    times - gap
                )
            ),
            # without a cut at time 1, where the schedule ends
            "Your neighbour has more noise": (
                lambda denoise, ema_denoise, teacher, schedule, noisy_images, times, gap: schedule(
                    times + gap
                )
            ),
            "divide a timestep": (
                lambda denoise, ema_denoise, teacher, schedule, noisy_images, times, gap: schedule(
                    1000 * times
                )
            ),
        },
    ),
    *wrong(
        checks.sample_consistency,
        {
            "the time -1. The times go from 1 down": sample_at_times(lambda k, n: 1 - k),
            "the time 1.33. The times go from 1 down": sample_at_times(
                lambda k, n: 1 - (k - 1) / n
            ),
            "You also mixed in the first step": sample_at_times(lambda k, n: 1 - k / n),
            "noises[0] itself is the noisy image": mixed_before_the_first_image,
            "You did not use the argument `schedule`": with_another_schedule(SampleConsistency),
            "rates of shape (1, 1, 1, 1)": sample_at((1, 1, 1, 1)),
            "rates of shape ()": sample_at(()),
            "rates of shape (5,)": sample_at((5,)),
            "it returns two arrays": both_results,
            "the noise that you are given": own_noise,
            "is the variable that it returns never set": set_after_the_first_step,
            "a list with one array, the result: return the array itself": (
                lambda *arguments: [SampleConsistency.right(*arguments)]
            ),
            "Not done yet: exercise 11.2": not_done,
        },
    ),
]
teacher = gaussian_denoiser(mean=0.5, standard_deviation=0.8)


@pytest.mark.parametrize("check, answer, hint", WRONG)
def test_wrong_answers(check, answer, hint):
    assert_hint(check, answer, hint)


@pytest.fixture
def batch():
    """Returns noisy images at times in [0.5, 1), and these times."""
    noisy_images = keras.random.normal((64, 2, 2, 1), seed=1)
    return noisy_images, keras.random.uniform((64, 1, 1, 1), 0.5, 0.999, seed=3)


def loss(denoise, *arguments):
    return float(ConsistencyLoss.right(denoise, denoise, teacher, schedule, *arguments))


def test_with_a_gap_of_one_a_copy_of_the_teacher_has_nothing_to_learn(batch):
    assert loss(teacher, *batch, 1.0) == 0.0
    assert loss(teacher, *batch, 0.25) > 1e-4


def test_the_end_of_a_path_of_two_steps_is_a_solution(batch):
    """With a gap of 1/2, the loss is zero for what the teacher reaches in two steps."""
    _, times = batch

    def in_two_steps(noisy_images, noise_rates, signal_rates):
        early = noise_rates < schedule(ops.full((1, 1, 1, 1), 0.5))[0]
        pred_noises, pred_images = teacher(noisy_images, noise_rates, signal_rates)
        then = schedule(times - 0.5)
        second = teacher(then[1] * pred_images + then[0] * pred_noises, *then)[1]
        return pred_noises, ops.where(early, pred_images, second)

    np.testing.assert_allclose(loss(in_two_steps, *batch, 0.5), 0.0, atol=1e-10)
    assert loss(teacher, *batch, 0.5) > 1e-4


def test_the_anchor_rejects_what_is_only_consistent(batch):
    grey = adjustable_denoiser(ops.zeros((1, 1, 1, 1)))
    assert loss(grey, *batch, 0.5) == 0.0, "no time is below the gap"
    assert loss(grey, *batch, 0.75) > 0.01


def test_one_step_is_the_prediction_at_time_one():
    noise = keras.random.normal((3, 2, 2, 1), seed=0)
    images = SampleConsistency.right(teacher, schedule, [noise])
    np.testing.assert_allclose(images, ddim(teacher, schedule, noise, 1), rtol=1e-5)


def test_the_gap_shrinks_and_the_learning_rate_falls(tiny_config):
    model = tiny_config.build(seed=0)
    model.gap = keras.Variable(1.0)
    model.compile("sgd", "mse")
    shrink = ShrinkGap(10, halvings=3, learning_rate=0.1)
    shrink.set_model(model)
    gaps, rates = [], []
    for batch in range(10):
        shrink.on_train_batch_begin(batch)
        gaps.append(float(model.gap))
        rates.append(float(model.optimizer.learning_rate))
    assert gaps[0] == 1.0 and gaps[6:] == [0.125] * 4 and gaps == sorted(gaps, reverse=True)
    assert rates[0] < max(rates) and max(rates) <= 0.1 + 1e-8 and rates[-1] < 0.04


def test_the_judge_knows_the_ends_of_the_paths(tiny_config):
    model = tiny_config.build(seed=0)
    real = np.random.default_rng(0).integers(0, 256, (16, *model.image_shape), dtype="uint8")
    judge = Judge(real, model, steps=3)
    assert judge(model, 3) == judge.of_teacher and judge.of_teacher.distance == 0.0
    assert judge(model, 1).distance > 0.0 and judge.distance_of_strangers > 0.0
    noise = model.initial_noise(4, seed=keras.random.SeedGenerator(1))
    predictions = predictions_along_the_path(model, noise, 3)
    assert len(predictions) == 3
    last = model.denormalize(model.reverse_diffusion(noise, 3))
    np.testing.assert_allclose(predictions[-1], last, atol=1e-5)
