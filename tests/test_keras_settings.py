"""An old keras.json has no effect, or one sentence says why Keras cannot start."""

import importlib
import json
import sys
from types import SimpleNamespace

import keras
import pytest

from diffusion_lab.commands import doctor
from diffusion_lab.errors import UserError, about_backend
from diffusion_lab.startup.quiet import QuietImport, keras_settings, use_course_settings


@pytest.fixture
def keras_json(tmp_path, monkeypatch):
    """Returns a function that writes text or settings to the file that Keras reads."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def write(content):
        (tmp_path / "keras.json").write_text(
            content if isinstance(content, str) else json.dumps(content)
        )

    return write


@pytest.fixture
def report(monkeypatch):
    """Returns the part of doctor's report about this file."""
    monkeypatch.setattr(
        doctor, "SECTIONS", {"Keras's settings": doctor.SECTIONS["Keras's settings"]}
    )
    return doctor.examine


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"floatx": "float16"},
        {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 1e-7},
        {"backend": "theano"},
        "{",
        "",
    ],
)
def test_valid_settings_are_accepted(content, keras_json):
    keras_json(content)
    assert keras_settings() == (content if isinstance(content, dict) else {})


@pytest.mark.parametrize(
    "content, sentence",
    [
        ({"floatx": "bfloat16"}, "floatx is 'bfloat16'"),
        ({"floatx": None}, "floatx is None"),
        ({"image_data_format": "NHWC"}, "image_data_format is 'NHWC'"),
        ({"epsilon": 1}, "epsilon is 1"),
        ("[1]", r"\[1\]"),
    ],
)
def test_settings_with_which_keras_cannot_start_are_one_sentence_everywhere(
    content, sentence, keras_json, report
):
    keras_json(content)
    with pytest.raises(UserError, match=f"keras.json .*{sentence}.*delete this file"):
        keras_settings()
    (finding,) = report()
    assert (
        "delete this file" in finding.advice and "Install Diffusion Lab again" not in finding.advice
    )


def test_no_settings_file_is_fine(tmp_path, monkeypatch, report):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert keras_settings() == {} and report() == []


def test_doctor_reports_settings_that_the_course_ignores(keras_json, report):
    keras_json({"floatx": "float64", "image_data_format": "channels_first"})
    (finding,) = report()
    assert (
        finding.finding == "floatx float64, image_data_format channels_first"
        and "keras.json" in finding.advice
    )


def test_keras_computes_as_the_course_needs_it():
    try:
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        keras.config.set_image_data_format("channels_first")
        use_course_settings(keras)
        assert (
            keras.layers.Dense(1).dtype == "float32"
            and keras.layers.Conv2D(1, 1).data_format == "channels_last"
        )
        keras.config.set_dtype_policy("mixed_bfloat16")
        use_course_settings(keras)
        assert keras.config.dtype_policy().name == "mixed_bfloat16", "an explicit choice is kept"
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")


def test_an_import_can_be_refused_before_and_completed_after(tmp_path, monkeypatch):
    (tmp_path / "imported_once.py").write_text("value = 1")
    monkeypatch.syspath_prepend(tmp_path)
    refusals = [UserError("not now")]

    def before():
        if refusals:
            raise refusals.pop()

    monkeypatch.setattr(
        sys,
        "meta_path",
        [
            QuietImport("imported_once", before, lambda module: setattr(module, "value", 2)),
            *sys.meta_path,
        ],
    )
    with pytest.raises(UserError, match="not now"):
        importlib.import_module("imported_once")
    assert importlib.import_module("imported_once").value == 2
    del sys.modules["imported_once"]


@pytest.mark.parametrize(
    "error", [SimpleNamespace(name="torch"), ValueError("Unable to import backend : theano")]
)
def test_the_error_says_whether_file_or_variable_chose_the_backend(error, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert "keras.json" not in str(about_backend(error))
    monkeypatch.delenv("KERAS_BACKEND")
    assert "keras.json" in str(about_backend(error)) and "KERAS_BACKEND" in str(
        about_backend(error)
    )
