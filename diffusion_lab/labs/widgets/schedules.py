"""Sliders on the forward process: images that drown in noise, and how fast."""

import inspect

import numpy as np

from diffusion_lab.data.flowers import draw_flowers
from diffusion_lab.errors import UserError
from diffusion_lab.labs.compose import above, grid, labelled_strip, picture_of
from diffusion_lab.labs.language import say
from diffusion_lab.labs.pictures import demand_pictures, new_figure
from diffusion_lab.labs.rates import log_snrs, rates_at
from diffusion_lab.labs.widgets.controls import menu, slider
from diffusion_lab.labs.widgets.explorer import Explorer
from diffusion_lab.plots import BLUE, PURPLE, VERMILLION, styled
from diffusion_lab.schedules import SCHEDULES

PARAMETERS = {  # of the schedules: argument, then the slider's (label, low, high, value, step)
    "min_signal_rate": ("min_signal_rate (offset cosine)", 0.0, 0.3, 0.02, 0.01),
    "max_signal_rate": ("max_signal_rate (offset cosine)", 0.5, 1.0, 0.95, 0.01),
    "beta_start": ("beta_start (linear)", 0.0, 0.01, 0.0001, 0.0001),
    "beta_end": ("beta_end (linear)", 0.01, 0.05, 0.02, 0.001),
}


def corruption(images, schedules=SCHEDULES, seed=0):
    """Returns an explorer of the forward process: images with noise at any diffusion time.

    The noise is the same at all times, so that only the rates change.

    Args:
        images: (B, H, W, C) in [0, 1].
        schedules: {name: diffusion_times -> noise_rates, signal_rates}.
        seed: of the noise.

    Raises:
        UserError: if the images are not of this kind.
    """
    mix = Mixer(images, seed)

    def render(diffusion_time, schedule):
        noise_rates, signal_rates = rates_at(schedules[schedule], [diffusion_time])
        # adding 0.0 turns -0.0 into 0.0
        log_snr = round(log_snrs(noise_rates, signal_rates)[0], 2) + 0.0
        readout = (
            f"{say('noise rate')} <b>{noise_rates[0]:.3f}</b> · "
            f"{say('signal rate')} <b>{signal_rates[0]:.3f}</b> · "
            f"log-SNR <b>{'∞' if log_snr > 12 else '-∞' if log_snr < -12 else f'{log_snr:.2f}'}</b>"
        )
        return grid(mix(noise_rates[0], signal_rates[0]), columns=4, width=528), readout

    controls = {
        "diffusion_time": slider(say("diffusion time"), 0.0, 1.0, 0.4, 0.01),
        "schedule": menu(say("schedule"), menu_entries(schedules)),
    }
    return Explorer(
        render,
        controls,
        say(
            "Real images at one diffusion time: 0 is the clean image, 1 is noise. The noise is "
            "the same at all times; only the rates change."
        ),
    )


def schedule_curves(image=None, schedules=SCHEDULES, seed=0):
    """Returns an explorer of schedules: their curves, and an image at nine times.

    Each of `PARAMETERS` that one of the schedules takes gets a slider.

    Args:
        image: (H, W, C) in [0, 1]; by default a flower.
        schedules: {name: diffusion_times -> noise_rates, signal_rates}, for instance functions that
            a student wrote.
        seed: of the noise.

    Raises:
        UserError: if the image is not of this kind, or if there is no schedule.
    """
    demand_pictures(len(schedules))
    mix = Mixer(
        draw_flowers(1, 40, seed=3)[0] / 255 if image is None else np.asarray(image)[None], seed
    )
    takes = {
        name: PARAMETERS.keys() & inspect.signature(schedule).parameters
        for name, schedule in schedules.items()
    }

    def render(schedule, **parameters):
        times = np.linspace(0, 1, 201, dtype="float32")
        rates = {
            name: rates_at(function, times, **{key: parameters[key] for key in takes[name]})
            for name, function in schedules.items()
        }
        shown = slice(None, None, 25)  # 9 of the 201 times, from 0 to 1
        images = [mix(*pair)[0] for pair in zip(*(part[shown] for part in rates[schedule]))]
        strip = labelled_strip(np.stack(images), [f"t = {time:.3g}" for time in times[shown]], 820)
        picture = above(curves_picture(times, rates, schedule), strip, gap=6)
        return picture, schedule_readout(rates, schedule)

    controls = {"schedule": menu(say("schedule"), menu_entries(schedules))}
    controls |= {
        key: slider(*PARAMETERS[key])
        for key in PARAMETERS
        if any(key in taken for taken in takes.values())
    }
    return Explorer(
        render,
        controls,
        say(
            "Noise rate, signal rate and log-SNR over the diffusion time; the chosen schedule "
            "is in colour, the others are grey. Below: an image that it corrupts."
        ),
    )


