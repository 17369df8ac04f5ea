"""A blob that was begun lets go of what it holds, once, however it ends: even if it never goes on.

Whole answers, and those that end in their middle: `tests/system/facade/test_blobs_at_once.py`.
"""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from attrs import define, field

from facade.metrics.metrics import FacadeMetrics
from facade.pulls.begun_blob import BegunBlob
from facade.pulls.pull_slots import PullSlots
from facade.pulls.request_log import LEFT, RequestLog, RequestRecord
from facade.registries.connection_work import ConnectionWork
from facade.values.piece import Piece
from tests.unit.facade.pulls.at_the_door import Door

DEVICE = "press-7"
NO_FILE = -1  # the kernel refuses to close it


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


@pytest.fixture
async def scene() -> Scene:
    """One whose device has not said anything since."""
    door, metrics, slots, pieces = Door(), FacadeMetrics.create(), PullSlots(1), Pieces()
    door.approve()
    record = RequestRecord("GET")
    assert slots.take_nowait(DEVICE)
    subjects = [
        each for each in door.snapshot.remembered.subjects() if each.startswith("connection/")
    ]
    (approved,) = (door.snapshot.serving(each) for each in subjects)
    assert approved is not None
    blob = BegunBlob(
        pieces,
        door.connection(),
        DEVICE,
        approved,
        record,
        slots,
        ConnectionWork(),
        RequestLog(metrics),
    )
    return Scene(pieces, record, slots, metrics, blob)


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
