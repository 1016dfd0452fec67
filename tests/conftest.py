"""What several tests share: a tiny network, and a cache of their own for data sets."""

import atexit
import os
import shutil
import sys
import tempfile

# before anything reads them: tests neither fill nor trust the cache of the person who runs them, and labs are small
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers share the cache of the process that started them
    os.environ["DIFFUSION_LAB_CACHE"] = tempfile.mkdtemp(prefix="diffusion-lab-tests-")
    atexit.register(shutil.rmtree, os.environ["DIFFUSION_LAB_CACHE"], ignore_errors=True)
os.environ.setdefault("DIFFUSION_LAB_PROFILE", "smoke")

import pytest  # noqa: E402

import diffusion_lab  # noqa: E402, F401  silences TensorFlow's start before Keras starts it

if sys.platform == "win32":  # there is no grading there, and the modules that limit a process do not exist
    collect_ignore = ["test_defences.py", "test_grading.py", "test_hostile.py", "test_quality.py", "test_reaching.py", "test_sandbox.py"]


@pytest.fixture
def tiny_config():
    """The default model with the smallest network that can learn something, to train in a second."""
    from diffusion_lab.models.config import ModelConfig

    return ModelConfig(network="plain_cnn", network_arguments={"image_size": 8, "width": 8, "depth": 2})
