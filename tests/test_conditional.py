"""The conditional model: what its network receives, and guidance compared with its formula.

The outputs of the networks are known in advance.
"""

import gc

import keras
import numpy as np
import pytest
from keras import ops

from diffusion_lab.errors import UserError
from diffusion_lab.models.conditional import ConditionalDiffusionModel
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.models.io import load_model, save_model
from diffusion_lab.networks import unet
from diffusion_lab.samplers import SAMPLERS, ddim

NAMES = ("dark", "grey", "bright")
ANSWERS = np.array([-1.0, 0.5, 2.0, 0.25], "float32")  # for each class, and for "none"
SHAPE = (2, 2, 1)
traced = []  # the batch sizes of the network's calls, recorded while a function is compiled


@keras.saving.register_keras_serializable(package="tests")
class AnswerOfLabel(keras.layers.Layer):
    """Returns an image of one grey level, which depends only on the label."""

    def build(self, *shapes):
        self.answers = self.add_weight(
            shape=(4,), initializer=lambda shape, dtype: ops.convert_to_tensor(ANSWERS)
        )

    def call(self, noisy_images, labels):
        traced.append(noisy_images.shape[0])
        return 0.0 * noisy_images + ops.reshape(ops.take(self.answers, labels), (-1, 1, 1, 1))


def oracle(**arguments):
    """Returns a model that predicts `ANSWERS[label]` as the image, without normalisation."""
    noisy_images, variances = keras.Input(SHAPE), keras.Input((1, 1, 1))
    labels = keras.Input((), dtype="int32")
    network = keras.Model([noisy_images, variances, labels], AnswerOfLabel()(noisy_images, labels))
    return ConditionalDiffusionModel(
        network, NAMES, prediction="image", loss_on="image", seed=0, **arguments
    )


def noisy(count=3):
    return ops.convert_to_tensor(
        np.random.default_rng(0).normal(size=(count, *SHAPE)).astype("float32")
    )


def greys(images):
    return ops.convert_to_numpy(images)[:, 0, 0, 0]


RATES = ops.full((3, 1, 1, 1), 0.6), ops.full((3, 1, 1, 1), 0.8)


@pytest.mark.parametrize("guidance", [0, 0.5, 1, 3.0])
def test_guidance_interpolates_and_extrapolates_from_no_label_to_the_label(guidance):
    pred_noises, pred_images = oracle().guided([0, 1, 2], guidance)(noisy(), *RATES)
    np.testing.assert_allclose(
        greys(pred_images), 0.25 + guidance * (ANSWERS[:3] - 0.25), rtol=1e-6
    )
    np.testing.assert_allclose(0.8 * pred_images + 0.6 * pred_noises, noisy(), atol=1e-5)


def test_without_a_label_the_model_is_unconditional():
    model = oracle()
    np.testing.assert_allclose(greys(model.denoise(noisy(), *RATES, training=False)[1]), 0.25)
    np.testing.assert_allclose(greys(model.reverse_diffusion(noisy(), 2)), 0.25, atol=1e-6)
    np.testing.assert_allclose(greys(model.generate(2, 2, seed=0)), 0.25, atol=1e-6)


@pytest.mark.parametrize(
    "labels, expected",
    [
        ("grey", [0.5, 0.5, 0.5]),
        (1, [0.5, 0.5, 0.5]),
        (np.int64(1), [0.5, 0.5, 0.5]),
        (["bright", "grey", 1], [2, 0.5, 0.5]),
        (np.array([1, 0, 2]), [0.5, -1, 2]),
    ],
)
def test_labels_are_names_or_numbers_and_one_or_many(labels, expected):
    np.testing.assert_allclose(greys(oracle().guided(labels, 1)(noisy(), *RATES)[1]), expected)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_follows_the_label(name):
    images = oracle().generate(2, 3, sampler=SAMPLERS[name], seed=0, labels="grey", guidance=2.0)
    np.testing.assert_allclose(greys(images), 0.25 + 2 * 0.25, atol=1e-4)


