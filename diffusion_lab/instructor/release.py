"""Writes the zip for students: the notebooks, the package and the installation files.

It contains no solutions and no part of the grader.
"""

import hashlib
import re
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

from diffusion_lab.data.folder import list_images
from diffusion_lab.errors import UserError
from diffusion_lab.instructor.build import sources, stale
from diffusion_lab.storage import replacing, write_atomically

FILES = ("README.md", "LICENSE", "environment.yml", "pyproject.toml", "constraints.txt", "Makefile")
IMAGES = re.compile(r"^ *\"data = \\\"\.\./data/([\w.-]+)", re.MULTILINE)  # in a notebook's JSON
FOLDERS = {
    "notebooks": ("*.ipynb",),
    "docs": (
        "labs.md",
        "glossary.md",
        "sources.md",
        "benchmarks/*.md",
        "*.png",
        "*.webp",
        "open_in_colab.svg",
    ),
    "diffusion_lab": ("*.py", "py.typed", "*.h5", "*.json", "*.html", "*.js", "*.md", "SHA256SUMS"),
}


def write_release(
    root: str | Path, out: str | Path, data: Path | None = None, labs: Sequence[str] = ()
) -> Path:
    """Writes `out`/diffusion-lab.zip and its checksum, and returns its path.

    Args:
        root: the repository.
        out: the folder for the zip.
        data: a folder of images, which students get as `data/` and its name.
        labs: the numbers of the labs whose notebooks are in the zip. All labs if empty.

    Raises:
        UserError: if `root` is not the repository, there is no such lab, a notebook does not match
            its source or reads images that are not in the zip, there is no image in `data`, or the
            zip cannot be written.
    """
    root, path = Path(root), Path(out, "diffusion-lab.zip")
    missing = [name for name in (*FILES, *FOLDERS) if not (root / name).exists()]
    if missing:
        raise UserError(
            f"There is no {missing[0]} in {root.resolve()}. Run this command in the repository."
        )
    left_out = {f"{source.stem}.ipynb" for source in {*sources(root)} - {*sources(root, labs)}}
    different = stale(root)
    strange = [path for path in different if not (root / "solutions" / f"{path.stem}.py").exists()]
    if strange:
        raise UserError(
            f"These files have no source in solutions/: {', '.join(map(str, strange))}. Move them"
            " to another folder."
        )
    if different:
        raise UserError(
            f"These files do not match their sources: {', '.join(map(str, different))}. Run"
            " diffusion-lab build, which writes them again. This deletes any answers that you"
            " wrote in them, so copy those first."
        )
    require_images(root, data)
    images = (
        {file: Path("data", data.name, file.relative_to(data)) for file in list_images(data)}
        if data
        else {}
    )
    with replacing(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in contents(root):
            if file.name in left_out:
                continue
            name = Path("diffusion-lab", file.relative_to(root)).as_posix()
            if file.suffix == ".md" or file.name == "Makefile":
                page = for_students(file.read_text(encoding="utf-8"))
                archive.writestr(name, without_links(page, left_out))
            else:
                archive.write(file, name)
        for file, place in images.items():
            archive.write(file, Path("diffusion-lab", place).as_posix())
    write_checksum(path)
    return path


def write_checksum(path: Path) -> None:
    """Writes the SHA-256 of a file next to it, in the format of `sha256sum --check`."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    write_atomically(checksum_of(path), f"{digest}  {path.name}\n".encode())


def checksum_of(path: Path) -> Path:
    """Returns the path of the file with a file's checksum."""
    return path.with_name(f"{path.name}.sha256")


def require_images(root: Path, data: Path | None) -> None:
    """Raises UserError if a notebook names a folder of images that students do not get."""
    for notebook in sorted(Path(root, "notebooks").glob("*.ipynb")):
        for name in IMAGES.findall(notebook.read_text(encoding="utf-8")):
            if data is None or name != data.resolve().name:
                raise UserError(
                    f"{notebook.name} reads ../data/{name}, which is not in the zip: add --data"
                    f" and the folder of these images. Its name must be {name}."
                )


def for_students(page: str) -> str:
    """Returns a page without its passages about the whole repository, which are between two
    marks.
    """
    return re.sub(r"(# )?<!-- repository -->.*?<!-- end -->\n?", "", page, flags=re.DOTALL)


def without_links(page: str, names: Collection[str]) -> str:
    """Returns a page with the texts of links to files with these names, in place of the links."""
    files = "|".join(map(re.escape, names))
    return re.sub(rf"\[([^]]*)\]\([^)\s]*/(?:{files})\)", r"\1", page) if names else page


def contents(root: str | Path, grader: bool = False) -> list[Path]:
    """Returns the files of a release, in order.

    The grader is left out because it contains answers, unless `grader` is true.
    """
    found = [Path(root, name) for name in FILES]
    for folder, patterns in FOLDERS.items():
        found += [
            file
            for pattern in patterns
            for file in Path(root, folder).rglob(pattern)
            if not {"__pycache__", "out", ".ipynb_checkpoints"} & set(file.relative_to(root).parts)
        ]
    return sorted(
        file for file in found if grader or "instructor" not in file.relative_to(root).parts
    )
