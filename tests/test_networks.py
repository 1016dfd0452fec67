"""The networks: sizes, shapes and initial values, and cloning, saving and loading by Keras."""

import math

import keras
import numpy as np
import pytest

from diffusion_lab.errors import UserError
from diffusion_lab.networks import attention_unet, energy_network, plain_cnn, residual_unet, unet
from diffusion_lab.networks.blocks import (
    GroupNormalization,
    NoiseEmbedding,
    PixelAttention,
    TimestepEmbedding,
    attention_block,
)

IMAGE_SIZE = 8


def tiny_plain_cnn(**sizes):
    return plain_cnn(
        **{"image_size": IMAGE_SIZE, "width": 6, "depth": 2, "embedding_dims": 8, **sizes}
    )


def tiny_residual_unet(**sizes):
    sizes = {
        "image_size": IMAGE_SIZE,
        "widths": (4, 6, 8),
        "block_depth": 1,
        "embedding_dims": 8,
        **sizes,
    }
    return residual_unet(**sizes)


def tiny_attention_unet(**sizes):
    return attention_unet(
        **{
            "image_size": IMAGE_SIZE,
            "base_channels": 4,
            "channel_multipliers": (1, 2),
            "attention_levels": (False, True),
            "num_res_blocks": 1,
            "groups": 2,
            **sizes,
        }
    )


def tiny_energy_network():
    return energy_network(image_size=IMAGE_SIZE, channels=3, widths=(4, 6), dense_width=5)


CONTINUOUS = [tiny_plain_cnn, tiny_residual_unet]
DENOISERS = [*CONTINUOUS, tiny_attention_unet]
BUILDERS = [*DENOISERS, tiny_energy_network]


def inputs_for(network, batch=3, seed=0):
    """Returns images, and noise variances or timesteps, as this network takes."""
    generator = np.random.default_rng(seed)
    second = {
        "noise_variances": generator.uniform(size=(batch, 1, 1, 1)).astype("float32"),
        "t": generator.integers(0, 1000, size=batch),
    }
    images = generator.normal(size=(batch, *network.inputs[0].shape[1:])).astype("float32")
    return images if len(network.inputs) == 1 else [images, second[network.inputs[1].name]]


def run(network, inputs):
    return keras.ops.convert_to_numpy(network(inputs, training=False))


def perturb(network, seed=0):
    """Sets random weights everywhere.

    At the start the last layers are zero and hide everything in front of them.
    """
    generator = np.random.default_rng(seed)
    network.set_weights([w + 0.3 * generator.uniform(size=w.shape) for w in network.get_weights()])
    return network


@pytest.mark.parametrize("build, count", [(residual_unet, 1_953_507), (attention_unet, 63_200_387)])
def test_parameter_counts_of_the_source(build, count):
    assert build().count_params() == count


@pytest.mark.parametrize(
    "build, count",
    [
        # convolutions (3·3·inputs·filters + filters), four BatchNorm numbers per filter, and the
        # 1 × 1 convolution
        (plain_cnn, (9 * 35 * 64 + 64) + 9 * (9 * 64 * 64 + 64) + 10 * 4 * 64 + (64 * 3 + 3)),
        (
            energy_network,
            (25 * 16 + 16)
            + (9 * 16 * 32 + 32)
            + (9 * 32 * 64 + 64)
            + (9 * 64 * 64 + 64)
            + (4 * 64 * 64 + 64)
            + (64 + 1),
        ),
    ],
)
def test_parameter_counts_by_hand(build, count):
    assert build().count_params() == count


def test_bilinear_upsampling_has_the_same_weights_and_another_output():
    nearest, bilinear = tiny_residual_unet(), tiny_residual_unet(upsampling="bilinear")
    assert nearest.count_params() == bilinear.count_params()
    perturb(nearest)
    bilinear.set_weights(nearest.get_weights())
    assert (
        np.abs(run(nearest, inputs_for(nearest)) - run(bilinear, inputs_for(nearest))).max() > 1e-3
    )


