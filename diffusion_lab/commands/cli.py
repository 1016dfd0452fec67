"""The command line.

A command imports what it needs when it runs, so that `--help` answers at once.
"""

# pyright: reportInvalidTypeForm=false, reportAttributeAccessIssue=false
# because pyright does not know the members of an Enum that is made from a list of names.

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from diffusion_lab.commands import instructors
from diffusion_lab.commands.forget import forget
from diffusion_lab.commands.options import (
    DATA,
    FEW,
    GUIDE,
    MIN_SIGNAL_RATE,
    SEED,
    SPACING,
    WEIGHTS,
    Features,
    Sampler,
    real,
    whole,
)
from diffusion_lab.commands.release import release
from diffusion_lab.commands.train import train
from diffusion_lab.errors import (
    MOST_GUIDANCE,
    MOST_IMAGES,
    MOST_STEPS,
    UserError,
    about_backend,
)

app = typer.Typer(
    help="Diffusion Lab: learn diffusion models by building one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.command()
def demo(
    minutes: Annotated[float, real(0.05, 10_000, "How long to train.")] = 4.0,
    out: Annotated[Path, typer.Option(help="The folder for the page and its pictures.")] = Path(
        "out/demo"
    ),
    seed: Annotated[int, SEED] = 0,
) -> None:
    """Train a small model, watch flowers emerge from noise, and compare samplers on one page."""
    from diffusion_lab.commands.demo import run_demo

    page = run_demo(out, minutes, seed)
    typer.echo(
        f"Done. Open {page} in a browser. Then build a model yourself: make lab (without make:"
        " jupyter lab)."
    )


app.command()(train)


@app.command()
def sample(
    weights: Annotated[str, typer.Option(help=WEIGHTS)] = "flowers32",
    count: Annotated[int, whole(1, MOST_IMAGES)] = 64,
    steps: Annotated[
        int | None,
        whole(
            1, MOST_STEPS, "By default 20, or 2 for flowers32_fewstep. More are slower and better."
        ),
    ] = None,
    sampler: Annotated[Sampler, typer.Option()] = Sampler.ddim,
    eta: Annotated[
        float, real(0, 1, "For ddim: 0 is deterministic, 1 is as random as ddpm.")
    ] = 0.0,
    spacing: Annotated[float, SPACING] = 1.0,
    min_signal_rate: Annotated[float | None, MIN_SIGNAL_RATE] = None,
    label: Annotated[
        str | None,
        typer.Option(help="For a conditional model: the class to generate, such as red."),
    ] = None,
    guidance: Annotated[
        float | None,
        real(
            -MOST_GUIDANCE,
            MOST_GUIDANCE,
            "Strength of the guidance; 1 is none. By default 2 with --label and 1.75 with --guide.",
        ),
    ] = None,
    guide: Annotated[str | None, typer.Option(help=GUIDE)] = None,
    seed: Annotated[int, SEED] = 0,
    out: Annotated[Path, typer.Option(help="The PNG file to write.")] = Path("out/samples.png"),
) -> None:
    """Generate images from shipped weights or from your own."""
    from diffusion_lab.commands.evaluate import autoguided, begin_at
    from diffusion_lab.commands.terminal import sampling_bar
    from diffusion_lab.models.generating import generate_in_batches
    from diffusion_lab.models.io import load_model
    from diffusion_lab.plots import image_grid, save_png
    from diffusion_lab.samplers import SAMPLERS
    from diffusion_lab.storage import demand_writable

    if eta and sampler is not Sampler.ddim:
        raise UserError(f"Only ddim takes --eta, and {sampler.value} does not: leave it out.")
    if guide is not None and label is not None:
        raise UserError(
            "--label and --guide are two different kinds of guidance: choose one of them."
        )
    if guidance is not None and label is None and guide is None:
        raise UserError(
            "--guidance has no effect without a label or a guide: add --label or --guide, or leave"
            " --guidance out."
        )
    demand_writable(out, ".png")
    model, _ = load_model(weights)
    chosen: int = steps or (FEW if model.config.most_steps else 20)
    if label is not None and not model.config.class_names:
        raise UserError(
            f"The model {weights} takes no labels: leave --label out, or use --weights"
            " flowers32_conditional."
        )
    begin_at(model, min_signal_rate)
    guided = autoguided(SAMPLERS[sampler.value], guide, guidance)
    arguments = {
        "eta": eta or None,
        "spacing": spacing,
        "labels": label,
        "guidance": guidance if label else None,
    }
    arguments = {name: value for name, value in arguments.items() if value is not None}
    bar, on_step = sampling_bar(f"sampling {count} images", chosen * -(-count // 64))
    with bar:
        images = generate_in_batches(
            model, count, chosen, seed, sampler=guided, on_step=on_step, **arguments
        )
    save_png(image_grid(images, scale=max(1, 128 // images.shape[1])), out)
    typer.echo(f"Wrote {count} images ({sampler.value}, {chosen} steps) to {out}")


@app.command()
def evaluate(
    weights: Annotated[str, typer.Option(help=WEIGHTS)] = "flowers32",
    data: Annotated[
        str | None, typer.Option(help=DATA + " By default, the data that the model was trained on.")
    ] = None,
    count: Annotated[int, whole(8, MOST_IMAGES, "How many images to generate and compare.")] = 512,
    steps: Annotated[
        int | None, whole(1, MOST_STEPS, "By default 10, or 2 for flowers32_fewstep.")
    ] = None,
    sampler: Annotated[Sampler, typer.Option()] = Sampler.ddim,
    spacing: Annotated[float, SPACING] = 1.0,
    min_signal_rate: Annotated[float | None, MIN_SIGNAL_RATE] = None,
    features: Annotated[
        Features,
        typer.Option(help="flowers comes with the package; inception is an 88 MB download."),
    ] = Features.flowers,
    guide: Annotated[str | None, typer.Option(help=GUIDE)] = None,
    guidance: Annotated[
        float | None,
        real(-MOST_GUIDANCE, MOST_GUIDANCE, "Strength of the guidance by --guide; 1 is none."),
    ] = None,
    seed: Annotated[int, SEED] = 0,
) -> None:
    """Measure KID with its standard error, and how close the samples are to training images."""
    from diffusion_lab.commands.evaluate import evaluate_model

    if guidance is not None and guide is None:
        raise UserError("--guidance has no effect without a guide: add --guide, or leave it out.")
    result = evaluate_model(
        weights,
        data,
        count,
        steps,
        sampler.value,
        spacing,
        min_signal_rate,
        features.value,
        seed,
        guide,
        guidance,
    )
    typer.echo(result)


@app.command()
def export(
    weights: Annotated[str, typer.Argument(help=WEIGHTS)],
    out: Annotated[
        Path | None, typer.Option(help="The ONNX file to write, by default out/WEIGHTS.onnx.")
    ] = None,
    format: Annotated[str, typer.Option(help="The format of the file: only onnx.")] = "onnx",
) -> None:
    """Export a model to ONNX, for browsers and programs without Keras."""
    if format != "onnx":
        raise UserError(
            f"There is no format {format!r}: the only one is onnx, because its results are compared"
            " with Keras's. For LiteRT without this check, call"
            ' model.ema_network.export("my.tflite", format="litert") in Python.'
        )
    from diffusion_lab.models.export import export_onnx
    from diffusion_lab.models.io import load_model
    from diffusion_lab.storage import demand_writable

    out = out or Path("out", Path(weights).name.removesuffix(".weights.h5") + ".onnx")
    demand_writable(out, ".onnx")
    difference = export_onnx(load_model(weights)[0], out)
    typer.echo(
        f"Wrote {out} ({out.stat().st_size / 1e6:.1f} MB) and {out.with_suffix('.json')}. The"
        f" largest difference from Keras is {difference:.1e}."
    )


@app.command()
def doctor() -> None:
    """Show what is installed, what is missing, and how to fix it."""
    from diffusion_lab.commands.doctor import examine, print_report

    print_report(examine())


@app.command()
def progress(
    folder: Annotated[Path, typer.Option(help="The folder of your notebooks.")] = Path("notebooks"),
) -> None:
    """Show which exercises you have solved, as recorded by the checks in your notebooks."""
    from diffusion_lab.commands.progress import show_progress

    show_progress(folder)


@app.command()
def precheck(
    notebook: Annotated[Path, typer.Argument(help="Your notebook.")],
    run: Annotated[bool, typer.Option(help="Also run the notebook, in its shortest form.")] = True,
) -> None:
    """Check a notebook before you hand it in: what will the grader say, and does it run?"""
    from diffusion_lab.submission.precheck import precheck_notebook

    if not precheck_notebook(notebook, run):
        raise typer.Exit(1)


# students' package has no part that grades
STUDENTS = find_spec("diffusion_lab.instructor") is None
for command in (instructors.build, instructors.grade, release, forget):
    # so that `grade` itself can say what to do with several files
    extra = {"allow_extra_args": command is instructors.grade}
    app.command(hidden=STUDENTS, context_settings=extra)(command)


# optional packages that commands import, and the extra that installs each
EXTRAS = {"nbclient": "lab", "nbformat": "lab"} | dict.fromkeys(
    ("jupyter_client", "jupytext", "nbval", "yaml"), "instructor"
)
EXTRAS |= {"onnx": "onnx", "onnxruntime": "onnx"}


def _sentence(error: Exception) -> str | UserError | None:
    """Returns what to tell the user, or None for an unexpected error."""
    module = getattr(error, "name", None) or ""
    if module.startswith("diffusion_lab.instructor"):
        return "This command is for instructors. The students' package does not contain it."
    if module in EXTRAS:
        return (
            f"This command needs {module}, which is not installed. In the course folder, run: pip"
            f" install --constraint constraints.txt --editable '.[{EXTRAS[module]}]'"
        )
    if isinstance(error, OSError):
        if error.filename is None:  # such as a full disk
            return error.strerror or str(error)
        return f"Could not read or write {error.filename} ({error.strerror}): choose another path."
    return error if isinstance(error, UserError) else about_backend(error)


def main() -> None:
    """Runs the command line. An error that a person can fix, such as a `UserError` or `OSError`,
    becomes one sentence and exit status 2.
    """
    warnings.showwarning = lambda message, *_: typer.secho(
        f"diffusion-lab: {message}", err=True, fg="yellow"
    )
    try:
        app()
    except (ImportError, OSError, ValueError) as error:
        sentence = _sentence(error)
        if not sentence:
            raise
        typer.secho(f"diffusion-lab: {sentence}", err=True, fg="red")
        sys.exit(2)
