"""What runs through a connection ends with it, and nothing else does."""

import asyncio
import weakref
from contextlib import ExitStack

import pytest
from attrs import define, evolve, field

from facade.registries.connection_work import ConnectionRevokedError, ConnectionWork
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, ConnectionDocument
from tests.unit.facade.strategies import HOST, NOW, approved

END_SECONDS = 10.0  # for what must end at once
DOCUMENT = ConnectionDocument(
    host=HOST, credential=Anonymous(), connected_by="alice", connected_at=NOW
)


def connected(number: int = 1) -> ApprovedConnection:
    """Return a connection as far as it matters here."""
    return approved(DOCUMENT, number=number)


@define
class Workers:
    """Tasks that work through connections until they are told to end."""

    work: ConnectionWork = field(factory=ConnectionWork)
    may_end: asyncio.Event = field(factory=asyncio.Event)

    async def _run(self, connection: ApprovedConnection, begun: asyncio.Event, nested: int) -> str:
        with ExitStack() as stack:
            for _ in range(nested):
                stack.enter_context(self.work.running(connection))
            begun.set()
            await self.may_end.wait()
        return "done"

    async def started(
        self, connection: ApprovedConnection, *, nested: int = 1
    ) -> asyncio.Task[str]:
        """Return a task in the middle of its work, in so many blocks."""
        begun = asyncio.Event()
        task = asyncio.create_task(self._run(connection, begun, nested))
        await begun.wait()
        return task


@pytest.fixture
def workers() -> Workers:
    """None yet."""
    return Workers()


async def test_a_revocation_ends_what_runs_through_its_connection_alone(workers: Workers) -> None:
    """In the middle of whatever it does, and with an error that says so."""
    connection, other = connected(), connected(2)
    tasks = [await workers.started(connection) for _ in range(3)]
    tasks.append(await workers.started(evolve(connection, access_key="of before a rotation")))
    others = await workers.started(other)
    workers.work.revoke(connection.id)
    for task in tasks:
        with pytest.raises(ConnectionRevokedError):
            await asyncio.wait_for(task, END_SECONDS)
        assert not task.cancelling()
    workers.may_end.set()
    assert await others == "done"


@pytest.mark.parametrize("nested", [2, 5])
async def test_nested_work_of_a_task_ends_once(workers: Workers, nested: int) -> None:
    """A pull, and within it a question to the registry."""
    connection = connected()
    task = await workers.started(connection, nested=nested)
    workers.work.revoke(connection.id)
    with pytest.raises(ConnectionRevokedError):
        await asyncio.wait_for(task, END_SECONDS)
    assert not task.cancelling()


async def test_an_inner_block_that_has_ended_leaves_the_outer_one(workers: Workers) -> None:
    """A pull that has asked the registry, and reads on from the disk."""
    connection, begun = connected(), asyncio.Event()

    async def run() -> None:
        with workers.work.running(connection):
            with workers.work.running(connection):
                pass
            begun.set()
            await workers.may_end.wait()

    task = asyncio.create_task(run())
    await begun.wait()
    workers.work.revoke(connection.id)
    with pytest.raises(ConnectionRevokedError):
        await asyncio.wait_for(task, END_SECONDS)


async def test_nothing_begins_through_a_revoked_connection(workers: Workers) -> None:
    """A download that was authorised a moment ago would show the secret once more."""
    connection = connected()
    workers.work.revoke(connection.id)
    with pytest.raises(ConnectionRevokedError), workers.work.running(connection):
        pytest.fail("it ran")
    workers.work.serve(connection.id)
    task = await workers.started(connection)
    workers.may_end.set()
    assert await task == "done"


async def test_a_device_that_leaves_is_cancelled_and_not_revoked(workers: Workers) -> None:
    """Also when both happen at once: nobody is there to be told."""
    connection = connected()
    task = await workers.started(connection)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    task = await workers.started(connection)
    workers.work.revoke(connection.id)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("is_revoked", [False, True])
async def test_work_that_has_ended_is_held_no_more(
    workers: Workers,
    is_revoked: bool,  # noqa: FBT001 - parametrized
) -> None:
    """However it ended."""
    connection = connected()
    task = await workers.started(connection, nested=2)
    if is_revoked:
        workers.work.revoke(connection.id)
    workers.may_end.set()
    await asyncio.wait([task])
    held = weakref.ref(task)
    del task
    await asyncio.sleep(0)
    assert held() is None
