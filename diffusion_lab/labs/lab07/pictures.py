"""The pictures of lab 07: how good a model is, and flowers that emerge from noise."""

import io
from base64 import b64encode

import keras
import numpy as np
from IPython.display import display
from keras import ops
from PIL import Image

from diffusion_lab.labs.pictures import new_figure, show_figure
from diffusion_lab.plots import image_grid
from diffusion_lab.samplers import ddim


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
    noise = keras.random.normal((count, *model.image_shape), seed=seed)
    frames = []

    def keep(step, diffusion_time, noisy_images, pred_images):
        frames.append(noisy_images)

    frames.append(model.sample(ddim, noise, steps=steps, on_step=keep))
    pictures = [
        Image.fromarray(
            image_grid(
                ops.convert_to_numpy(model.denormalize(frame)), columns=count, gap=2, scale=scale
            )
        )
        for frame in frames
    ]
    content = io.BytesIO()
    durations = [int(1000 * seconds / steps)] * (len(pictures) - 1) + [2500]
    pictures[0].save(
        content,
        "WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        quality=80,
    )
    show_animation(
        content.getvalue(), [pictures[round(share * steps)] for share in (0, 0.4, 0.6, 0.8, 1)]
    )
    return content.getvalue()


def show_animation(webp, stills):
    """Shows an animation, or some of its frames where a page cannot hold one (GitHub)."""
    strip = io.BytesIO()
    Image.fromarray(np.concatenate([np.asarray(still) for still in stills])).save(
        strip, "PNG", optimize=True
    )
    source = f"data:image/webp;base64,{b64encode(webp).decode()}"
    html = f'<img alt="flowers that come out of noise" src="{source}">'
    display({"text/html": html, "image/png": b64encode(strip.getvalue()).decode()}, raw=True)
