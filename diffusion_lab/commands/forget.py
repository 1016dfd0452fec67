"""`diffusion-lab forget`: removes a student from the folder of a grading."""

from pathlib import Path
from typing import Annotated

import typer


def forget(
    student: Annotated[list[str], typer.Argument(help="The student's name or ID.")],
    out: Annotated[Path, typer.Option(help="The folder of the grading.")] = Path("out/grades"),
) -> None:
    """For instructors: remove a student from the folder of a grading."""
    from diffusion_lab.instructor import forget as forgetting

    name, left = forgetting.forget(" ".join(student), out)
    typer.echo(
        f"{name} is removed from {out}. The reports of the whole class and the files for"
        " platforms are removed as well; the same grade command writes them again. Also delete the"
        " student's files in the collected submissions, and their lines in your own tables."
    )
    if left:
        typer.echo(
            f"These files still contain the name, so look at them: {', '.join(map(str, left))}"
        )
