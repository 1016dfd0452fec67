"""Training a model, in a folder that keeps it."""

from diffusion_lab.training.callbacks import KeepBest
from diffusion_lab.training.trainer import Trainer, TrainingConfig

__all__ = ["KeepBest", "Trainer", "TrainingConfig"]
