"""Models that are exported to ONNX compute the same, in a quarter or half of the space."""

import json
import re

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from typer.testing import CliRunner

from diffusion_lab.commands.cli import app
from diffusion_lab.errors import UserError
from diffusion_lab.models import export
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.models.io import load_model, save_model

TINY = {"image_size": 8, "widths": (32, 32)}


def written(tmp_path, **options):
    """Returns the path of a small model with random weights, as a training would save it."""
    keras.utils.set_random_seed(1)
    model = ModelConfig("unet", TINY, **options).build(seed=0)
    model.adapt(np.random.default_rng(0).random((8, 8, 8, 3), "float32"))
    for network in (model.network, model.ema_network):
        # the last layer begins with zeros, and so would all outputs
        network.set_weights(
            [np.random.default_rng(1).normal(0, 0.1, w.shape) for w in network.weights]
        )
    save_model(model, tmp_path / "my.weights.h5")
    return tmp_path / "my.weights.h5"


def computed(path, *inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(list(export.OUTPUTS), dict(zip(export.INPUTS, inputs)))


@pytest.mark.parametrize(
    "prediction",
    ["velocity", *(pytest.param(name, marks=pytest.mark.slow) for name in ("noise", "image"))],
)
def test_the_file_computes_what_denoise_computes(tmp_path, prediction):
    weights, out = written(tmp_path, prediction=prediction), tmp_path / "my.onnx"
    result = CliRunner().invoke(app, ["export", str(weights), "--out", str(out)])
    assert "The largest difference from Keras is" in result.output
    model, _ = load_model(weights)
    noisy = np.random.default_rng(2).normal(size=(5, 8, 8, 3)).astype("float32")
    rates = [np.full((5, 1, 1, 1), rate, "float32") for rate in (0.6, 0.8)]
    ours = model.denoise(noisy, *rates, training=False)
    for one, other in zip(computed(out, noisy, *rates), ours):
        np.testing.assert_allclose(one, other, atol=1e-4)
    about = json.loads(out.with_suffix(".json").read_text())
    assert about["prediction"] == prediction and about["schedule"] == "offset_cosine"
    images = np.asarray(model.denormalize(ours[1]))
    decoded = np.array(about["mean"]) + np.array(ours[1]) * np.sqrt(about["variance"])
    np.testing.assert_allclose(np.clip(decoded, 0, 1), images, atol=1e-4)


def test_a_conditional_model_takes_labels(tmp_path):
    model, _ = load_model(written(tmp_path, class_names=("dark", "bright")))
    export.export_onnx(model, tmp_path / "my.onnx")
    noisy = np.random.default_rng(2).normal(size=(4, 8, 8, 3)).astype("float32")
    rates = [np.full((4, 1, 1, 1), rate, "float32") for rate in (0.6, 0.8)]
    labels = np.array([0, 1, 2, 1], "int32")
    ours = model.denoise_labelled(noisy, *rates, labels)
    for one, other in zip(computed(tmp_path / "my.onnx", noisy, *rates, labels), ours):
        np.testing.assert_allclose(one, other, atol=1e-4)
    alike = computed(
        tmp_path / "my.onnx", noisy[[0, 0]], *(rate[:2] for rate in rates), labels[:2]
    )[1]
    assert np.abs(alike[0] - alike[1]).max() > 1e-3, "the label changes the image"
    about = json.loads((tmp_path / "my.json").read_text())
    assert about["class_names"] == ["dark", "bright"]


@pytest.mark.parametrize(
    "array, small",
    [
        (np.array([[-127, 3], [5, 127]]) * np.array([0.25, 0.5]), "int8"),
        (np.array([[-127, 3], [5, 127]]) * np.array([[0.25], [0.5]]), "int8"),
        (np.linspace(-1, 1, 6).astype("float16").reshape(2, 3), "float16"),
        (np.linspace(-1, 1, 6).reshape(2, 3), None),
    ],
)
def test_only_arrays_that_fit_are_stored_in_fewer_bits(array, small):
    factors = export._factors(array.astype("float32"))
    assert (factors and factors[0].dtype) == small
    if factors:
        np.testing.assert_allclose(factors[0] * factors[1], array, atol=1e-7)


@pytest.mark.slow
def test_large_arrays_are_stored_in_8_bits(tmp_path, monkeypatch):
    model, _ = load_model(written(tmp_path))
    export.export_onnx(model, tmp_path / "small.onnx")
    monkeypatch.setattr(export, "_compressed", lambda exported: exported)
    export.export_onnx(model, tmp_path / "large.onnx")
    small, large = (onnx.load(tmp_path / f"{name}.onnx") for name in ("small", "large"))
    sizes = [
        sum(len(array.raw_data) for array in each.graph.initializer) for each in (small, large)
    ]
    assert sizes[0] < 0.5 * sizes[1]


def test_other_kinds_of_models_are_refused_in_one_sentence(tmp_path):
    model, _ = load_model("flowers32_ddpm")
    with pytest.raises(UserError, match="Only models with a continuous time"):
        export.export_onnx(model, tmp_path / "my.onnx")


@pytest.mark.parametrize("name, sentence", [("my.json", "such as .*my.onnx"), (".", "is a folder")])
def test_a_wrong_name_is_refused_before_anything_is_computed(run, name, sentence, tmp_path):
    status, _, err = run("export", "nowhere.weights.h5", "--out", tmp_path / name)
    assert status == 2 and re.search(sentence, err) and list(tmp_path.iterdir()) == []


def test_another_format_gets_one_sentence(run, tmp_path):
    out = tmp_path / "my.onnx"
    status, _, err = run("export", "nowhere.weights.h5", "--format", "litert", "--out", out)
    assert status == 2 and "no format 'litert': the only one is onnx" in " ".join(err.split())


def test_a_network_that_differs_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_difference", lambda network, exported: 0.5)
    with pytest.raises(UserError, match="differs from the model by 0.5"):
        export.export_onnx(load_model(written(tmp_path))[0], tmp_path / "my.onnx")
    assert not (tmp_path / "my.onnx").exists()
