"""A device that sends requests ahead of their answers, without an end, or never whole."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import pytest
from attrs import frozen

from facade.devices.device_connection import MAX_HEAD_BYTES
from facade.devices.incoming_requests import (
    MAX_BODY_BYTES,
    MAX_HEADER_FIELD_BYTES,
    MAX_HEADER_FIELDS,
    MAX_WAITING_BYTES,
)
from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.raw_http import request_bytes
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack

CONNECTIONS: Final = 32  # as many as a device may have
# Of one: a head that has not ended, in the parser and as the texts made of it; what waits behind
# it; what is read at once; and what it has while it is idle.
MOST_OF_A_CONNECTION: Final = 2 * MAX_HEAD_BYTES + MAX_WAITING_BYTES + 256 * 1024
PING: Final = request_bytes(b"/v2/")
FIELDS: Final = b"".join(
    b"X-%d: %b\r\n" % (number, b"x" * (MAX_HEADER_FIELD_BYTES - 8))
    for number in range(MAX_HEADER_FIELDS - 2)
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
SENT: Final[Mapping[str, Sent]] = {
    "small requests, unread": Sent(PING),
    "small requests, 64 bytes a second are read": Sent(PING, read_bytes=64),
    "bodies of 64 KiB, unread": Sent(with_body(MAX_BODY_BYTES)),
    "bodies of 64 KiB, read": Sent(with_body(MAX_BODY_BYTES), read_bytes=1024 * 1024),
    "a body of a TiB": Sent(
        bytes(64 * 1024),
        request_bytes(b"/v2/", method="POST", headers=b"Content-Length: %d\r\n" % 2**40),
    ),
    "heads of 500 KiB, unread": Sent(request_bytes(b"/v2/", headers=FIELDS)),
    "heads of 500 KiB, read": Sent(request_bytes(b"/v2/", headers=FIELDS), read_bytes=1024 * 1024),
    "half a head of 500 KiB": Sent(b"", PING[:-2] + FIELDS, pause=1.0),
    "a byte of a head a second": Sent(b"x", PING[:-2] + b"X: ", pause=1.0),
    "half a head behind a pull": Sent(b"", PING + PING[:-2] + FIELDS, pause=1.0),
    "chunks of a byte": Sent(
        b"1\r\nx\r\n" * 100, request_bytes(b"/v2/", method="POST", headers=CHUNKED)
    ),
    "trailers without an end": Sent(
        b"X: y\r\n" * 100, request_bytes(b"/v2/", method="POST", headers=CHUNKED) + b"0\r\n"
    ),
    "an extension without an end": Sent(
        b"x" * 600, request_bytes(b"/v2/", method="POST", headers=CHUNKED) + b"1;"
    ),
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


@asynccontextmanager
async def sending(device: Device, sent: Sent) -> AsyncIterator[None]:
    """Have a process send it on as many connections as a device may have."""
    begin, again = (device.files.certificate.with_suffix(f".{name}") for name in ("begin", "again"))
    begin.write_bytes(sent.begin)
    again.write_bytes(sent.again)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.adversary.ahead", str(device.facade.port)),
        *("--ca", str(device.facade.files.folder / "server-ca.pem")),
        *("--certificate", str(device.files.certificate), "--key", str(device.files.key)),
        *("--begin", str(begin), "--again", str(again)),
        *("--pause", str(sent.pause), "--read-bytes", str(sent.read_bytes)),
        *("--connections", str(CONNECTIONS)),
    )
    try:
        yield
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()


def attacker(facade: Facade) -> Device:
    """Return a device that is not the victim."""
    return facade.device(facade.files.device_ca.issue_device(device="attacker"))


@pytest.mark.parametrize("kind", SENT)
async def test_a_device_that_sends_ahead(
    kind: str, watch: Watch, target: Target, facade: Facade
) -> None:
    """What it does not read, or does not end, waits in its own kernel."""
    watched = watch(
        "ahead",
        kind,
        Party.DEVICE,
        target,
        max_growth_bytes=CONNECTIONS * MOST_OF_A_CONNECTION,
    )
    async with watched as attack, sending(attacker(facade), SENT[kind]):
        await attack.to_its_end()


@pytest.mark.parametrize("size", [100, 64 * 1024, 64 * 1024 * 1024])
async def test_a_device_that_asks_ahead_for_what_is_stored_and_reads_nothing(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
    size: int,
) -> None:
    """Of the answers, only the one that is sent waits."""
    digest = upstream.blob(bytes(size))
    await connect(facade, own_writer, upstream)
    path = pull_path(upstream, digest)
    assert (await facade.device().get(path)).status == 200
    watched = watch(
        "ahead",
        f"stored blobs of {size // 1024} KiB, unread",
        Party.DEVICE,
        target,
        max_growth_bytes=CONNECTIONS * MOST_OF_A_CONNECTION,
    )
    sent = Sent(request_bytes(path.encode()))
    async with watched as attack, sending(attacker(facade), sent):
        await attack.to_its_end()