class Mixer:
    """Mixes images with fixed noise; called with two rates, it returns the mixture in [0, 1]."""

    def __init__(self, images, seed):
        images = np.asarray(images, "float32")
        if images.ndim != 4 or not np.all((images >= 0) & (images <= 1)):
            raise UserError(
                "Images must be numbers in [0, 1] of shape (B, H, W, C); these have"
                f" {images.shape}."
            )
        self.mean, self.deviation = images.mean((0, 1, 2)), images.std((0, 1, 2)) + 1e-6
        self.images = (images - self.mean) / self.deviation
        self.noises = np.random.default_rng(seed).normal(size=images.shape)

    def __call__(self, noise_rate, signal_rate):
        noisy_images = signal_rate * self.images + noise_rate * self.noises
        return np.clip(noisy_images * self.deviation + self.mean, 0, 1)


@styled
def curves_picture(times, rates, chosen):
    """Returns the picture of all schedules' curves.

    `rates` maps a name to (noise_rates, signal_rates).
    """
    figure, (left, right) = new_figure(2, width=8.2, height=2.7)
    for name in sorted(rates, key=lambda name: name == chosen):  # the chosen one on top
        noise_rates, signal_rates = rates[name]
        noise_style, signal_style, snr_style = [
            (
                {"color": colour, "linewidth": 2, "linestyle": dashes}
                if name == chosen
                else {"color": "0.82", "linewidth": 1, "linestyle": "-"}
            )
            for colour, dashes in ((VERMILLION, "--"), (BLUE, "-"), (PURPLE, "-"))
        ]
        left.plot(
            times, noise_rates, label=say("noise rate") if name == chosen else None, **noise_style
        )
        left.plot(
            times,
            signal_rates,
            label=say("signal rate") if name == chosen else None,
            **signal_style,
        )
        right.plot(times, log_snrs(noise_rates, signal_rates), **snr_style)
    left.set(xlabel=say("diffusion time"), ylim=(-0.03, 1.03))
    left.legend(loc="center right")
    right.set(xlabel=say("diffusion time"), ylabel="log-SNR", ylim=(-12, 12))
    for axis in (left, right):
        axis.set(xlim=(0, 1))
        axis.grid()
    return picture_of(figure)


def schedule_readout(rates, chosen):
    """Returns a line of HTML: each schedule's ends, and if the chosen one's squares add to 1."""
    parts = []
    for name, (_, signal_rates) in rates.items():
        first, last = signal_rates[[0, -1]].round(3) + 0.0  # adding 0.0 turns -0.0 into 0.0
        part = f"{name.replace('_', ' ')} {first:.3f} → {last:.3f}"
        parts.append(f"<b>{part}</b>" if name == chosen else part)
    wrong = np.max(np.abs(rates[chosen][0] ** 2 + rates[chosen][1] ** 2 - 1))
    squares = (
        "noise² + signal² = 1"
        if wrong < 1e-3
        else say("<b>noise² + signal² misses 1 by up to {wrong:.2f}</b>", wrong=wrong)
    )
    return say("signal rate from time 0 to 1: {rates}", rates=" · ".join([*parts, squares]))


def menu_entries(schedules):
    """Returns {the entry of a menu: the name of a schedule}."""
    return {name.replace("_", " "): name for name in schedules}
