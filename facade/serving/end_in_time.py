"""Ends a process that was told to stop, even if a disk that does not answer blocks it.

A thread that waits for a disk cannot be ended, and a process waits for its threads.
"""

import os
import threading
from typing import Final

from shared.structured_log import get_logger

END_SECONDS: Final = 15.0  # after the drain timeout; the last writes take some ms
_FAILED: Final = 1
_log = get_logger("facade")


def end_in_time(drain_seconds: float) -> None:
    """End the process with 1 if it has not ended `END_SECONDS` after the drain timeout."""
    timer = threading.Timer(drain_seconds + END_SECONDS, _end)
    timer.daemon = True  # nobody waits for this one
    timer.start()


def _end() -> None:
    _log.error("not stopped in time, ended", reason="a thread waits, for a disk perhaps")
    os._exit(_FAILED)
