"""Measurements of speed and quality, each a command: `python -m benchmarks.speed`, `.quality`, `.recipes`, `.grading`, `.gpu`."""

import diffusion_lab  # noqa: F401  silences TensorFlow's start before Keras starts it
