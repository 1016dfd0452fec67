"""Training a model, with a folder for each run."""

from diffusion_lab.training.callbacks import KeepBest
from diffusion_lab.training.trainer import Trainer, TrainingConfig

__all__ = ["KeepBest", "Trainer", "TrainingConfig"]
