"""Closes something in a thread while the test is in the middle of using it."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

# For a close that waits for nobody: by then it has closed. One that waits has not, however long.
GIVEN_SECONDS = 0.5


@contextmanager
def closed_meanwhile() -> Iterator[Callable[[Callable[[], None]], Future[None]]]:
    """Give what begins to close; at the end of the block it has to be closed.

    It returns when there was time for a close that waits for nobody.
    """
    with ThreadPoolExecutor(1) as threads:
        begun: list[Future[None]] = []

        def begin(close: Callable[[], None]) -> Future[None]:
            begun.append(threads.submit(close))
            wait(begun, GIVEN_SECONDS)
            return begun[0]

        yield begin
    for each in begun:
        each.result()
