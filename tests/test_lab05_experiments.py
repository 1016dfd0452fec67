"""The short trainings of lab 05 compare what they claim to compare."""

import numpy as np
import pytest
from keras import layers, ops

from diffusion_lab.data import load_dataset
from diffusion_lab.labs.lab05.experiments import trained_once, velocity_errors, with_group_norm
from diffusion_lab.networks import residual_unet
from diffusion_lab.schedules import offset_cosine_diffusion_schedule

SIZE = 8


@pytest.fixture(scope="module")
def dataset():
    return load_dataset("procedural_flowers", "train", image_size=SIZE, batch_size=8, count=64)


def test_group_norm_takes_the_place_of_each_batch_norm():
    network = residual_unet(SIZE, (8, 16), 1)
    other = with_group_norm(network)
    kinds, others = ([type(layer).__name__ for layer in one.layers] for one in (network, other))
    assert kinds.count("BatchNormalization") > 2
    assert others == [kind.replace("Batch", "Group") for kind in kinds]


def test_group_norm_does_not_depend_on_the_other_images(dataset):
    model = trained_once(with_group_norm(residual_unet(SIZE, (8, 16), 1)), dataset)
    inputs = [ops.convert_to_tensor(dataset[0]), ops.full((8, 1, 1, 1), 0.5)]
    alone = [part[:1] for part in inputs]
    np.testing.assert_allclose(
        model.network(alone, training=True), model.network(inputs, training=True)[:1], atol=1e-5
    )


def test_a_network_that_answers_zero_has_the_error_of_the_velocity(dataset):
    model = trained_once(residual_unet(SIZE, (8, 16), 1), dataset)
    model.ema_network.layers[-1].set_weights(
        [0 * weight for weight in model.ema_network.layers[-1].get_weights()]
    )
    errors = velocity_errors(model, dataset[0], (0.0, 1.0))
    noise_rates, signal_rates = offset_cosine_diffusion_schedule(np.array([0.0, 1.0]))
    variance = float(ops.var(model.normalizer(dataset[0])))
    expected = signal_rates**2 + noise_rates**2 * variance
    np.testing.assert_allclose(errors, expected, rtol=0.1)
    assert isinstance(model.ema_network.layers[-1], layers.Conv2D)
