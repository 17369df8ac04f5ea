"""A device that reads before there is room for what it reads."""

import contextlib
import os
from collections.abc import AsyncGenerator, Iterator

from facade.content.source import PullInProgress
from facade.registries.payer import FREE
from facade.store.file_lock import lock_exclusively
from facade.values.byte_range import ByteRanges, Span
from facade.values.pull_path import Pull
from shared.oci import RepositoryName
from tests.faults.mixtures import BLOB, LENGTH, REPOSITORY
from tests.faults.stored_world import World


@contextlib.contextmanager
def nobody_makes_room(world: World) -> Iterator[None]:
    """Make room for so long that nobody else has a turn."""
    evictor = os.open(world.layout.evictor_lock, os.O_RDWR | os.O_CREAT)
    try:
        assert lock_exclusively(evictor)
        yield
    finally:
        os.close(evictor)


async def pieces(world: World, end: int | None = None) -> AsyncGenerator[bytes, None]:
    """Yield what a device is given that pulls the whole blob, or its beginning."""
    host, process = world.hosts["g"], world.processes[0]
    pull = Pull(host.simulator.host, RepositoryName.parse(REPOSITORY), BLOB.kind, BLOB.digest)
    first = None if end is None else ByteRanges(((0, end - 1),))
    asked = PullInProgress(pull, host.connection, process.upstreams, FREE, first)
    async with process.content.blob(asked) as blob:
        part = await (blob.whole() if end is None else blob.part(Span(0, end, LENGTH)))
        async for piece in part.pieces:
            yield bytes(piece)
