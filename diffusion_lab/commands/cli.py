"""The command line. Imports what a command needs when it runs, so that `--help` answers at once."""

# pyright: reportInvalidTypeForm=false, reportAttributeAccessIssue=false
# because pyright does not know the members of an Enum that is made from a list of names.

import sys
import warnings
from collections.abc import Callable
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from diffusion_lab.errors import (
    LARGEST_SEED,
    MOST_GUIDANCE,
    MOST_IMAGES,
    MOST_PIXELS,
    MOST_STEPS,
    UserError,
    about_backend,
    finite_number,
    whole_number,
)

STUDENTS = find_spec("diffusion_lab.instructor") is None  # their package has no part that grades

app = typer.Typer(
    help="Diffusion Lab: learn diffusion models by building one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

WEIGHTS = (
    "Shipped weights, such as flowers32, flowers64, flowers32_conditional, or a .weights.h5 file"
    " that `train` or `demo` wrote."
)
DATA = (
    "procedural_flowers, digits, mnist, fashion_mnist, cifar10, oxford_flowers102, or a folder of"
    " images: some hundreds at least, of which the middle squares are taken."
)

Sampler = Enum(
    "Sampler",
    {name: name for name in ("ddim", "ddpm", "heun", "dpmpp_2m", "adams_bashforth")},
    type=str,
)
Network = Enum(
    "Network",
    {name: name for name in ("unet", "residual_unet", "plain_cnn", "attention_unet")},
    type=str,
)
Prediction = Enum("Prediction", {name: name for name in ("velocity", "noise", "image")}, type=str)
Loss = Enum(
    "Loss", {name: name for name in ("weighted_velocity", "velocity", "noise", "image")}, type=str
)
Schedule = Enum(
    "Schedule", {name: name for name in ("offset_cosine", "cosine", "linear")}, type=str
)
Sandbox = Enum("Sandbox", {name: name for name in ("bubblewrap", "none")}, type=str)
Features = Enum(
    "Features",
    {name: name for name in ("flowers", "inception75", "inception150", "inception299")},
    type=str,
)


def whole(least: float, most: float, help: str | None = None) -> Any:
    """An option for a whole number; what is none gets one sentence."""
    return _checked(whole_number, least, most, help)


def real(least: float, most: float, help: str | None = None) -> Any:
    """An option for a real number. Typer's own ranges would let NaN through."""
    return _checked(finite_number, least, most, help)


def _checked(check: Callable[..., float], least: float, most: float, help: str | None) -> Any:
    def callback(option: typer.CallbackParam, value: Any) -> Any:
        return value if value is None else check(option.opts[0], value, least, most)

    return typer.Option(callback=callback, help=help)


SEED, MANY = whole(0, LARGEST_SEED), 1_000_000_000


@app.command()
def demo(
    minutes: Annotated[float, real(0.05, 10_000, "How long to train.")] = 4.0,
    out: Annotated[Path, typer.Option(help="The folder for the page and its pictures.")] = Path(
        "out/demo"
    ),
    seed: Annotated[int, SEED] = 0,
) -> None:
    """Train a small model, watch flowers come out of noise, and compare samplers on one page."""
    from diffusion_lab.commands.demo import run_demo

    page = run_demo(out, minutes, seed)
    typer.echo(
        f"Done. Open {page} in a browser. Then build a model yourself: make lab (without make:"
        " jupyter lab notebooks)."
    )


@app.command()
def train(
    data: Annotated[str, typer.Option(help=DATA)] = "procedural_flowers",
    image_size: Annotated[
        int, whole(1, MOST_PIXELS, "Pixels a side; for the default network a multiple of 4.")
    ] = 32,
    epochs: Annotated[int, whole(1, MANY)] = 20,
    batch_size: Annotated[int, whole(1, MANY)] = 32,
    count: Annotated[int | None, whole(1, MANY, "Use only so many training images.")] = None,
    network: Annotated[
        Network, typer.Option(help="attention_unet is trained as in the DDPM paper.")
    ] = Network.unet,
    widths: Annotated[
        str, typer.Option(help="Channels of each level of a U-Net, from top to bottom.")
    ] = "32,64,96",
    conditional: Annotated[
        bool, typer.Option("--conditional", help="Tell the network the class of each image.")
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
                "Whose error is the loss; by default weighted_velocity, and noise for"
                " attention_unet."
            )
        ),
    ] = None,
    schedule: Annotated[
        Schedule | None,
        typer.Option(help="By default offset_cosine, and linear for attention_unet."),
    ] = None,
    learning_rate: Annotated[
        float | None, real(0, 1, "By default 0.002, and 0.001 for attention_unet.")
    ] = None,
    kid_every: Annotated[int, whole(1, MANY, "Epochs between two measurements of KID.")] = 1,
    bfloat16: Annotated[
        bool, typer.Option(help="Compute in bfloat16: faster on GPUs and on CPUs with AMX.")
    ] = False,
    seed: Annotated[int, SEED] = 0,
    out: Annotated[
        Path, typer.Option(help="The run's folder; the same command again goes on from there.")
    ] = Path("out/train"),
) -> None:
    """Train a model on any data.

    The same command again goes on where a run was stopped; with more epochs, beyond its end.
    """
    from diffusion_lab.commands.terminal import TrainingDisplay
    from diffusion_lab.models.config import describe_model
    from diffusion_lab.training import Trainer, TrainingConfig
    from diffusion_lab.training.callbacks import EndOfEpoch

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
        learning_rate,
        kid_every=kid_every,
        mixed_bfloat16=bfloat16,
        seed=seed,
        conditional=conditional,
    )
    trainer = Trainer(config, out)
    if trainer.epochs_done == epochs:
        typer.echo(
            f"This run is finished: it has had its {epochs} epoch{'s' * (epochs > 1)}. More of them"
            " (--epochs) take it further.",
            err=True,
        )
    elif trainer.epochs_done:
        typer.echo(f"Going on after epoch {trainer.epochs_done} of {epochs}.", err=True)
    trainer.fit(
        callbacks=[
            EndOfEpoch(trainer),
            TrainingDisplay(trainer.share_done, batch_size, interval=30),
        ]
    )
    typer.echo(
        f"Lowest KID {trainer.lowest_kid:.4f}. The model: {out}/model.weights.h5, its samples:"
        f" {out}/samples.png"
    )


