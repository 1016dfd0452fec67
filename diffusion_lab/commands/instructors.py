"""The commands for instructors, which `cli` hides from students."""

# pyright: reportInvalidTypeForm=false, reportAttributeAccessIssue=false
# because pyright does not know the members of an Enum that is made from a list of names.

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from diffusion_lab.commands.options import Profile, Sandbox, real, whole
from diffusion_lab.commands.points_options import (
    Anonymous,
    CompareWith,
    Due,
    Extensions,
    Grace,
    LateRate,
    OnlyStudent,
    Times,
)
from diffusion_lab.errors import UserError


def build(
    labs: Annotated[
        list[str] | None, typer.Argument(help="The numbers of labs, such as 02 07; by default all.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; fail if a notebook is out of date."),
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Also run the solutions and store their outputs.")
    ] = False,
    profile: Annotated[
        Profile, typer.Option(help="For --run. Only the outputs of cpu are stored.")
    ] = Profile.cpu,
    root: Annotated[Path, typer.Option(help="The repository.")] = Path("."),
) -> None:
    """For instructors: generate all notebooks from solutions/NN_topic.py."""
    from diffusion_lab.instructor import build as builder

    if check and run:
        raise UserError("--check writes nothing, and --run stores outputs: choose one of the two.")
    if check:
        different = builder.stale(root, labs or ())
        if different:
            raise UserError(
                f"These notebooks are out of date: {', '.join(map(str, different))}. Run"
                " diffusion-lab build."
            )
        typer.echo("These notebooks are up to date." if labs else "All notebooks are up to date.")
        return
    builder.build(root, labs or (), typer.echo)
    if run:
        builder.execute(root, labs or (), profile.value, typer.echo)


def grade(
    context: typer.Context,
    submissions: Annotated[
        Path | None,
        typer.Argument(
            help=(
                "A folder of notebooks or of students' folders, nbgrader's course folder, or a zip"
                " file from Canvas, Moodle, Gradescope, Blackboard, Brightspace or Google"
                " Classroom."
            )
        ),
    ] = None,
    lab: Annotated[str, typer.Option(help="The number of the lab.")] = "07",
    out: Annotated[
        Path | None,
        typer.Option(
            help=(
                "The folder for the grade book, by default out/grades; the same command resumes a"
                " grading that was stopped."
            )
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Grade a made-up class of ten, as a demonstration.")
    ] = False,
    seed: Annotated[
        int | None,
        whole(
            0,
            2**64,
            "Determines the inputs for the answers; by default chosen once for each --out.",
        ),
    ] = None,
    jobs: Annotated[int, whole(1, 1024, "How many submissions to run at the same time.")] = 2,
    seconds: Annotated[
        float,
        real(
            1,
            86_400,
            "Limit for each answer, in seconds of CPU time. An answer that is stopped runs"
            " again, with twice as many.",
        ),
    ] = 30,
    memory: Annotated[float, real(1, 4096, "Limit for each submission, in GB of memory.")] = 3,
    kid: Annotated[
        float | None,
        real(
            -1000,
            1000,
            "Lab 07: also measure the weights that students hand in; this KID or a lower one"
            " earns points.",
        ),
    ] = None,
    kid_points: Annotated[float, real(0, 1000, "The points for --kid.")] = 4,
    kid_data: Annotated[
        str, typer.Option(help="The data that the weights for --kid were trained on.")
    ] = "procedural_flowers",
    board: Annotated[
        bool,
        typer.Option(
            "--board",
            help="Lab 11: also rank the models that students hand in, by KID in 1, 2 and 4 steps.",
        ),
    ] = False,
    roster: Annotated[
        Path | None,
        typer.Option(
            help=(
                "The class: Canvas's grade book, Moodle's grading worksheet, or another table with"
                " names (CSV). Writes the files with grades and feedback that Canvas and Moodle"
                " import."
            )
        ),
    ] = None,
    assignment: Annotated[
        str | None,
        typer.Option(
            help=(
                "For Canvas: the title or ID of the assignment, if its title does not begin with"
                " the lab, such as Lab 07."
            )
        ),
    ] = None,
    due: Due = None,
    late: LateRate = None,
    grace: Grace = None,
    extensions: Extensions = None,
    times: Times = None,
    anonymous: Anonymous = False,
    compare_with: CompareWith = None,
    only: OnlyStudent = None,
    sandbox: Annotated[
        Sandbox,
        typer.Option(
            help=(
                "auto is bubblewrap, or else user: a sandbox with a separate user id, which needs"
                " root. Use none only for code that you trust as much as your own."
            )
        ),
    ] = Sandbox.auto,
    scheduler: Annotated[
        str | None, typer.Option(help="The address of a Dask cluster, such as tcp://10.0.0.1:8786.")
    ] = None,
    root: Annotated[Path, typer.Option(help="The repository.")] = Path("."),
) -> None:
    """For instructors: grade a class, without trusting the students' code."""
    if sys.platform != "linux":
        raise UserError(
            "Grading needs the sandbox, which only runs on Linux: on Windows, use WSL2, and on a"
            " Mac, a virtual machine with Linux."
        )
    if context.args:
        raise UserError(
            f"Give one folder or zip: put {', '.join(map(str, [submissions, *context.args]))} into"
            " one folder, and give that."
        )
    if (submissions is None) != sample:
        raise UserError("Give either the folder or zip file with the submissions, or --sample.")
    from diffusion_lab.commands.grade import run_grade
    from diffusion_lab.commands.reports import Reporting
    from diffusion_lab.instructor.lateness import read_policy

    options = {
        "--kid": kid,
        "--board": board,
        "--roster": roster,
        "--assignment": assignment,
        "--due": due,
        "--late": late,
        "--grace": grace,
        "--extensions": extensions,
        "--times": times,
        "--anonymous": anonymous,
        "--compare-with": compare_with,
    }
    out = out or Path("out/sample-class" if sample else "out/grades")
    try:
        run_grade(
            submissions,
            lab,
            out,
            root,
            seed=seed,
            jobs=jobs,
            seconds=seconds,
            memory=int(memory * 1e9),
            sandbox=sandbox.value,
            scheduler=scheduler,
            kid=kid,
            kid_points=kid_points,
            kid_data=kid_data,
            board=board,
            roster=roster,
            assignment=assignment,
            only=only,
            reporting=Reporting(
                read_policy(due, late, grace, extensions, times),
                anonymous,
                compare_with or (),
                _as_text(options),
            ),
        )
    except KeyboardInterrupt:
        typer.echo("\nThe same command resumes this grading.", err=True)
        raise


def _as_text(options: dict[str, Any]) -> dict[str, str]:
    """Returns the options that were given, as one would type them: {"--late": "10%/day"}."""
    texts = {}
    for name, value in options.items():
        if value is not None and value is not False:
            values = value if isinstance(value, list) else [] if value is True else [value]
            texts[name] = shlex.join(map(str, values))
    return texts
