"""A blob that was begun lets go of what it holds, once, however it ends: even if it never goes on.

Whole answers, and those that end in their middle: `tests/system/facade/test_blobs_at_once.py`.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web
from attrs import define, field

from deploy.dev.device_ca import CertificateAuthority, CertificateFiles
from facade.content.source import PiecesAtHand
from facade.devices.aborted_pull import PullAbortedError
from facade.devices.device_connection import DeviceConnection
from facade.devices.device_transport import TURN_BYTES
from facade.metrics.metrics import FacadeMetrics
from facade.pulls.begun_blob import BegunBlob
from facade.pulls.pull_slots import PullSlots
from facade.pulls.request_log import LEFT, RequestLog, RequestRecord
from facade.registries.connection_work import ConnectionWork
from facade.values.piece import Piece
from tests.support.device_servers import DeviceServers
from tests.unit.facade.pulls.at_the_door import Door

DEVICE = "press-7"
NO_FILE = -1  # the kernel refuses to close it
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"  # nobody reads it
ENDING = 1024  # bytes, by which a turn has been given enough


@define
class Pieces:
    """Pieces of which none comes any more, and how often they were closed."""

    left: int = 1
    is_next_last: bool = False
    descriptor: int | None = None  # of their file, if they have one
    closed: int = field(default=0, init=False)

    def __aiter__(self) -> AsyncIterator[Piece]:
        """Return them."""
        return self

    async def __anext__(self) -> Piece:
        """Wait for ever."""
        await asyncio.Event().wait()
        raise AssertionError

    def next_nowait(self) -> Piece | None:
        """Return nothing: it would have to wait."""
        return None

    def close(self) -> None:
        """Count it, and close the file; raise `OSError`."""
        self.closed += 1
        if self.descriptor is not None:
            os.close(self.descriptor)


@define
class Scene:
    """A blob that has its device's only slot."""

    pieces: Pieces
    record: RequestRecord
    slots: PullSlots
    metrics: FacadeMetrics
    blob: BegunBlob

    def require_ended(self) -> None:
        """Fail unless it let go of all, and was told of once."""
        assert self.pieces.closed == 1
        assert self.slots.is_free(DEVICE)
        assert self.record.reason == LEFT
        lines = self.metrics.exposition().decode().splitlines()
        start = 'facade_answers_total{kind="none",status="aborted"}'
        assert [each for each in lines if each.startswith(start)] == [f"{start} 1.0"]


@define
class InTurns:
    """Pieces that can be given at once, but where one is None: there it would have to wait."""

    coming: list[Piece | None]
    is_next_last: bool = False

    @property
    def left(self) -> int:
        """The bytes that are still to come."""
        return sum(len(each or b"") for each in self.coming)

    def __aiter__(self) -> AsyncIterator[Piece]:
        """Return them."""
        return self

    async def __anext__(self) -> Piece:
        """Say that all were given."""
        assert not self.coming
        raise StopAsyncIteration

    def next_nowait(self) -> Piece | None:
        """Return the next one."""
        return self.coming.pop(0) if self.coming else None

    def close(self) -> None:
        """Let go of nothing."""


@define
class Given:
    """A server that gives its only device a blob, and how that went."""

    pieces: InTurns
    is_rest_left: bool | None = None  # as `begin` says
    is_at_once: bool | None = None  # whether the rest was given before the loop's next turn

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Give it, and end the connection."""
        connection = cast(DeviceConnection, request.protocol)
        record, metrics = RequestRecord("GET"), FacadeMetrics.create()
        blob = begun(self.pieces, record, PullSlots(1), metrics, connection)
        self.is_rest_left = blob.begin(HEAD)
        if self.is_rest_left:
            turned = asyncio.get_running_loop().create_future()
            turned.get_loop().call_soon(turned.set_result, None)
            await blob.give_rest()
            self.is_at_once = not turned.done()
        connection.cut()
        raise PullAbortedError("seen enough")


@pytest.fixture
async def scene() -> Scene:
    """One whose device has not said anything since."""
    pieces, record, slots = Pieces(), RequestRecord("GET"), PullSlots(1)
    metrics = FacadeMetrics.create()
    return Scene(pieces, record, slots, metrics, begun(pieces, record, slots, metrics))


def begun(
    pieces: PiecesAtHand,
    record: RequestRecord,
    slots: PullSlots,
    metrics: FacadeMetrics,
    connection: DeviceConnection | None = None,
) -> BegunBlob:
    """Return a blob that takes its device's slot; without a connection its device has gone."""
    door = Door()
    door.approve()
    assert slots.take_nowait(DEVICE)
    subjects = [
        each for each in door.snapshot.remembered.subjects() if each.startswith("connection/")
    ]
    (approved,) = (door.snapshot.serving(each) for each in subjects)
    assert approved is not None
    return BegunBlob(
        pieces,
        connection or door.connection(),
        DEVICE,
        approved,
        record,
        slots,
        ConnectionWork(),
        RequestLog(metrics),
    )


