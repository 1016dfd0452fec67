"""The discrete formulation of diffusion: DDPM (Ho et al. 2020).

The paper is "Denoising Diffusion Probabilistic Models". A timestep t is an index 0 … T-1, and the
schedule is a set of tables: β_t is the variance of the noise that step t adds, α_t = 1 - β_t, and
ᾱ_t = α_0 · α_1 · … · α_t is the share of the image's variance that remains after step t. In the
continuous formulation, √ᾱ_t is the signal rate and √(1 - ᾱ_t) the noise rate.
"""

import numpy as np
from keras import ops, random

from diffusion_lab.backend import to_numpy_or_none
from diffusion_lab.errors import MOST_STEPS, UserError, whole_number
from diffusion_lab.schedules import checked_times


class GaussianDiffusion:
    """The forward process q and one step of the reverse process p, for a linear β schedule.

    Images `x` have shape (B, H, W, C) and are in [clip_min, clip_max]; timesteps `t` are int64 of
    shape (B,), each 0 … T-1. A method that returns a Gaussian returns `mean, variance,
    log_variance`: the mean in the shape of the images, the others as (B, 1, 1, 1).

    Every method raises UserError for shapes that do not fit, and for timesteps out of range, except
    while a function is being compiled, because then the timesteps have no values yet.
    """

    def __init__(self, beta_start=1e-4, beta_end=0.02, timesteps=1000, clip_min=-1.0, clip_max=1.0):
        if not 0 < beta_start <= beta_end < 1:
            raise UserError(
                f"Betas must satisfy 0 < beta_start <= beta_end < 1, but they are {beta_start} and"
                f" {beta_end}."
            )
        if not clip_min < clip_max:
            raise UserError(
                f"clip_min must be below clip_max, but they are {clip_min} and {clip_max}."
            )
        self.timesteps = timesteps = whole_number("timesteps", timesteps, most=MOST_STEPS)
        self.clip_min, self.clip_max = clip_min, clip_max

        # computed in float64, because a thousand factors near 1 are multiplied;
        # stored in float32, like the networks
        betas = np.linspace(beta_start, beta_end, timesteps, dtype="float64")
        alphas_cumprod = np.cumprod(1 - betas)
        alphas_cumprod_prev = np.append(1.0, alphas_cumprod[:-1])
        posterior_variance = betas * (1 - alphas_cumprod_prev) / (1 - alphas_cumprod)
        self.betas = np.float32(betas)
        self.alphas_cumprod = np.float32(alphas_cumprod)
        self.alphas_cumprod_prev = np.float32(alphas_cumprod_prev)
        self.sqrt_alphas_cumprod = np.float32(np.sqrt(alphas_cumprod))
        self.sqrt_one_minus_alphas_cumprod = np.float32(np.sqrt(1 - alphas_cumprod))
        self.log_one_minus_alphas_cumprod = np.float32(np.log(1 - alphas_cumprod))
        self.sqrt_recip_alphas_cumprod = np.float32(np.sqrt(1 / alphas_cumprod))
        self.sqrt_recipm1_alphas_cumprod = np.float32(np.sqrt(1 / alphas_cumprod - 1))
        self.posterior_variance = np.float32(posterior_variance)
        # The first posterior variance is 0, because the step before it is the image itself, but
        # its logarithm must be finite.
        self.posterior_log_variance_clipped = np.float32(
            np.log(np.maximum(posterior_variance, 1e-20))
        )
        self.posterior_mean_coef1 = np.float32(
            betas * np.sqrt(alphas_cumprod_prev) / (1 - alphas_cumprod)
        )
        self.posterior_mean_coef2 = np.float32(
            (1 - alphas_cumprod_prev) * np.sqrt(1 - betas) / (1 - alphas_cumprod)
        )

    def q_mean_variance(self, x_start, t):
        """Returns q(x_t | x_0) = N(√ᾱ_t x_0, (1 - ᾱ_t) I), equation 4.

        The result is the mean, the variance and its logarithm.
        """
        self._check(t, x_start)
        mean = at(self.sqrt_alphas_cumprod, t, x_start) * x_start
        # Squaring the table keeps seven digits; 1 - ᾱ in float32 would lose four of them at t = 0.
        variance = ops.square(at(self.sqrt_one_minus_alphas_cumprod, t, x_start))
        return mean, variance, at(self.log_one_minus_alphas_cumprod, t, x_start)

    def q_sample(self, x_start, t, noise):
        """Returns x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε, a sample of equation 4 for noise ε ~ N(0, I)."""
        self._check(t, x_start, noise)
        return (
            at(self.sqrt_alphas_cumprod, t, x_start) * x_start
            + at(self.sqrt_one_minus_alphas_cumprod, t, x_start) * noise
        )

    def predict_start_from_noise(self, x_t, t, noise):
        """Returns x_0 = x_t / √ᾱ_t - √(1 / ᾱ_t - 1) ε, equation 15, if `noise` is the ε in x_t."""
        self._check(t, x_t, noise)
        return (
            at(self.sqrt_recip_alphas_cumprod, t, x_t) * x_t
            - at(self.sqrt_recipm1_alphas_cumprod, t, x_t) * noise
        )

    def q_posterior(self, x_start, x_t, t):
        """Returns q(x_{t-1} | x_t, x_0) = N(μ̃_t, β̃_t I), equations 6 and 7.

        μ̃_t = √ᾱ_{t-1} β_t / (1 - ᾱ_t) x_0 + √α_t (1 - ᾱ_{t-1}) / (1 - ᾱ_t) x_t
        β̃_t = (1 - ᾱ_{t-1}) / (1 - ᾱ_t) β_t

        The result is the mean, the variance and its clipped logarithm.
        """
        self._check(t, x_start, x_t)
        mean = (
            at(self.posterior_mean_coef1, t, x_t) * x_start
            + at(self.posterior_mean_coef2, t, x_t) * x_t
        )
        return (
            mean,
            at(self.posterior_variance, t, x_t),
            at(self.posterior_log_variance_clipped, t, x_t),
        )

    def p_mean_variance(self, pred_noise, x, t, clip_denoised=True):
        """Returns p(x_{t-1} | x_t) = N(μ̃_t(x_t, x̂_0), β̃_t I), equations 1, 7 and 15.

        x̂_0 is the image that follows from the predicted noise. With `clip_denoised` it is clipped
        to [clip_min, clip_max] before the mean is computed: early in sampling √(1 / ᾱ_t) is large,
        and so is the error of the predicted image.
        """
        pred_image = self.predict_start_from_noise(x, t, pred_noise)
        if clip_denoised:
            pred_image = ops.clip(pred_image, self.clip_min, self.clip_max)
        return self.q_posterior(pred_image, x, t)

    def p_sample(self, pred_noise, x, t, clip_denoised=True, seed=None, noise=None):
        """Returns x_{t-1} = μ̃_t(x_t, x̂_0) + √β̃_t z with z ~ N(0, I): one step of Algorithm 2.

        At t = 0 no noise is added. `noise` is z; without it, z is sampled with `seed`, an integer
        or a `keras.random.SeedGenerator`.
        """
        mean, _, log_variance = self.p_mean_variance(pred_noise, x, t, clip_denoised)
        if noise is None:
            noise = random.normal(ops.shape(x), seed=seed)
        not_last = at(np.float32(np.arange(self.timesteps) > 0), t, x)
        return mean + not_last * ops.exp(0.5 * log_variance) * noise

    def schedule(self, diffusion_times):
        """Returns (noise_rates, signal_rates) of the same ᾱ at continuous times.

        Timestep t is at time (t + 1) / T and the clean image at time 0; in between, log ᾱ is
        interpolated.

        Args:
            diffusion_times: (B, 1, 1, 1), in [0, 1].

        Raises:
            UserError: for times outside [0, 1].
        """
        position = self.timesteps * checked_times(diffusion_times)
        before = ops.minimum(ops.cast(position, "int32"), self.timesteps - 1)
        fraction = position - ops.cast(before, position.dtype)
        log_alphas_cumprod = np.log(np.append(np.float32(1), self.alphas_cumprod))
        log_alpha_bar = (1 - fraction) * ops.take(log_alphas_cumprod, before) + fraction * ops.take(
            log_alphas_cumprod, before + 1
        )
        return ops.sqrt(-ops.expm1(log_alpha_bar)), ops.exp(0.5 * log_alpha_bar)

    def nearest_timesteps(self, noise_rates, signal_rates):
        """Returns the timesteps (B,) whose rates are nearest to the given ones, (B, 1, 1, 1).

        Nearest means in the angle whose sine is the noise rate, because each rate alone hardly
        changes at one end of the schedule.
        """
        angles = np.arctan2(self.sqrt_one_minus_alphas_cumprod, self.sqrt_alphas_cumprod)
        boundaries = 0.5 * (angles[1:] + angles[:-1])
        return ops.searchsorted(
            boundaries,
            ops.reshape(ops.cast(ops.arctan2(noise_rates, signal_rates), "float32"), (-1,)),
        )

    def _check(self, t, *images):
        """Raises UserError unless the images share a shape and each has a valid timestep."""
        shapes = [tuple(np.shape(x)) for x in images]
        if len({len(shape) for shape in shapes}) > 1 or not all(
            agree(sizes) for sizes in zip(*shapes)
        ):
            raise UserError(
                "Images and noise must have the same shape, but their shapes are"
                f" {' and '.join(map(str, shapes))}."
            )
        if len(np.shape(t)) != 1 or not agree((np.shape(t)[0], shapes[0][0])):
            raise UserError(
                "t must hold one timestep for each of the images, but its shape is"
                f" {tuple(np.shape(t))} and theirs is {shapes[0]}."
            )
        values = to_numpy_or_none(t)
        if values is None:  # a function is being compiled, and t has no values yet
            return
        if not np.issubdtype(values.dtype, np.integer):
            raise UserError(
                f"Timesteps are whole numbers from 0 to {self.timesteps - 1}, but t is"
                f" {values.dtype}."
            )
        if values.size and not 0 <= values.min() <= values.max() < self.timesteps:
            raise UserError(
                f"Timesteps run from 0 to {self.timesteps - 1}, but t holds {values.min()} to "
                f"{values.max()}."
            )


def agree(sizes):
    """True if the `sizes` of one axis can be equal; None is a size that is not known yet."""
    return len(set(sizes) - {None}) <= 1


def at(table, t, images):
    """Returns table[t] in the shape (B, 1, …, 1), ready to multiply `images` (B, …)."""
    return ops.reshape(ops.take(table, t), (-1,) + (1,) * (len(np.shape(images)) - 1))
