"""The energy-based model against a quadratic energy with known gradient, chains and minimum."""

import keras
import numpy as np
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.models.energy_based import EnergyBasedModel, contrastive_divergence
from diffusion_lab.models.io import load_energy_model, load_model, save_energy_model, save_model
from diffusion_lab.models.weights import read_arrays, write_arrays
from diffusion_lab.networks import energy_network

SHAPE = (4, 4, 1)
# for networks as small as these, XLA takes longer to compile than to train
JIT = keras.backend.backend() == "jax"


@keras.saving.register_keras_serializable(package="tests")
class Bowl(keras.layers.Layer):
    """E(x) = a · Σ (x - 1/2)² / 2: gradient a · (x - 1/2), least at grey 1/2."""

    def __init__(self, steepness=0.1, **kwargs):
        super().__init__(**kwargs)
        self.steepness = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(steepness)
        )

    def call(self, images):
        squares = keras.ops.square(keras.ops.reshape(images, (-1, 16)) - 0.5)
        return 0.5 * self.steepness * keras.ops.sum(squares, axis=-1, keepdims=True)


def bowl_model(steepness=0.1, **arguments):
    images = keras.Input(SHAPE)
    return EnergyBasedModel(
        keras.Model(images, Bowl(steepness)(images)), **{"buffer_size": 64, "seed": 0, **arguments}
    )


def tiny_model(**arguments):
    network = energy_network(image_size=4, channels=1, widths=(8, 8), dense_width=8)
    return EnergyBasedModel(
        network, **{"buffer_size": 64, "langevin_steps": 5, "seed": 0, **arguments}
    )


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def noise(count=8, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, size=(count, *SHAPE)).astype("float32")


def test_langevin_step_equals_its_formula():
    images, noises = noise(), 0.01 * noise(seed=1)
    gradients = np.clip(0.1 * (images - 0.5), -0.03, 0.03)
    expected = np.clip(images - 10 * gradients + noises, -1, 1)
    assert (np.abs(0.1 * (images - 0.5)) > 0.03).any() and (
        np.abs(0.1 * (images - 0.5)) < 0.03
    ).any()
    stepped = bowl_model().langevin_step(*map(keras.ops.convert_to_tensor, (images, noises)), 10.0)
    np.testing.assert_allclose(to_numpy(stepped), expected, atol=1e-6)


def test_langevin_step_stays_in_the_range_of_images():
    stepped = to_numpy(bowl_model().langevin_sampling(noise(), steps=1, noise_std=5.0))
    assert stepped.min() == -1 and stepped.max() == 1


def test_plain_descent_reaches_the_minimum():
    found = bowl_model().langevin_sampling(noise(), steps=30, step_size=5.0, noise_std=0.0)
    np.testing.assert_allclose(to_numpy(found), 0.5, atol=1e-4)


def test_noisy_chains_settle_around_the_minimum():
    """The variance of x - 1/2 settles at σ² / (1 - 1/4).

    Each step halves x - 1/2 and adds noise σ.
    """
    found = to_numpy(
        bowl_model().langevin_sampling(noise(256), 40, step_size=5.0, noise_std=0.05, seed=1)
    )
    assert found.mean() == pytest.approx(0.5, abs=4 * 0.06 / 64)
    assert found.var() == pytest.approx(0.05**2 / 0.75, rel=4 * (2 / 4096) ** 0.5)


def test_langevin_sampling_repeats_for_a_seed_and_shows_its_steps():
    model, seen = bowl_model(), []
    first = to_numpy(
        model.langevin_sampling(
            noise(), 3, seed=1, on_step=lambda step, images: seen.append(images)
        )
    )
    np.testing.assert_array_equal(seen[0], noise())
    assert len(seen) == 3
    np.testing.assert_array_equal(to_numpy(model.langevin_sampling(noise(), 3, seed=1)), first)
    assert np.abs(to_numpy(model.langevin_sampling(noise(), 3, seed=2)) - first).max() > 1e-3


def test_generate_returns_likely_images_in_zero_to_one():
    images = to_numpy(bowl_model().generate(5, steps=60, seed=0))
    assert images.shape == (5, *SHAPE)
    np.testing.assert_allclose(images, 0.75, atol=0.02)  # 1/2 of [-1, 1] is 3/4 of [0, 1]


def test_sampling_uses_the_current_weights():
    """Sampling is compiled once, but the weights are not frozen.

    With the bowl turned over, the same call walks away from 1/2.
    """
    model = bowl_model()
    model.langevin_sampling(noise(), steps=2)
    model.network.set_weights([-np.array(0.1, "float32")])
    found = to_numpy(model.langevin_sampling(noise(), steps=20, noise_std=0.0))
    np.testing.assert_allclose(found, np.where(noise() < 0.5, -1, 1))


