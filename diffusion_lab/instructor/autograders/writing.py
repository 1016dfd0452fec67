"""Writes what Gradescope and Classroom 50 run for each submission."""

import json
import zipfile
from pathlib import Path

from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.lateness import read_policy
from diffusion_lab.instructor.pages import LOADER, TEMPLATES
from diffusion_lab.instructor.release import contents, write_checksum, write_release
from diffusion_lab.storage import replacing, write_atomically

EXECUTABLE = 0o755 << 16  # in the attributes of a file in a zip
LEFT_OUT = ("notebooks", "docs")  # folders of a release that grading does not need


def write_gradescope(
    root: Path,
    out: Path,
    lab: str,
    board: bool = False,
    late: str | None = None,
    grace: str | None = None,
) -> Path:
    """Writes the zip with Gradescope's autograder for a lab and its checksum, and returns its path.

    It contains the lab's answers, so its `setup.sh` closes its folder in the container.

    Args:
        root: the repository.
        out: the folder for the zip.
        lab: such as "07".
        board: also ranks the models that students tuned in lab 11.
        late: what each day or hour after the due time costs, such as "10%/day", or None.
        grace: how much later than due still counts as on time, such as "15m", or None.

    Raises:
        UserError: if there is no such lab, it has no exercises, or an option cannot be read.
    """
    source = _source(root, lab)
    if board and not source.name.startswith("11"):
        raise UserError(
            "Only lab 11 has a leaderboard: leave --board out. For the models that students train"
            " in lab 07, export the submissions and grade them with diffusion-lab grade --kid."
        )
    read_policy("2026-01-01T00:00", late, grace)  # raises an error here instead of in the container
    options = {"lab": source.name[:2], "board": board, "late": late, "grace": grace}
    files = [
        file
        for file in contents(root, grader=True)
        if file.relative_to(root).parts[0] not in LEFT_OUT
    ]
    path = out / f"gradescope-{source.stem}.zip"
    with replacing(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in [*files, source]:
            archive.write(file, file.relative_to(root).as_posix())
        archive.writestr("autograder.json", json.dumps(options))
        for name in ("setup.sh", "run_autograder"):
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = EXECUTABLE, zipfile.ZIP_DEFLATED
            archive.writestr(entry, _template(f"gradescope_{name}"))
    write_checksum(path)
    return path


def write_classroom50(root: Path, out: Path, lab: str) -> Path:
    """Writes the folder of a lab for Classroom 50's `autograders/`, and returns its path.

    It contains only what students have.

    Raises:
        UserError: as `write_gradescope`, or as `write_release`.
    """
    source = _source(root, lab)
    folder = out / f"classroom50-{source.stem}"
    write_release(root, folder)
    write_atomically(folder / "constraints.txt", (root / "constraints.txt").read_bytes())
    script = _template("classroom50.py").replace("LAB", source.name[:2])
    write_atomically(folder / "autograder.py", script.encode())
    return folder


def _source(root: Path, lab: str) -> Path:
    (source,) = sources(root, [lab])
    if source.name.startswith("00"):
        raise UserError("Lab 00 has no exercises, so there is nothing to grade.")
    return source


def _template(name: str) -> str:
    return LOADER.get_source(TEMPLATES, name)[0]
