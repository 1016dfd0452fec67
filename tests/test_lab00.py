"""The six families of lab 00: what their formulas promise before any training."""

import keras
import numpy as np
import pytest
from keras import ops

from diffusion_lab.backend import input_gradient
from diffusion_lab.labs.lab00 import families
from diffusion_lab.labs.lab00.experiments import distance_to_nearest
from diffusion_lab.labs.toy_points import flower_points

ALL = ("Autoregressive", "VAE", "GAN", "Flow", "EnergyBased", "Diffusion")


def untrained(name):
    keras.utils.set_random_seed(0)
    return getattr(families, name)()


def grid(limit, count):
    """Returns the centres of count x count squares, and the area of one."""
    centres = (np.arange(count) + 0.5) * 2 * limit / count - limit
    points = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    return ops.convert_to_tensor(points, "float32"), (2 * limit / count) ** 2


@pytest.mark.parametrize("name, limit", [("Autoregressive", 2.25), ("Flow", 12)])
def test_a_likelihood_is_a_density(name, limit):
    points, area = grid(limit, 320)
    density = np.exp(ops.convert_to_numpy(untrained(name).log_likelihood(points)))
    assert np.sum(density) * area == pytest.approx(1, abs=0.01)


def test_a_flow_returns_to_the_noise_that_it_started_from():
    """The density of its samples is that of the noise, divided by the change of volume."""
    flow = untrained("Flow")
    points = flow.sample(200)
    noise = keras.random.normal((200, 2), seed=keras.random.SeedGenerator(0))
    jacobian = [input_gradient(lambda x: flow.to_noise(x)[0][:, axis], points) for axis in range(2)]
    volume = np.linalg.det(np.stack(jacobian, axis=1))
    np.testing.assert_allclose(flow.to_noise(points)[0], noise, atol=1e-4)
    np.testing.assert_allclose(
        flow.log_likelihood(points),
        families.log_normal(noise) + np.log(np.abs(volume)),
        atol=1e-3,
    )


def test_the_bound_of_a_vae_that_ignores_its_code_is_its_likelihood():
    vae = untrained("VAE")
    for network in (vae.encoder, vae.decoder):
        network.layers[-1].set_weights([np.zeros_like(w) for w in network.layers[-1].get_weights()])
    points = ops.convert_to_tensor(flower_points(20).reshape(-1, 2))
    np.testing.assert_allclose(
        vae.log_likelihood(points), families.log_normal(points, -2.0), rtol=1e-5
    )


def test_the_generator_climbs_where_the_discriminator_descends():
    gan = untrained("GAN")
    noise = gan.normal(256)
    gan.normal = lambda count: noise
    before = gan.generator.get_weights(), gan.discriminator.get_weights()
    points = ops.convert_to_tensor(flower_points(256).reshape(-1, 2))

    def objective(weights_of):
        gan.generator.set_weights(weights_of[0])
        gan.discriminator.set_weights(weights_of[1])
        return float(gan.objective(points))

    gan.compile(optimizer=keras.optimizers.SGD(1e-2), jit_compile=False)
    gan.fit(points, batch_size=256, epochs=1, verbose=0)
    after = gan.generator.get_weights(), gan.discriminator.get_weights()
    assert objective((after[0], before[1])) > objective(before) > objective((before[0], after[1]))


def test_walks_find_the_distribution_of_a_known_energy():
    """Without its network, the energy is that of a standard normal distribution."""
    model = untrained("EnergyBased")
    model.energy = lambda points: 0.5 * ops.sum(ops.square(points), axis=-1)
    points = ops.zeros((4000, 2))
    for _ in range(600):
        points = model.langevin_step(points, model.normal(4000))
    assert np.std(points) == pytest.approx(1, abs=0.05) and abs(np.mean(points)) < 0.05


@pytest.mark.parametrize("name", ALL)
def test_every_family_learns_and_samples(name):
    points = flower_points(500).reshape(-1, 2)
    samples = untrained(name).learn(points, steps=2, batch_size=64).sample(30)
    assert samples.shape == (30, 2) and np.all(np.isfinite(samples))


def test_distances_to_the_nearest_point():
    corners = np.array([[0, 0], [0, 3], [4, 0]])
    assert distance_to_nearest(corners, corners[:1]) == pytest.approx(7 / 3)
    assert distance_to_nearest(corners[:1], corners) == 0
