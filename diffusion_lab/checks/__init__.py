"""What the check cells of the labs call: `checks.<exercise>(answer)` says what is right, or what kind of mistake it is."""

from diffusion_lab.checks.core import CheckFailed, Exercise
from diffusion_lab.checks.forward_process import forward_step, q_sample

__all__ = ["CheckFailed", "Exercise", "forward_step", "q_sample"]
