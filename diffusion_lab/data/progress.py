"""A progress bar for what may take long."""

import sys
import time

from rich.console import Console
from rich.progress import Progress

PATIENCE = 2.0  # seconds of silence before a bar appears


def track(items, description, total=None):
    """Yield `items` (an iterable of `total` things, default `len(items)`), with a bar on a terminal's stderr."""
    if not sys.stderr.isatty():
        yield from items
        return
    progress = Progress(console=Console(stderr=True), transient=True)
    task = progress.add_task(description, total=len(items) if total is None else total)
    begin = time.monotonic()
    try:
        for item in items:
            yield item
            progress.advance(task)
            if time.monotonic() - begin > PATIENCE:
                progress.start()  # does nothing once it has started
    finally:
        progress.stop()
