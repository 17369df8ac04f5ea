"""Every accepted connection: how many there may be, which gives way, and which is too slow.

- Each address has a share, and all together have a bound. Beyond either, the oldest connection on
  which nothing is being answered gives way: one of that address, or of the address that has most.
  One whose answer waits for a stranger's pause, or for the rest of a stranger's body, may give way,
  too. Those on which an operator was let in give way last.
- A request's head has to be complete in time, and an answer has to be read.
- Behind a TLS proxy everybody has one address, so there is no share.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from attrs import define, field

MAX_CONNECTIONS: Final = 512  # some ten operators, their scripts, and probes; 40 KiB each with TLS
MAX_CONNECTIONS_OF_SITE: Final = 128
DESCRIPTORS_PER_CONNECTION: Final = 4  # if the process may have few, others need some, too
HEAD_SECONDS: Final = 15.0  # from a connection's beginning, or a later request's first byte
UNREAD_SECONDS: Final = 60.0  # in which the peer reads at least the bytes below
MIN_READ_BYTES: Final = 4096


def _nothing() -> bool:
    return False


@define(eq=False)
class OpenConnection:
    """One accepted connection, or a handshake."""

    site: str
    head_awaited_since: float | None  # None: between requests, or while one is answered
    transport: asyncio.Transport | None = field(default=None, init=False)  # None: a handshake
    handshake: asyncio.Task[None] | None = field(default=None, init=False)
    is_operators: bool = field(default=False, init=False)  # a valid token came on it
    is_answering: Callable[[], bool] = field(default=_nothing, init=False)
    is_awaiting_body: Callable[[], bool] = field(default=_nothing, init=False)
    _pause: asyncio.Future[None] | None = field(default=None, init=False)
    _unread: int = field(default=0, init=False)
    _unread_since: float = field(default=0.0, init=False)

    def begin(
        self,
        transport: asyncio.Transport,
        is_answering: Callable[[], bool],
        now: float,
        is_awaiting_body: Callable[[], bool] = _nothing,
    ) -> None:
        """Wait for the first head, after the handshake."""
        self.transport, self.head_awaited_since = transport, now
        self.is_answering, self.is_awaiting_body = is_answering, is_awaiting_body

    def end(self) -> None:
        """Let go what it was."""
        self.transport, self.is_answering, self.is_awaiting_body = None, _nothing, _nothing
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)

    async def pause(self, seconds: float) -> None:
        """Return after the seconds, or once it has ended; until then it gives way to others."""
        if self.transport is None:
            return
        self._pause = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait([self._pause], timeout=seconds)
        finally:
            self._pause = None

    @property
    def gives_way(self) -> bool:
        """Whether it may be cut: nothing is being answered on it, or its answer waits.

        For a stranger's pause, or for the rest of a stranger's request.
        """
        is_strangers = not self.is_operators and self.is_awaiting_body()
        return self._pause is not None or not self.is_answering() or is_strangers

    def is_too_slow(self, now: float, head_seconds: float, unread_seconds: float) -> bool:
        """Tell whether a head does not arrive in time, or an answer is not read."""
        if self.transport is None:
            return False  # a handshake has a deadline of its own
        if self.head_awaited_since is not None and now - self.head_awaited_since > head_seconds:
            return True
        unread = self.transport.get_write_buffer_size()
        if (
            unread == 0
            or self._unread == 0
            or unread > self._unread
            or (self._unread - unread >= MIN_READ_BYTES)
        ):
            self._unread, self._unread_since = unread, now
        return unread > 0 and now - self._unread_since > unread_seconds

    def cut(self) -> None:
        """End it now; what was not sent yet is dropped."""
        if self.transport is not None:
            self.transport.abort()
        elif self.handshake is not None:
            self.handshake.cancel()


@define(eq=False)
class OpenConnections:
    """All of one process."""

    _in_all: int = MAX_CONNECTIONS
    _of_site: int | None = MAX_CONNECTIONS_OF_SITE  # None: behind a TLS proxy
    _head_seconds: float = field(default=HEAD_SECONDS, kw_only=True)
    _unread_seconds: float = field(default=UNREAD_SECONDS, kw_only=True)
    _by_site: dict[str, dict[OpenConnection, None]] = field(factory=dict, init=False)
    count: int = field(default=0, init=False)

    @classmethod
    def of_descriptors(cls, descriptors: int, *, behind_proxy: bool) -> "OpenConnections":
        """Return an empty one, bounded by how many descriptors the process may open."""
        possible = max(1, min(MAX_CONNECTIONS, descriptors // DESCRIPTORS_PER_CONNECTION))
        share = max(1, possible * MAX_CONNECTIONS_OF_SITE // MAX_CONNECTIONS)
        return cls(possible, None if behind_proxy else share)

    def __iter__(self) -> Iterator[OpenConnection]:
        """Return all of them, the oldest of each address first."""
        return iter([each for those in self._by_site.values() for each in those])

    def admit(self, site: str, now: float) -> OpenConnection | None:
        """Return a new connection of an address; None if there is no room for it."""
        theirs = self._by_site.get(site, {})
        if self._of_site is not None and len(theirs) >= self._of_site:
            if not self._give_way(theirs):
                return None
        elif self.count >= self._in_all and not self._give_way(self._most()):
            return None
        connection = OpenConnection(site, head_awaited_since=now)
        self._by_site.setdefault(site, {})[connection] = None
        self.count += 1
        return connection

    def release(self, connection: OpenConnection) -> None:
        """Forget a connection that has ended. Safe to call twice."""
        theirs = self._by_site.get(connection.site, {})
        if connection in theirs:
            del theirs[connection]
            self.count -= 1
            if not theirs:
                del self._by_site[connection.site]

    def too_slow(self, now: float) -> list[OpenConnection]:
        """Return the connections whose time is over."""
        bounds = self._head_seconds, self._unread_seconds
        return [each for each in self if each.is_too_slow(now, *bounds)]

    def _most(self) -> dict[OpenConnection, None]:
        return max(self._by_site.values(), key=len)

    def _give_way(self, theirs: dict[OpenConnection, None]) -> bool:
        idle = [each for each in theirs if each.gives_way]
        if not idle:
            return False
        oldest = next((each for each in idle if not each.is_operators), idle[0])
        self.release(oldest)
        oldest.cut()
        return True
