"""A range that names no end waits for the proof as one of several, too, and keeps no other back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web
from attrs import define, field

from facade.arrivals.arrival import ArrivalEndedError
from facade.content.source import PullInProgress
from facade.loop.loop_turns import LoopTurns
from facade.pulls.blob_body import blob_body
from facade.registries.payer import FREE
from facade.values.byte_range import ByteRanges
from facade.values.piece import PIECE_BYTES
from facade.values.pull_path import Pull
from shared.oci import RepositoryName
from tests.faults.mixtures import BLOB, LENGTH, REPOSITORY, bought, serve, serve_wrong
from tests.faults.stored_world import World
from tests.support.multipart import range_parts
from tests.support.simulators.behaviour import Honest, Slow

FIRST: Final = 12 * PIECE_BYTES
# The open one behind others, between them and before them; two of them; and one that is no longer
# than what is held back.
ASKED: Final = {
    "last": f"bytes=0-99,200-299,{FIRST}-",
    "between": f"bytes=0-99,{FIRST}-,200-299",
    "first": f"bytes={FIRST}-,0-99,200-299",
    "two": f"bytes={FIRST}-,0-99,{FIRST + PIECE_BYTES}-",
    "short": f"bytes=0-99,{LENGTH - 99}-,200-299",
}
WRONG: Final = 5 * PIECE_BYTES  # no range has this byte


@define
class Answer:
    """What a device has been sent."""

    sent: bytearray = field(factory=bytearray)
    content_type: str = ""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades' stores on one folder, before a registry that has the blob."""
    world = await World.start(tmp_path, 64 * PIECE_BYTES, "g")
    yield world
    await world.stop()


async def answer(world: World, header: str, answered: Answer) -> None:
    """Send a device all that it gets; return if that ends cleanly."""
    host, ranges = world.hosts["g"], ByteRanges.parse(header)
    assert ranges is not None
    pull = Pull(host.simulator.host, RepositoryName.parse(REPOSITORY), BLOB.kind, BLOB.digest)
    process = world.processes[0]
    asked = PullInProgress(pull, host.connection, process.upstreams, FREE, ranges.beginning)
    async with process.content.blob(asked) as blob:
        response = web.StreamResponse()
        body = await blob_body(response, ranges, blob, LoopTurns(1))
        answered.content_type = response.headers["Content-Type"]
        async for piece in body.pieces:
            answered.sent += piece


@pytest.mark.parametrize("where", ASKED)
async def test_it_ends_with_the_proof_and_the_others_follow(world: World, where: str) -> None:
    """The blob is bought once for it, as it is for such a range alone."""
    serve(world, Slow(PIECE_BYTES // 4, 0.002))
    answered = Answer()
    await answer(world, ASKED[where], answered)
    parts = range_parts(answered.content_type, bytes(answered.sent))
    spans = ByteRanges.parse(ASKED[where])
    assert spans is not None
    expected = [BLOB.content[each.first : each.end] for each in spans.spans(LENGTH)]
    assert [part.content for part in parts] == expected
    assert LENGTH <= bought(world) <= 1.02 * LENGTH + PIECE_BYTES


@pytest.mark.parametrize("where", ASKED)
async def test_it_does_not_end_if_the_blob_is_wrong(world: World, where: str) -> None:
    """Wherever that is: whoever asks for all from a place on may take the end for the proof."""
    serve_wrong(world, WRONG, Honest())
    answered = Answer()
    with pytest.raises(ArrivalEndedError):
        await answer(world, ASKED[where], answered)
    assert BLOB.content[-99:] not in answered.sent


async def test_ranges_that_name_their_ends_do_not_wait(world: World) -> None:
    """Nor do they buy the blob."""
    serve_wrong(world, WRONG, Honest())
    answered = Answer()
    await answer(world, f"bytes=0-99,{FIRST}-{LENGTH - 1},-99", answered)
    assert len(range_parts(answered.content_type, bytes(answered.sent))) == 3
    assert bought(world) <= LENGTH - WRONG