@pytest.fixture
async def give(
    device_ca: CertificateAuthority,
    server_ca: CertificateAuthority,
    server_certificate: CertificateFiles,
    tmp_path: Path,
) -> AsyncIterator[Callable[[Given], Awaitable[None]]]:
    """Let a device ask for a blob, and be given it."""
    files = device_ca.issue_device().write(tmp_path, "device")
    tls = ssl.create_default_context(cadata=server_ca.pem.decode())
    tls.load_cert_chain(files.certificate, files.key)
    async with DeviceServers.open(device_ca, server_certificate) as servers:

        async def give(given: Given) -> None:
            _, port = servers.begin(given.handle)
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls, server_hostname="localhost"
            )
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with pytest.raises(ConnectionError):
                await taken(reader)
            writer.close()

        yield give


async def taken(reader: asyncio.StreamReader) -> None:
    """Read as a device that keeps up; raise `ConnectionError` if it is cut."""
    while await reader.read(TURN_BYTES):
        pass


async def test_one_that_fills_its_turn_has_no_rest(
    give: Callable[[Given], Awaitable[None]],
) -> None:
    """All of it is in the kernel: nothing would be given in the turn that it waited for."""
    given = Given(InTurns([bytes(TURN_BYTES)]))
    await give(given)
    assert given.is_rest_left is False


async def test_a_rest_that_fills_its_turn_waits_for_no_other(
    give: Callable[[Given], Awaitable[None]],
) -> None:
    """Nor does the line that tells of it."""
    given = Given(InTurns([bytes(TURN_BYTES - ENDING), None, bytes(ENDING)]))
    await give(given)
    assert given.is_rest_left is True
    assert given.is_at_once is True


async def test_one_that_never_goes_on_lets_go_when_it_is_closed(scene: Scene) -> None:
    """Its task was cancelled before it began: nothing of that has run."""
    scene.blob.close()
    scene.blob.close()
    scene.require_ended()


async def test_one_whose_device_has_gone_ends_at_once(scene: Scene) -> None:
    """There is nowhere to give it to."""
    assert not scene.blob.begin(b"HTTP/1.1 200 OK")
    scene.blob.close()
    scene.require_ended()


async def test_one_that_is_cancelled_lets_go_once(scene: Scene) -> None:
    """While it waits for the disk, say."""
    task = asyncio.create_task(scene.blob.give_rest())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    scene.blob.close()
    scene.require_ended()


async def test_a_file_that_does_not_close_keeps_no_slot(scene: Scene) -> None:
    """However the blob ends; the error is not hidden."""
    scene.pieces.descriptor = NO_FILE
    with pytest.raises(OSError, match="Bad file descriptor"):
        scene.blob.close()
    scene.blob.close()
    scene.require_ended()


async def test_a_file_that_does_not_close_at_once_keeps_no_slot(scene: Scene) -> None:
    """Whose device has gone before anything was given."""
    scene.pieces.descriptor = NO_FILE
    with pytest.raises(OSError, match="Bad file descriptor"):
        scene.blob.begin(b"HTTP/1.1 200 OK")
    scene.blob.close()
    scene.require_ended()


async def test_a_file_that_does_not_close_in_the_end_keeps_no_slot(scene: Scene) -> None:
    """Whose task was cancelled: what is raised is why its file was not closed."""
    scene.pieces.descriptor = NO_FILE
    task = asyncio.create_task(scene.blob.give_rest())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(OSError, match="Bad file descriptor"):
        await task
    scene.blob.close()
    scene.require_ended()
