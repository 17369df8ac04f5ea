"""A blob in several streams from a store that a registry redirects to, by links that expire."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from facade.values.piece import PIECE_BYTES
from tests.faults.mixtures import BLOB, MIXTURES, pulled, right, serve
from tests.faults.stored_world import EAGER, World
from tests.support.simulators.behaviour import InTurn, Ranged, RedirectsTo
from tests.support.simulators.signed_store import SignedStore

SLOW = Ranged(piece_bytes=PIECE_BYTES // 8, pause_seconds=0.02)
LINKS = 60  # more than are asked for


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A facade's store, which widens as soon as it can."""
    world = await World.start(tmp_path, 64 * PIECE_BYTES, "g", growth=EAGER)
    yield world
    await world.stop()


@pytest.fixture
async def store() -> AsyncIterator[SignedStore]:
    """The store behind the registry."""
    async with SignedStore() as store:
        yield store


def redirect(world: World, store: SignedStore, *, expired: int) -> None:
    """Have the registry give a link each time; the one with this number, from 0, has expired."""
    dead = RedirectsTo(store.sign(BLOB.content, get=SLOW))
    store.expire()
    links = [RedirectsTo(store.sign(BLOB.content)) for _ in range(LINKS)]
    links[expired] = dead
    serve(world, InTurn(tuple(links)))


def asked(world: World) -> list[str | None]:
    """Return the ranges that the registry was asked for."""
    return [each.header("Range") for each in world.hosts["g"].simulator.pulls]


@pytest.mark.parametrize("mixture", ["whole", "workers"])
@pytest.mark.parametrize("expired", [1, 2])
async def test_a_stream_whose_link_has_expired_asks_anew_for_itself_alone(
    world: World, store: SignedStore, mixture: str, expired: int
) -> None:
    """The others go on: none of them is asked for again."""
    asks = MIXTURES[mixture]
    redirect(world, store, expired=expired)
    assert await pulled(world, asks) == right(asks)
    ranges = asked(world)
    again = [each for each in ranges if ranges.count(each) > 1]
    assert len(ranges) > expired + 1
    assert again == [ranges[expired]] * 2
    links = [dict(each.query)["X-Signature"] for each in store.requests]
    assert len(links) == len(set(links)) == len(ranges)
