"""KID, the kernel inception distance between generated and real images, in feature space.

It is the squared maximum mean discrepancy (MMD) between two sets of features under the kernel (x .
y / d + 1)^3 (Binkowski et al. 2018, "Demystifying MMD GANs"). Its estimate is unbiased for any
number of images. So if both sets have the same distribution, it scatters around 0 and can be
negative. Values measured with different features, or with InceptionV3 at different image sizes, are
on different scales and must not be compared.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops
from threadpoolctl import ThreadpoolController

from diffusion_lab.backend import to_numpy_or_none
from diffusion_lab.errors import UserError

# After a matrix product, NumPy's threads keep their cores busy waiting for another one, and slow
# down the network that encodes the next images. A small product needs only one thread.
_BLAS, MANY = ThreadpoolController(), 4096


def polynomial_kernel(a, b):
    """Returns (a . b / d + 1)^3 for all pairs of rows: (n, d) and (m, d) give (n, m).

    For two NumPy arrays it uses NumPy, in their precision, and for tensors `keras.ops`. Binkowski
    et al. 2018, section 4.
    """
    xp = np if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) else ops
    base = xp.matmul(a, xp.transpose(b)) / a.shape[-1] + 1.0
    return base * base * base  # NumPy's ** 3 takes a logarithm


def kernel_inception_distance(real_features, generated_features):
    """Returns the unbiased estimate of the squared MMD (Gretton et al. 2012, equation 3).

        mean of k(x_i, x_j), i != j  +  mean of k(y_i, y_j), i != j  -  2 * mean of k(x_i, y_j)

    The three means can be a thousand times larger than their combination, so concrete features are
    compared in float64, with the same result on every backend and device; inside a compiled graph
    the precision is float32.

    Args:
        real_features: (n, d), n at least 2.
        generated_features: (m, d), m at least 2.

    Returns:
        A float, or a float32 scalar tensor inside a compiled graph. Negative values are valid.

    Raises:
        UserError: if a set is not 2-D, has fewer than two rows or contains NaN or infinity, or if
            the widths differ.
    """
    real, generated, xp = checked_features(real_features, generated_features)
    with _BLAS.limit(limits=1 if xp is np and len(real) <= MANY else None, user_api="blas"):
        return (
            _mean_within(real, xp)
            + _mean_within(generated, xp)
            - 2 * xp.mean(polynomial_kernel(real, generated))
        )


def _mean_within(features, xp):
    """Returns the mean kernel over all pairs of two different rows.

    `xp` is the module to compute with: numpy or keras.ops.
    """
    kernel = polynomial_kernel(features, features)
    count = xp.sum(xp.ones_like(kernel[0]))  # a float, also in a graph with unknown batch size
    return (xp.sum(kernel) - xp.trace(kernel)) / (count * (count - 1))


def checked_features(*feature_sets):
    """Returns the sets as float64 arrays and numpy, or as float32 tensors and keras.ops.

    The latter is for a compiled graph.
    """
    values = [to_numpy_or_none(features) for features in feature_sets]
    concrete = all(value is not None for value in values)
    sets = (
        [np.asarray(v, np.float64) for v in values]
        if concrete
        else [ops.cast(f, "float32") for f in feature_sets]
    )
    for features in sets:
        shape = tuple(features.shape)
        if len(shape) != 2 or (shape[0] is not None and shape[0] < 2):
            raise UserError(
                "Features must have the shape (n, d) with n at least 2, but these have the shape"
                f" {shape}."
            )
        if concrete and not np.isfinite(features).all():
            raise UserError(
                "The features contain NaN or infinity: look for these in the images that they were"
                " computed from."
            )
    if sets[0].shape[1] != sets[1].shape[1]:
        raise UserError(
            f"The two sets have {sets[0].shape[1]} and {sets[1].shape[1]} features per image: "
            "compute both with the same feature extractor."
        )
    return *sets, np if concrete else ops


class KIDEstimate(NamedTuple):
    """A KID and its standard error: how much it would vary with new samples."""

    value: float
    standard_error: float


def kid_with_standard_error(
    real_features, generated_features, method="subset", repeats=None, seed=0
):
    """Returns KID with a standard error, which tells how much of a difference may be chance.

    Both methods average the KID of `repeats` smaller parts of the two sets.

    * "subset" (default, 50 repeats): random halves of both sets. Halves overlap, so the spread of
      their KID divided by sqrt(repeats) would only measure how many halves were taken. The
      correct standard error is the delete-d jackknife: the spread among halves, which estimates
      that of the whole sets (Shao & Wu 1989, "A general theory for jackknife variance
      estimation"). If KID is near 0, this error may be up to twice too large.
    * "block" (10 repeats): disjoint blocks. They are independent, so the standard error is their
      spread divided by sqrt(repeats) (Zaremba et al. 2013, "B-tests"). This is faster, and also
      correct near 0, but the KID is less precise, because rows of different blocks are never
      compared.

    Args:
        real_features: as in `kernel_inception_distance`.
        generated_features: as in `kernel_inception_distance`.
        method: "subset" or "block".
        repeats: number of parts; by default that of the method.
        seed: of the random parts.

    Returns:
        A `KIDEstimate`.

    Raises:
        UserError: as `kernel_inception_distance`, or if the method is unknown or the sets are too
            small for it.
    """
    real, generated, _ = checked_features(real_features, generated_features)
    if method not in ("subset", "block"):
        raise UserError(
            f'Unknown method {method!r} for the standard error of KID: use "subset" or "block".'
        )
    repeats = repeats or {"subset": 50, "block": 10}[method]
    smallest = 4 if method == "subset" else 2 * repeats
    if repeats < 2 or min(len(real), len(generated)) < smallest:
        raise UserError(
            f'The method "{method}" with {repeats} repeats needs two repeats or more and at least'
            f" {smallest} real and generated images, but there are {len(real)} and"
            f" {len(generated)}."
        )
    rng = np.random.default_rng(seed)
    if method == "block":
        parts = [
            np.array_split(rng.permutation(features), repeats) for features in (real, generated)
        ]
        values = [kernel_inception_distance(*pair) for pair in zip(*parts)]
        return KIDEstimate(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(repeats)))
    halves = [
        [rng.choice(x, len(x) // 2, replace=False) for x in (real, generated)]
        for _ in range(repeats)
    ]
    values = [kernel_inception_distance(*pair) for pair in halves]
    # the variance among halves, plus 1 / repeats of it because there are only a few halves
    return KIDEstimate(
        float(np.mean(values)), float(np.std(values, ddof=1) * np.sqrt(1 + 1 / repeats))
    )


class KID(keras.metrics.Mean):
    """KID as a Keras metric: the average of the KID of each batch.

    That average is as unbiased as the KID of the whole set. A batch in which one of the two sets
    has a single image is skipped.

    Args:
        feature_extractor: from `inception_features` or `flower_features`; its name becomes part of
            the metric's ("kid_75", "kid_299", "kid_flowers"), because KID has a different scale
            with each.
        real_features: (n, d); features of real images, computed once (by `encode`), with which
            every generated batch is compared. Without them, `update_state` compares with the real
            images that it receives.
    """

    def __init__(self, feature_extractor, real_features=None, name=None):
        super().__init__(
            name=name or "kid_" + feature_extractor.name.removeprefix("inception_"), dtype="float32"
        )
        # hidden in a function, because a model saves every network that it finds in its metrics
        self._encode = lambda images: ops.cast(feature_extractor(images), "float32")
        self._real_features = None
        if real_features is not None:
            real, _, _ = checked_features(real_features, real_features)
            self._real_features = ops.convert_to_tensor(real, "float32")
            self._real_mean = float(_mean_within(real, np))

    def update_state(self, real_images, generated_images, sample_weight=None):
        """Adds the KID of one batch of images (B, H, W, C), in [0, 1].

        Raises:
            UserError: if a sample weight is given; KID has none.
        """
        if sample_weight is not None:
            raise UserError(
                "KID compares sets of images and cannot weight one image: leave sample_weight out."
            )
        generated = self._encode(generated_images)
        if self._real_features is None:
            real = self._encode(real_images)
            real_mean = _mean_within(real, ops)
        else:
            real, real_mean = self._real_features, self._real_mean
        kid = (
            real_mean
            + _mean_within(generated, ops)
            - 2 * ops.mean(polynomial_kernel(real, generated))
        )
        enough = ops.minimum(ops.shape(real)[0], ops.shape(generated)[0]) > 1
        super().update_state(ops.where(enough, kid, 0.0), sample_weight=ops.cast(enough, "float32"))
