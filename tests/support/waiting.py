"""Waiting for something that another process does."""

import time
from collections.abc import Callable

from tests.support.eventually import PATIENCE_SECONDS

POLL_SECONDS = 0.02


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Whether it came true in time. It blocks: for tests that are no coroutines."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
