"""The quality of generated images: KID, FID, precision and recall, nearest training images."""

from diffusion_lab.metrics.features import encode, flower_features, inception_features
from diffusion_lab.metrics.frechet import frechet_inception_distance
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
from diffusion_lab.metrics.precision_recall import precision_recall

__all__ = [
    "KID",
    "KIDEstimate",
    "Memorisation",
    "encode",
    "flower_features",
    "frechet_inception_distance",
    "inception_features",
    "kernel_inception_distance",
    "kid_with_standard_error",
    "measure_memorisation",
    "nearest_training_neighbours",
    "polynomial_kernel",
    "precision_recall",
]
