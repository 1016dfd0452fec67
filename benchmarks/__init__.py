"""Measures speed and quality.

The commands are `python -m benchmarks.speed`, `.quality`, `.recipes`, `.speedrun`, `.grading`,
`.profile` and `.gpu`.
"""

import diffusion_lab  # noqa: F401  silences TensorFlow's start before Keras starts it
