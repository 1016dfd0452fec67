"""Which statements of a notebook an answer needs: follows its names to the cells that define them.

At the end of a notebook each name has the last value that was given to it. Source code alone
yields functions, classes, imports, and values that are made from these. Whatever needs the package
(data, trained models) is left out, and so is what was made from it.
"""

import ast
import builtins
from bisect import bisect_left
from collections import Counter

from diffusion_lab.submission.statements import Place, Statement, statements_of

MOST_STATEMENTS = 2000  # that are read; an honest notebook has a few hundred
END: Place = (10**9, 0)  # a place after all others
DEFINITIONS = (  # not a loop: its variable is no answer
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
)


class Definitions:
    """All statements of a notebook's cells, by the names that they bind."""

    def __init__(self, cells: dict[int, str]) -> None:
        """Reads `cells`, {number: plain Python}."""
        self.statements = [
            statement
            for number, source in cells.items()
            for statement in statements_of(number, source)
        ][:MOST_STATEMENTS]
        self.binding: dict[str, list[Statement]] = {}
        self.known: dict[Statement, bool] = {}  # the results of `_needs_no_package`
        self.star_imports = {
            each for each in self.statements if each.imports_all and not each.from_package
        }
        for statement in self.statements:
            for name in statement.names.binds:
                self.binding.setdefault(name, []).append(statement)
        for name, found in self.binding.items():  # a stub below an answer does not replace it
            self.binding[name] = [
                statement for statement in found if not statement.is_stub
            ] or found
        self.packaged = {
            name
            for name, found in self.binding.items()
            if any(statement.from_package for statement in found)
        }
        # how many of the first statements that bind a name are known to need the package
        self.unusable: Counter[str] = Counter()

    def of(self, name: str) -> list[Statement]:
        """Returns the statements that define `name`, in order.

        Imports from the package are not among them, nor statements that need its data.
        """
        return [
            statement
            for statement in self.binding.get(name, ())
            if any(isinstance(node, DEFINITIONS) for node in statement.nodes)
            and name not in statement.changes
            and self._needs_no_package(statement)
        ]

    def needed_by(self, name: str, statement: Statement) -> tuple[list[Statement], list[str]]:
        """Finds what `name` needs, which `statement` defines.

        Returns:
            (the needed statements, with `statement` itself; names that this notebook binds, but
            that cannot be had from source code alone)
        """
        taken, seen = {statement}, {(name, END)}
        missing: set[str] = set()
        walked: set[tuple[Statement, str]] = set()
        awaiting = self._names_in(statement)
        if not statement.replaces(name):
            awaiting.append((name, statement.place))
        while awaiting:
            name, before = awaiting.pop()
            if name not in self.binding:  # a star import may define it, or replace the built-in
                taken |= self.star_imports
            if (name, before) in seen or name not in self.binding:
                continue
            seen.add((name, before))
            found = self._before(name, before)
            if not (
                self._one_is_usable(name, found) or name in self.packaged or hasattr(builtins, name)
            ):
                missing.add(name)
            for other in reversed(found):
                if (other, name) in walked:  # and so is what comes before it
                    break
                walked.add((other, name))
                if not self._needs_no_package(other):
                    continue
                if other not in taken:
                    taken.add(other)
                    awaiting += self._names_in(other)
                if other.replaces(name):
                    break
        return sorted(taken, key=lambda each: each.place), sorted(missing)

    def _names_in(self, statement: Statement) -> list[tuple[str, Place]]:
        """Returns (name, place before which it must be bound) for each name that is read."""
        names = statement.names
        return [(name, statement.place) for name in names.reads] + [
            (name, END) for name in names.reads_when_called
        ]

    def _before(self, name: str, place: Place) -> list[Statement]:
        """Returns the statements before a place that bind `name`.

        If there are none, the cells were run in another order, so all that bind it are returned.
        """
        found = self.binding.get(name, [])
        return found[: bisect_left(found, place, key=lambda other: other.place)] or found

    def _one_is_usable(self, name: str, found: list[Statement]) -> bool:
        """True unless all of `found`, the first statements that bind `name`, need the package."""
        while (number := self.unusable[name]) < len(found):
            if self._needs_no_package(found[number]):
                return True
            self.unusable[name] = max(self.unusable[name], number + 1)
        return False

    def _needs_no_package(self, statement: Statement) -> bool:
        """True unless the statement needs something from the package when it runs."""
        if statement not in self.known:
            self.known[statement] = not statement.from_package  # also the answer within a circle
            try:
                self.known[statement] &= all(
                    self._can_read(name, statement) for name in statement.names.reads
                )
            except RecursionError:  # a chain of a thousand definitions
                self.known[statement] = False
        return self.known[statement]

    def _can_read(self, name: str, statement: Statement) -> bool:
        """True unless the value of `name` that the statement reads needs something from the
        package.
        """
        found = self._before(name, statement.place)
        if found[:1] == [statement]:  # nothing binds it before, so later statements count
            return len(found) == 1 or any(map(self._needs_no_package, found[1:]))
        return not found or self._one_is_usable(name, found)
