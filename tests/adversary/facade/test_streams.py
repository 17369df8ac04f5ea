"""Several streams of a blob: a registry that spoils all but the first, a device that wants many.

Beside the victim's warm manifest, another device pulls from the very registry that is attacked.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Self

import pytest
from attrs import define, evolve, field

from shared.outside_bytes import Party
from tests.adversary.bounds import Allowed, patient
from tests.adversary.facade.attacked import AttackedFacade, meanwhile
from tests.adversary.guards import bounds, check
from tests.adversary.watch import Attack
from tests.support.device_stream import End
from tests.support.established import connections_to
from tests.support.eventually import eventually
from tests.support.facade_process import Device
from tests.support.facade_states import pull_path
from tests.support.memory import MIB
from tests.support.simulators.behaviour import (
    Behaviour,
    BreaksAt,
    BreaksEvery,
    InTurn,
    OtherBytes,
    Ranged,
    RedirectsTo,
    Stalls,
)
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.system.facade.pulls import Outcome, outcome_of

pytestmark = pytest.mark.attack

PIECE: Final = 64 * 1024
PACE: Final = Ranged(piece_bytes=PIECE, pause_seconds=0.02)  # 3 MiB a second on each connection
LARGE: Final = 40 * MIB  # another stream is worth trying while 32 MiB are left
AT_ONCE: Final = 3  # blobs of the attacked registry
STREAMS_OF_A_BLOB: Final = 4  # as far as that pays
STREAMS_OF_PARTS: Final = 16  # while only parts of it are wanted
SPOILT: Final = Allowed(seconds=20.0)
ENDED_SECONDS: Final = patient(110.0)  # until what had begun is there, in each blob's own stream
PLACES: Final = 8  # where a registry redirects to
NEIGHBOURS_PAUSE_SECONDS: Final = 0.2
NEIGHBOUR_SECONDS: Final = patient(5.0)  # at most, for a small cold blob of the same registry
LOOK_SECONDS: Final = 0.05

CRAWL: Final = Ranged(piece_bytes=1, pause_seconds=0.05)
# How the streams behind the first one are answered, and then all others.
TAGGED: Final = evolve(PACE, etags=True)
KINDS: Final[dict[str, Behaviour | list[Behaviour]]] = {
    "a byte at a time": [CRAWL, PACE, CRAWL, PACE, CRAWL, PACE],
    "no answer": Stalls(),
    "a head alone": Stalls(after=0),
    "another total": evolve(PACE, total_off=1),
    "another validator each": evolve(TAGGED, wrong="last"),
    "the whole, 200": BreaksAt(0, times=0, ranges="ignored"),
    "416": Ranged(refuses="all"),
    "multipart": Ranged(described="multipart"),
    "another range": BreaksAt(0, times=0, ranges="wrong"),
    "a break each MiB": BreaksEvery(MIB),
    "the wrong last byte": OtherBytes(),
}

FIRST: Final[dict[str, Behaviour]] = {"another validator each": TAGGED}  # all others: at its pace
# Several bounds guard these: the first stream goes on until another one brings something, one that
# is far slower is left, and what fails by the registry's own patience is made up for.
_CUT_AT_ONCE: Final = check(
    "facade/arrivals/filling.py",
    "is_further=True, has_place=has_place, cuts=cuts))\n",
    "is_further=True, has_place=has_place))\n"
    "        if cuts is not None:\n            cuts.end = segment.first\n",
)
_LEFT_WHEN_SLOW: Final = check(
    "facade/arrivals/filling.py", "            slow.leave()\n", "            _ = slow\n"
)
GUARDED_TWICE: Final[dict[str, tuple[pytest.MarkDecorator, ...]]] = {
    "a byte at a time": (_LEFT_WHEN_SLOW,),
    "no answer": (_LEFT_WHEN_SLOW, _CUT_AT_ONCE),
}


@define
class Neighbour:
    """Another device, which pulls small cold blobs of the attacked registry, one after another."""

    device: Device
    registry: RegistrySimulator
    waited: list[float] = field(factory=list)  # seconds, of each right answer
    most_connections: int = field(default=0, init=False)  # to the registry, of whoever asks it

    @classmethod
    def of(cls, attacked: AttackedFacade) -> Self:
        """Return a neighbour of the attacker."""
        return cls(attacked.attacker("neighbour"), attacked.registry)

    @asynccontextmanager
    async def pulling(self) -> AsyncIterator[None]:
        """Pull meanwhile; fail unless each is right, and in time."""
        tasks = [asyncio.create_task(each) for each in (self._pull_for_ever(), self._look())]
        try:
            yield
            await eventually(lambda: bool(self.waited) or tasks[0].done(), NEIGHBOUR_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
        assert max(self.waited) < NEIGHBOUR_SECONDS

    async def _pull_for_ever(self) -> None:
        for number in itertools.count():
            digest = self.registry.blob(b"neighbour's %d" % number)
            began = time.monotonic()
            outcome = await outcome_of(self.device, pull_path(self.registry, digest))
            assert (outcome.status, outcome.end, outcome.digest) == (200, End.WHOLE, digest)
            self.waited.append(time.monotonic() - began)
            await asyncio.sleep(NEIGHBOURS_PAUSE_SECONDS)

    async def _look(self) -> None:
        while True:
            # Not what the registry still serves: it may learn late that it was left.
            self.most_connections = max(self.most_connections, connections_to(self.registry.port))
            await asyncio.sleep(LOOK_SECONDS)


def contents(count: int, size: int) -> Iterator[bytes]:
    """Return so many, each another one."""
    return (number.to_bytes(4) * (size // 4) for number in range(count))


async def pull_while(
    attack: Attack, device: Device, registry: RegistrySimulator, digests: Iterator[str]
) -> list[tuple[str, Outcome]]:
    """Pull one blob after the other, and the last one to its end; return how they ended."""
    ended = list[tuple[str, Outcome]]()
    while attack.goes_on and (digest := next(digests, None)) is not None:
        ended.append((digest, await outcome_of(device, pull_path(registry, digest))))
    return ended


async def spoil(attack: Attack, attacked: AttackedFacade, kind: str) -> list[tuple[str, Outcome]]:
    """Have devices pull what comes well in its first stream, and in no other."""
    registry, spoilt = attacked.registry, KINDS[kind]
    turns = spoilt if isinstance(spoilt, list) else [spoilt]
    answers = InTurn((FIRST.get(kind, PACE), *turns))
    served = (registry.blob(content, get=answers) for content in contents(8 * AT_ONCE, LARGE))
    async with asyncio.timeout(ENDED_SECONDS):
        ended = await asyncio.gather(
            *(
                pull_while(attack, attacked.attacker(f"attacked-{number}"), registry, served)
                for number in range(AT_ONCE)
            )
        )
    return [each for some in ended for each in some]


@check(
    "facade/arrivals/span_download.py",
    "        if self._beside is None:\n            return\n",
    "        return\n",
)
@check(
    "facade/arrivals/filling.py",
    "            self._widening.doubt()\n        elif failed",
    "            return False\n        elif failed",
)
@check(
    "facade/arrivals/filling.py",
    "            self._widening.rest()\n        else:\n            return False\n"
    "        self._tell_of(download, failed)\n        return True\n\n    def _tell_of",
    "            return False\n\n    def _tell_of",
)
@pytest.mark.parametrize(
    "kind",
    [pytest.param(each, marks=GUARDED_TWICE.get(each, ())) for each in KINDS],
)
async def test_a_registry_that_spoils_every_further_stream(
    kind: str, attacked: AttackedFacade
) -> None:
    """What has begun comes in its first stream, to its end; nothing of the others is mixed in."""
    await attacked.connect()
    neighbour = Neighbour.of(attacked)
    watched = attacked.watched(f"further streams: {kind}", Party.REGISTRY, SPOILT)
    async with watched as attack, neighbour.pulling():
        ended = await spoil(attack, attacked, kind)
    asked = {request.path for request in attacked.registry.pulls if request.header("Range")}
    assert asked, "nobody asked for a further stream"
    assert len(ended) >= AT_ONCE
    for digest, outcome in ended:
        assert (outcome.status, outcome.end, outcome.digest) == (200, End.WHOLE, digest)
    assert neighbour.most_connections <= AT_ONCE * STREAMS_OF_A_BLOB + 2


@check(
    "shared/upstream/redirect_chain.py",
    "authorization=authorization if is_registry else None,",
    "authorization=authorization,",
)
async def test_a_registry_that_sends_each_stream_to_another_place(attacked: AttackedFacade) -> None:
    """Some of which say nothing. Each is shown no credential, and the blobs are right."""
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(StoreSimulator()) for _ in range(PLACES)]
        await attacked.connect(allowed_networks=("127.0.0.0/8",))
        neighbour = Neighbour.of(attacked)
        digests = (
            attacked.registry.blob(content, get=InTurn((PACE, *_places(stores, content), PACE)))
            for content in contents(8, LARGE)
        )
        watched = attacked.watched("further streams: each to another place", Party.REGISTRY, SPOILT)
        async with watched as attack, neighbour.pulling():
            async with asyncio.timeout(ENDED_SECONDS):
                ended = await pull_while(attack, attacked.attacker(), attacked.registry, digests)
        asked = [request for store in stores for request in store.requests]
        assert asked
        assert not any(request.header("Authorization") for request in asked)
    assert ended
    for digest, outcome in ended:
        assert (outcome.status, outcome.end, outcome.digest) == (200, End.WHOLE, digest)


def _places(stores: list[StoreSimulator], content: bytes) -> list[Behaviour]:
    """Return where each of the streams is sent; every second one finds nobody who speaks."""
    return [
        RedirectsTo(store.put(content, get=Stalls() if number % 2 else PACE))
        for number, store in enumerate(stores)
    ]


PARTS_BLOBS: Final = 32  # each on a connection of its own
PARTS_BYTES: Final = 32 * MIB
PARTS: Final = 1024
STRIDE: Final = PARTS_BYTES // PARTS
LATE: Final = evolve(PACE, pause_seconds=0.3)  # before the first byte of each answer, too


@bounds("facade.arrivals.gaps.MAX_STREAMS")
async def test_a_device_that_asks_for_a_thousand_parts_of_each_of_many_cold_blobs(
    attacked: AttackedFacade,
) -> None:
    """Of each, so many streams are open at once as for any ranges; others pull beside them."""
    await attacked.connect()
    greedy, neighbour = attacked.attacker("greedy"), Neighbour.of(attacked)
    ranges = "bytes=" + ",".join(f"{at * STRIDE}-{at * STRIDE}" for at in range(PARTS))
    paths = [attacked.blob(content, get=LATE) for content in contents(PARTS_BLOBS, PARTS_BYTES)]
    async with (
        attacked.watched("1,024 parts of each of 32 cold blobs", Party.DEVICE) as attack,
        neighbour.pulling(),
        meanwhile(*(outcome_of(greedy, each, Range=ranges) for each in paths)),
    ):
        await attack.to_its_end()
    assert PARTS_BLOBS < neighbour.most_connections <= PARTS_BLOBS * STREAMS_OF_PARTS + 2
