"""`diffusion-lab release`: writes what students get, and autograders."""

from pathlib import Path
from typing import Annotated

import typer

from diffusion_lab.errors import UserError


def release(
    out: Annotated[Path, typer.Option(help="The folder for what is written.")] = Path(
        "out/release"
    ),
    data: Annotated[
        Path | None,
        typer.Option(help="A folder of images that students get as well, in the folder data."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAB",
            help="The notebook of this lab instead of all. The option can be repeated.",
        ),
    ] = None,
    gradescope: Annotated[
        str | None,
        typer.Option(
            metavar="LAB", help="Instead, write the zip with Gradescope's autograder for this lab."
        ),
    ] = None,
    classroom50: Annotated[
        str | None,
        typer.Option(
            metavar="LAB",
            help="Instead, write the folder with Classroom 50's feedback for this lab.",
        ),
    ] = None,
    board: Annotated[
        bool,
        typer.Option("--board", help="Gradescope, lab 11: also rank the models, by KID."),
    ] = False,
    late: Annotated[
        str | None,
        typer.Option(
            help="Gradescope: the cost of each day or hour late, even if only partly over, such as"
            " 10%/day."
        ),
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(help="Gradescope: how much later still counts as on time, such as 15m."),
    ] = None,
    root: Annotated[Path, typer.Option(help="The repository.")] = Path("."),
) -> None:
    """For instructors: zip what students get, without the solutions."""
    if gradescope is None and (board or late or grace):
        raise UserError(
            "--board, --late and --grace only work with --gradescope: add it with the number of the"
            " lab."
        )
    if gradescope is None and classroom50 is None:
        from diffusion_lab.instructor import published
        from diffusion_lab.instructor.release import write_release

        path = write_release(root, out, data, only or ())
        typer.echo(f"For your students: {path}")
        _echo_checksum(path)
        if warning := published.warning():
            typer.echo(warning)
        return
    if only:
        raise UserError("--only is for the zip for students: leave it out here.")
    from diffusion_lab.instructor.autograders.writing import write_classroom50, write_gradescope

    if gradescope is not None:
        path = write_gradescope(root, out, gradescope, board, late, grace)
        typer.echo(
            f"For Gradescope's autograder: {path}. It contains the answers, so do not share it. In"
            " the autograder's settings, choose 3 GB of memory and 2 CPUs."
        )
        _echo_checksum(path)
    if classroom50 is not None:
        path = write_classroom50(root, out, classroom50)
        typer.echo(
            f"For Classroom 50: copy {path} into the folder autograders of your classroom. It gives"
            " feedback only: students can change everything in their own repositories."
        )


def _echo_checksum(path: Path) -> None:
    from diffusion_lab.instructor.release import checksum_of

    file = checksum_of(path)
    typer.echo(f"SHA-256 (in {file.name}): {file.read_text(encoding='utf-8').split()[0]}")
