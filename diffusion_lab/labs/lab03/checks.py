"""Lab 03: numbers the exercises, which have their own modules."""

from diffusion_lab.labs.exercise import numbered
from diffusion_lab.labs.lab03.cosine import CosineDiffusionSchedule
from diffusion_lab.labs.lab03.linear import LinearDiffusionSchedule
from diffusion_lab.labs.lab03.offset_cosine import OffsetCosineDiffusionSchedule

linear_diffusion_schedule, cosine_diffusion_schedule, offset_cosine_diffusion_schedule = numbered(
    3, LinearDiffusionSchedule, CosineDiffusionSchedule, OffsetCosineDiffusionSchedule
)
