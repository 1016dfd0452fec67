"""Diffusion Lab: learn diffusion models by building one."""

import os
import sys
from importlib import import_module

from diffusion_lab.startup.code_pages import tolerate_code_pages
from diffusion_lab.startup.quiet import QuietImport, keras_settings, settle

# TensorFlow logs a page while it starts, which Jupyter shows in red under a student's first cell and nbgrader takes
# for a failure. It reads this variable once, for what it logs later; what it logs during the import, it always prints.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow brings the convolutions of oneDNN along, and leaves them off where a processor has no AVX-512: on most
# laptops. They train twice as fast there (docs/benchmarks).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
sys.meta_path[:0] = [QuietImport("tensorflow"), QuietImport("keras", before=keras_settings, after=settle)]
if "keras" in sys.modules:
    settle(sys.modules["keras"])
tolerate_code_pages()

__version__ = "0.1.0"


def __getattr__(name):
    if name in ("checks", "widgets"):  # what notebooks call them; imported when needed
        return import_module(f"diffusion_lab.labs.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
