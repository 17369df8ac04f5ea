"""Who is lent which client of a connection, for how long, and when it is closed."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import define, evolve, field, frozen
from typing_extensions import override

from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.connection_work import ConnectionRevokedError, ConnectionWork
from facade.registries.upstream import Upstream
from facade.registries.upstreams import (
    CANDIDATES,
    FORGOTTEN_SECONDS,
    IDLE_SECONDS,
    Upstreams,
)
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, ConnectionDocument
from shared.registry_host import RegistryHost
from shared.sealed_secret import SealedSecretError
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.client import RegistryClient
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import UpstreamTransport
from tests.support.clock import Clock

HOST = RegistryHost.parse("registry.example")
END_SECONDS = 10.0  # for what must end at once


@frozen
class RecordedUpstream(Upstream):
    """An upstream that knows when it was closed."""

    access_key: str
    closed: asyncio.Event = field(factory=asyncio.Event)
    remembers: asyncio.Event = field(factory=asyncio.Event)  # set: something that protects

    @property
    @override
    def is_at_rest(self) -> bool:
        return not self.remembers.is_set()

    @override
    async def close(self) -> None:
        assert not self.closed.is_set()
        self.closed.set()
        await super().close()


@define
class Maker:
    """Makes upstreams, once `gate` is open."""

    gate: asyncio.Event = field(factory=asyncio.Event)
    made: list[RecordedUpstream] = field(factory=list)
    asked: int = 0
    fails: Exception | None = None

    def __attrs_post_init__(self) -> None:
        """Open the gate."""
        self.gate.set()

    async def make(self, connection: ApprovedConnection) -> Upstream:
        """Return a new upstream; nothing is asked of its registry."""
        self.asked += 1
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        transport = await UpstreamTransport.open(UpstreamTarget(HOST))
        client = RegistryClient(transport, OneShotAuthorizer(transport, None))
        breaker = CircuitBreaker(time.monotonic)
        self.made.append(RecordedUpstream(client, breaker, connection.access_key))
        return self.made[-1]


@define
class Puller:
    """A pull that holds its lease until it is told to end."""

    _upstreams: Upstreams
    may_end: asyncio.Event = field(factory=asyncio.Event)
    has_begun: asyncio.Event = field(factory=asyncio.Event)

    async def pull(self, connection: ApprovedConnection) -> Upstream:
        """Return what was lent, at the end."""
        async with self._upstreams.lease(connection) as upstream:
            self.has_begun.set()
            await self.may_end.wait()
            return upstream

    async def started(self, connection: ApprovedConnection) -> asyncio.Task[Upstream]:
        """Return the pull once it holds its lease."""
        task = asyncio.create_task(self.pull(connection))
        await self.has_begun.wait()
        self.has_begun.clear()
        return task


@pytest.fixture
def maker() -> Maker:
    """Who makes upstreams."""
    return Maker()


@pytest.fixture
def work() -> ConnectionWork:
    """What runs through connections."""
    return ConnectionWork()


@pytest.fixture
async def upstreams(maker: Maker, work: ConnectionWork) -> AsyncIterator[Upstreams]:
    """None yet; after the test each that was made is closed."""
    upstreams = Upstreams(maker.make, work)
    yield upstreams
    await upstreams.close()
    assert all(upstream.closed.is_set() for upstream in maker.made)


@pytest.fixture
def puller(upstreams: Upstreams) -> Puller:
    """Who pulls."""
    return Puller(upstreams)


def approved(access_key: str = "first", connection_id: UUID | None = None) -> ApprovedConnection:
    """Return a connection as far as it matters here."""
    now = datetime.now(UTC)
    return ApprovedConnection(
        id=connection_id or uuid4(),
        generation=1,
        document=ConnectionDocument(HOST, Anonymous(), "alice", now),
        fingerprint="sha256:0",
        access_key=access_key,
        approved_by="bob",
        approved_at=now,
        expires_at=None,
        sealed_secret=None,
    )


async def test_pulls_of_one_connection_share_one_client(upstreams: Upstreams, maker: Maker) -> None:
    """Made once, also for those who come together."""
    connection = approved()

    async def lent() -> Upstream:
        async with upstreams.lease(connection) as upstream:
            return upstream

    together = await asyncio.gather(*(lent() for _ in range(50)))
    assert {id(upstream) for upstream in (*together, await lent())} == {id(maker.made[0])}
    assert maker.asked == 1
    assert not maker.made[0].closed.is_set()


async def test_each_connection_has_its_own(upstreams: Upstreams, maker: Maker) -> None:
    """Of the same host, too."""
    for _ in range(2):
        async with upstreams.lease(approved()):
            pass
    assert len(maker.made) == 2


async def test_a_new_scope_goes_on_with_the_client(
    upstreams: Upstreams, maker: Maker, puller: Puller
) -> None:
    """The access key is what it hangs on, not the revision."""
    connection = approved()
    pull = await puller.started(connection)
    upstreams.retire(connection.id, serving=evolve(connection, generation=2))
    puller.may_end.set()
    assert await pull is maker.made[0]
    async with upstreams.lease(evolve(connection, generation=2)) as upstream:
        assert upstream is maker.made[0]


async def test_a_rotation_lets_pulls_finish_and_serves_new_ones_anew(
    upstreams: Upstreams, maker: Maker, puller: Puller
) -> None:
    """The old client is closed behind the last of them."""
    old = approved("old")
    new = evolve(old, access_key="new")
    pulls = [await puller.started(old) for _ in range(2)]
    upstreams.retire(old.id, serving=new)
    async with upstreams.lease(new) as upstream:
        assert isinstance(upstream, RecordedUpstream)
        assert upstream.access_key == "new"
    assert not maker.made[0].closed.is_set()
    puller.may_end.set()
    assert await asyncio.gather(*pulls) == [maker.made[0]] * 2
    await maker.made[0].closed.wait()
    assert not maker.made[1].closed.is_set()


async def test_a_pull_that_comes_first_with_a_new_key_retires_the_old_client(
    upstreams: Upstreams, maker: Maker
) -> None:
    """Whoever knows of the rotation first."""
    old = approved("old")
    async with upstreams.lease(old):
        pass
    async with upstreams.lease(evolve(old, access_key="new")) as upstream:
        assert isinstance(upstream, RecordedUpstream)
        assert upstream.access_key == "new"
    await maker.made[0].closed.wait()


@pytest.mark.parametrize("is_rotated", [False, True])
async def test_a_revocation_ends_whoever_holds_a_lease(
    is_rotated: bool,  # noqa: FBT001 - parametrized
    upstreams: Upstreams,
    work: ConnectionWork,
    maker: Maker,
    puller: Puller,
) -> None:
    """Also with the secret of before a rotation. The client is closed behind the last of them."""
    connection = approved()
    pulls = [await puller.started(connection) for _ in range(3)]
    other = await puller.started(approved())
    if is_rotated:
        upstreams.retire(connection.id, serving=evolve(connection, access_key="new"))
    upstreams.retire(connection.id, serving=None)
    work.revoke(connection.id)
    for pull in pulls:
        with pytest.raises(ConnectionRevokedError):
            await asyncio.wait_for(pull, END_SECONDS)
    await asyncio.wait_for(maker.made[0].closed.wait(), END_SECONDS)
    puller.may_end.set()
    assert await other is maker.made[1]


async def test_a_revocation_ends_what_waits_for_its_client(
    upstreams: Upstreams, work: ConnectionWork, maker: Maker, puller: Puller
) -> None:
    """It will not be lent one any more."""
    maker.gate.clear()
    connection = approved()
    pull = asyncio.create_task(puller.pull(connection))
    await asyncio.sleep(0)
    upstreams.retire(connection.id, serving=None)
    work.revoke(connection.id)
    with pytest.raises(ConnectionRevokedError):
        await asyncio.wait_for(pull, END_SECONDS)
    assert maker.made == []


async def test_what_stands_on_a_revoked_connection_is_lent_nothing(
    work: ConnectionWork, maker: Maker, puller: Puller
) -> None:
    """A download that was about to begin would show the secret once more."""
    connection = approved()
    work.revoke(connection.id)
    with pytest.raises(ConnectionRevokedError):
        await puller.pull(connection)
    assert not maker.asked


async def test_the_one_that_started_the_making_may_leave(maker: Maker, puller: Puller) -> None:
    """The others get the client all the same."""
    maker.gate.clear()
    connection = approved()
    leaving, staying = (asyncio.create_task(puller.pull(connection)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    maker.gate.set()
    puller.may_end.set()
    assert await staying is maker.made[0]
    assert maker.asked == 1
    assert leaving.cancelled()


async def test_a_client_that_cannot_be_made_is_tried_again(maker: Maker, puller: Puller) -> None:
    """Every waiter is told why, and nothing is lost in a warning."""
    lost: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    connection = approved()
    maker.gate.clear()
    maker.fails = SealedSecretError("does not open")
    pulls = [asyncio.create_task(puller.pull(connection)) for _ in range(3)]
    await asyncio.sleep(0)
    maker.gate.set()
    for pull in pulls:
        with pytest.raises(SealedSecretError):
            await pull
    maker.fails = None
    puller.may_end.set()
    assert await puller.pull(connection) is maker.made[0]
    assert maker.asked == 2
    gc.collect()
    assert lost == []


async def test_a_connection_that_was_never_used_is_retired_without_a_trace(
    upstreams: Upstreams, maker: Maker
) -> None:
    """Statements come for connections that nobody pulls from."""
    upstreams.retire(uuid4(), serving=None)
    upstreams.retire(uuid4(), serving=approved())
    assert maker.asked == 0


async def test_a_connection_may_serve_again_after_its_revocation(
    upstreams: Upstreams, maker: Maker, puller: Puller
) -> None:
    """An approval that is believed again finds a client of its own."""
    connection = approved()
    async with upstreams.lease(connection):
        pass
    upstreams.retire(connection.id, serving=None)
    upstreams.retire(connection.id, serving=connection)
    puller.may_end.set()
    assert await puller.pull(connection) is maker.made[1]


async def test_what_stands_on_a_replaced_secret_finishes_with_it(upstreams: Upstreams) -> None:
    """It was authorised a moment ago. The new secret's client stays, and is lent to the others."""
    old = approved()
    new = evolve(old, access_key="b" * 64, generation=2)
    upstreams.retire(old.id, serving=new)
    async with upstreams.lease(new) as current, upstreams.lease(old) as superseded:
        assert superseded is not current
    async with upstreams.lease(new) as still:
        assert still is current
    assert isinstance(superseded, RecordedUpstream)
    await asyncio.wait_for(superseded.closed.wait(), END_SECONDS)
    upstreams.retire(old.id, serving=None)


