"""What an arrival may take of the store from others: only for bytes that come, and only a share."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest

from facade.arrivals.claim_watch import WatchTimes
from facade.store.announcement import Announcement
from facade.store.shares import SHARE_OF_STORE
from facade.values.piece import PIECE_BYTES
from shared.oci import Kind
from tests.faults.stored_files import QuotaWatch
from tests.faults.stored_world import Content, Host, World
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Behaviour, Holds, Honest, Stalls

REPOSITORY: Final = "team/app"
BLOB: Final = 2 * PIECE_BYTES  # bytes of each blob that others use
BLOBS: Final = 8
QUOTA: Final = BLOBS * BLOB
HALF: Final = int(QUOTA * SHARE_OF_STORE)
ALMOST_ALL: Final = QUOTA - PIECE_BYTES
SOON: Final = WatchTimes(look_seconds=0.02, window_seconds=0.1, slow_bytes=1)

_random = random.Random(14)  # noqa: S311 - any bytes will do


@pytest.fixture
def times() -> WatchTimes:
    """When an arrival is slow."""
    return SOON


@pytest.fixture
async def world(tmp_path: Path, times: WatchTimes) -> AsyncIterator[World]:
    """Two processes on one store, before two registries: `g` is the others', `h` is hostile."""
    world = await World.start(tmp_path, QUOTA, "gh", times)
    yield world
    await world.stop()


def new(world: World, host: str, length: int, get: Behaviour | None = None) -> Content:
    """Have a registry serve a new blob."""
    content = Content("blob", Kind.BLOB, _random.randbytes(length))
    world.hosts[host].serve(content, REPOSITORY, get or Honest(), None)
    return content


async def pull(
    world: World, host: str, content: Content, span: tuple[int, int] | None = None, process: int = 0
) -> bytes | None:
    """Pull a blob, or a span of it."""
    return await world.processes[process].pull(world.hosts[host], REPOSITORY, content, span)


async def in_use(world: World, host: str, count: int) -> list[Content]:
    """Have devices use so many blobs of a registry: each was asked for more than once."""
    contents = [new(world, host, BLOB) for _ in range(count)]
    for content in contents:
        await used(world, host, content)
    return contents


async def used(world: World, host: str, content: Content) -> None:
    """Have a blob stored, and asked for again."""
    for _ in range(2):
        await kept(world, host, content)


async def kept(world: World, host: str, content: Content) -> None:
    """Have a device pull a blob; return once it is stored."""
    assert await pull(world, host, content) == content.content
    await eventually(lambda: world.is_stored(content))


def stored(world: World, contents: list[Content]) -> int:
    """Return how many are stored."""
    return sum(map(world.is_stored, contents))


async def arrives(
    world: World, host: Host, content: Content, size: int
) -> Callable[[], Announcement | None]:
    """Return once so much of a blob has come; the result reads what is announced of it."""
    data = world.partial(host, content, REPOSITORY)
    await eventually(lambda: data.exists() and data.stat().st_size >= size)
    return lambda: Announcement.read(data.parent)


async def comes_slowly(world: World, host: str, content: Content, size: int) -> Path:
    """Return the file of a blob once so much of it has come, and nothing for a whole window since.

    On a busy machine it may be slow before, too; and such a mark goes when the rest comes. It may
    even be made after that, by a thread that comes late: so it has to be made twice.
    """
    await arrives(world, world.hosts[host], content, size)
    data = world.partial(world.hosts[host], content, REPOSITORY)
    mark = data.parent / "slow"
    for _ in range(2):
        mark.unlink(missing_ok=True)
        await eventually(mark.exists)
    return data


async def ended(task: asyncio.Task[bytes | None]) -> None:
    """Have a device leave."""
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("told", [HALF, ALMOST_ALL])
async def test_a_length_that_is_told_takes_nothing_from_anybody(world: World, told: int) -> None:
    """Of a registry that sends no byte of it, as long as a device waits for that."""
    others = await in_use(world, "g", BLOBS)
    lie = new(world, "h", told, Stalls(after=0))
    waiting = asyncio.create_task(pull(world, "h", lie))
    await eventually(lambda: bool(world.hosts["h"].simulator.requests))
    if told == HALF:
        announced = await arrives(world, world.hosts["h"], lie, 0)
        await eventually(lambda: announced() is not None)
    assert stored(world, others) == BLOBS
    await used(world, "g", new(world, "g", BLOB))
    await ended(waiting)


async def test_a_device_that_leaves_at_once_takes_what_came_and_no_more(world: World) -> None:
    """It asked for one byte of a long blob of an honest registry."""
    others = await in_use(world, "g", BLOBS)
    holds = Holds(PIECE_BYTES)
    whole = new(world, "h", HALF, holds)
    leaving = asyncio.create_task(pull(world, "h", whole, (0, 1)))
    await arrives(world, world.hosts["h"], whole, PIECE_BYTES)
    await ended(leaving)
    assert stored(world, others) >= BLOBS - 1  # a claim is at most as far ahead as what came
    holds.gate.set()


async def test_a_connection_that_brings_more_and_more_leaves_others_their_share(
    world: World,
) -> None:
    """Whatever its devices pull, and however often; and the quota holds."""
    others = await in_use(world, "g", BLOBS)
    async with QuotaWatch(world.folder) as watch:
        for _ in range(BLOBS + 1):
            await used(world, "h", new(world, "h", BLOB))
    assert watch.most_bytes <= QUOTA
    assert stored(world, others) * BLOB >= HALF


