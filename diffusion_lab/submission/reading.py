"""Reads a file as a notebook of any version, and a cell as plain Python, without running it."""

import ast
import json
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from diffusion_lab.errors import UserError
from diffusion_lab.submission.kinds import instead_of_a_notebook

Cell = dict[str, Any]  # of a notebook, as in its JSON

LARGEST = 12_000_000  # bytes of a notebook; with all its pictures, no lab has more than 4 million
LONGEST_CELL = 50_000  # characters; longer cells are not read
# Characters that IPython may read for the magics of one cell: it rereads the cell for each of them.
MOST_REREAD = 200_000
RUNS_ITS_BODY = ("time", "capture", "prun")  # magics whose cell or line defines its names as usual
PARSING = threading.Lock()  # Python 3.11 cannot parse in two threads at a time


class Unreadable(UserError):
    """Raised for a file that is not a notebook; its message is a sentence for the student."""


def cells_of(content: bytes) -> list[Cell]:
    """Returns the cells of a notebook of any version.

    Each has cell_type, id and source, which are strings, and metadata, a dictionary.

    Raises:
        Unreadable: if `content` is not a notebook.
    """
    try:
        # json reads UTF-8, 16 and 32, with or without a byte order mark
        notebook = json.loads(content)
        cells = notebook.get("cells") or [
            cell for sheet in notebook.get("worksheets", ()) for cell in sheet["cells"]
        ]
        return [_normalised(cell) for cell in cells if isinstance(cell, dict)]
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        raise Unreadable(
            instead_of_a_notebook(content)
            or "This file is not a notebook. It may be incomplete, or another file that was"
            " renamed. Open it in Jupyter, save it, and hand in the saved file."
        ) from None


def _normalised(cell: Cell) -> Cell:
    source = cell.get("source", cell.get("input", ""))  # "input" in the format of 2013
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    # half a character, such as "\ud800", cannot be written to a file
    source = source.encode("utf-8", "replace").decode()
    metadata = cell.get("metadata")
    return {
        **cell,
        "cell_type": str(cell.get("cell_type")),
        "id": str(cell.get("id", "")),
        "source": source.replace("\r\n", "\n").replace("\r", "\n"),
        "metadata": metadata if isinstance(metadata, dict) else {},
    }


def parse(source: str) -> ast.Module | None:
    """Returns the syntax tree of a cell, or None if Python would refuse to run it."""
    if len(source) > LONGEST_CELL:
        return None
    try:
        with PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            # finds errors that parsing does not, such as a `return` outside of a function
            compile(tree, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def python_of(source: str) -> str | None:
    """Returns a cell's source without magics and shell commands, or None if it cannot run."""
    if parse(source) is not None:
        return source
    magics = sum(
        line.lstrip().startswith(("%", "!", "?")) or line.rstrip().endswith("?")
        for line in source.splitlines()
    )
    if len(source) > LONGEST_CELL or len(source) * magics > MOST_REREAD:
        return None
    try:
        with PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = TransformerManager().transform_cell(source)
    except Exception:  # IPython raises several exceptions for a syntax error
        return None
    tree = parse(plain)
    return None if tree is None else _without_magics(plain, tree)


def _without_magics(source: str, tree: ast.Module) -> str | None:
    """Returns `source` without the statements that IPython made from magics.

    The code that a magic would have run stays.
    """
    lines = source.split("\n")
    for node, kind, arguments in sorted(_magics(tree), key=lambda magic: -magic[0].lineno):
        runs = kind.startswith("run_") and arguments and arguments[0] in RUNS_ITS_BODY
        body = python_of(arguments[-1]) if runs else "pass"
        if body is None and kind == "run_cell_magic":
            return None
        indent = " " * node.col_offset
        lines[node.lineno - 1 : node.end_lineno] = [
            indent + line if line else "" for line in (body or "pass").splitlines()
        ]
    return "\n".join(lines)


def _magics(tree: ast.Module) -> Iterator[tuple[ast.Expr, str, list[Any]]]:
    """Yields each statement `get_ipython().kind(*arguments)`.

    Yields:
        (statement, kind, constants among the arguments)
    """
    for node in ast.walk(tree):
        match node:
            case ast.Expr(
                ast.Call(ast.Attribute(ast.Call(ast.Name("get_ipython")), kind), arguments)
            ):
                yield (
                    node,
                    kind,
                    [
                        argument.value
                        for argument in arguments
                        if isinstance(argument, ast.Constant)
                    ],
                )
