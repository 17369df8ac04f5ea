"""What a service manager is told by the service itself (sd_notify(3)): ready, reloading, stopping.

systemd hands a service the address of a socket, and how often it wants to hear from it. Without
an address nobody is told, and nothing else differs. What is told is never waited for.

PyPI's clients of this protocol are not maintained (sdnotify since 2017), or need a C library.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, Self

from attrs import define, field

from shared.environment import Supervision, take_supervision
from shared.log_fields import bounded_text
from shared.structured_log import get_logger

STATUS_SECONDS: Final = 5.0  # between two looks at what `/readyz` says
PINGS_IN_WATCHDOG_TIME: Final = 3  # systemd advises two; a loaded machine may be late with one

_log = get_logger(__name__)


@define(eq=False)
class ServiceManager:
    """Who started this process and waits for word from it; nobody, perhaps. A context manager."""

    _supervision: Supervision
    _socket: socket.socket | None = field(default=None, init=False)
    _failed: bool = field(default=False, init=False)  # and the log has said so

    @classmethod
    def of_this_process(cls) -> Self:
        """Return who started this process. Its children are not told of it, and speak to nobody."""
        return cls(take_supervision())

    def __enter__(self) -> Self:
        """Keep a descriptor for it, also where a service runs out of them."""
        if self._supervision.address is not None:
            kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            self._socket = socket.socket(socket.AF_UNIX, kind)
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of it; from now on nobody is told."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def tell_ready(self) -> None:
        """Say that the service does its work from now on."""
        self._tell("READY=1")

    def tell_stopping(self) -> None:
        """Say that it ends, as it was asked to."""
        self._tell("STOPPING=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say that files are read again, and at the end of the block that it is done."""
        # systemd takes it for an answer to a SIGHUP that it sent before this moment.
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self._tell("READY=1")

    async def keep_pinging(self) -> None:
        """Ping from the event loop until cancelled: one that hangs is missed, and restarted.

        Return at once if nobody waits for pings.
        """
        seconds = self._supervision.watchdog_seconds
        while seconds is not None:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(seconds / PINGS_IN_WATCHDOG_TIME)

    async def keep_telling(self, status: Callable[[], Awaitable[str]]) -> None:
        """Say how the service stands until cancelled; return at once if nobody is told."""
        while self._socket is not None:
            self._tell(f"STATUS={bounded_text(await status())}")  # one line, whatever is in it
            await asyncio.sleep(STATUS_SECONDS)

    def _tell(self, words: str) -> None:
        """Send one datagram; what cannot be sent is logged once, and the service goes on."""
        if self._socket is None:
            return
        try:
            self._socket.sendto(words.encode(), self._supervision.address or "")
        except OSError as error:
            if not self._failed:
                self._failed = True
                _log.warning("the service manager is not told", reason=type(error).__name__)
        else:
            self._failed = False
