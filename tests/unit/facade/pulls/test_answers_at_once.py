"""An answer at once is given where every decision is for it now, and else left to the parser."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from attrs import define, evolve, field, frozen
from typing_extensions import override

from facade.content.far_ranges import FarRanges
from facade.content.manifest import VerifiedManifest
from facade.content.piece_size import RoomNow
from facade.content.streamed_content import StreamedContent
from facade.devices.device_connection import DeviceConnection
from facade.metrics.metrics import FacadeMetrics
from facade.pulls.answers_at_once import AnswersAtOnce
from facade.pulls.device_requests import BURST_SECONDS, DeviceRequests
from facade.pulls.known_pull import KnownPull
from facade.pulls.pull_slots import PullSlots
from facade.pulls.remembered_requests import RememberedRequests
from facade.pulls.request_log import RequestLog
from facade.registries.connection_work import ConnectionWork
from facade.values.authorized_pull import AuthorizedPull
from facade.values.piece import Piece
from facade.values.pull_path import Pull, parse_request
from shared.oci import OCI_MANIFEST, Digest
from shared.statement import DeviceRevocation
from tests.support.clock import Clock
from tests.support.parsed_requests import parsed_request
from tests.support.raw_http import request_bytes
from tests.unit.facade.pulls.at_the_door import HOST, Door

PER_SECOND = 1
CONTENT = b'{"schemaVersion":2}'
PATH = f"/v2/{HOST}/team/app/manifests/{Digest.of(CONTENT)}".encode()
GET, HEAD = request_bytes(PATH), request_bytes(PATH, method="HEAD")
BLOB = request_bytes(PATH.replace(b"manifests", b"blobs"))


@frozen
class AtHand(StreamedContent):
    """Content that has one manifest in memory, for whoever has the right to it."""

    rights: set[str] = field(factory=set)  # access keys

    @override
    def manifest_nowait(  # type: ignore[override] # the other never has any
        self, asked: AuthorizedPull
    ) -> VerifiedManifest | None:
        """Return it to whom it belongs."""
        if asked.connection.access_key not in self.rights:
            return None
        return VerifiedManifest(CONTENT, OCI_MANIFEST)


@frozen
class Scene:
    """A manifest that is in memory, and its requests that are remembered."""

    door: Door
    slots: PullSlots
    metrics: FacadeMetrics
    content: AtHand
    answers: AnswersAtOnce

    def approve(self, **scope: object) -> None:
        """Approve the host's connection, which brought the manifest."""
        self.door.approve(**scope)
        self.content.rights.update(self.door.snapshot.connections.access_keys())

    @property
    def counted(self) -> int:
        """How many answers were counted as such."""
        lines = self.metrics.exposition().decode().splitlines()
        (line,) = (each for each in lines if each.startswith("facade_answers_at_once_total "))
        return int(float(line.partition(" ")[2]))


@pytest.fixture
async def scene() -> Scene:
    """A scene in which nothing is approved yet."""
    door, slots, metrics, requests = (
        Door(),
        PullSlots(1),
        FacadeMetrics.create(),
        RememberedRequests(),
    )
    content = AtHand(FarRanges(enabled=False))
    for head in (GET, HEAD, BLOB):
        request = parsed_request(head, asyncio.get_running_loop())
        assert request is not None
        pull = parse_request(request.method, request.raw_path)
        assert isinstance(pull, Pull)
        requests.remember(head, request, KnownPull(request.method, pull), "press-1")
    answers = AnswersAtOnce(
        requests,
        door.gate,
        slots,
        content,
        RequestLog(metrics),
        metrics,
        DeviceRequests(PER_SECOND, Clock()),
        ConnectionWork(),
    )
    return Scene(door, slots, metrics, content, answers)


async def test_a_remembered_request_of_a_manifest_at_hand_is_answered(scene: Scene) -> None:
    """GET with its bytes, HEAD with their number, each with an id of its own."""
    scene.approve()
    connection = scene.door.connection()
    got, again, head = (scene.answers(connection, each) for each in (GET, GET, HEAD))
    assert isinstance(got, bytes)
    assert isinstance(again, bytes)
    assert isinstance(head, bytes)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"\r\n\r\n" + CONTENT)
    assert head.endswith(b"\r\n\r\n")
    length = b"\r\nContent-Length: %d\r\n" % len(CONTENT)
    assert all(each.count(length) == 1 for each in (got, again, head))
    assert len({id_of(each) for each in (got, again, head)}) == 3
    assert scene.counted == 3


async def test_a_device_that_asks_too_fast_is_left_to_be_refused_and_no_other_is(
    scene: Scene,
) -> None:
    """On whichever of its connections."""
    scene.approve()
    connections = [scene.door.connection() for _ in range(3)]
    for number in range(int(PER_SECOND * BURST_SECONDS)):
        assert scene.answers(connections[number % 3], GET) is not None
    assert [scene.answers(each, GET) for each in connections] == [None] * 3
    assert scene.answers(scene.door.connection("press-8"), GET) is not None


