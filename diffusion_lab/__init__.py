"""Diffusion Lab: learn diffusion models by building one."""

import os
import sys
from importlib import import_module

from diffusion_lab.startup.code_pages import tolerate_code_pages
from diffusion_lab.startup.quiet import QuietImport, keras_settings, use_course_settings

# TensorFlow logs a page while it starts. Jupyter shows it in red under a student's first cell, and
# nbgrader mistakes it for a failure. This variable silences the messages after the import, and
# QuietImport below hides those during the import.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow includes oneDNN's convolutions, but on Linux it disables them on processors without
# instructions for neural networks. With them, training is twice as fast there (docs/benchmarks).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
sys.meta_path[:0] = [
    QuietImport("tensorflow"),
    QuietImport("keras", before=keras_settings, after=use_course_settings),
]
if "keras" in sys.modules:
    use_course_settings(sys.modules["keras"])
tolerate_code_pages()

__version__ = "0.1.0"


def __getattr__(name):
    if name in ("checks", "widgets"):  # what notebooks call them; imported when needed
        return import_module(f"diffusion_lab.labs.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