def test_contrastive_divergence_equals_its_formula():
    energies = np.array([[1.0, 3.0], [-2.0, 0.5]], "float32")
    loss = to_numpy(contrastive_divergence(np.array([[1.0, -1.0]] * 2, "float32"), energies))
    np.testing.assert_allclose(
        loss, [1 - 3 + 0.1 * (1 + 9), -2 - 0.5 + 0.1 * (4 + 0.25)], rtol=1e-6
    )


def test_the_loss_of_known_energies():
    """Grey 1/4 is -1/2 inside, so its energy is 0.1 · 16 · 1² / 2 = 0.8.

    The chains are set to -1, with the energy 1.8.
    """
    model = bowl_model()
    model.compile(loss=contrastive_divergence, jit_compile=JIT)
    model.buffer.assign(-np.ones((64, *SHAPE), "float32"))
    logs = model.evaluate(np.full((8, *SHAPE), 0.25, "float32"), verbose=0, return_dict=True)
    assert logs["real_energy"] == pytest.approx(0.8, rel=1e-5)
    assert logs["fake_energy"] == pytest.approx(1.8, rel=1e-5)
    assert logs["loss"] == pytest.approx(0.8 - 1.8 + 0.1 * (0.8**2 + 1.8**2), rel=1e-5)


def test_chains_continue_where_they_stopped():
    """The whole buffer approaches the minimum batch by batch, which five steps alone cannot do."""
    model = bowl_model(buffer_size=16, fresh_share=0.0, langevin_steps=5, step_size=1.0)
    start = to_numpy(model.buffer).copy()
    assert start.min() < -0.9 and start.max() > 0.9 and abs(start.mean()) < 0.1
    moved = [to_numpy(model.draw_chains(8)) for _ in range(40)][0]
    assert np.abs(moved - 0.5).max() > 0.3
    np.testing.assert_allclose(to_numpy(model.buffer), 0.5, atol=0.1)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="is about TensorFlow's graphs")
def test_training_traces_one_graph(monkeypatch):
    traces, call, model = [], EnergyBasedModel.call, tiny_model()
    monkeypatch.setattr(
        EnergyBasedModel,
        "call",
        lambda self, *a, **options: traces.append(1) or call(self, *a, **options),
    )
    model.compile(loss=contrastive_divergence, jit_compile=False)
    model.fit(np.ones((64, *SHAPE), "float32"), epochs=2, verbose=0)
    assert len(traces) == 1


def test_a_share_of_the_chains_starts_from_noise():
    model = bowl_model(
        buffer_size=4096, fresh_share=0.25, langevin_steps=1, step_size=0.0, noise_std=0.0
    )
    model.buffer.assign(np.full((4096, *SHAPE), 0.5, "float32"))
    fresh = (to_numpy(model.draw_chains(1024)) != 0.5).any(axis=(1, 2, 3))
    assert fresh.mean() == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 1024) ** 0.5)


def test_evaluation_leaves_the_chains_alone():
    model = tiny_model()
    model.compile(loss=contrastive_divergence, jit_compile=JIT)
    before = to_numpy(model.buffer).copy()
    model.evaluate(np.ones((8, *SHAPE), "float32"), verbose=0)
    np.testing.assert_array_equal(to_numpy(model.buffer), before)


def test_the_loss_reaches_the_network_only_through_the_energies():
    """The gradient of E(real) - E(fake) + … treats the chains as constants.

    With E = a · S and S = Σ (x - 1/2)² / 2 it is S_real - S_fake + 0.2 a (S_real² + S_fake²), by
    hand.
    """
    model = bowl_model(fresh_share=0.0, langevin_steps=2, step_size=1.0, noise_std=0.0)
    model.compile(keras.optimizers.SGD(1.0), contrastive_divergence, jit_compile=JIT)
    # so near that the gradient is not clipped
    model.buffer.assign(np.full((64, *SHAPE), 0.3, "float32"))
    model.fit(np.ones((64, *SHAPE), "float32"), batch_size=64, verbose=0)
    real, fake = 16 * 0.5**2 / 2, 16 * (0.2 * 0.9**2) ** 2 / 2
    gradient = real - fake + 0.2 * 0.1 * (real**2 + fake**2)
    assert float(to_numpy(model.network.weights[0])) == pytest.approx(0.1 - gradient, rel=1e-4)


def test_each_step_of_a_chain_has_its_own_noise():
    """16 steps of independent noise σ and no gradient spread by 4 σ.

    The same noise in each step would spread by 16 σ.
    """
    model = bowl_model(fresh_share=0.0, langevin_steps=16, step_size=0.0, noise_std=0.01)
    model.buffer.assign(np.zeros((64, *SHAPE), "float32"))
    assert to_numpy(model.draw_chains(64)).std() == pytest.approx(0.04, rel=0.1)


