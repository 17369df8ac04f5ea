"""A device that sends requests ahead of their answers, without an end, or never whole."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

import pytest
from attrs import evolve, frozen

from shared.outside_bytes import Party
from tests.adversary.bounds import Allowed
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import bounds, guards_nothing
from tests.adversary.programs import as_device, running
from tests.support.facade_process import Device
from tests.support.raw_http import request_bytes

pytestmark = pytest.mark.attack

CONNECTIONS: Final = 32  # as many as a device may have
KIB: Final = 1024
FIELDS_OF_A_HEAD: Final = 62
FIELD_BYTES: Final = 8190
BODY_BYTES: Final = 64 * KIB
# Of one connection: a head of 552 KiB that has not ended, in the parser and as the texts made of
# it; 128 KiB that wait behind it; what is read at once; and what it has while it is idle.
ALLOWED: Final = Allowed(growth_bytes=CONNECTIONS * (2 * 552 + 128 + 256) * KIB)
PING: Final = request_bytes(b"/v2/")
FIELDS: Final = b"".join(
    b"X-%d: %b\r\n" % (number, b"x" * (FIELD_BYTES - 8)) for number in range(FIELDS_OF_A_HEAD)
)
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"


def with_body(size: int) -> bytes:
    """Return a request with a body, which nobody uses."""
    head = request_bytes(b"/v2/", method="POST", headers=b"Content-Length: %d\r\n" % size)
    return head + bytes(size)


@frozen
class Sent:
    """What is sent on each connection, and how."""

    again: bytes
    begin: bytes = b""
    pause: float = 0.0  # seconds before each `again`
    read_bytes: int = 0  # a second


SMUGGLED: Final = request_bytes(b"/v2/_catalog")
WAITING: Final = (
    "facade.devices.incoming_requests.MAX_WAITING",
    "facade.devices.incoming_requests.MAX_WAITING_BYTES",
)
OF_A_HEAD: Final = (
    "facade.devices.incoming_requests.MAX_HEADER_FIELDS",
    "facade.devices.device_connection.MAX_HEAD_BYTES",
)
CHEAP: Final = guards_nothing("what is read is answered or refused, and next to nothing is kept")
BODY: Final = "facade.devices.incoming_requests.MAX_BODY_BYTES"
POST: Final = request_bytes(b"/v2/", method="POST", headers=CHUNKED)
# Behind a blob that nobody reads: whatever is sent waits for its answer to end.
WAITING_KINDS: Final[Mapping[str, tuple[Sent, tuple[pytest.MarkDecorator, ...]]]] = {
    "small requests": (Sent(PING * 500), (bounds(*WAITING),)),
    "bodies of 64 KiB": (Sent(with_body(BODY_BYTES)), (bounds(*WAITING),)),
    "a body of a TiB": (
        Sent(
            bytes(64 * KIB),
            request_bytes(b"/v2/", method="POST", headers=b"Content-Length: %d\r\n" % 2**40),
        ),
        (bounds(*WAITING, BODY),),
    ),
    "heads of 500 KiB": (Sent(request_bytes(b"/v2/", headers=FIELDS)), (bounds(*WAITING),)),
    "a head without an end": (
        Sent(FIELDS, PING[:-2]),
        (bounds(*WAITING, *OF_A_HEAD),),
    ),
}
# Each is answered, refused or cut as it comes.
CHEAP_KINDS: Final[Mapping[str, Sent]] = {
    "small requests, 64 bytes a second are read": Sent(PING, read_bytes=64),
    "bodies of 64 KiB, read": Sent(with_body(BODY_BYTES), read_bytes=1024 * 1024),
    "heads of 500 KiB, read": Sent(request_bytes(b"/v2/", headers=FIELDS), read_bytes=1024 * 1024),
    "half a head of 500 KiB": Sent(b"", PING[:-2] + FIELDS, pause=1.0),
    "half a head behind a request": Sent(b"", PING + PING[:-2] + FIELDS, pause=1.0),
    "a byte of a head a second": Sent(b"x", PING[:-2] + b"X: ", pause=1.0),
    "chunks of a byte": Sent(b"1\r\nx\r\n" * 100, POST),
    "trailers without an end": Sent(b"X: y\r\n" * 100, POST + b"0\r\n"),
    "an extension without an end": Sent(b"x" * 600, POST + b"1;"),
    "blank lines": Sent(b"\r\n" * 500),
    "a length and chunks": Sent(
        request_bytes(b"/v2/", headers=CHUNKED + b"Content-Length: 4\r\n") + SMUGGLED,
        read_bytes=1024 * 1024,
    ),
    "other protocols, tunnels and 100-continue": Sent(
        request_bytes(b"/v2/", headers=b"Connection: Upgrade\r\nUpgrade: h2c\r\n")
        + request_bytes(b"/v2/", headers=b"Expect: 100-continue\r\n")
        + request_bytes(b"x:80", method="CONNECT")
        + SMUGGLED,
        read_bytes=1024 * 1024,
    ),
}


def sending(device: Device, sent: Sent) -> AbstractAsyncContextManager[None]:
    """Have a process send it on as many connections as a device may have."""
    begin, again = (device.files.certificate.with_suffix(f".{name}") for name in ("begin", "again"))
    begin.write_bytes(sent.begin)
    again.write_bytes(sent.again)
    return running(
        "ahead",
        str(device.facade.port),
        *as_device(device),
        *("--begin", str(begin), "--again", str(again)),
        *("--pause", str(sent.pause), "--read-bytes", str(sent.read_bytes)),
        *("--connections", str(CONNECTIONS)),
    )


@pytest.mark.parametrize(
    "kind, sent",
    [
        pytest.param(kind, sent, marks=marks, id=kind)
        for kind, (sent, marks) in WAITING_KINDS.items()
    ],
)
async def test_a_device_that_sends_ahead(kind: str, sent: Sent, attacked: AttackedFacade) -> None:
    """What is behind an answer that it does not read waits in its own kernel."""
    path = attacked.blob(bytes(64 * KIB * KIB))
    await attacked.connect()
    assert (await attacked.attacker("first").get(path)).status == 200
    behind = evolve(sent, begin=request_bytes(path.encode()) + sent.begin)
    async with (
        attacked.watched(f"ahead: {kind}, behind a pull", Party.DEVICE, ALLOWED) as attack,
        sending(attacked.attacker(), behind),
    ):
        await attack.to_its_end()


@CHEAP
@pytest.mark.parametrize("kind", CHEAP_KINDS)
async def test_a_device_that_sends_without_an_end(kind: str, attacked: AttackedFacade) -> None:
    """Each connection is answered, or ends."""
    async with (
        attacked.watched(f"ahead: {kind}", Party.DEVICE, ALLOWED) as attack,
        sending(attacked.attacker(), CHEAP_KINDS[kind]),
    ):
        await attack.to_its_end()


@bounds(*WAITING, "facade.devices.device_transport.UNSENT_BYTES")
@pytest.mark.parametrize("size", [100, 64 * KIB, 64 * KIB * KIB])
async def test_a_device_that_asks_ahead_for_what_is_stored_and_reads_nothing(
    attacked: AttackedFacade, size: int
) -> None:
    """Of the answers, only the one that is sent waits."""
    path = attacked.blob(bytes(size))
    await attacked.connect()
    assert (await attacked.attacker("first").get(path)).status == 200
    name = f"ahead: stored blobs of {size // KIB} KiB, unread"
    async with (
        attacked.watched(name, Party.DEVICE, ALLOWED) as attack,
        sending(attacked.attacker(), Sent(request_bytes(path.encode()))),
    ):
        await attack.to_its_end()