@define
class Bounded:
    """Few upstreams at once, and a clock that is moved."""

    maker: Maker = field(factory=Maker)
    clock: Clock = field(factory=Clock)
    upstreams: Upstreams = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with none."""
        self.upstreams = Upstreams(self.maker.make, ConnectionWork(), max_open=3, clock=self.clock)

    async def use(self, connection: ApprovedConnection) -> RecordedUpstream:
        """Return what is lent, when it was given back."""
        async with self.upstreams.lease(connection) as upstream:
            assert isinstance(upstream, RecordedUpstream)
            return upstream


@pytest.fixture
async def bounded() -> AsyncIterator[Bounded]:
    """None yet; after the test each that was made is closed."""
    bounded = Bounded()
    yield bounded
    await bounded.upstreams.close()
    assert all(upstream.closed.is_set() for upstream in bounded.maker.made)


async def test_what_nobody_used_for_an_hour_is_closed(bounded: Bounded) -> None:
    """And not before; whoever comes then is lent a new one."""
    connection = approved()
    first = await bounded.use(connection)
    bounded.clock.advance(IDLE_SECONDS - 1)
    bounded.upstreams.close_idle()
    assert await bounded.use(connection) is first
    bounded.clock.advance(IDLE_SECONDS)
    bounded.upstreams.close_idle()
    await asyncio.wait_for(first.closed.wait(), END_SECONDS)
    assert bounded.upstreams.open == 0
    assert await bounded.use(connection) is not first


async def test_a_pull_that_takes_hours_is_not_idle(bounded: Bounded) -> None:
    """A blob of a terabyte over a slow link; the hour begins at its end."""
    connection = approved()
    async with bounded.upstreams.lease(connection) as upstream:
        bounded.clock.advance(10 * FORGOTTEN_SECONDS)
        bounded.upstreams.close_idle()
        for _ in range(5):
            await bounded.use(approved())
        assert await bounded.use(connection) is upstream
    bounded.upstreams.close_idle()
    assert await bounded.use(connection) is upstream


async def test_what_remembers_failures_stays_until_nobody_would_ask(bounded: Bounded) -> None:
    """An open circuit, a refused password, a 404: they keep a registry from being asked."""
    connection = approved()
    failing = await bounded.use(connection)
    failing.remembers.set()
    bounded.clock.advance(FORGOTTEN_SECONDS - 1)
    bounded.upstreams.close_idle()
    for _ in range(5):
        await bounded.use(approved())
    assert await bounded.use(connection) is failing
    bounded.clock.advance(FORGOTTEN_SECONDS)
    bounded.upstreams.close_idle()
    await asyncio.wait_for(failing.closed.wait(), END_SECONDS)


async def test_beyond_the_bound_the_least_recently_used_is_closed(bounded: Bounded) -> None:
    """Before another one is made."""
    connections = [approved() for _ in range(4)]
    lent = [await bounded.use(connection) for connection in connections[:3]]
    assert await bounded.use(connections[0]) is lent[0]
    await bounded.use(connections[3])
    assert bounded.upstreams.open == 3
    await asyncio.wait_for(lent[1].closed.wait(), END_SECONDS)
    assert await bounded.use(connections[0]) is lent[0]
    assert await bounded.use(connections[2]) is lent[2]


async def test_more_than_the_bound_are_open_only_while_they_are_used(bounded: Bounded) -> None:
    """Nobody waits for another one's pull, and afterwards they are few again."""
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(bounded.upstreams.lease(approved()))
        assert bounded.upstreams.open == 10
    await bounded.use(approved())
    assert bounded.upstreams.open == 3


