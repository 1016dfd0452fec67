"""Data sets: the embedded procedural flowers, downloads, and folders of images, behind one call."""

from diffusion_lab.data.classes import class_names
from diffusion_lab.data.pipeline import ImageDataset, load_dataset
from diffusion_lab.data.sources import SOURCES, dataset_status

__all__ = ["SOURCES", "ImageDataset", "class_names", "dataset_status", "load_dataset"]
