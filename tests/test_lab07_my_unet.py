"""Lab 07 trains the network of a student's own notebook of lab 05."""

import json
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from keras import ops

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.source import read_source
from diffusion_lab.labs.lab07.my_unet import network_of_lab_05
from diffusion_lab.models.config import ModelConfig

ROOT = Path(__file__).parents[1]
SIZES = {"image_size": 8, "widths": (8, 16), "block_depth": 1}


@pytest.fixture
def notebook(tmp_path):
    """Returns a function that writes the solved notebook of lab 05 with some text replaced."""

    def write(old="", new=""):
        text = (ROOT / "solutions" / "05_unet.ipynb").read_text(encoding="utf-8")
        assert old in text
        path = tmp_path / "05_unet.ipynb"
        path.write_text(text.replace(old, new) if old else text, encoding="utf-8")
        return path

    return write


def test_the_network_is_that_of_the_functions_in_the_notebook(notebook):
    path = notebook('activation=\\"swish\\")(x)', 'activation=\\"relu\\")(x)')
    activations = {
        layer.activation.__name__
        for layer in network_of_lab_05(**SIZES, path=path).layers
        if layer.name.startswith("conv2d")
    }
    assert "relu" in activations and "silu" not in activations


def test_only_imports_and_functions_run(notebook):
    path = notebook()
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cells"] += [
        {"cell_type": "code", "source": ["raise SystemExit('the whole notebook ran')"]},
        {"cell_type": "code", "source": "%matplotlib inline"},
    ]
    path.write_text(json.dumps(content), encoding="utf-8")
    times = ops.convert_to_tensor(np.full((2, 1, 1, 1), 0.5, "float32"))
    images = ops.zeros((2, 8, 8, 3))
    assert network_of_lab_05(**SIZES, path=path)([images, times]).shape == (2, 8, 8, 3)


def test_without_the_notebook_there_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="05_unet.ipynb is not in the folder .* upload it"):
        network_of_lab_05(**SIZES, path=tmp_path / "05_unet.ipynb")


def test_if_lab_05_was_not_done_the_sentence_names_the_exercise():
    path = ROOT / "notebooks" / "05_unet.ipynb"
    with pytest.raises(UserError, match=r"Exercise 5\.2.*: do the exercises of lab 05"):
        network_of_lab_05(**SIZES, path=path)


def test_another_network_is_refused_because_it_could_not_be_loaded_again(notebook):
    with pytest.raises(UserError, match="do not build the network that lab 05 asks for"):
        network_of_lab_05(
            **SIZES, path=notebook("layers.Conv2D(width, 3", "layers.Conv2D(width, 5")
        )


def test_the_setting_of_lab_07_builds_it_and_describes_it_for_its_file(notebook, monkeypatch):
    monkeypatch.chdir(notebook().parent)
    (cell,) = [
        cell
        for cell in read_source(ROOT / "solutions" / "07_ddim.py").cells
        if "network_of_lab_05(" in cell.source
    ]
    built = MagicMock()  # instead of `new_model`
    space = {
        "network_name": "my_unet",
        "network_arguments": {"widths": (8, 16)},
        "image_size": 8,
        "loss_on": "velocity",
        "ema_decay": 0.9,
        "ModelConfig": ModelConfig,
        "network_of_lab_05": network_of_lab_05,
        "new_model": built,
    }
    others = "keras", "lab", "train", "num_epochs", "learning_rate", "weight_decay"
    exec(cell.source, space | {name: MagicMock() for name in (*others, "ConvolutionalMuon")})
    config, network = built.call_args.args
    shapes = [weight.shape for weight in config.build().network.weights]
    assert [weight.shape for weight in network.weights] == shapes