async def test_a_request_that_is_not_remembered_is_left(scene: Scene) -> None:
    """Whoever could ask for the same in other bytes."""
    scene.approve()
    connection = scene.door.connection()
    for head in (b"", GET[:-1], GET + b"\r\n", GET.lower(), request_bytes(PATH + b"?ns=x")):
        assert scene.answers(connection, head) is None
    assert scene.counted == 0


def revoke_device(scene: Scene) -> None:
    """Revoke the device."""
    now = datetime.now(UTC)
    scene.door.say(DeviceRevocation(uuid4(), "bob", now, generation=1, device="press-7"))


def revoke_connection(scene: Scene) -> None:
    """Revoke the connection."""
    (serving,) = scene.door.snapshot.connections.access_keys()
    remembered = scene.door.snapshot.remembered.subjects()
    subjects = [each for each in remembered if each.startswith("connection/")]
    (connection,) = (scene.door.snapshot.serving(each) for each in subjects)
    assert connection is not None
    assert connection.access_key == serving
    scene.door.say(scene.door.writer.revocation(connection.id))


def become_stale(scene: Scene) -> None:
    """Have the database be away for too long."""
    scene.door.stale = "too old"


def end_right(scene: Scene) -> None:
    """Have the registry deny it."""
    scene.content.rights.clear()


@pytest.mark.parametrize("change", [revoke_device, revoke_connection, become_stale, end_right])
async def test_what_is_refused_now_is_left_from_the_next_request_on(
    scene: Scene, change: Callable[[Scene], None]
) -> None:
    """To who says why; nothing that was answered before counts."""
    scene.approve()
    connection = scene.door.connection()
    assert scene.answers(connection, GET) is not None
    change(scene)
    assert scene.answers(connection, GET) is None
    assert scene.answers(connection, HEAD) is None
    assert scene.counted == 1


async def test_whoever_may_not_is_left_though_others_are_answered(scene: Scene) -> None:
    """Another fleet, no fleet, nobody, and a certificate that has expired."""
    scene.approve(fleets=("line-a",))
    door = scene.door
    refused: list[DeviceConnection] = [
        door.connection(fleet="line-b"),
        door.connection(fleet=None),
        door.connection(problem="no URI"),
        door.connection(lasts=-1.0),
    ]
    allowed = door.connection()
    for connection in refused:
        assert scene.answers(connection, GET) is None
        assert scene.answers(allowed, GET) is not None
    assert scene.counted == len(refused)


async def test_a_connection_that_did_not_bring_the_manifest_is_left(scene: Scene) -> None:
    """Approved, but another's bytes are not its own: it has to prove its right first."""
    scene.door.approve()
    assert scene.answers(scene.door.connection(), GET) is None
    assert scene.counted == 0


async def test_a_device_whose_turns_are_taken_is_left(scene: Scene) -> None:
    """Its requests wait, whichever way they go; another device's do not."""
    scene.approve()
    ours, others = scene.door.connection(), scene.door.connection("press-8", serial=0xABD)
    async with scene.slots.slot("press-7"):
        assert scene.answers(ours, GET) is None
        assert scene.answers(others, GET) is not None
    assert scene.answers(ours, GET) is not None
    assert scene.slots.is_free("press-7")  # it took none


@define
class ShortFirst:
    """A small blob whose first piece is what another device asked for."""

    left: int = 100
    is_next_last: bool = False
    closed: int = field(default=0, init=False)

    def __aiter__(self) -> AsyncIterator[Piece]:
        """Return the pieces."""
        return self

    async def __anext__(self) -> Piece:
        """Fail: nobody takes any."""
        raise AssertionError

    def next_nowait(self) -> Piece | None:
        """Return one byte."""
        self.left -= 1
        return b"."

    def close(self) -> None:
        """Count it."""
        self.closed += 1


@frozen
class BlobAtHand(AtHand):
    """Content that has a blob, too."""

    pieces: ShortFirst = field(factory=ShortFirst)

    @override
    def blob_nowait(  # type: ignore[override] # the other never has any
        self, asked: AuthorizedPull, room_now: RoomNow
    ) -> ShortFirst:
        return self.pieces


async def test_a_first_piece_is_no_whole_answer(scene: Scene) -> None:
    """It was given as one, behind a head that promised more. This device has gone."""
    content = BlobAtHand(FarRanges(enabled=False))
    answers = evolve(scene.answers, content=content)
    scene.door.approve()
    assert answers(scene.door.connection(), BLOB) == b""
    assert content.pieces.closed == 1
    assert scene.slots.is_free("press-7")


def id_of(answer: bytes) -> bytes:
    """Return the id that an answer bears."""
    (line,) = (each for each in answer.split(b"\r\n") if each.startswith(b"X-Request-Id: "))
    return line
