"""KID against closed forms, an independent implementation, and its spread over new samples."""

import itertools

import h5py
import keras
import numpy as np
import pytest

from diffusion_lab.backend import compiled
from diffusion_lab.errors import UserError
from diffusion_lab.metrics import (
    KID,
    kernel_inception_distance,
    kid_with_standard_error,
    polynomial_kernel,
)

REAL = np.array([(1, 0), (0, 1), (1, 1)], np.float32)
GENERATED = np.array([(0, 0), (2, 0), (0, 2)], np.float32)


def normal_features():
    np.random.seed(0)
    real = np.random.randn(512, 256).astype(np.float32)
    return real, (np.random.randn(512, 256) * 1.1 + 0.05).astype(np.float32)


class InGraph(keras.Model):
    """Computes KID inside a compiled graph."""

    def distance(self, real_features, generated_features):
        return kernel_inception_distance(real_features, generated_features)


def distance_in_graph(real, generated):
    model = InGraph()  # `compiled` compiles methods of models
    return float(
        compiled(model.distance)(
            keras.ops.convert_to_tensor(real), keras.ops.convert_to_tensor(generated)
        )
    )


def slow_kid(real, generated):
    """Returns KID by its definition, pair by pair."""

    def kernel(x, y):
        return (sum(float(a) * float(b) for a, b in zip(x, y)) / len(x) + 1) ** 3

    within = [
        np.mean([kernel(x, y) for x, y in itertools.permutations(s, 2)]) for s in (real, generated)
    ]
    return sum(within) - 2 * np.mean([kernel(x, y) for x, y in itertools.product(real, generated)])


def test_kernel_values():
    kernel = polynomial_kernel(REAL, GENERATED)
    np.testing.assert_allclose(kernel, [[1, 8, 1], [1, 1, 8], [1, 8, 8]])  # (x . y / 2 + 1)^3


@pytest.mark.parametrize("distance", [kernel_inception_distance, distance_in_graph])
def test_closed_form_with_a_negative_value(distance):
    assert distance(REAL, GENERATED) == pytest.approx(-167 / 36, abs=1e-6)


@pytest.mark.parametrize(
    "distance, tolerance", [(kernel_inception_distance, 1e-10), (distance_in_graph, 1e-6)]
)
def test_reference_value_in_float64_and_in_float32(distance, tolerance):
    assert distance(*normal_features()) == pytest.approx(0.0083886148, abs=tolerance)


@pytest.mark.parametrize("distance", [kernel_inception_distance, distance_in_graph])
def test_equals_the_definition_for_unequal_counts(distance):
    rng = np.random.default_rng(1)
    real, generated = rng.normal(size=(7, 3)), rng.normal(0.5, 1, size=(11, 3))
    expected = slow_kid(real, generated)
    assert distance(real.astype(np.float32), generated.astype(np.float32)) == pytest.approx(
        expected, rel=1e-4
    )


def test_unbiased_for_small_samples_of_one_kind():
    rng = np.random.default_rng(2)
    values = [
        kernel_inception_distance(rng.normal(size=(5, 4)), rng.normal(size=(6, 4)))
        for _ in range(3000)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0


@pytest.mark.parametrize(
    "real, generated, message",
    [
        (np.zeros((1, 2)), np.zeros((5, 2)), "at least 2"),
        (np.zeros((5, 2)), np.zeros((0, 2)), "at least 2"),
        (np.zeros((5, 2)), np.zeros((5, 3)), "2 and 3 features"),
        (np.zeros((5, 2)), np.zeros((5, 2, 1)), "shape"),
        (np.zeros(5), np.zeros((5, 2)), "shape"),
        (np.zeros((5, 2)), np.full((5, 2), np.nan), "NaN"),
        (np.full((5, 2), np.inf), np.zeros((5, 2)), "infinity"),
    ],
)
@pytest.mark.parametrize("function", [kernel_inception_distance, kid_with_standard_error])
def test_bad_features_are_refused(function, real, generated, message):
    with pytest.raises(UserError, match=message):
        function(real, generated)


def spread_and_estimate(method, shift, draws=150):
    """Returns the true spread of the estimate over new samples, and its mean standard error.

    The mean is a root mean square.
    """
    rng = np.random.default_rng(3)
    estimates = [
        kid_with_standard_error(
            rng.normal(size=(60, 4)), rng.normal(shift, 1, size=(90, 4)), method, 20, seed
        )
        for seed in range(draws)
    ]
    values, errors = np.transpose(estimates)
    return values, np.std(values), np.sqrt(np.mean(np.square(errors)))


@pytest.mark.parametrize("method", ["subset", "block"])
def test_standard_error_is_the_true_spread(method):
    values, spread, estimate = spread_and_estimate(method, shift=0.6)
    assert 0.8 < estimate / spread < 1.25
    rng = np.random.default_rng(4)
    precise = kernel_inception_distance(
        rng.normal(size=(3000, 4)), rng.normal(0.6, 1, size=(3000, 4))
    )
    assert np.mean(values) == pytest.approx(precise, rel=0.1)


@pytest.mark.parametrize("method, largest", [("subset", 2.3), ("block", 1.25)])
def test_standard_error_is_on_the_safe_side_for_equal_distributions(method, largest):
    values, spread, estimate = spread_and_estimate(method, shift=0.0)
    assert 0.8 < estimate / spread < largest
    assert abs(np.mean(values)) < 4 * spread / np.sqrt(len(values))


def test_estimates_are_repeatable_for_a_seed():
    features = np.random.default_rng(6).normal(size=(2, 50, 3))
    assert kid_with_standard_error(*features, seed=1) == kid_with_standard_error(*features, seed=1)
    assert kid_with_standard_error(*features, seed=1) != kid_with_standard_error(*features, seed=2)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "bootstrap"}, "Unknown method"),
        ({"method": "block", "repeats": 30}, "at least 60"),
        ({"repeats": 1}, "two repeats"),
    ],
)
def test_bad_options_are_refused(options, message):
    features = np.random.default_rng(7).normal(size=(2, 50, 3))
    with pytest.raises(UserError, match=message):
        kid_with_standard_error(*features, **options)