async def test_those_that_remember_are_passed_over_in_few_steps(bounded: Bounded) -> None:
    """However many there are: a pull does not look through all of them."""
    for _ in range(2 * CANDIDATES):
        (await bounded.use(approved())).remembers.set()
    at_rest = await bounded.use(approved())
    for _ in range(3):
        await bounded.use(approved())
    await asyncio.wait_for(at_rest.closed.wait(), END_SECONDS)


async def test_a_revocation_ends_nothing_twice(bounded: Bounded) -> None:
    """What was closed for being idle is not there to be retired."""
    connection = approved()
    upstream = await bounded.use(connection)
    bounded.clock.advance(IDLE_SECONDS)
    bounded.upstreams.close_idle()
    bounded.upstreams.retire(connection.id, serving=None)
    await asyncio.wait_for(upstream.closed.wait(), END_SECONDS)


async def test_a_client_that_cannot_be_made_takes_no_room(bounded: Bounded) -> None:
    """It is nobody's, and goes like any other that is not used."""
    bounded.maker.fails = SealedSecretError("does not open")
    for _ in range(5):
        with pytest.raises(SealedSecretError):
            await bounded.use(approved())
    bounded.maker.fails = None
    assert bounded.upstreams.open == 3
    bounded.clock.advance(IDLE_SECONDS)
    bounded.upstreams.close_idle()
    assert bounded.upstreams.open == 0
