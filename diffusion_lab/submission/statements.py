"""The top-level statements of a notebook, and the names that each of them binds and reads."""

import ast
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from diffusion_lab.submission.reading import PARSING, parse

Place = tuple[int, int]  # (number of the cell, line)

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
CONDITIONAL = (ast.If, ast.Try, ast.With, ast.For, ast.While, ast.AugAssign)
FILLING_METHODS = ("append", "extend", "insert", "add", "update", "setdefault")  # of containers
# With this line type hints are not evaluated, so an answer does not need the names in them.
NO_HINTS = "from __future__ import annotations"


class Names(NamedTuple):
    """The names in a statement."""

    binds: set[str]
    reads: set[str]  # when the statement runs
    reads_when_called: set[str]  # when one of its functions is called


@dataclass(frozen=True, eq=False)
class Statement:
    """One top-level statement of a cell, or several that share a line."""

    place: Place
    source: str
    nodes: tuple[ast.stmt, ...]

    @cached_property
    def names(self) -> Names:
        try:
            with PARSING:
                table = symtable.symtable(f"{NO_HINTS}\n{self.source}", "cell", "exec")
        except (SyntaxError, RecursionError):  # `await`, or nested too deeply
            return Names(set(), set(), set())
        symbols = table.get_symbols()
        binds = {each.get_name() for each in symbols if each.is_assigned() or each.is_imported()}
        binds -= {"annotations"}  # of the line above
        reads = {each.get_name() for each in symbols if each.is_referenced()}
        inner_reads, reads_when_called = _inner_reads(table)
        return Names(binds | self.changes, reads | inner_reads, reads_when_called)

    @cached_property
    def changes(self) -> set[str]:
        """Returns the names of containers that it fills, also within a loop.

        Examples are `table["a"] = 1` and `table.append(1)`.
        """
        found = set()
        for node in run_at_once(self.nodes):
            if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(_variable(node))
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in FILLING_METHODS
            ):
                found.add(_variable(node.func))
        return found - {None}

    @property
    def from_package(self) -> bool:
        """True if it imports from diffusion_lab."""
        imports = [node for node in self.nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = [getattr(node, "module", None) or node.names[0].name for node in imports]
        return any(module.split(".")[0] == "diffusion_lab" for module in modules)

    def as_imports(self) -> list[str | None]:
        """Returns the code of each of its imports, and None for each other statement."""
        return [
            ast.unparse(node) if isinstance(node, ast.Import | ast.ImportFrom) else None
            for node in self.nodes
        ]

    @property
    def imports_all(self) -> bool:
        """True if it contains `from ... import *`."""
        return any(
            isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in self.nodes
        )

    @property
    def is_stub(self) -> bool:
        """True for an exercise as it was handed out: a docstring and a NotImplementedError."""
        bodies = [node.body for node in self.nodes if isinstance(node, ast.FunctionDef)]
        rest = [
            node
            for body in bodies
            for node in body
            if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        ]
        raised = getattr(rest[0], "exc", None) if len(rest) == 1 else None
        return (
            isinstance(raised, ast.Call)
            and getattr(raised.func, "id", None) == "NotImplementedError"
        )

    def replaces(self, name: str) -> bool:
        """True if the earlier value of `name` does not matter after this statement."""
        conditional = any(isinstance(node, CONDITIONAL) for node in self.nodes)
        return name not in self.changes and name not in self.names.reads and not conditional


def statements_of(number: int, source: str) -> list[Statement]:
    """Returns the statements of cell `number`, whose source is plain Python."""
    tree, lines = parse(source), source.split("\n")
    groups: list[tuple[int, int, tuple[ast.stmt, ...]]] = []  # (first line, last line, statements)
    for node in tree.body if tree else ():
        first = min(
            [node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))]
        )
        before: tuple[ast.stmt, ...] = ()
        if groups and groups[-1][1] >= first:  # they share a line, as in `a = 1; b = 2`
            first, _, before = groups.pop()
        groups.append((first, node.end_lineno or node.lineno, (*before, node)))
    return [
        Statement((number, first), "\n".join(lines[first - 1 : last]), nodes)
        for first, last, nodes in groups
    ]


def _inner_reads(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """Returns the global names that the classes and functions in a statement read.

    Returns:
        (those read when the statement runs, those read when a function is called)
    """
    reads: set[str] = set()
    reads_when_called: set[str] = set()
    awaiting = [(child, False) for child in table.get_children()]
    while awaiting:
        inner, called = awaiting.pop()
        called = (
            called
            or inner.get_type() == "function"
            and not inner.get_name().endswith(("comp", "genexpr"))
        )
        found = {
            symbol.get_name()
            for symbol in inner.get_symbols()
            if symbol.is_global() and symbol.is_referenced()
        }
        (reads_when_called if called else reads).update(found)
        awaiting += [(child, called) for child in inner.get_children()]
    return reads, reads_when_called


def run_at_once(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yields the nodes that run when the statement runs, not when a function in it is called."""
    awaiting = list(nodes)
    while awaiting:
        node = awaiting.pop()
        yield node
        if not isinstance(node, FUNCTIONS):
            awaiting += ast.iter_child_nodes(node)


def _variable(node: ast.AST) -> str | None:
    """Returns the variable at the beginning of `table["a"].rows.append`, or None."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
