"""Muon for convolutions: orthogonal updates, Keras's Muon as an oracle, AdamW for the rest."""

import keras
import numpy as np
import pytest

from diffusion_lab.networks import unet
from diffusion_lab.training.muon import FEWEST_CHANNELS, ConvolutionalMuon


def kernel_of(values):
    return keras.Variable(values, trainable=True, name="kernel")


@pytest.mark.parametrize("shape", [(3, 3, 16, 24), (1, 1, 16, 40), (3, 3, 32, 16)])
def test_an_update_is_that_of_keras_muon_on_the_kernel_as_a_matrix(shape):
    rng = np.random.default_rng(0)
    start = rng.normal(size=shape).astype("float32")
    ours, theirs = kernel_of(start), kernel_of(start.reshape(-1, shape[-1]))
    mine = ConvolutionalMuon(0.01, weight_decay=0.1)
    keras_muon = keras.optimizers.Muon(0.01, weight_decay=0.1)
    for _ in range(3):
        gradient = rng.normal(size=shape).astype("float32")
        mine.apply([gradient], [ours])
        keras_muon.apply([gradient.reshape(-1, shape[-1])], [theirs])
    np.testing.assert_allclose(
        np.asarray(ours.value).reshape(-1, shape[-1]), np.asarray(theirs.value), atol=2e-5
    )


@pytest.mark.parametrize("shape", [(3, 3, 16, 24), (1, 1, 16, 40)])
def test_an_update_is_as_large_in_all_directions(shape):
    rng = np.random.default_rng(1)
    # singular values from 1 to 0.01
    u, _, v = np.linalg.svd(rng.normal(size=(np.prod(shape[:3]), shape[3])), full_matrices=False)
    gradient = (u * np.geomspace(1, 0.01, len(v))) @ v
    kernel = kernel_of(np.zeros(shape, "float32"))
    ConvolutionalMuon(1.0, weight_decay=0.0).apply(
        [gradient.reshape(shape).astype("float32")], [kernel]
    )
    update = -np.asarray(kernel.value).reshape(-1, shape[-1])
    values = np.linalg.svd(update, compute_uv=False)
    assert values.max() < 2 * values.min()  # those of the gradient differ by a factor of 100
    # in the same directions
    aligned = u.T @ update @ v.T
    assert np.abs(aligned - np.diag(np.diag(aligned))).max() < 0.1 * values.max()
    assert np.sqrt(np.mean(np.square(update))) == pytest.approx(0.2, rel=0.2)


def test_only_the_inner_convolutions_of_a_unet_are_orthogonalised():
    network = unet(16, (16, 32))
    optimizer = ConvolutionalMuon()
    optimizer.build(network.trainable_variables)
    by_muon = {
        variable.path
        for variable, velocity in zip(network.trainable_variables, optimizer.adam_velocities)
        if velocity is None
    }
    inner = {
        layer.kernel.path
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2D) and min(layer.kernel.shape[2:]) >= FEWEST_CHANNELS
    }
    assert by_muon == inner and len(inner) > 10
