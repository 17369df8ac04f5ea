"""The log of a process that may still write to it."""

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from deploy.dev.loopback import ask

BUSY_SECONDS: Final = 30.0  # in which a process that runs answers, on a busy machine too


def logged(log: Path, healthz: str, tls: ssl.SSLContext | None = None) -> list[dict[str, Any]]:
    """Return the JSON lines of everything that a process answered so far.

    A line is written in the next round of the process's loop, perhaps after the answer that it
    tells of. An answer to one more question comes after both. A process that no longer answers has
    written everything. A last line without an end is still being written.
    """
    with suppress(OSError):  # it has ended, or listens no more
        ask(healthz, tls, seconds=BUSY_SECONDS).close()
    return [orjson.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]
