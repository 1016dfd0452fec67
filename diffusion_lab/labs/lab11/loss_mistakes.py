"""Lab 11: known mistakes in the loss of consistency distillation."""

from keras import ops

from diffusion_lab.labs.mistakes import Mistake

MORE_NOISE = "Your neighbour has more noise. It should have less, at times - gap."


def at_the_wrong_ends(denoise, ema_denoise, teacher, schedule, noisy_images, times, gap):
    """Returns the loss in which `denoise` predicts from the neighbour."""
    now, then = schedule(times), schedule(ops.maximum(times - gap, 0.0))
    end_noises, ends = teacher(noisy_images, *now)
    pred_images = denoise(then[1] * ends + then[0] * end_noises, *then)[1]
    targets = ops.where(times < gap, ends, ema_denoise(noisy_images, *now)[1])
    return ops.mean(ops.square(pred_images - targets))


MISTAKES = [
    Mistake(
        "You did not use the argument `schedule`, but another schedule. Call schedule(times).",
        (
            "    noise_rates, signal_rates = schedule(times)",
            "    schedule = offset_cosine_diffusion_schedule\n"
            "    noise_rates, signal_rates = schedule(times)",
        ),
    ),
    *(
        Mistake(
            f"You swapped the rates that `{name}` takes: the noise rates come first.",
            (
                f"= {name}({images}, noise_rates, signal_rates)",
                f"= {name}({images}, signal_rates, noise_rates)",
            ),
        )
        for name, images in {
            "denoise": "noisy_images",
            "teacher": "noisy_images",
            "ema_denoise": "neighbours",
        }.items()
    ),
    Mistake(
        "`denoise` predicted from noisy_images, but at the rates of the neighbour. Use the rates of"
        " times.",
        (
            "= denoise(noisy_images, noise_rates, signal_rates)",
            "= denoise(noisy_images, *schedule(ops.maximum(times - gap, 0.0)))",
        ),
    ),
    Mistake(
        "The tuned network predicts its own target, so the target runs ahead of it. Let"
        " `ema_denoise` predict the target.",
        ("ema_denoise(neighbours", "denoise(neighbours"),
    ),
    Mistake(
        "No gradient flows through the prediction, so nothing is learned. Leave out"
        " `stop_gradient`, `float` and NumPy (`np.`), and compute with `ops.`.",
        ("square(pred_images", "square(ops.stop_gradient(pred_images)"),
    ),
    Mistake(
        "Only the EMA network predicts, so nothing is learned. Let `denoise` predict from"
        " noisy_images, at the rates of times.",
        (
            "pred_images = denoise(",
            "pred_images = ema_denoise(",
        ),
    ),
    Mistake(
        "You swapped the two networks. `denoise` predicts from noisy_images, and `ema_denoise`"
        " from the neighbour, which is less noisy.",
        (
            "pred_noises, pred_images = denoise(noisy_images, noise_rates, signal_rates)",
            "pred_noises, pred_images = ema_denoise(noisy_images, noise_rates, signal_rates)\n"
            "    ema_denoise = denoise",
        ),
    ),
    Mistake(
        "Where times < gap, your target is a prediction of the EMA network. There the path ends"
        " at the teacher's image: use ops.where(times < gap, ...).",
        ("ops.where(times < gap, ends, targets)", "targets"),
    ),
    Mistake(
        "Your target is always the teacher's image, so the network stays what it was. Where"
        " times >= gap, the target is the prediction for the neighbour.",
        ("ops.where(times < gap, ends, targets)", "ends"),
    ),
    Mistake(
        "You swapped the two cases: the teacher's image is the target where times < gap, and"
        " the prediction for the neighbour is elsewhere.",
        ("ops.where(times < gap, ends, targets)", "ops.where(times < gap, targets, ends)"),
    ),
    Mistake(
        "You compared the time of the neighbour with the gap. The teacher's image is the target"
        " where times < gap: compare the times themselves.",
        ("times < gap,", "times - gap < gap,"),
    ),
    Mistake(
        "Your target is the neighbour, which is noisy. Let `ema_denoise` predict its image.",
        ("ends, targets)", "ends, neighbours)"),
    ),
    Mistake(
        "The teacher predicted from noisy_images, but at the rates of the neighbour. Use the rates"
        " of times.",
        (
            "teacher(noisy_images, noise_rates, signal_rates)",
            "teacher(noisy_images, *schedule(ops.maximum(times - gap, 0.0)))",
        ),
    ),
    *(
        Mistake(
            "The tuned network made the step to the neighbour. It changes all the time: let the"
            " teacher predict the image and the noise that you mix.",
            wrong,
        )
        for wrong in (
            (
                "signal_rates * ends + noise_rates * end_noises",
                "ops.stop_gradient(signal_rates * pred_images + noise_rates * pred_noises)",
            ),
            ("ends = teacher(", "ends = denoise("),
        )
    ),
    Mistake(
        "The EMA network made the step to the neighbour. Let the teacher make it: only its"
        " paths stay where they are.",
        ("ends = teacher(", "ends = ema_denoise("),
    ),
    Mistake(
        "The teacher predicts your target. Let it make the step to the neighbour, and then let"
        " `ema_denoise` predict where the path ends.",
        ("ema_denoise(neighbours", "teacher(neighbours"),
    ),
    Mistake(
        "The target was predicted from noisy_images or at their rates. Make the neighbour"
        " first: mix the teacher's image and noise at the rates of times - gap.",
        ("ema_denoise(neighbours,", "ema_denoise(noisy_images,"),
    ),
    Mistake(
        "The target was predicted from the neighbour, but at the rates of noisy_images. Use"
        " the rates of times - gap, at which you mixed it.",
        (
            "ema_denoise(neighbours, noise_rates, signal_rates)",
            "ema_denoise(neighbours, *schedule(times))",
        ),
    ),
    Mistake(
        "The target was predicted from the teacher's clean image. Mix it with the teacher's"
        " noise first, at the rates of times - gap.",
        ("ema_denoise(neighbours,", "ema_denoise(ends,"),
    ),
    Mistake(
        "Both networks predict from the neighbour. Let `denoise` predict from noisy_images, at"
        " the rates of times.",
        (
            "return ops.mean",
            "pred_images = denoise(neighbours, noise_rates, signal_rates)[1]\n    return ops.mean",
        ),
    ),
    Mistake(
        "You swapped the two places. `denoise` predicts from noisy_images, and its target is"
        " what `ema_denoise` predicts from the neighbour, which is less noisy.",
        lambda *arguments: at_the_wrong_ends(*arguments),
    ),
    *(
        Mistake(
            "You swapped what `schedule` returns: it returns noise_rates, signal_rates, in this"
            " order.",
            wrong,
        )
        for wrong in (
            (
                "    noise_rates, signal_rates = schedule(times)",
                "    old_schedule = schedule\n    schedule = lambda t: old_schedule(t)[::-1]\n"
                "    noise_rates, signal_rates = schedule(times)",
            ),
            (
                "    noise_rates, signal_rates = schedule(times)",
                "    signal_rates, noise_rates = schedule(times)",
            ),
            (
                "noise_rates, signal_rates = schedule(ops.maximum",
                "signal_rates, noise_rates = schedule(ops.maximum",
            ),
        )
    ),
    Mistake(
        "You swapped the rates where you mix. Multiply the image by the signal rate and the"
        " noise by the noise rate.",
        (
            "signal_rates * ends + noise_rates * end_noises",
            "noise_rates * ends + signal_rates * end_noises",
        ),
    ),
    Mistake(
        "Your neighbour is at the same time. Its time is smaller by the gap: times - gap.",
        ("schedule(ops.maximum(times - gap, 0.0))", "schedule(times)"),
    ),
    Mistake(
        MORE_NOISE,
        ("ops.maximum(times - gap, 0.0)", "ops.minimum(times + gap, 1.0)"),
    ),
    Mistake(
        "Your neighbour is at the time `gap`. Each image has its own: times - gap.",
        ("ops.maximum(times - gap, 0.0)", "gap * ops.ones_like(times)"),
    ),
    Mistake(
        "You multiplied the time by 1 - gap. Subtract the gap: times - gap.",
        ("ops.maximum(times - gap, 0.0)", "times * (1 - gap)"),
    ),
    Mistake(
        "You subtracted the time from the gap. Subtract the gap: times - gap.",
        ("ops.maximum(times - gap, 0.0)", "ops.maximum(gap - times, 0.0)"),
    ),
    Mistake(
        "You mixed the neighbour with the squares of the rates. The rates are the factors"
        " themselves, so leave the squares out.",
        (
            "signal_rates * ends + noise_rates * end_noises",
            "signal_rates**2 * ends + noise_rates**2 * end_noises",
        ),
    ),
    *(
        Mistake(
            "Where times < gap, the target must be the teacher's predicted image, the second"
            " result of `teacher`.",
            ("times < gap, ends, targets", f"times < gap, {wrong}, targets"),
        )
        for wrong in (
            "end_noises",
            "noisy_images",
            "neighbours",
            "ops.stop_gradient(pred_images)",
            "ema_denoise(noisy_images, *schedule(times))[1]",
        )
    ),
    *(
        Mistake(
            "You mixed up what a network returns: pred_noises comes first, and pred_images"
            " second. The loss compares images.",
            wrong,
        )
        for wrong in (
            ("ops.square(pred_images", "ops.square(pred_noises"),
            ("target_noises, targets = ema", "targets, target_images = ema"),
            ("end_noises, ends = teacher", "ends, end_noises = teacher"),
        )
    ),
    *(
        Mistake(
            "You used both results of a network as one. It returns pred_noises, pred_images:"
            " unpack them, or take the second with [1].",
            wrong,
        )
        for wrong in (
            (
                "ops.square(pred_images - targets)",
                "ops.square([pred_noises, pred_images] - targets)",
            ),
            (
                "ops.where(times < gap, ends, targets)",
                "ops.where(times < gap, ends, [target_noises, targets])",
            ),
            (
                "end_noises, ends = teacher(",
                "end_noises = ends = teacher(",
            ),
        )
    ),
    Mistake(
        "You compared the predicted noise. Compare the predicted images, the second result.",
        (
            "targets = ops.where(times < gap, ends, targets)\n"
            "    return ops.mean(ops.square(pred_images - targets))",
            "targets = ops.where(times < gap, end_noises, target_noises)\n"
            "    return ops.mean(ops.square(pred_noises - targets))",
        ),
    ),
    Mistake(
        "You summed the squares. Take their mean.",
        ("ops.mean(ops.square", "ops.sum(ops.square"),
    ),
    Mistake(
        "You summed the squares of each image. Take the mean over pixels and channels as well.",
        (
            "ops.mean(ops.square(pred_images - targets))",
            "ops.mean(ops.sum(ops.square(pred_images - targets), axis=(1, 2, 3)))",
        ),
    ),
    Mistake(
        "You took the mean of the difference. Square it first.",
        ("ops.mean(ops.square(pred_images - targets))", "ops.mean(pred_images - targets)"),
    ),
    Mistake(
        "You took the square of the mean. Square the differences first, and then take their mean.",
        (
            "ops.mean(ops.square(pred_images - targets))",
            "ops.square(ops.mean(pred_images - targets))",
        ),
    ),
    Mistake("You took the absolute difference. Take the square.", ("ops.square(", "ops.abs(")),
    Mistake(
        "You took the square root of the mean. The loss is the mean of the squares itself.",
        (
            "ops.mean(ops.square(pred_images - targets))",
            "ops.sqrt(ops.mean(ops.square(pred_images - targets)))",
        ),
    ),
]
