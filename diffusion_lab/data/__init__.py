"""Data sets: the embedded procedural flowers, downloads, and folders of images, behind one call."""

from diffusion_lab.data.pipeline import ImageDataset, load_dataset
from diffusion_lab.data.sources import SOURCES, dataset_status

__all__ = ["SOURCES", "ImageDataset", "dataset_status", "load_dataset"]
