"""Who is lent which client of a connection, for how long, and what ends it."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import define, evolve, field, frozen
from typing_extensions import override

from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.upstream import Upstream
from facade.registries.upstreams import ConnectionRevokedError, Upstreams
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, ConnectionDocument
from shared.registry_host import RegistryHost
from shared.sealed_secret import SealedSecretError
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.client import RegistryClient
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import UpstreamTransport

HOST = RegistryHost.parse("registry.example")
END_SECONDS = 10.0  # for what must end at once


@frozen
class RecordedUpstream(Upstream):
    """An upstream that knows when it was closed."""

    access_key: str
    closed: asyncio.Event = field(factory=asyncio.Event)

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
async def upstreams(maker: Maker) -> AsyncIterator[Upstreams]:
    """None yet; after the test each that was made is closed."""
    upstreams = Upstreams(maker.make)
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


async def test_a_revocation_ends_what_is_running(
    upstreams: Upstreams, maker: Maker, puller: Puller
) -> None:
    """In the middle of whatever it does, and with an error that says so."""
    connection = approved()
    pulls = [await puller.started(connection) for _ in range(3)]
    other = await puller.started(approved())
    upstreams.retire(connection.id, serving=None)
    for pull in pulls:
        with pytest.raises(ConnectionRevokedError):
            await asyncio.wait_for(pull, END_SECONDS)
    await maker.made[0].closed.wait()
    puller.may_end.set()
    assert await other is maker.made[1]


@pytest.mark.parametrize("is_served_anew", [False, True])
async def test_a_revocation_ends_what_runs_since_before_a_rotation(
    is_served_anew: bool,  # noqa: FBT001 - parametrized
    upstreams: Upstreams,
    maker: Maker,
    puller: Puller,
) -> None:
    """A pull with the old secret is a pull of the revoked connection, too."""
    old = approved("old")
    new = evolve(old, access_key="new")
    pull = await puller.started(old)
    upstreams.retire(old.id, serving=new)
    if is_served_anew:
        async with upstreams.lease(new):
            pass
    upstreams.retire(old.id, serving=None)
    with pytest.raises(ConnectionRevokedError):
        await asyncio.wait_for(pull, END_SECONDS)
    await maker.made[0].closed.wait()


async def test_a_revocation_ends_what_waits_for_its_client(
    upstreams: Upstreams, maker: Maker, puller: Puller
) -> None:
    """It will not be lent one any more."""
    maker.gate.clear()
    connection = approved()
    pull = asyncio.create_task(puller.pull(connection))
    await asyncio.sleep(0)
    upstreams.retire(connection.id, serving=None)
    with pytest.raises(ConnectionRevokedError):
        await asyncio.wait_for(pull, END_SECONDS)
    assert maker.made == []


async def test_a_device_that_leaves_is_cancelled_and_not_revoked(
    upstreams: Upstreams, puller: Puller
) -> None:
    """Also when both happen at once: nobody is there to be told."""
    connection = approved()
    pull = await puller.started(connection)
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull
    pull = await puller.started(connection)
    upstreams.retire(connection.id, serving=None)
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull


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


async def test_what_stands_on_a_revoked_connection_is_lent_nothing(
    upstreams: Upstreams, maker: Maker, puller: Puller
) -> None:
    """A download that was about to begin would show the secret once more."""
    connection = approved()
    upstreams.retire(connection.id, serving=None)
    with pytest.raises(ConnectionRevokedError):
        await puller.pull(connection)
    assert not maker.asked


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
