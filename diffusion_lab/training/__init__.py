"""Training a model, with a folder for each run."""

from diffusion_lab.training.callbacks import KeepBest, ShrinkGap
from diffusion_lab.training.muon import ConvolutionalMuon
from diffusion_lab.training.trainer import Trainer, TrainingConfig

__all__ = ["ConvolutionalMuon", "KeepBest", "ShrinkGap", "Trainer", "TrainingConfig"]
