"""What a function must do: return the same numbers for the same arguments."""

import numpy as np

from diffusion_lab.labs.failures import CheckFailed


def refuse_randomness(result, again, advice):
    """Raises CheckFailed with the advice if two calls with the same arguments disagree."""
    if result.shape == again.shape and not np.allclose(result, again, atol=1e-4, equal_nan=True):
        raise CheckFailed(f"Two calls with the same arguments gave different results. {advice}")
