"""Long bodies are read in large steps: as much at once as a store writes at once.

uvloop reads 256 KiB into memory of its own, and makes bytes of them. Each such step costs as much
as a large one, for the connection and whoever reads from it (docs/decisions/arrivals.md). What was
read waits in memory if its reader is slow, so only some connections read so at once, and those of
a facade without a store do not: 50 devices that stopped held 2.4 MiB each, and hold 1.2.

The first bytes of a body are read in small steps all the same, because a device waits for them: to
read, copy and join a MiB takes as long as all else behind the registry's head.

Whoever limits how many bytes a second are taken does without: what was read has been taken, and a
kernel that sees much read at once receives the more ahead.

Under TLS nothing is gained: OpenSSL decrypts 16 KiB at a time, of what uvloop has read as usual.
"""

import asyncio
from typing import Final, Protocol

from attrs import define, field
from typing_extensions import override

LARGE_BYTES: Final = 1024 * 1024  # read at once; more makes nothing faster
USUAL_BYTES: Final = 256 * 1024  # what uvloop reads by itself
# Of a body's beginning, read in small steps: what a device is given first, and some behind it that
# comes while that is on its way.
FIRST_BYTES: Final = 512 * 1024
SMALL_BYTES: Final = 128 * 1024  # each; as much as is given before it is written (`just_come`)
MOST_LARGE: Final = 32  # connections that read so at once: of each, twice as much may wait


@define(eq=False)
class ReadMemory:
    """The memory that connections read into, one after the other. For one event loop.

    `most`: of so many connections, long bodies are read in large steps at once.
    """

    _most: int = MOST_LARGE
    _memory: memoryview | None = field(default=None, init=False, repr=False)
    large: int = field(default=0, init=False)  # connections that read in large steps

    def take(self) -> bool:
        """Let one more connection read in large steps; False if enough of them do."""
        if self.large >= self._most:
            return False
        self.large += 1
        return True

    def give_back(self) -> None:
        """Note that one of them does so no more."""
        self.large -= 1

    def of(self, size: int) -> memoryview:
        """Return memory to read into. What is read has to be copied before the next read."""
        if self._memory is None:
            self._memory = memoryview(bytearray(LARGE_BYTES))
        return self._memory[:size]


class ReadsLargely(Protocol):
    """A connection that says how much is read for it at once."""

    def begin_read(self) -> int:
        """Return how many bytes are read now, at once."""

    def data_received(self, data: bytes) -> None:
        """Take what was read."""

    def eof_received(self) -> None:
        """Note that nothing more comes."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end."""

    def pause_writing(self) -> None:
        """Write no more for now."""

    def resume_writing(self) -> None:
        """Write again."""


class LargeReads(asyncio.BufferedProtocol):
    """Stands between a transport and a connection, and reads as much at once as that one says."""

    def __init__(self, connection: ReadsLargely, memory: ReadMemory) -> None:
        self._connection = connection
        self._memory = memory

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        """Return memory to read into."""
        return self._memory.of(self._connection.begin_read())

    @override
    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what was read."""
        self._connection.data_received(bytes(self._memory.of(nbytes)))

    @override
    def eof_received(self) -> None:
        """Tell of the end of what comes."""
        self._connection.eof_received()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell of the end."""
        self._connection.connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        """Have it write no more for now."""
        self._connection.pause_writing()

    @override
    def resume_writing(self) -> None:
        """Have it write again."""
        self._connection.resume_writing()