@pytest.mark.parametrize("build", DENOISERS)
def test_output_has_the_shape_of_the_images_and_starts_at_zero(build):
    network = build()
    images, second = inputs_for(network)
    output = run(network, [images, second])
    assert output.shape == images.shape
    assert not output.any()


@pytest.mark.parametrize("build", DENOISERS)
@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(build, channels):
    network = build(channels=channels)
    assert run(network, inputs_for(network)).shape == (3, IMAGE_SIZE, IMAGE_SIZE, channels)


def test_energy_is_one_number_per_image_and_differs_between_images():
    network = tiny_energy_network()
    energies = run(network, inputs_for(network))
    assert energies.shape == (3, 1)
    assert np.ptp(energies) > 1e-4


@pytest.mark.parametrize("build", BUILDERS)
def test_clone_save_and_load(build, tmp_path):
    network = perturb(build())
    expected = run(network, inputs_for(network))

    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    np.testing.assert_array_equal(run(clone, inputs_for(network)), expected)

    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(run(loaded, inputs_for(network)), expected)

    network.save_weights(tmp_path / "network.weights.h5")
    rebuilt = build()
    rebuilt.load_weights(tmp_path / "network.weights.h5")
    np.testing.assert_array_equal(run(rebuilt, inputs_for(network)), expected)


@pytest.mark.parametrize("build", DENOISERS)
def test_the_noise_level_changes_the_output(build):
    network = perturb(build())
    images, second = inputs_for(network)
    difference = run(network, [images, second]) - run(network, [images, second[::-1]])
    assert np.abs(difference[0]).max() > 1e-3
    # the middle one kept its own, and examples do not mix
    assert np.abs(difference[1]).max() < 1e-6


