"""How the body of an upstream answer is read: so many bytes at most, and only with patience.

Whoever does not want a body to its end lets go of it here, and of its connection if need be.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from shared.failures import forget_frames
from shared.upstream.aiohttp_errors import upstream_error
from shared.upstream.errors import UpstreamError, UpstreamTimeoutError
from shared.upstream.patience import Deadline, Patience

MAX_REST_BYTES: Final = 16 * 1024  # error bodies have some hundred bytes
REST_SECONDS: Final = 1.0  # they come with their headers; a new connection costs less than waiting
MonotonicClock = Callable[[], float]  # seconds, monotonic


def close_response(response: aiohttp.ClientResponse) -> None:
    """Give the connection back if the body is complete, else close it."""
    if response.content.at_eof():
        response.release()
    else:
        response.close()


async def next_chunk(
    content: aiohttp.StreamReader, patience: Patience, clock: MonotonicClock = time.monotonic
) -> bytes:
    """Return the next bytes of a body; at its end, no bytes.

    Raises `TimeoutError`, and what aiohttp does.

    aiohttp's own limit on silence is not enough: if it cannot read a body's framing, it closes the
    connection and forgets that limit.
    """
    chunk = content.read_nowait()  # the usual case; a timeout costs more than the read
    if not chunk:
        began = clock()
        async with asyncio.timeout(patience.seconds):
            chunk = await content.readany()
        patience.waited(clock() - began)
    if chunk and not content.at_eof():  # a body that has come whole is not too slow any more
        patience.received(len(chunk))
    return chunk


async def read_bounded(
    response: aiohttp.ClientResponse,
    limit: int,
    patience: Patience,
    clock: MonotonicClock = time.monotonic,
) -> bytes | None:
    """Return the whole body, or None if it is longer than `limit` bytes; nothing more is read.

    Raises `UpstreamError`.
    """
    body = bytearray()
    try:
        while chunk := await next_chunk(response.content, patience, clock):
            body += chunk
            if len(body) > limit:
                return None
    except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:
        forget_frames(error)
        raise upstream_error(error) from None
    return bytes(body)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raise `UpstreamTimeoutError` if the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        forget_frames(error)
        raise UpstreamTimeoutError("the host did not answer in time") from None


async def read_rest(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer that is no success, so that its connection can be reused.

    It is empty if it is longer than a few words, slow, or broken. Then the connection is closed;
    the answer's headers have said enough.
    """
    try:
        async with asyncio.timeout(REST_SECONDS):
            return await read_bounded(response, MAX_REST_BYTES, Deadline(REST_SECONDS)) or b""
    except (UpstreamError, TimeoutError):
        return b""


async def leave(response: aiohttp.ClientResponse) -> None:
    """Let go of an answer whose body is of no interest, and of its connection if need be."""
    try:
        await read_rest(response)
    finally:
        close_response(response)
