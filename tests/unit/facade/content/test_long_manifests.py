"""Long bodies of one registry wait for a place in memory; short ones need none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import cast

import pytest
from attrs import define, field

from facade.content.manifest import WHOLLY_READ_BYTES, LongBody, read_content
from facade.registries.upstream import MAX_LONG_MANIFESTS
from facade.values.piece import WrongBytesError
from shared.oci import MAX_MANIFEST_BYTES
from shared.upstream.answer import UpstreamAnswer
from tests.support.eventually import eventually

CHUNK = bytes(WHOLLY_READ_BYTES)
MORE = 5  # than there are places


@define
class Body:
    """An answer's body, which is given as it is asked for."""

    chunk_count: int
    content_length: int | None = None
    given: int = field(default=0, init=False)  # chunks
    goes_on: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give two chunks, and the rest when it goes on."""
        while self.given < self.chunk_count:
            if self.given > 2:
                await self.goes_on.wait()
            self.given += 1
            yield CHUNK


async def read(body: Body, places: asyncio.Semaphore) -> int:
    """Read a body as a manifest's is read; return its length."""
    async with AsyncExitStack() as stack:
        answer = cast(UpstreamAnswer, body)
        return len(await read_content(answer, LongBody(places, stack)))


async def test_so_many_long_ones_are_in_memory_and_no_more() -> None:
    """Of the others there is the beginning alone."""
    places = asyncio.Semaphore(MAX_LONG_MANIFESTS)
    bodies = [Body(5) for _ in range(MAX_LONG_MANIFESTS + MORE)]
    reading = [asyncio.create_task(read(body, places)) for body in bodies]
    await eventually(lambda: sum(body.given > 2 for body in bodies) == MAX_LONG_MANIFESTS)
    assert [body.given for body in bodies[MAX_LONG_MANIFESTS:]] == [2] * MORE
    assert await read(Body(1), places) == len(CHUNK)
    for body in bodies:
        body.goes_on.set()
    assert await asyncio.gather(*reading) == [5 * len(CHUNK)] * len(bodies)


async def test_one_that_fails_or_leaves_gives_its_place_back() -> None:
    """Else a registry could take all of them for ever."""
    places = asyncio.Semaphore(1)
    too_long = Body(MAX_MANIFEST_BYTES // len(CHUNK) + 1)
    too_long.goes_on.set()
    with pytest.raises(WrongBytesError):
        await read(too_long, places)
    leaving = asyncio.create_task(read(Body(5), places))
    await eventually(places.locked)
    leaving.cancel()
    await asyncio.wait([leaving])
    last = Body(5)
    last.goes_on.set()
    assert await read(last, places) == 5 * len(CHUNK)
