"""`diffusion-lab train`: trains a model on any data."""

# pyright: reportInvalidTypeForm=false, reportAttributeAccessIssue=false
# because pyright does not know the members of an Enum that is made from a list of names.

from pathlib import Path
from typing import Annotated

import typer

from diffusion_lab.commands.options import (
    DATA,
    MANY,
    SEED,
    Loss,
    Network,
    Optimizer,
    Prediction,
    Schedule,
    real,
    whole,
)
from diffusion_lab.errors import MOST_PIXELS, UserError


def train(
    data: Annotated[str, typer.Option(help=DATA)] = "procedural_flowers",
    image_size: Annotated[
        int,
        whole(
            1, MOST_PIXELS, "Width and height in pixels; for the default network a multiple of 4."
        ),
    ] = 32,
    epochs: Annotated[int, whole(1, MANY)] = 20,
    batch_size: Annotated[
        int, whole(1, MANY, "Images per step. On a GPU, 64 or more are faster.")
    ] = 16,
    count: Annotated[int | None, whole(1, MANY, "Use only this many training images.")] = None,
    network: Annotated[
        Network, typer.Option(help="attention_unet is trained as in the DDPM paper.")
    ] = Network.unet,
    widths: Annotated[
        str, typer.Option(help="Channels of each level of a U-Net, from top to bottom.")
    ] = "32,64,96",
    conditional: Annotated[
        bool,
        typer.Option("--conditional", help="Train a model that takes the class of each image."),
    ] = False,
    prediction: Annotated[
        Prediction | None,
        typer.Option(
            help="What the network predicts; by default velocity, and noise for attention_unet."
        ),
    ] = None,
    loss_on: Annotated[
        Loss | None,
        typer.Option(
            help=(
                "What the loss compares; by default weighted_velocity, and noise for"
                " attention_unet."
            )
        ),
    ] = None,
    schedule: Annotated[
        Schedule | None,
        typer.Option(help="By default offset_cosine, and linear for attention_unet."),
    ] = None,
    optimizer: Annotated[
        Optimizer,
        typer.Option(
            help=(
                "muon needs a third of the images that adamw needs, because all directions of a"
                " convolution kernel learn at the same speed."
            )
        ),
    ] = Optimizer.muon,
    learning_rate: Annotated[
        float | None, real(0, 1, "By default 0.002, and 0.001 for attention_unet.")
    ] = None,
    cooldown: Annotated[
        float,
        real(0, 1, "Share of the training, at its end, in which the rate falls to 0, such as 0.4."),
    ] = 0.0,
    kid_every: Annotated[int, whole(1, MANY, "Measure KID every this many epochs.")] = 1,
    bfloat16: Annotated[
        bool, typer.Option(help="Compute in bfloat16: faster on GPUs and on CPUs with AMX.")
    ] = False,
    seed: Annotated[int, SEED] = 0,
    out: Annotated[
        Path, typer.Option(help="The run's folder; the same command resumes the run in it.")
    ] = Path("out/train"),
) -> None:
    """Train a model on any data.

    The same command resumes a run that was stopped. With more epochs, it continues a finished run.
    """
    from diffusion_lab.commands.terminal import TrainingDisplay
    from diffusion_lab.models.config import describe_model
    from diffusion_lab.training import Trainer, TrainingConfig
    from diffusion_lab.training.callbacks import SaveRun

    choices = {"schedule": schedule, "prediction": prediction, "loss_on": loss_on}
    choices = {name: choice.value for name, choice in choices.items() if choice}
    model = describe_model(network.value, image_size, _whole_numbers(widths), **choices)
    if learning_rate is None:
        learning_rate = 1e-3 if network is Network.attention_unet else 2e-3
    config = TrainingConfig(
        model,
        data,
        count,
        batch_size,
        epochs,
        optimizer.value,
        learning_rate,
        cooldown=cooldown,
        kid_every=kid_every,
        mixed_bfloat16=bfloat16,
        seed=seed,
        conditional=conditional,
    )
    trainer = Trainer(config, out)
    if trainer.epochs_done == epochs:
        typer.echo(
            f"This run is finished, after {epochs} epoch{'s' * (epochs > 1)}. To continue it, give"
            " a larger number with --epochs.",
            err=True,
        )
    elif trainer.epochs_done:
        typer.echo(f"Resuming after epoch {trainer.epochs_done} of {epochs}.", err=True)
    else:
        typer.echo(
            f"Training on {len(trainer.dataset.images):,} images, {image_size} × {image_size}"
            f" pixels; {len(trainer.validation.images):,} others are for validation. After each"
            f" epoch, new samples are in {out}/samples.png."
        )
    callbacks = [SaveRun(trainer), TrainingDisplay(trainer.share_done, batch_size, interval=30)]
    try:
        trainer.fit(callbacks=callbacks)
    except KeyboardInterrupt:
        done = trainer.epochs_done
        typer.echo(
            f"\nThe same command resumes after epoch {done}."
            if done
            else "\nNothing was saved, because the first epoch was not finished.",
            err=True,
        )
        raise
    typer.echo(
        f"Lowest KID: {trainer.lowest_kid:.4f}. Model: {out}/model.weights.h5. Samples:"
        f" {out}/samples.png"
    )


def _whole_numbers(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(
        number.strip().isdecimal() and len(number) < 9 and int(number) > 0 for number in numbers
    ):
        raise UserError(f"'{text[:60]}' is not a list of whole numbers such as 32,64,96.")
    return tuple(int(number) for number in numbers)
