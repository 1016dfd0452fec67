"""`diffusion-lab progress`: which exercises a student has solved."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from diffusion_lab.errors import UserError
from diffusion_lab.labs.progress import RECORD, solved
from diffusion_lab.submission.handout import handouts


def show_progress(folder: Path) -> None:
    """Prints a table of all exercises, from the record of the checks in a folder of notebooks.

    Raises:
        UserError: if there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder}. Run this command in the course folder, or name the"
            " folder of your notebooks with --folder."
        )
    done = solved(folder / RECORD)
    table = Table("lab", "solved", "exercises", box=None)
    tasks = {handout.lab: handout.tasks for handout in handouts() if handout.tasks}
    for lab, exercises in tasks.items():
        marks = [
            f"[green]✓{task.name}[/]" if task.number in done else f"[dim]{task.name}[/]"
            for task in exercises
        ]
        count = sum(task.number in done for task in exercises)
        table.add_row(lab, f"{count} of {len(exercises)}", "  ".join(marks))
    console = Console()
    console.print(table)
    numbers = {task.number for exercises in tasks.values() for task in exercises}
    console.print(f"{len(done & numbers)} of {len(numbers)} exercises.")
    if not done:
        console.print("A check that passes in a notebook adds its exercise to this table.")
