"""Measures the quality of a saved model, and lets a weaker one guide it."""

from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

from diffusion_lab.commands.options import FEW
from diffusion_lab.data import load_dataset
from diffusion_lab.errors import UserError
from diffusion_lab.metrics import (
    encode,
    flower_features,
    inception_features,
    kid_with_standard_error,
    measure_memorisation,
)
from diffusion_lab.models.diffusion import DiffusionModel
from diffusion_lab.models.generating import generate_in_batches
from diffusion_lab.models.io import load_model
from diffusion_lab.predictions import autoguide
from diffusion_lab.samplers import SAMPLERS
from diffusion_lab.schedules import offset_cosine_diffusion_schedule


def autoguided(
    sampler: Callable[..., Any], guide: str | None, guidance: float | None
) -> Callable[..., Any]:
    """Returns the sampler, with autoguidance by the weights `guide` unless that is None."""
    if guide is None:
        return sampler
    weaker, _ = load_model(guide)
    weight = {} if guidance is None else {"weight": guidance}

    @wraps(sampler)
    def guided(denoise: Any, *arguments: Any, **options: Any) -> Any:
        weaker_denoise = partial(weaker.denoise, training=False)
        return sampler(autoguide(denoise, weaker_denoise, **weight), *arguments, **options)

    return guided


def begin_at(model: DiffusionModel, min_signal_rate: float | None) -> None:
    """Lets a model's schedule end, and so its sampler begin, at this signal rate.

    Raises:
        UserError: if the model's schedule has no such parameter.
    """
    if min_signal_rate is None:
        return
    schedule = model.config and model.config.schedule
    if schedule != "offset_cosine":
        raise UserError(
            "--min-signal-rate is for models with the schedule offset_cosine, but this one has"
            f" {schedule}: leave it out."
        )
    model.schedule = partial(offset_cosine_diffusion_schedule, min_signal_rate=min_signal_rate)


def evaluate_model(
    weights: str | Path,
    data: str | None = None,
    count: int = 512,
    steps: int | None = None,
    sampler: str = "ddim",
    spacing: float = 1.0,
    min_signal_rate: float | None = None,
    features: str = "flowers",
    seed: int = 0,
    guide: str | None = None,
    guidance: float | None = None,
) -> str:
    """Returns two lines of text: KID with its standard error, and the distance to training images.

    Raises:
        UserError: if the weights, the data or the features are not available, if the weights do
            not say what they were trained on and `data` is None, or if the images of the data have
            a different number of channels.
    """
    model, origin = load_model(weights)
    begin_at(model, min_signal_rate)
    steps = steps or (FEW if model.config.most_steps else 10)
    data = data or origin.get("data")
    if data is None:
        raise UserError("These weights do not say what they were trained on: give it as --data.")
    extractor = (
        flower_features()
        if features == "flowers"
        else inception_features(int(features[len("inception") :]))
    )
    train, validation = (
        load_dataset(data, split, model.image_shape[0], batch_size=1)
        for split in ("train", "validation")
    )
    if validation.images.shape[1:] != model.image_shape:
        raise UserError(
            f"These weights generate images with {model.image_shape[-1]} colour channel(s), but"
            f" those of {data} have {validation.images.shape[-1]}: choose other --data, or leave it"
            " out."
        )
    real = validation.images[:count]
    guided = autoguided(SAMPLERS[sampler], guide, guidance)
    generated = generate_in_batches(model, count, steps, seed, sampler=guided, spacing=spacing)
    kid = kid_with_standard_error(encode(extractor, real), encode(extractor, generated))
    memory = measure_memorisation(generated, train.images, real)
    how = f"{sampler} with {steps} steps" + f" of spacing {spacing:g}" * (spacing != 1)
    how += f" from the signal rate {min_signal_rate:g}" if min_signal_rate is not None else ""
    how += f", guided by {guide}" if guide else ""
    return (
        f"KID ({features} features), {count} generated against {len(real)} real images of {data},"
        f" {how}: {kid.value:.4f} ± {kid.standard_error:.4f}\n"
        f"distance to the nearest training image: {memory.generated_distance:.3f}; for unseen real"
        f" images: {memory.reference_distance:.3f} (a copy has 0, and blurred images also have a"
        " little less)"
    )
