"""Measures the KID of a model during training."""

from functools import cached_property

from diffusion_lab.errors import UserError
from diffusion_lab.metrics.features import encode, flower_features
from diffusion_lab.metrics.kid import kernel_inception_distance, kid_with_standard_error
from diffusion_lab.models.generating import generate_in_batches


class ValidationKID:
    """Measures the KID between a model's images and real images, with the flower features.

    The features of the real images are computed once, when they are first needed.

    Args:
        real_images: (N, H, W, C).
        steps: diffusion steps of the generated images.

    Raises:
        UserError: for fewer than two real images.
    """

    def __init__(self, real_images, steps):
        if len(real_images) < 2:
            raise UserError(
                "There are too few validation images to measure KID: add images until there are 20"
                " or more."
            )
        self.real_images, self.steps = real_images, steps

    def __call__(self, model, seed=0):
        return kernel_inception_distance(self.real_features, self._features(model, seed))

    def with_standard_error(self, model, seed=0):
        """Returns a `KIDEstimate`: the KID and its standard error."""
        return kid_with_standard_error(self.real_features, self._features(model, seed))

    def encode(self, images):
        return encode(self.extractor, images)

    def _features(self, model, seed):
        return self.encode(generate_in_batches(model, len(self.real_images), self.steps, seed))

    @cached_property
    def extractor(self):
        return flower_features()

    @cached_property
    def real_features(self):
        return self.encode(self.real_images)
