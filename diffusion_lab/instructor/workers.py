"""Where submissions are graded: in threads of this machine, or on a Dask cluster."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from diffusion_lab.errors import UserError

Submit = Callable[..., Future[Any]]  # called with a function and its arguments


@contextmanager
def workers(jobs: int, scheduler: str | None) -> Iterator[Submit]:
    """Yields a function submit(function, *arguments) that returns a future.

    The function runs in a thread of this machine, or on a Dask cluster.
    """
    if scheduler is None:
        # threads are enough, because they only wait for processes
        with ThreadPoolExecutor(jobs) as pool:
            try:
                yield pool.submit
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "--scheduler needs Dask. Install it with: pip install --constraint constraints.txt"
            " --editable '.[cluster]'"
        ) from None
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError):
        raise UserError(
            f"Grading needs workers, but no Dask scheduler answers at {scheduler}. Start one, or"
            " omit --scheduler."
        ) from None
    # retries: if a worker dies, another one takes over
    with client, client.get_executor(pure=False, retries=3) as pool:
        yield pool.submit
