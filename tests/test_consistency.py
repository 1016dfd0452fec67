"""Consistency tuning: the two noise levels, the loss, and what a tuned model refuses."""

import numpy as np
import pytest
from keras import ops

from diffusion_lab.errors import UserError
from diffusion_lab.ideal_denoisers import gaussian_denoiser
from diffusion_lab.models.consistency import ConsistencyModel, pseudo_huber
from diffusion_lab.models.io import load_model, save_model
from diffusion_lab.networks import plain_cnn
from diffusion_lab.pretrained import train_few_steps

IMAGES = np.random.default_rng(0).random((16, 8, 8, 3), "float32")


@pytest.fixture
def model():
    model = ConsistencyModel(plain_cnn(8, width=8, depth=2), seed=0)
    model.adapt(IMAGES)
    return model


def angles_of(denoised, images, noises):
    """Returns the angle of each noisy image that `gaussian_denoiser` has seen.

    For images of variance 1 it predicts signal * (signal * image + noise_rate * noise).
    """
    angles = []
    for prediction, *parts in zip(denoised, images, noises):
        columns = np.stack([part.ravel() for part in parts], axis=1)
        (square, product), *_ = np.linalg.lstsq(columns, prediction.ravel(), rcond=None)
        angles.append(np.arctan2(product, square))
    return np.array(angles)


@pytest.mark.parametrize("gap", [0.5, 0.125])
def test_the_target_is_the_prediction_a_little_earlier(model, gap):
    model.gap.assign(gap)
    components = model.corrupt_and_separate(IMAGES, gaussian_denoiser())
    target, prediction = map(np.asarray, components["image"])
    images, noises = np.asarray(model.normalizer(IMAGES)), np.asarray(components["noise"][0])
    first, last = np.arccos(0.95), np.arccos(0.02)  # of the offset cosine schedule
    times = (angles_of(prediction, images, noises) - first) / (last - first)
    assert 0 < times.min() < 0.4 and 0.8 < times.max() < 1
    earlier = times - gap
    expected = np.where(earlier < 0, 0, first + earlier * (last - first))
    np.testing.assert_allclose(angles_of(target, images, noises), expected, atol=1e-3)
    assert (expected == 0).any() and (expected > 0).any()


def test_with_a_gap_of_one_the_target_is_the_image(model):
    target, _ = model(IMAGES)["image"]
    np.testing.assert_allclose(target, model.normalizer(IMAGES), atol=1e-6)


def test_pseudo_huber_is_quadratic_near_zero_and_linear_far_away():
    zeros = np.zeros((2, 4, 4, 3), "float32")
    shift = np.array([0.001, 3.0], "float32").reshape(2, 1, 1, 1)
    expected = [0.001**2 / (2 * 0.03), 3 - 0.03]
    np.testing.assert_allclose(pseudo_huber(zeros, zeros + shift), expected, rtol=2e-3)


def test_tuning_starts_from_a_model_and_returns_one_for_few_steps(tiny_config, tmp_path):
    start = tiny_config.build(seed=0)
    start.adapt(IMAGES)
    for weight in start.ema_network.weights:
        weight.assign(weight + 0.05)
    save_model(start, tmp_path / "start.weights.h5", {})
    seen = []
    tuned = train_few_steps.tune(
        tmp_path / "start.weights.h5",
        count=64,
        epochs=2,
        on_epoch_end=lambda model, epoch: seen.append(float(ops.convert_to_numpy(model.gap))),
    )
    assert 0.5 > seen[0] > seen[1] > 0.06
    before, after = (model.ema_network.get_weights()[0] for model in (start, tuned))
    assert 0 < np.abs(before - after).max() < 0.05, "a little tuning changes the weights a little"

    save_model(tuned, tmp_path / "tuned.weights.h5", {})
    loaded, _ = load_model(tmp_path / "tuned.weights.h5")
    assert np.isfinite(loaded.generate(2, 4)).all()
    for steps in (5, 50):
        with pytest.raises(UserError, match="tuned for 1 to 4 steps"):
            loaded.generate(2, steps)
    with pytest.raises(UserError, match="tuned for 1 to 4 steps"):
        loaded.generate(2, 10, sampler="heun")
    with pytest.raises(UserError, match="at least 1"):
        loaded.generate(2, 0)
