"""Lab 11: known mistakes in sampling with a consistency model."""

from keras import ops

from diffusion_lab.labs.mistakes import Mistake


def mixed_too_early(denoise, schedule, noises, ahead):
    """Returns the result of mixing at the rates of the step before.

    The noise is that of the step itself if `ahead` is 1, and that of the step before if it is 0.
    """
    noisy_images, steps = noises[0], len(noises)
    for step in range(steps):
        times = ops.full((noisy_images.shape[0], 1, 1, 1), 1 - step / steps)
        noise_rates, signal_rates = schedule(times)
        pred_images = denoise(noisy_images, noise_rates, signal_rates)[1]
        noise = noises[min(step + ahead, steps - 1)]
        noisy_images = signal_rates * pred_images + noise_rates * noise
    return pred_images


MISTAKES = [
    Mistake(
        "You did not use the argument `schedule`, but another schedule. Call schedule(times).",
        ("= schedule(times)", "= offset_cosine_diffusion_schedule(times)"),
    ),
    *(
        Mistake(
            "You also mixed in the first step, where there is no predicted image yet. There,"
            " noises[0] itself is the noisy image.",
            (
                "if step > 0:",
                f"pred_images = pred_images if step else {start}\n        if True:",
            ),
        )
        for start in ("noises[0]", "0.0")
    ),
    Mistake(
        "You put the predicted noise back, which is DDIM. A consistency model mixes its image"
        " with fresh noise: noises[step].",
        ("noise_rates * noise\n", "noise_rates * pred_noises\n"),
    ),
    Mistake(
        "You used the first noise in every step. Each step has its own: noises[step].",
        ("noise_rates * noise\n", "noise_rates * noises[0]\n"),
    ),
    Mistake(
        "You used the noise of the step before. Step k mixes in noises[k].",
        ("noise_rates * noise\n", "noise_rates * noises[step - 1]\n"),
    ),
    Mistake(
        "The noise is missing where you mix. The network expects an image that is noisy again.",
        (
            "signal_rates * pred_images + noise_rates * noise\n",
            "signal_rates * pred_images\n",
        ),
    ),
    Mistake(
        "You passed the predicted image on without noise. Mix it with fresh noise, at the rates"
        " of the new time.",
        ("signal_rates * pred_images + noise_rates * noise\n", "pred_images\n"),
    ),
    Mistake(
        "The network receives the first noise in every step. Mix the predicted image with fresh"
        " noise, and pass that on.",
        ("signal_rates * pred_images + noise_rates * noise\n", "noises[0]\n"),
    ),
    Mistake(
        "You swapped the rates where you mix. Multiply the image by the signal rate and the"
        " noise by the noise rate.",
        (
            "signal_rates * pred_images + noise_rates * noise\n",
            "noise_rates * pred_images + signal_rates * noise\n",
        ),
    ),
    *(
        Mistake(hint, ("signal_rates * pred_images + noise_rates * noise\n", f"{mixture}\n"))
        for hint, mixture in {
            "You mixed in the image at full strength. Multiply it by the signal rate.": (
                "pred_images + noise_rates * noise"
            ),
            "You mixed in the noise at full strength. Multiply it by the noise rate.": (
                "signal_rates * pred_images + noise"
            ),
            "You used the squares of the rates. The rates are the factors themselves, so leave"
            " the squares out.": "signal_rates**2 * pred_images + noise_rates**2 * noise",
            "You subtracted the noise. Add it.": (
                "signal_rates * pred_images - noise_rates * noise"
            ),
            "You added noise to the last noisy image. Mix the last predicted image with it.": (
                "noisy_images + noise_rates * noise"
            ),
            "You mixed the last noisy image. Mix the last predicted image with the noise.": (
                "signal_rates * noisy_images + noise_rates * noise"
            ),
        }.items()
    ),
    Mistake(
        "You swapped what `schedule` returns: it returns noise_rates, signal_rates, in this order.",
        ("noise_rates, signal_rates = schedule", "signal_rates, noise_rates = schedule"),
    ),
    Mistake(
        "You swapped the rates that `denoise` takes: the noise rates come first.",
        (
            "denoise(noisy_images, noise_rates, signal_rates)",
            "denoise(noisy_images, signal_rates, noise_rates)",
        ),
    ),
    Mistake(
        "You swapped what `denoise` returns: it returns pred_noises, pred_images, in this order.",
        ("pred_noises, pred_images = denoise", "pred_images, pred_noises = denoise"),
    ),
    Mistake(
        "You mixed at the rates of the step before. Call `schedule` with the time of this step,"
        " and then mix.",
        lambda denoise, schedule, noises: mixed_too_early(denoise, schedule, noises, 1),
    ),
    Mistake(
        "You mixed at the end of a step, at its rates and with its noise. Mix at the beginning"
        " of the next step, at the rates of that step and with its noise.",
        lambda denoise, schedule, noises: mixed_too_early(denoise, schedule, noises, 0),
    ),
    Mistake(
        "All steps are at time 1. Step k of n is at 1 - k / n.",
        ("1 - step / len(noises)", "1.0"),
    ),
    Mistake(
        "Your times run upwards. Begin at 1, where there is only noise: step k of n is at"
        " 1 - k / n.",
        ("1 - step / len(noises)", "(step + 1) / len(noises)"),
    ),
    Mistake(
        "Your times run upwards from 0. Begin at 1, where there is only noise: step k of n is"
        " at 1 - k / n.",
        ("1 - step / len(noises)", "step / len(noises)"),
    ),
    Mistake(
        "You left out time 1, and the last step is at time 0. Count k from 0: step k of n is at"
        " 1 - k / n.",
        ("1 - step / len(noises)", "1 - (step + 1) / len(noises)"),
    ),
    Mistake(
        "Your steps are too long, so the last one is at time 0. Step k of n is at 1 - k / n.",
        ("1 - step / len(noises)", "1 - step / max(1, len(noises) - 1)"),
    ),
    Mistake(
        "You left out time 1. The first step begins there: step k of n is at 1 - k / n.",
        ("1 - step / len(noises)", "1 - (step + 1) / (len(noises) + 1)"),
    ),
    Mistake(
        "You halve the time in each step. Here the times are evenly spaced: step k of n is at"
        " 1 - k / n.",
        ("1 - step / len(noises)", "0.5**step"),
    ),
    Mistake(
        "You returned the last noisy image. Return the last predicted image.",
        ("return pred_images", "return noisy_images"),
    ),
    Mistake(
        "You returned the predicted noise. `denoise` returns (pred_noises, pred_images).",
        ("return pred_images", "return pred_noises"),
    ),
    *(
        Mistake(
            "You clipped the images. They are normalised, so many of their values are outside"
            f" [{low}, 1]: return them as they are.",
            ("return pred_images", f"return ops.clip(pred_images, {low}, 1)"),
        )
        for low in (0, -1)
    ),
    Mistake(
        "You returned the image of the first step. Move the `return` out of the loop.",
        ("    return pred_images", "        return pred_images"),
    ),
    Mistake(
        "There is one step too few. Take one step for each entry of `noises`.",
        ("enumerate(noises)", "enumerate(noises[:-1] or noises)"),
    ),
]