async def test_arrivals_at_once_leave_others_their_share(world: World) -> None:
    """Together they are one connection's, in whichever process."""
    others = await in_use(world, "g", BLOBS)
    holds = [Holds(BLOB - PIECE_BYTES) for _ in range(BLOBS)]
    contents = [new(world, "h", BLOB, hold) for hold in holds]
    pulls = [
        asyncio.create_task(pull(world, "h", content, process=number % 2))
        for number, content in enumerate(contents)
    ]
    await eventually(lambda: all(world.hosts["h"].simulator.requests) and world.used_bytes >= QUOTA)
    for hold in holds:
        hold.gate.set()
    assert await asyncio.gather(*pulls) == [content.content for content in contents]
    await world.settled()
    assert stored(world, others) * BLOB >= HALF


async def test_what_is_left_in_the_middle_is_within_the_share(world: World) -> None:
    """A device begins one blob after the other, and leaves each before its end."""
    others = await in_use(world, "g", BLOBS)
    for number in range(BLOBS + 1):
        left = new(world, "h", BLOB, Holds(BLOB - PIECE_BYTES))
        leaving = asyncio.create_task(pull(world, "h", left, process=number % 2))
        await arrives(world, world.hosts["h"], left, BLOB - PIECE_BYTES)
        await ended(leaving)
    assert stored(world, others) * BLOB >= HALF


async def test_what_cannot_fit_beside_what_others_use_is_only_passed_on(world: World) -> None:
    """And nothing goes for it in vain."""
    others = await in_use(world, "g", BLOBS)
    large = new(world, "h", HALF + 1)
    assert await pull(world, "h", large) == large.content
    await world.settled()
    assert not world.is_stored(large)
    assert stored(world, others) == BLOBS


async def test_a_connection_that_is_alone_may_have_all(world: World) -> None:
    """A new model takes the place of the one before, however long both are."""
    old, model = new(world, "g", ALMOST_ALL), new(world, "g", ALMOST_ALL)
    await used(world, "g", old)
    await used(world, "g", model)
    assert not world.is_stored(old)


async def test_what_others_used_once_is_nobodys_share(world: World) -> None:
    """It is on probation: what one device pulled may go for what another pulls."""
    once = [new(world, "g", BLOB) for _ in range(BLOBS)]
    for content in once:
        await kept(world, "g", content)
    large = new(world, "h", ALMOST_ALL)
    assert await pull(world, "h", large) == large.content
    await eventually(lambda: world.is_stored(large))
    assert stored(world, once) == 0


async def test_what_comes_slowly_claims_no_more_than_has_come(world: World) -> None:
    """It goes on arriving, and is kept."""
    holds = Holds(PIECE_BYTES)
    content = new(world, "h", BLOB, holds)
    waiting = asyncio.create_task(pull(world, "h", content))
    announced = await arrives(world, world.hosts["h"], content, PIECE_BYTES)
    await eventually(lambda: (each := announced()) is not None and each.room == PIECE_BYTES)
    holds.gate.set()
    assert await waiting == content.content
    await eventually(lambda: world.is_stored(content))


@pytest.mark.parametrize("host", ["g", "h"], ids=["another connection", "the same connection"])
async def test_what_comes_slowly_makes_way(world: World, host: str) -> None:
    """Else nothing of anybody is kept as long as one device waits. Its reader gets it all."""
    holds = Holds(ALMOST_ALL - 1)
    slow = new(world, "h", ALMOST_ALL, holds)
    waiting = asyncio.create_task(pull(world, "h", slow))
    data = await comes_slowly(world, "h", slow, ALMOST_ALL - 1)
    content = new(world, host, BLOB)
    assert await pull(world, host, content, process=1) == content.content
    assert not world.is_stored(content)
    await eventually(lambda: not data.exists())
    await used(world, host, content)
    holds.gate.set()
    assert await waiting == slow.content


@pytest.mark.parametrize("times", [WatchTimes(look_seconds=0.02)], ids=["never slow"])
async def test_a_connection_that_takes_too_much_makes_way_for_another(world: World) -> None:
    """However fast it comes."""
    holds = Holds(ALMOST_ALL - 1)
    large = new(world, "h", ALMOST_ALL, holds)
    waiting = asyncio.create_task(pull(world, "h", large))
    await arrives(world, world.hosts["h"], large, ALMOST_ALL - 1)
    own = new(world, "h", BLOB)
    assert await pull(world, "h", own) == own.content
    content = new(world, "g", BLOB)
    assert await pull(world, "g", content) == content.content
    data = world.partial(world.hosts["h"], large, REPOSITORY)
    await eventually(lambda: not data.exists())
    await used(world, "g", content)
    holds.gate.set()
    assert await waiting == large.content


async def test_what_asks_for_more_than_its_share_asks_nobody_to_make_way(world: World) -> None:
    """A registry that tells a length could end what others bring."""
    holds = Holds(ALMOST_ALL - 1)
    slow = new(world, "g", ALMOST_ALL, holds)
    waiting = asyncio.create_task(pull(world, "g", slow))
    data = await comes_slowly(world, "g", slow, ALMOST_ALL - 1)
    large = new(world, "h", ALMOST_ALL)
    assert await pull(world, "h", large) == large.content
    assert not (data.parent / "way").exists()
    holds.gate.set()
    assert await waiting == slow.content
    await eventually(lambda: world.is_stored(slow))