@app.command()
def sample(
    weights: Annotated[str, typer.Option(help=WEIGHTS)] = "flowers32",
    count: Annotated[int, whole(1, MOST_IMAGES)] = 64,
    steps: Annotated[int, whole(1, MOST_STEPS, "More are slower and better, up to a point.")] = 20,
    sampler: Annotated[Sampler, typer.Option()] = Sampler.ddim,
    eta: Annotated[
        float, real(0, 1, "For ddim: 0 is deterministic, 1 is as random as ddpm.")
    ] = 0.0,
    label: Annotated[
        str | None, typer.Option(help="For a conditional model: what to draw, such as red.")
    ] = None,
    guidance: Annotated[
        float | None,
        real(
            -MOST_GUIDANCE,
            MOST_GUIDANCE,
            "How much to insist on the label: 1 is plain, 2 the default.",
        ),
    ] = None,
    seed: Annotated[int, SEED] = 0,
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("out/samples.png"),
) -> None:
    """Generate images from shipped weights or from your own."""
    from diffusion_lab.commands.terminal import sampling_bar
    from diffusion_lab.models.generating import generate_in_batches
    from diffusion_lab.models.io import load_model
    from diffusion_lab.plots import image_grid, save_png
    from diffusion_lab.samplers import SAMPLERS
    from diffusion_lab.storage import demand_writable

    if eta and sampler is not Sampler.ddim:
        raise UserError(f"Only ddim has an eta, {sampler.value} has none: leave --eta out.")
    if guidance is not None and label is None:
        raise UserError(
            "Guidance insists on a label, and there is none: add --label, or leave --guidance out."
        )
    demand_writable(out, ".png")
    model, _ = load_model(weights)
    if label is not None and not model.config.class_names:
        raise UserError(
            f"The model {weights} knows no labels: leave --label out, or take --weights"
            " flowers32_conditional."
        )
    arguments = {"eta": eta or None, "labels": label, "guidance": guidance}
    arguments = {name: value for name, value in arguments.items() if value is not None}
    bar, on_step = sampling_bar(f"sampling {count} images", steps * -(-count // 64))
    with bar:
        images = generate_in_batches(
            model, count, steps, seed, sampler=SAMPLERS[sampler.value], on_step=on_step, **arguments
        )
    save_png(image_grid(images, scale=max(1, 128 // images.shape[1])), out)
    typer.echo(f"{count} images, {steps} steps of {sampler.value}: {out}")


@app.command()
def evaluate(
    weights: Annotated[str, typer.Option(help=WEIGHTS)] = "flowers32",
    data: Annotated[
        str | None, typer.Option(help=DATA + " By default, what the model was trained on.")
    ] = None,
    count: Annotated[int, whole(8, MOST_IMAGES, "How many images to generate and compare.")] = 512,
    steps: Annotated[int, whole(1, MOST_STEPS)] = 10,
    sampler: Annotated[Sampler, typer.Option()] = Sampler.ddim,
    features: Annotated[
        Features,
        typer.Option(help="flowers come with the package; inception is an 88 MB download."),
    ] = Features.flowers,
    seed: Annotated[int, SEED] = 0,
) -> None:
    """Measure KID, with a standard error, and how near the samples come to training images."""
    from diffusion_lab.commands.evaluate import evaluate_model

    result = evaluate_model(weights, data, count, steps, sampler.value, features.value, seed)
    typer.echo(result)


@app.command()
def doctor() -> None:
    """Say what is here, what is missing, and what to do about it."""
    from diffusion_lab.commands.doctor import examine, print_report

    print_report(examine())


@app.command(hidden=STUDENTS)
def build(
    labs: Annotated[
        list[str] | None, typer.Argument(help="Numbers of labs, such as 02 07; by default all.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; fail if a notebook differs from its source."),
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Also run the solutions and keep what they show.")
    ] = False,
    profile: Annotated[
        str, typer.Option(help="For --run: smoke, cpu or gpu. Only what cpu shows is kept.")
    ] = "cpu",
    root: Annotated[Path, typer.Option(help="The repository.")] = Path("."),
) -> None:
    """For instructors: make the student and solution notebooks out of solutions/NN_topic.py."""
    from diffusion_lab.instructor import build as builder

    if check:
        different = builder.stale(root)
        if different:
            raise UserError(
                f"Not what the sources give: {', '.join(map(str, different))}; run diffusion-lab"
                " build."
            )
        typer.echo("All notebooks are what their sources give.")
        return
    builder.build(root, labs or (), typer.echo)
    if run:
        builder.execute(root, labs or (), profile, typer.echo)


@app.command(hidden=STUDENTS)
def grade(
    submissions: Annotated[
        Path | None,
        typer.Argument(
            help=(
                "A folder of notebooks, of students' folders, or a zip of Canvas, Moodle or"
                " Gradescope."
            )
        ),
    ] = None,
    lab: Annotated[str, typer.Option(help="The number of the lab.")] = "07",
    out: Annotated[
        Path | None,
        typer.Option(
            help=(
                "The folder for the grade book, by default out/grades; the same command again goes"
                " on from there."
            )
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Grade a made-up class of ten, to see what comes out.")
    ] = False,
    seed: Annotated[
        int | None,
        whole(
            0,
            2**64,
            "Of the inputs that answers are tried on; by default drawn once for each --out.",
        ),
    ] = None,
    jobs: Annotated[int, whole(1, 1024, "How many submissions to run at once.")] = 2,
    seconds: Annotated[
        float, real(1, 86_400, "How many seconds of processor time one answer may take.")
    ] = 30,
    memory: Annotated[float, real(1, 4096, "How many GB one submission may take.")] = 3,
    kid: Annotated[
        float | None,
        real(
            -1000,
            1000,
            "Lab 07: also measure the weights that students hand in; this KID or less earns"
            " points.",
        ),
    ] = None,
    kid_points: Annotated[float, real(0, 1000, "How many.")] = 4,
    kid_data: Annotated[
        str, typer.Option(help="What they were trained on.")
    ] = "procedural_flowers",
    sandbox: Annotated[
        Sandbox, typer.Option(help="none: only for code that you trust as your own.")
    ] = Sandbox.bubblewrap,
    scheduler: Annotated[
        str | None, typer.Option(help="The address of a Dask cluster, such as tcp://10.0.0.1:8786.")
    ] = None,
    root: Annotated[Path, typer.Option(help="The repository.")] = Path("."),
) -> None:
    """For instructors: grade a class; nothing that students wrote is believed."""
    if sys.platform == "win32":
        raise UserError("Grading needs Linux, for its sandbox: on Windows, do it in WSL2.")
    from diffusion_lab.commands.grade import run_grade

    if (submissions is None) != sample:
        raise UserError("Name the folder or zip with the submissions, or say --sample.")
    out = out or Path("out/sample-class" if sample else "out/grades")
    run_grade(
        submissions,
        lab,
        out,
        root,
        seed=seed,
        jobs=jobs,
        seconds=seconds,
        memory=int(memory * 1e9),
        boxed=sandbox is Sandbox.bubblewrap,
        scheduler=scheduler,
        kid=kid,
        kid_points=kid_points,
        kid_data=kid_data,
    )


@app.command(hidden=STUDENTS)
def release(
    out: Annotated[Path, typer.Option(help="The folder for diffusion-lab.zip.")] = Path(
        "out/release"
    ),
    root: Annotated[Path, typer.Option(help="The repository.")] = Path("."),
) -> None:
    """For instructors: zip exactly what students get, without solutions."""
    from diffusion_lab.instructor.release import write_release

    typer.echo(f"For your students: {write_release(root, out)}")


@app.command()
def precheck(
    notebook: Annotated[Path, typer.Argument(help="Your notebook.")],
    run: Annotated[
        bool, typer.Option(help="Also run it from top to bottom, in its shortest form.")
    ] = True,
) -> None:
    """Before you submit: is every exercise there, is nothing lost, does it run from top to
    bottom?
    """
    from diffusion_lab.submission.precheck import precheck_notebook

    if not precheck_notebook(notebook, run):
        raise typer.Exit(1)


def _whole_numbers(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(
        number.strip().isdecimal() and len(number) < 9 and int(number) > 0 for number in numbers
    ):
        raise UserError(f"'{text[:60]}' is not a list of whole numbers such as 32,64,96.")
    return tuple(int(number) for number in numbers)


def _sentence(error: Exception) -> str | UserError | None:
    """What a person can do about it; None if nobody foresaw this error."""
    if (getattr(error, "name", None) or "").startswith("diffusion_lab.instructor"):
        return "this command is for instructors, and not in what students get."
    return error if isinstance(error, UserError) else about_backend(error)


def main() -> None:
    """The entry point: a `UserError` becomes one sentence and exit status 2, a warning one
    sentence.
    """
    warnings.showwarning = lambda message, *_: typer.secho(
        f"diffusion-lab: {message}", err=True, fg="yellow"
    )
    try:
        app()
    except (ImportError, ValueError) as error:
        sentence = _sentence(error)
        if not sentence:
            raise
        typer.secho(f"diffusion-lab: {sentence}", err=True, fg="red")
        sys.exit(2)
    except SystemExit as ended:  # typer has made one of a KeyboardInterrupt
        if ended.code == 130:
            typer.echo(
                "\nStopped. Give the same command again, and it goes on from what was finished.",
                err=True,
            )
        raise
