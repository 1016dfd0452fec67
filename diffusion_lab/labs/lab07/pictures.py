"""The picture of lab 07: flowers that emerge from noise."""

from diffusion_lab.labs.pictures import show_animation
from diffusion_lab.models.generating import images_emerging
from diffusion_lab.plots import image_grid


def bloom(model, seed, count=6, steps=30, scale=4, seconds=4.0):
    """Returns an animation of `count` images that emerge from noise; a notebook shows it.

    It is returned as WebP bytes, for a file; `seed` determines the noise.
    """
    frames = [
        image_grid(images, columns=count, gap=2, scale=scale)
        for images in images_emerging(model, count, steps, seed)
    ]
    alt = f"An animation: in {steps} steps, noise becomes {count} flowers."
    return show_animation(frames, seconds / steps, alt)