@pytest.mark.parametrize("labels", ["blue", 3, -1, ["grey", "blue"], 1.5, [None]])
def test_an_unknown_label_lists_the_known_ones(labels):
    with pytest.raises(UserError, match="choose one of dark, grey, bright"):
        oracle().guided(labels)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"guidance": float("nan")}, "guidance must be in"),
        ({"guidance": float("inf")}, "guidance must be in"),
        ({"guidance": 1e30}, "guidance must be in"),
        ({"guidance": "2"}, "guidance must be in"),
        ({"labels": [0, 1]}, "There are 2 label"),
        ({"sampler": "dim"}, "There is no sampler 'dim'"),
        ({"sampler": "heun", "eta": 1}, "unexpected keyword argument 'eta'"),
    ],
)
def test_impossible_requests_get_one_sentence(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        oracle().generate(3, 2, **{"labels": "grey"} | arguments)


@pytest.mark.parametrize("guidance, batch", [(0, 3), (1.0, 3), (2.0, 6)])
def test_guidance_calls_the_network_once_and_doubles_the_batch_except_at_0_and_1(guidance, batch):
    denoise = oracle().guided("grey", guidance)
    traced.clear()
    denoise(noisy(), *RATES)
    assert traced == [batch]


def test_other_labels_and_guidance_do_not_recompile():
    if keras.backend.backend() == "torch":  # on torch, nothing is compiled
        return
    model = oracle()
    model.guided("dark", 2.0)(noisy(), *RATES)
    traced.clear()
    model.guided([2, 1, 0], 3.5)(noisy(), *RATES)
    assert traced == []


def test_a_guided_denoise_keeps_its_model():
    denoise = oracle().guided("grey")
    gc.collect()
    assert greys(
        ddim(denoise, lambda times: (times, ops.sqrt(1 - times**2)), noisy(), steps=2)
    ).shape == (3,)


def test_training_drops_a_share_of_the_labels_and_evaluation_none():
    model = oracle(label_dropout=0.25)
    inputs = {"images": np.zeros((4096, *SHAPE), "float32"), "labels": np.full(4096, 2)}
    predicted = greys(model(inputs, training=True)["image"][1])
    assert set(predicted) == {2.0, 0.25}
    assert np.mean(predicted == 0.25) == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 4096) ** 0.5)
    assert set(greys(model(inputs, training=False)["image"][1])) == {2.0}


def test_training_learns_each_class_and_without_a_label_their_mean():
    """The mean squared error is least for the mean image of the class.

    Without a label, it is least for the mean of all images.
    """
    model = oracle(label_dropout=0.5)
    rate = keras.optimizers.schedules.CosineDecay(0.05, 40 * 512 // 64)  # ends without noise
    model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=False)
    labels = np.random.default_rng(0).integers(3, size=512)
    images = np.array([0.1, 0.4, 0.7], "float32")[labels].reshape(-1, 1, 1, 1) * np.ones(
        (1, *SHAPE), "float32"
    )
    model.fit({"images": images, "labels": labels}, batch_size=64, epochs=40, verbose=0)
    learned = model.network.get_weights()[0]
    np.testing.assert_allclose(learned, [0.1, 0.4, 0.7, images.mean()], atol=0.02)
    np.testing.assert_allclose(model.ema_network.get_weights()[0], learned, atol=0.02)


def test_a_unet_uses_its_labels():
    network = unet(image_size=4, widths=(8,), num_classes=3)
    rng = np.random.default_rng(0)
    network.set_weights(
        [weight + 0.1 * rng.normal(size=weight.shape) for weight in network.get_weights()]
    )
    answers = network(
        [
            ops.repeat(noisy(1)[:, :1, :1], 4, 0) * ops.ones((4, 4, 4, 3)),
            0.5 * ops.ones((4, 1, 1, 1)),
            ops.arange(4),
        ]
    )
    differences = ops.convert_to_numpy(answers[1:] - answers[:1])
    assert (np.abs(differences).max(axis=(1, 2, 3)) > 1e-3).all()
    assert len(unet(image_size=4, widths=(8,)).inputs) == 2


def test_a_saved_model_keeps_its_labels(tmp_path):
    config = ModelConfig(network_arguments={"image_size": 4, "widths": (8,)}, class_names=NAMES)
    model = config.build(seed=0)
    rng = np.random.default_rng(0)
    model.ema_network.set_weights(
        [w + 0.1 * rng.normal(size=w.shape) for w in model.ema_network.get_weights()]
    )
    save_model(model, tmp_path / "model.weights.h5", {"data": "greys"})
    loaded, origin = load_model(tmp_path / "model.weights.h5")
    assert origin == {"data": "greys"} and loaded.class_names == NAMES
    ours, theirs = (
        either.denoise_labelled(ops.ones((3, 4, 4, 3)), *RATES, ops.arange(3))
        for either in (model, loaded)
    )
    np.testing.assert_allclose(ours[0], theirs[0], atol=2e-2)  # the file is float16
    assert np.abs(theirs[0][0] - theirs[0][1]).max() > 1e-3


def test_a_network_without_labels_is_refused():
    with pytest.raises(UserError, match="takes no labels"):
        ModelConfig("plain_cnn", {"image_size": 4}, class_names=NAMES).build()
