"""Reads a file as a notebook of any version, and a cell as plain Python.

Nothing that is read here is run here.
"""

import ast
import json
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from diffusion_lab.errors import UserError

Cell = dict[str, Any]  # of a notebook, as JSON has it

LARGEST = 12_000_000  # bytes of a notebook; with all its pictures, no lab has more than four
LONGEST = 50_000  # characters of a cell that is looked into
# characters that IPython may read again for the magics of one cell: it begins anew for each
MAGICS = 200_000
RUNS_ITS_BODY = (
    "time",
    "capture",
    "prun",
)  # the magics after which a notebook holds what was defined in their cell or line
PARSING = threading.Lock()  # Python 3.11 cannot parse in two threads at a time


class Unreadable(UserError):
    """A file that is no notebook; the message is a sentence for the student."""


def cells_of(content: bytes) -> list[Cell]:
    """Returns the cells of a notebook of any version, bytes, each with cell_type, id, source
    (strings) and metadata (a dictionary). Raises Unreadable.
    """
    try:
        notebook = json.loads(
            content
        )  # in UTF-8, 16 or 32, with or without a mark at the beginning
        cells = notebook.get("cells") or [
            cell for sheet in notebook.get("worksheets", ()) for cell in sheet["cells"]
        ]
        return [_plain(cell) for cell in cells if isinstance(cell, dict)]
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        raise Unreadable(
            "This file is not a notebook (it may be cut off, or renamed): open it in Jupyter, save"
            " it, and hand in what was saved."
        ) from None


def _plain(cell: Cell) -> Cell:
    source = cell.get("source", cell.get("input", ""))  # "input" in the format of 2013
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    source = source.encode(
        "utf-8", "replace"
    ).decode()  # half a character, such as "\ud800", stops whoever writes it
    metadata = cell.get("metadata")
    return {
        **cell,
        "cell_type": str(cell.get("cell_type")),
        "id": str(cell.get("id", "")),
        "source": source.replace("\r\n", "\n").replace("\r", "\n"),
        "metadata": metadata if isinstance(metadata, dict) else {},
    }


def parse(source: str) -> ast.Module | None:
    """Returns the syntax tree of a cell, or None where Python would refuse to run it."""
    if len(source) > LONGEST:
        return None
    try:
        with PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            compile(
                tree, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
            )  # finds what parsing lets pass
            return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def python_of(source: str) -> str | None:
    """Returns a cell's source as plain Python, without magics and shell commands, or None if the
    notebook could not run it.
    """
    if parse(source) is not None:
        return source
    magics = sum(
        line.lstrip().startswith(("%", "!", "?")) or line.rstrip().endswith("?")
        for line in source.splitlines()
    )
    if len(source) > LONGEST or len(source) * magics > MAGICS:
        return None
    try:
        with PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = TransformerManager().transform_cell(source)
    except Exception:  # it has several words for a syntax error
        return None
    tree = parse(plain)
    return None if tree is None else _without_calls(plain, tree)


def _without_calls(source: str, tree: ast.Module) -> str | None:
    """`source` without the statements that IPython has made of magics; what a magic would have run
    stays.
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
    """Yields (statement, kind, constants among its arguments) for each statement
    `get_ipython().kind(*arguments)`.
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
