"""Text alternatives of pictures, for those who cannot see them."""

from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

from diffusion_lab.errors import UserError


def pictures_of(cell: NotebookNode) -> Iterator[NotebookNode]:
    """Yields the outputs of a cell that are pictures."""
    return (output for output in cell.get("outputs", []) if "image/png" in output.get("data", {}))


def described(notebook: NotebookNode) -> NotebookNode:
    """Gives the pictures of each cell the text alternative of its first line, if there is one."""
    for cell in notebook.cells:
        if "alt" in cell.metadata:
            for picture in pictures_of(cell):
                about = picture.metadata.get("image/png", {})
                picture.metadata["image/png"] = {**about, "alt": cell.metadata.alt}
    return notebook


def require_alternatives(source: Path, notebook: NotebookNode) -> None:
    """Raises UserError for a picture without a sentence as its text alternative."""
    for cell in notebook.cells:
        for picture in pictures_of(cell):
            about = picture.get("metadata", {}).get("image/png", {})
            if not about.get("alt", "").endswith("."):
                raise UserError(
                    f"{source}: say in a sentence what the picture of this cell shows, for those"
                    ' who cannot see it, as in # %% alt="Eight flowers on dark green." The cell'
                    f" begins with: {cell.source.splitlines()[0]}"
                )
