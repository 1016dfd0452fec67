"""A progress bar for what may take a while."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

Item = TypeVar("Item")
PATIENCE = 2.0  # seconds of silence before a bar appears


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yields the items, and shows a bar on stderr if that is a terminal.

    `total` is their number, by default `len(items)`.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    progress = Progress(console=Console(stderr=True), transient=True)
    if total is None and isinstance(items, Sized):
        total = len(items)
    task = progress.add_task(escape(description), total=total)
    begin = time.monotonic()
    try:
        for item in items:
            yield item
            progress.advance(task)
            if time.monotonic() - begin > PATIENCE:
                progress.start()  # does nothing if the bar is shown already
    finally:
        progress.stop()
