"""The same code trains, samples, saves and loads under TensorFlow and JAX.

Under JAX, TensorFlow is not imported, and the checks of the labs accept the same answers.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EPOCH = """
import json, sys
if sys.argv[1] == "jax":
    class NoTensorFlow:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "tensorflow":
                raise ImportError("TensorFlow must not be imported here")
    sys.meta_path.insert(0, NoTensorFlow())
import keras, numpy as np
from diffusion_lab.models.config import ModelConfig
from diffusion_lab.models.io import load_model
from diffusion_lab.samplers import ddpm
from diffusion_lab.training import Trainer, TrainingConfig

assert keras.backend.backend() == sys.argv[1]
model = ModelConfig("plain_cnn", {"image_size": 8, "width": 8, "depth": 2})
sizes = {"count": 64, "batch_size": 16, "epochs": 1, "kid_images": 16, "kid_steps": 2}
trainer = Trainer(TrainingConfig(model, **sizes), sys.argv[2])
before = trainer.model.network.get_weights()
untrained = np.asarray(trainer.model.generate(2, 3, seed=0))
model = trainer.fit()
assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(before, model.network.get_weights()))
assert int(model.ema.updates) == 4
images = np.asarray(model.generate(2, 3, seed=0))
assert np.abs(images - untrained).max() > 1e-4, "the compiled sampler kept the old weights"
loaded, _ = load_model(sys.argv[2] + "/model.weights.h5")
np.testing.assert_allclose(np.asarray(loaded.generate(2, 3, seed=0)), images, atol=2e-2)
np.asarray(loaded.generate(2, 3, seed=0, sampler=ddpm))
fixed = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
print(json.dumps(np.asarray(loaded.denormalize(loaded.reverse_diffusion(fixed, 3))).tolist()))
"""


def under(backend):
    return os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}


def one_epoch(backend, folder):
    result = subprocess.run(
        [sys.executable, "-c", EPOCH, backend, str(folder)],
        capture_output=True,
        text=True,
        env=under(backend),
    )
    assert result.returncode == 0, result.stderr
    return np.array(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_one_epoch_under_tensorflow(tmp_path):
    assert np.isfinite(one_epoch("tensorflow", tmp_path)).all()


def test_one_epoch_under_jax_whose_weights_sample_the_same_under_tensorflow(tmp_path):
    from diffusion_lab.models.io import load_model

    images = one_epoch("jax", tmp_path)
    model, _ = load_model(tmp_path / "model.weights.h5")
    fixed = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(
        model.denormalize(model.reverse_diffusion(fixed, 3)), images, atol=1e-4
    )


def test_right_answers_pass_and_the_models_of_lab_00_learn_under_jax():
    # the lab's training step with a tape is TensorFlow's
    chosen = ["-k", "answers_put_in and not train_step or every_family_learns"]
    chosen += ["tests/test_labs.py", "tests/test_lab00.py"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        env=under("jax"),
    )
    assert result.returncode == 0, result.stdout
