"""The quality of generated images: KID, its features, and the nearest training images."""

from diffusion_lab.metrics.features import encode, flower_features, inception_features
from diffusion_lab.metrics.kid import (
    KID,
    KIDEstimate,
    kernel_inception_distance,
    kid_with_standard_error,
    polynomial_kernel,
)
from diffusion_lab.metrics.neighbours import (
    Memorisation,
    measure_memorisation,
    nearest_training_neighbours,
)

__all__ = [
    "KID",
    "KIDEstimate",
    "Memorisation",
    "encode",
    "flower_features",
    "inception_features",
    "kernel_inception_distance",
    "kid_with_standard_error",
    "measure_memorisation",
    "nearest_training_neighbours",
    "polynomial_kernel",
]
