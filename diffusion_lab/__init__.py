"""Diffusion Lab: learn diffusion models by building one."""

import os

# TensorFlow reads this once, when it is first imported: 3 hides its start-up messages, which Jupyter would show
# in red under a student's first cell.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"
