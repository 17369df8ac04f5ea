"""Sockets that somebody opens and holds, with half a request on each, or nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HALF = b"GET /readyz HTTP/1.1\r\nHost: x\r\nX-Half: "


@asynccontextmanager
async def held_sockets(
    port: int, count: int, said: bytes = HALF
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Hold so many sockets. If the other side cuts one, its reader is at its end."""
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    try:
        for _, writer in opened:
            with contextlib.suppress(OSError):
                writer.write(said)
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.transport.abort()


def held(readers: list[asyncio.StreamReader]) -> int:
    """Return how many are not cut."""
    return sum(not (reader.at_eof() or reader.exception()) for reader in readers)
