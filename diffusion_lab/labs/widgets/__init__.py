"""Sliders on pictures. Pages without a kernel, as on GitHub, show a picture with a caption."""

from diffusion_lab.labs.widgets.controls import choices, menu, slider
from diffusion_lab.labs.widgets.explorer import Explorer
from diffusion_lab.labs.widgets.models import interpolation, langevin, sampling
from diffusion_lab.labs.widgets.schedules import corruption, schedule_curves

__all__ = [
    "Explorer",
    "choices",
    "corruption",
    "interpolation",
    "langevin",
    "menu",
    "sampling",
    "schedule_curves",
    "slider",
]
