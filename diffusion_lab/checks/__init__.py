"""What the check cells of the labs call: `checks.<exercise>(answer)` says what is right, or what kind of mistake it is."""

from importlib import import_module

EXERCISES = {  # in each lab's module; imported when needed. No module may have the name of an exercise: it would hide it
    "energy_based": ("langevin_step", "contrastive_divergence_loss"),
    "forward_process": ("forward_step", "q_sample"),
    "schedules": ("linear_diffusion_schedule", "cosine_diffusion_schedule", "offset_cosine_diffusion_schedule"),
    "first_network": (
        "training_pair", "noise_loss", "training_loop", "gradient_step", "step_back", "with_noise_level",
    ),
    "unet": ("sinusoidal_embedding", "residual_block", "up_block"),
    "ddpm": ("p_sample", "train_step"),
    "ddim": ("diffusion_schedule", "denoise", "reverse_diffusion"),
    "exploring": ("slerp", "invert"),
    "past_ddim": ("dpmpp_2m_step", "guide", "flow_matching_loss"),
}
_MODULES = {name: module for module, names in EXERCISES.items() for name in names} | {"CheckFailed": "core", "Exercise": "core"}

__all__ = list(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"There is no check {name!r}: choose one of {', '.join(_MODULES)}.")
    return getattr(import_module(f"diffusion_lab.checks.{_MODULES[name]}"), name)
