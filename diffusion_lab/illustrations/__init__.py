"""The pictures of the labs: what a notebook shows in one line. Each lab's own plots are in a module of its own."""

from diffusion_lab.illustrations.core import new_figure, show_figure, show_images, show_rows

__all__ = ["new_figure", "show_figure", "show_images", "show_rows"]