def tiny_extractor(name="flowers"):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(6)]
    return keras.Sequential(layers, name=name)


def random_images(seed, count=12):
    return np.random.default_rng(seed).random((count, 4, 4, 3), np.float32)


class Generator(keras.Model):
    """Returns its own images, brightened; evaluation measures KID in the compiled test step."""

    def __init__(self, real_features=None):
        super().__init__()
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")
        self.kid = KID(tiny_extractor(), real_features)

    def call(self, images):
        return images * self.gain * 0.5

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.kid.update_state(x, y_pred)
        return self.get_metrics_result()

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(y_pred))


def features(images):
    return keras.ops.convert_to_numpy(tiny_extractor()(images))


def test_metric_averages_batches_and_resets():
    metric = KID(tiny_extractor())
    expected = []
    for seed in range(3):
        real, generated = random_images(seed), random_images(seed + 10) ** 2
        metric.update_state(real, generated)
        expected.append(kernel_inception_distance(features(real), features(generated)))
    assert float(metric.result()) == pytest.approx(np.mean(expected), abs=1e-5)
    metric.reset_state()
    metric.update_state(real, generated)
    assert float(metric.result()) == pytest.approx(expected[-1], abs=1e-5)


def test_metric_with_real_features_computed_once():
    real, generated = random_images(0, 20), random_images(1) ** 2
    metric = KID(tiny_extractor(), real_features=features(real))
    for _ in range(2):
        metric.reset_state()
        metric.update_state(None, generated)
        expected = kernel_inception_distance(features(real), features(generated))
        assert float(metric.result()) == pytest.approx(expected, abs=1e-5)


def test_metric_skips_a_batch_of_one_image():
    metric = KID(tiny_extractor())
    metric.update_state(random_images(0), random_images(1) ** 2)
    before = float(metric.result())
    metric.update_state(random_images(2, 1), random_images(3, 1))
    assert float(metric.result()) == before != 0


@pytest.mark.parametrize("given", [False, True])
def test_metric_inside_a_compiled_test_step(given):
    real = random_images(0, 24)
    model = Generator(features(real) if given else None)
    model.compile()
    measured = model.evaluate(real, batch_size=12, verbose=0, return_dict=True)
    batches = [features(real)] * 2 if given else [features(real[:12]), features(real[12:])]
    generated = [features(real[:12] * 0.5), features(real[12:] * 0.5)]
    expected = np.mean([kernel_inception_distance(*pair) for pair in zip(batches, generated)])
    assert measured["kid_flowers"] == pytest.approx(expected, abs=1e-5)


def test_metric_adds_no_weights_to_a_model(tmp_path):
    model = Generator(features(random_images(0)))
    model(random_images(0))
    assert [weight.name for weight in model.weights] == ["gain"]
    model.save_weights(tmp_path / "model.weights.h5")
    sizes = []
    with h5py.File(tmp_path / "model.weights.h5") as file:
        file.visititems(
            lambda name, item: sizes.append(item.size) if isinstance(item, h5py.Dataset) else None
        )
    assert sum(sizes) == 1


@pytest.mark.parametrize(
    "name, label",
    [("inception_75", "kid_75"), ("inception_299", "kid_299"), ("flowers", "kid_flowers")],
)
def test_the_name_of_the_metric_contains_its_scale(name, label):
    assert KID(tiny_extractor(name)).name == label


def test_metric_refuses_sample_weights():
    with pytest.raises(UserError, match="sample_weight"):
        KID(tiny_extractor()).update_state(
            random_images(0), random_images(1), sample_weight=np.ones(12)
        )
