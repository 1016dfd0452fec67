"""A progress bar for what may take long."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Item = TypeVar("Item")
PATIENCE = 2.0  # seconds of silence before a bar appears


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items` (an iterable of `total` things, default `len(items)`), with a bar on a
    terminal's stderr.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    progress = Progress(console=Console(stderr=True), transient=True)
    if total is None and isinstance(items, Sized):
        total = len(items)
    task = progress.add_task(description, total=total)
    begin = time.monotonic()
    try:
        for item in items:
            yield item
            progress.advance(task)
            if time.monotonic() - begin > PATIENCE:
                progress.start()  # does nothing once it has started
    finally:
        progress.stop()
