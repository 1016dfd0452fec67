"""The pictures of lab 07: how good a model is, and flowers that emerge from noise."""

from diffusion_lab.labs.pictures import new_figure, show_animation, show_figure
from diffusion_lab.models.generating import images_emerging
from diffusion_lab.plots import image_grid


def kid_curves(named_values, diffusion_steps):
    """Shows KID (low is good) over the number of diffusion steps, one line for each name."""
    figure, axis = new_figure(width=6.5, height=2.8)
    for name, values in named_values.items():
        axis.plot(diffusion_steps, values, marker="o", label=name)
    axis.set(
        xlabel="diffusion steps (= network evaluations per image)",
        ylabel="KID, low is good",
        xscale="log",
    )
    axis.set_xticks(diffusion_steps, map(str, diffusion_steps))
    axis.grid(alpha=0.3)
    axis.legend()
    show_figure(figure)


def bloom(model, seed, count=6, steps=30, scale=4, seconds=4.0):
    """Returns an animation of `count` images that emerge from noise; a notebook shows it.

    It is returned as WebP bytes, for a file; `seed` determines the noise.
    """
    frames = [
        image_grid(images, columns=count, gap=2, scale=scale)
        for images in images_emerging(model, count, steps, seed)
    ]
    return show_animation(frames, seconds / steps, "flowers that come out of noise")
