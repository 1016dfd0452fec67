"""Shows code of the package in a notebook."""

import ast
import inspect
from textwrap import dedent


def show_code(*functions):
    """Prints the source of functions and methods, without their docstrings."""
    print("\n\n".join(map(code_of, functions)))


def code_of(function):
    """Returns the source of a function, as it is written, without its docstring."""
    source = dedent(inspect.getsource(function))
    first = ast.parse(source).body[0].body[0]
    lines = source.splitlines()
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        del lines[first.lineno - 1 : first.end_lineno]
    return "\n".join(lines).replace(":\n\n", ":\n", 1)
