"""A process whose TensorFlow is as it comes: without the settings that `import diffusion_lab` gives it."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor


def plain_tensorflow():
    """An executor with one such process, which keeps from one call to the next what it has built."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_import_tensorflow)


def _import_tensorflow():
    import diffusion_lab  # noqa: F401  keeps the import below quiet

    os.environ.pop("TF_ENABLE_ONEDNN_OPTS")
    import tensorflow  # noqa: F401  looks at the environment now, and never again
