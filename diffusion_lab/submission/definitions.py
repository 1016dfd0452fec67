"""Which statements of a notebook an answer needs: its names are followed to the cells that define
them.

A notebook holds, at its end, what each name was last given. So does what is collected here, as far
as it can be had from source alone: functions, classes, imports, and values made from these. What
comes from the package (data, trained models) does not come along, nor what is made from that.
"""

import ast
import builtins
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from diffusion_lab.submission.reading import PARSING, parse

Place = tuple[int, int]  # (number of the cell, line)

MOST = 2000  # statements that are looked into; an honest notebook has some hundreds
END: Place = (10**9, 0)  # a place behind all others
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DEFINITIONS = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.Assign,
    ast.AnnAssign,
    ast.If,
    ast.Try,
    ast.With,
)  # a loop's variable is nobody's answer
FILLS = (
    "append",
    "extend",
    "insert",
    "add",
    "update",
    "setdefault",
)  # methods by which a container gets its content
NO_HINTS = (
    "from __future__ import annotations"  # nobody evaluates type hints: their names are not needed
)
CONDITIONAL = (ast.If, ast.Try, ast.With, ast.For, ast.While, ast.AugAssign)


class Names(NamedTuple):
    """The names in a statement."""

    binds: set[str]
    reads: set[str]  # when it runs
    later: set[str]  # read when its functions are called


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
        except (SyntaxError, RecursionError):  # `await`, or too deep
            return Names(set(), set(), set())
        binds = {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_assigned() or symbol.is_imported()
        } - {"annotations"}
        reads = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
        later: set[str] = set()
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
            (later if called else reads).update(found)
            awaiting += [(child, called) for child in inner.get_children()]
        return Names(binds | self.changes, reads, later)

    @cached_property
    def changes(self) -> set[str]:
        """Names of containers that it fills:

        `table["a"] = 1`, `table.append(1)`, also within a loop.
        """
        found = set()
        for node in _at_once(self.nodes):
            if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(_root(node))
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in FILLS
            ):
                found.add(_root(node.func))
        return found - {None}

    @property
    def from_package(self) -> bool:
        imports = [node for node in self.nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = [getattr(node, "module", None) or node.names[0].name for node in imports]
        return any(module.split(".")[0] == "diffusion_lab" for module in modules)

    def as_imports(self) -> list[str | None]:
        """Its lines, one for each statement, if all of them are imports; else [None]."""
        return [
            ast.unparse(node) if isinstance(node, ast.Import | ast.ImportFrom) else None
            for node in self.nodes
        ]

    @property
    def imports_all(self) -> bool:
        return any(
            isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in self.nodes
        )

    @property
    def is_stub(self) -> bool:
        """True for an exercise as it was handed out: nothing but a docstring and a
        NotImplementedError.
        """
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
        """True if nothing of what `name` was before matters after this statement."""
        conditional = any(isinstance(node, CONDITIONAL) for node in self.nodes)
        return name not in self.changes and name not in self.names.reads and not conditional


class Definitions:
    """All statements of a notebook's cells, {number: plain Python}, by the names that they bind."""

    def __init__(self, cells: dict[int, str]) -> None:
        self.statements = [
            statement
            for number, source in cells.items()
            for statement in _statements(number, source)
        ][:MOST]
        self.binding: dict[str, list[Statement]] = {}
        self.known: dict[Statement, bool] = {}
        self.stars = {one for one in self.statements if one.imports_all and not one.from_package}
        for statement in self.statements:
            for name in statement.names.binds:
                self.binding.setdefault(name, []).append(statement)
        for name, found in self.binding.items():  # a stub that was left below an answer is none
            self.binding[name] = [
                statement for statement in found if not statement.is_stub
            ] or found

    def of(self, name: str) -> list[Statement]:
        """The statements that define `name`, in order; no import of the package's own, and none
        that needs its data.
        """
        return [
            statement
            for statement in self.binding.get(name, ())
            if any(isinstance(node, DEFINITIONS) for node in statement.nodes)
            and name not in statement.changes
            and self._stands_alone(statement)
        ]

    def needed_by(self, name: str, statement: Statement) -> tuple[list[Statement], list[str]]:
        """Returns (the statements that `name`, which `statement` defines, needs, with itself; the
        names that are bound in this notebook but cannot be had from source alone).
        """
        taken, seen = {statement}, {(name, END)}
        missing: set[str] = set()
        awaiting = self._names_in(statement)
        if not statement.replaces(name):
            awaiting.append((name, statement.place))
        while awaiting:
            name, before = awaiting.pop()
            if name not in self.binding:
                taken |= (
                    self.stars
                )  # one of them may have brought it, instead of Python's own of that name
            if (name, before) in seen or name not in self.binding:
                continue
            seen.add((name, before))
            found = [other for other in self._before(name, before) if self._stands_alone(other)]
            if (
                not found
                and not any(other.from_package for other in self.binding[name])
                and not hasattr(builtins, name)
            ):
                missing.add(name)
            for other in reversed(found):
                if other not in taken:
                    taken.add(other)
                    awaiting += self._names_in(other)
                if other.replaces(name):
                    break
        return sorted(taken, key=lambda one: one.place), sorted(missing)

    def _names_in(self, statement: Statement) -> list[tuple[str, Place]]:
        names = statement.names
        return [(name, statement.place) for name in names.reads] + [
            (name, END) for name in names.later
        ]

    def _before(self, name: str, place: Place) -> list[Statement]:
        """Where `name` is bound before a place; everywhere, if only behind it: the cells have run
        in another order.
        """
        found = self.binding.get(name, [])
        return [other for other in found if other.place < place] or found

    def _stands_alone(self, statement: Statement) -> bool:
        """True unless it needs, when it runs, what comes from the package."""
        if statement not in self.known:
            self.known[
                statement
            ] = not statement.from_package  # also the answer to whoever asks in a circle
            needs = [
                [other for other in self._before(name, statement.place) if other is not statement]
                for name in statement.names.reads
            ]
            try:
                self.known[statement] &= all(
                    any(map(self._stands_alone, found)) for found in needs if found
                )
            except RecursionError:  # a chain of a thousand definitions
                self.known[statement] = False
        return self.known[statement]


def _statements(number: int, source: str) -> list[Statement]:
    tree, lines = parse(source), source.split("\n")
    groups: list[tuple[int, int, tuple[ast.stmt, ...]]] = []  # (first line, last line, statements)
    for node in tree.body if tree else ():
        first = min(
            [node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))]
        )
        before: tuple[ast.stmt, ...] = ()
        if groups and groups[-1][1] >= first:  # they share a line, as `a = 1; b = 2`
            first, _, before = groups.pop()
        groups.append((first, node.end_lineno or node.lineno, (*before, node)))
    return [
        Statement((number, first), "\n".join(lines[first - 1 : last]), nodes)
        for first, last, nodes in groups
    ]


def _at_once(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes that run when the statement runs, not when a function in it is called."""
    awaiting = list(nodes)
    while awaiting:
        node = awaiting.pop()
        yield node
        if not isinstance(node, FUNCTIONS):
            awaiting += ast.iter_child_nodes(node)


def _root(node: ast.AST) -> str | None:
    """The variable at the beginning of `table["a"].rows.append`, or None."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
