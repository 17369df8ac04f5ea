"""Sockets that somebody opens and holds, with half a request on each, or nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

HALF = b"GET /readyz HTTP/1.1\r\nHost: x\r\nX-Half: "


@asynccontextmanager
async def held_sockets(
    port: int, count: int, said: bytes = HALF, *, addresses: Sequence[str] = ("127.0.0.1",)
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Hold so many sockets, by turns of these addresses.

    If the other side cuts one, its reader is at its end.
    """
    opened = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
    try:
        for number in range(count):
            place = (addresses[number % len(addresses)], 0)
            opened.append(await asyncio.open_connection("127.0.0.1", port, local_addr=place))
            opened[-1][1].write(said)
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.transport.abort()


def held(readers: list[asyncio.StreamReader]) -> int:
    """Return how many are not cut."""
    return sum(not (reader.at_eof() or reader.exception()) for reader in readers)