def test_real_images_get_the_noise_of_the_chains_in_training_only():
    # the minimum of the bowl
    model, images = bowl_model(noise_std=0.05), np.full((256, *SHAPE), 0.75, "float32")
    assert to_numpy(model(images, training=False))[:, 0].max() < 1e-9
    energies = to_numpy(model(images, training=True))[:, 0]
    assert energies.mean() == pytest.approx(0.1 * 16 * 0.05**2 / 2, rel=0.1)


def test_training_separates_the_data_from_noise():
    model = tiny_model()
    model.compile(keras.optimizers.Adam(1e-2), contrastive_divergence, jit_compile=JIT)
    images = np.full((64, *SHAPE), 0.9, "float32")
    model.fit(images, batch_size=32, epochs=15, verbose=0)
    energies = to_numpy(model.network(np.concatenate([2 * images[:8] - 1, noise()])))
    assert energies[:8].max() < energies[8:].min()
    assert np.isfinite(to_numpy(model.buffer)).all() and np.abs(to_numpy(model.buffer)).max() <= 1


def test_a_fresh_model_loads_weights_and_buffer(tmp_path):
    model = tiny_model()
    model.draw_chains(8)
    model.save_weights(tmp_path / "model.weights.h5")
    other = tiny_model(seed=9)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(to_numpy(other.buffer), to_numpy(model.buffer))
    np.testing.assert_array_equal(
        to_numpy(other.network(noise())), to_numpy(model.network(noise()))
    )


def test_a_file_contains_the_network_and_the_first_chains(tmp_path):
    model, path = tiny_model(), tmp_path / "energy.weights.h5"
    model.network_arguments = {"image_size": 4, "channels": 1, "widths": (8, 8), "dense_width": 8}
    save_energy_model(model, path, {"data": "nothing"}, chains=16)
    loaded, origin = load_energy_model(path)
    assert origin == {"data": "nothing"} and loaded.buffer_size == 16
    np.testing.assert_array_equal(
        to_numpy(loaded.network(noise())), to_numpy(model.network(noise()))
    )
    # bytes
    np.testing.assert_allclose(to_numpy(loaded.buffer), to_numpy(model.buffer)[:16], atol=1 / 255)


@pytest.mark.parametrize(
    "groups, about, sentence",
    [
        ({"buffer": []}, {}, "does not describe an energy-based model"),
        ({"buffer": [np.float32(3)]}, {}, "does not describe an energy-based model"),
        ({"network": []}, {}, "another architecture"),
        ({}, {"energy_network": None}, "does not describe an energy-based model"),
        ({}, {"energy_network": {"channels": -1}}, "does not describe an energy-based model"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, groups, about, sentence):
    model, path = tiny_model(), tmp_path / "energy.weights.h5"
    model.network_arguments = {"image_size": 4, "channels": 1, "widths": (8, 8), "dense_width": 8}
    save_energy_model(model, path, chains=16)
    whole, description = read_arrays(path)
    del description["origin"]
    write_arrays(path, whole, description)
    assert load_energy_model(path)[1] == {}
    write_arrays(path, whole | groups, description | about)
    with pytest.raises(UserError, match=sentence):
        load_energy_model(path)


def test_each_kind_of_file_is_read_by_its_own_function(tmp_path, tiny_config):
    model = tiny_model()
    model.network_arguments = {"image_size": 4, "channels": 1, "widths": (8, 8), "dense_width": 8}
    save_energy_model(model, tmp_path / "energy.weights.h5")
    with pytest.raises(UserError, match="load_energy_model"):
        load_model(tmp_path / "energy.weights.h5")
    save_model(tiny_config.build(), tmp_path / "diffusion.weights.h5")
    with pytest.raises(UserError, match="try load_model"):
        load_energy_model(tmp_path / "diffusion.weights.h5")
    with pytest.raises(UserError, match="no weights nowhere"):
        load_energy_model("nowhere")


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="steps must be a whole number of at least 1"):
        bowl_model().langevin_sampling(noise(), steps=0)
    with pytest.raises(UserError, match="of shape"):
        bowl_model().langevin_sampling(noise()[:, :2], steps=1)
    for arguments in (
        {"num_images": 0},
        {"num_images": 2.5},
        {"steps": "9"},
        {"seed": -1},
        {"seed": 2**32},
        {"step_size": float("nan")},
        {"noise_std": float("inf")},
        {"noise_std": -1},
    ):
        with pytest.raises(UserError, match=f"{next(iter(arguments))} must"):
            bowl_model().generate(**{"num_images": 1, "steps": 1} | arguments)