@pytest.mark.parametrize("build", BUILDERS)
def test_mixed_precision_is_finite_and_returns_float32(build):
    # set here and not for the whole file, because the policy is read while a network is built
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build()
    finally:
        keras.config.set_dtype_policy(before)
    assert any(layer.compute_dtype == "bfloat16" for layer in network.layers)
    full = build()
    full.set_weights(perturb(network).get_weights())
    output = network(inputs_for(network), training=False)
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    output, expected = keras.ops.convert_to_numpy(output), run(full, inputs_for(network))
    # bfloat16 keeps 8 bits
    np.testing.assert_allclose(output, expected, atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize("build", BUILDERS)
def test_gradients_reach_every_weight(build):
    """One step of SGD changes all trainable weights, once the zeros at the ends are perturbed."""
    network = perturb(build())
    network.compile(keras.optimizers.SGD(1.0), "mse")
    before = network.get_weights()
    inputs = inputs_for(network)
    target = np.ones((3, *network.output_shape[1:]), "float32")
    network.train_on_batch(inputs, target)
    unmoved = [
        variable.path
        for variable, old in zip(network.weights, before)
        if variable.trainable and np.array_equal(keras.ops.convert_to_numpy(variable), old)
    ]
    # softmax does not depend on what all keys have in common, so the gradient of the key's bias is
    # only a rounding error
    assert all("bias" in path for path in unmoved) and len(unmoved) <= 4


def test_noise_embedding_equals_its_formula():
    variances = np.array([0.0, 0.25, 1.0], "float32").reshape(-1, 1, 1, 1)
    embedding = keras.ops.convert_to_numpy(NoiseEmbedding(32)(variances))
    assert embedding.shape == (3, 1, 1, 32)
    frequencies = [1000 ** (k / 15) for k in range(16)]  # from 1 to 1000, a constant factor apart
    for row, variance in zip(embedding[:, 0, 0], (0.0, 0.25, 1.0)):
        angles = [2 * math.pi * frequency * variance for frequency in frequencies]
        expected = [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
        # an angle of 6,283 has three decimals in float32
        np.testing.assert_allclose(row, expected, atol=2e-3)


def test_timestep_embedding_equals_its_formula():
    embedding = keras.ops.convert_to_numpy(TimestepEmbedding(8)(np.array([0, 7, 999])))
    assert embedding.shape == (3, 1, 1, 8)
    for row, t in zip(embedding[:, 0, 0], (0, 7, 999)):
        angles = [t * 10_000 ** (-k / 3) for k in range(4)]
        expected = [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
        np.testing.assert_allclose(row, expected, atol=2e-4)


def test_pixel_attention_equals_its_formula():
    generator = np.random.default_rng(0)
    query, key, value = (generator.normal(size=(2, 2, 3, 4)) for _ in range(3))
    flat_query, flat_key, flat_value = (x.reshape(2, 6, 4) for x in (query, key, value))
    scores = np.exp(flat_query @ flat_key.transpose(0, 2, 1) / 2.0)  # √4 = 2
    expected = (scores / scores.sum(-1, keepdims=True) @ flat_value).reshape(query.shape)
    actual = PixelAttention()(*(x.astype("float32") for x in (query, key, value)))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(actual), expected, atol=1e-5)


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_group_normalization_is_that_of_keras(dtype, tolerance):
    images = keras.ops.cast(7 + 3 * np.random.default_rng(0).normal(size=(2, 5, 4, 6)), dtype)
    ours, theirs = (
        layer(groups=3, dtype=dtype)
        for layer in (GroupNormalization, keras.layers.GroupNormalization)
    )
    for layer in (ours, theirs):
        layer.build(images.shape)
        layer.set_weights([np.linspace(0.5, 2, 6), np.linspace(-1, 1, 6)])
    results = [
        keras.ops.convert_to_numpy(keras.ops.cast(layer(images), "float32"))
        for layer in (ours, theirs)
    ]
    np.testing.assert_allclose(*results, atol=3 * tolerance)
    assert keras.backend.standardize_dtype(ours(images).dtype) == dtype
    # rounding must make no variance negative
    flat = keras.ops.ones((1, 3, 3, 1)) * keras.ops.linspace(900.3, 1000.7, 50)
    assert np.isfinite(keras.ops.convert_to_numpy(GroupNormalization(50)(flat))).all()


def test_attention_block_starts_as_the_identity():
    """A residual of the *normalised* input, the mistake of the source, fails here."""
    x = keras.Input((4, 4, 8))
    block = keras.Model(x, attention_block(x, groups=2))
    images = 5 + 3 * np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype("float32")
    np.testing.assert_array_equal(run(block, images), images)
    perturb(block)
    assert np.abs(run(block, images) - images).max() > 0.1


def test_attention_unet_halves_at_every_level_even_if_widths_repeat():
    network = tiny_attention_unet(
        channel_multipliers=(1, 1, 1), attention_levels=(False, False, True)
    )
    sizes = {
        layer.output.shape[1] for layer in network.layers if isinstance(layer, keras.layers.Conv2D)
    }
    assert sizes == {IMAGE_SIZE, IMAGE_SIZE // 2, IMAGE_SIZE // 4}


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: residual_unet(image_size=50), "multiple of 8.*48 or 56"),
        (lambda: attention_unet(image_size=4), "multiple of 8.*choose 8"),
        (lambda: plain_cnn(image_size=0), "image_size must be a whole number of at least 1"),
        (lambda: energy_network(image_size=-3), "image_size must be a whole number of at least 1"),
        (lambda: tiny_residual_unet(embedding_dims=7), "even number"),
        (lambda: tiny_attention_unet(attention_levels=(True,)), "attention_levels"),
        (lambda: tiny_attention_unet(groups=3), "multiples of 3"),
        (lambda: unet(widths=(10, 20)), "widths 10,20 must be multiples of 8"),
        (lambda: unet(widths=(4,)), "widths 4 must be multiples of 8"),
        (lambda: unet(widths=()), "no widths"),
        (
            lambda: unet(widths=(8, -8)),
            "width of a level must be a whole number of at least 1, but it is -8",
        ),
        (lambda: residual_unet(widths=(32, 0)), "width of a level must"),
        (lambda: residual_unet(widths=(32.5, 64)), "width of a level must"),
        (lambda: plain_cnn(width=10**9), "at most"),
        (lambda: plain_cnn(image_size=10**9), "at most"),
        (lambda: energy_network(widths=("8",)), "width of a level must"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(build, message):
    with pytest.raises(UserError, match=message):
        build()
