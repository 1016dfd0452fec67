"""The continuous model: its noise, its loss, and the network that it samples with."""

import keras
import numpy as np
import pytest
from keras import ops

from diffusion_lab.backend import BACKEND
from diffusion_lab.errors import UserError
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.models.ema import EMA
from diffusion_lab.samplers import heun

# images of one colour each, which a network can learn to tell from noise within seconds
IMAGES = (
    np.random.default_rng(0)
    .uniform(0.2, 0.6, (64, 1, 1, 3))
    .astype("float32")
    .repeat(8, 1)
    .repeat(8, 2)
)


@pytest.fixture
def model(tiny_config):
    model = tiny_config.build(seed=0)
    model.adapt(IMAGES)
    model.compile(optimizer=keras.optimizers.AdamW(1e-2), loss="mse", jit_compile=False)
    return model


def shake(network, seed=1):
    rng = np.random.default_rng(seed)
    network.set_weights(
        [weight + 0.1 * rng.normal(size=weight.shape) for weight in network.get_weights()]
    )


def test_call_corrupts_normalised_images_and_separates_them_consistently(model):
    shake(model.network)
    parts = model(IMAGES, training=True)
    (noises, pred_noises), (images, pred_images) = parts["noise"], parts["image"]
    np.testing.assert_allclose(np.mean(images, axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(np.std(images, axis=(0, 1, 2)), 1, atol=1e-4)
    assert np.std(noises) == pytest.approx(1, abs=0.03)
    # both pairs mix to the same noisy image at the rates that the two velocities imply
    true_velocity, pred_velocity = parts["velocity"]
    noise_part, image_part = np.asarray(pred_noises - noises), np.asarray(pred_images - images)
    # = noise_rate / signal_rate
    ratios = np.median(-image_part / noise_part, axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(image_part, -ratios * noise_part, rtol=1e-2, atol=1e-3)
    signal_rates = 1 / np.sqrt(1 + ratios**2)
    np.testing.assert_allclose(true_velocity, signal_rates * (noises - ratios * images), atol=2e-2)
    assert ratios.min() > 0 and ratios.std() > 0.1, "every image has a different time"


def test_an_untrained_network_predicts_zero_and_its_loss_is_the_weighted_variance_of_the_velocity(
    model,
):
    times = np.linspace(0, 1, 10_001, dtype="float32").reshape(-1, 1, 1, 1)
    noise_rates, signal_rates = map(np.asarray, model.diffusion_schedule(times))
    # the velocity's own variance is 1
    expected = np.minimum(signal_rates**2, 5 * noise_rates**2).mean()
    many = np.tile(IMAGES, (64, 1, 1, 1))  # as many times are drawn
    assert model.evaluate(many, verbose=0, return_dict=True)["loss"] == pytest.approx(
        expected, rel=0.04
    )


def test_training_learns_and_new_weights_reach_the_compiled_sampler(model):
    before = np.asarray(model.generate(4, 3, seed=5))
    first = model.fit(IMAGES, epochs=1, verbose=0).history["loss"][0]
    last = model.fit(IMAGES, epochs=30, verbose=0).history["loss"][-1]
    after = np.asarray(model.generate(4, 3, seed=5))
    assert last < 0.8 * first
    assert np.abs(after - before).max() > 0.01
    assert after.min() >= 0 and after.max() <= 1 and after.shape == (4, 8, 8, 3)
    assert model.ema.updates == 2 * 31


def test_sampling_uses_the_ema_network_and_training_the_raw_network(model):
    shake(model.ema_network)
    rates = ops.full((2, 1, 1, 1), 0.5**0.5)
    noise = ops.convert_to_tensor(
        np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    )
    trained, averaged = (
        np.asarray(model.denoise(noise, rates, rates, training=training)[1])
        for training in (True, False)
    )
    # the raw network still predicts zero
    np.testing.assert_allclose(trained, 0.5**0.5 * np.asarray(noise), atol=1e-5)
    assert np.abs(trained - averaged).max() > 0.01


def test_the_network_receives_the_variance_of_the_noise():
    images, variances = keras.Input((8, 8, 3)), keras.Input((1, 1, 1))
    network = keras.Model([images, variances], 0.0 * images + variances)  # returns its second input
    model = DiffusionModel(network, prediction="noise")
    rates = ops.full((2, 1, 1, 1), 0.6), ops.full((2, 1, 1, 1), 0.8)
    pred_noises, _ = model.denoise(ops.zeros((2, 8, 8, 3)), *rates, training=False)
    np.testing.assert_allclose(pred_noises, 0.36, atol=1e-6)


def test_reverse_diffusion_is_ddim_and_generate_takes_any_sampler(model):
    shake(model.ema_network)
    one, same = (np.asarray(model.generate(2, 4, seed=3)) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    seed = keras.random.SeedGenerator(3)
    noise = keras.random.normal((2, 8, 8, 3), seed=seed)
    np.testing.assert_allclose(one, model.denormalize(model.reverse_diffusion(noise, 4)), atol=1e-6)
    assert np.abs(one - np.asarray(model.generate(2, 4, seed=3, sampler=heun))).max() > 1e-4


def test_denormalize_inverts_the_normalizer_and_clips(model):
    np.testing.assert_allclose(model.denormalize(model.normalizer(IMAGES)), IMAGES, atol=1e-5)
    assert np.max(model.denormalize(np.full((1, 8, 8, 3), 100.0, "float32"))) == 1.0


@pytest.mark.skipif(BACKEND != "tensorflow", reason="is about TensorFlow's graphs")
def test_training_traces_one_graph(model, monkeypatch):
    """A second graph, only to find the optimizer's variables, would double the time to start."""
    traces, call = [], DiffusionModel.call
    monkeypatch.setattr(
        DiffusionModel,
        "call",
        lambda self, *a, **options: traces.append(1) or call(self, *a, **options),
    )
    model.fit(IMAGES, epochs=2, verbose=0)
    assert len(traces) == 1


@pytest.mark.parametrize(
    "prediction, loss_on",
    [
        ("noise", "noise"),
        ("image", "velocity"),
        ("velocity", "image"),
        ("noise", "weighted_velocity"),
    ],
)
def test_every_prediction_trains_on_every_loss(tiny_config, prediction, loss_on):
    model = DiffusionModel(
        tiny_config.build().network, prediction=prediction, loss_on=loss_on, seed=0
    )
    model.adapt(IMAGES)
    model.compile(optimizer="adam", loss="mae", run_eagerly=True)
    history = model.fit(IMAGES, epochs=1, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    expected = {"noise": "n_loss", "image": "i_loss"}
    if loss_on in expected:  # the metric is that component's mean absolute error
        assert history["loss"][0] == pytest.approx(history[expected[loss_on]][0], rel=1e-3)


def test_bfloat16_trains_and_keeps_its_weights_in_float32(tiny_config):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = tiny_config.build(seed=0)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model.adapt(IMAGES)
    model.compile(optimizer="adam", loss="mse", run_eagerly=True)
    assert np.isfinite(model.fit(IMAGES, verbose=0).history["loss"][0])
    assert {str(weight.dtype) for weight in model.network.weights} == {"float32"}
    assert np.isfinite(np.asarray(model.generate(2, 2))).all()


def test_ema_starts_from_the_weights_and_warms_up():
    network = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    network.set_weights([np.array([[1.0]])])
    ema = EMA(network, decay=0.5)
    assert ema.network.get_weights()[0] == 1.0
    network.set_weights([np.array([[3.0]])])
    expected = 1.0
    for n in range(8):
        ema.update(network)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * 3.0
        assert float(ema.network.get_weights()[0][0, 0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("decay", [1, 1.5, -0.1, float("nan")])
def test_an_average_that_never_follows_or_overshoots_is_refused(decay):
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(UserError, match="at least 0 and less than 1"):
        EMA(network, decay)


@pytest.mark.parametrize(
    "images, sentence",
    [
        (IMAGES * 255, "divide by 255"),
        (np.where(IMAGES > 0.5, np.nan, IMAGES), "NaN"),
        (IMAGES[:, :4], "of shape"),
    ],
)
def test_unusable_images_get_one_sentence(model, images, sentence):
    with pytest.raises(UserError, match=sentence):
        model.adapt(images)


@pytest.mark.parametrize("name", ["noise_rates", "signal_rates"])
def test_rates_of_another_shape_get_one_sentence(model, name):
    rates = dict.fromkeys(("noise_rates", "signal_rates"), ops.ones((2, 1, 1, 1)))
    with pytest.raises(UserError, match=rf"{name} must have the shape \(B, 1, 1, 1\), not \(2,\)"):
        model.denoise(ops.zeros((2, 8, 8, 3)), **rates | {name: ops.ones((2,))}, training=False)


def test_the_error_for_an_unknown_prediction_lists_the_predictions(tiny_config):
    with pytest.raises(UserError, match="noise, image, velocity"):
        DiffusionModel(tiny_config.build().network, prediction="score")
    with pytest.raises(UserError, match="velocity, weighted_velocity, not on 'score'"):
        DiffusionModel(tiny_config.build().network, loss_on="score")


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"num_images": 0}, "num_images must be a whole number of at least 1"),
        ({"num_images": -1}, "at least 1, but it is -1"),
        ({"num_images": 2.5}, "at least 1, but it is 2.5"),
        ({"num_images": "2"}, "at least 1, but it is '2'"),
        ({"num_images": 10**12}, "at most"),
        ({"diffusion_steps": float("inf")}, "steps must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"sampler": "dim"}, "There is no sampler 'dim': choose one of ddim"),
        ({"sampler": 3}, "There is no sampler 3"),
        ({"sampler": "heun", "eta": 0.5}, "heun got an unexpected keyword argument 'eta'"),
        ({"labels": "red"}, "unexpected keyword argument 'labels'"),
        ({"sampler": "ddpm", "variance": "smal"}, "variance must be 'small' or 'large'"),
    ],
)
def test_arguments_of_generate_that_cannot_work_get_one_sentence(model, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        model.generate(**{"num_images": 2, "diffusion_steps": 2} | arguments)


def test_a_sampler_may_be_named_and_noise_of_another_shape_is_refused(model):
    np.testing.assert_array_equal(
        model.generate(2, 3, sampler="heun", seed=0), model.generate(2, 3, sampler=heun, seed=0)
    )
    for shape in ((2, 4, 8, 3), (2, 8, 8, 1)):
        with pytest.raises(UserError, match=r"but this model generates \(8, 8, 3\)"):
            model.reverse_diffusion(np.zeros(shape, "float32"), 2)
