"""A process with TensorFlow's default settings, without those of `import diffusion_lab`."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor


def plain_tensorflow():
    """Returns an executor with one such process, which keeps its models between calls."""
    return ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=_import_tensorflow
    )


def _import_tensorflow():
    import diffusion_lab  # noqa: F401  keeps the import below quiet

    os.environ.pop("TF_ENABLE_ONEDNN_OPTS")
    import tensorflow  # noqa: F401  reads the environment only once, now
