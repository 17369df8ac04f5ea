"""A registry that does its worst, while another device asks for a warm manifest of another one."""

import asyncio
import time

import pytest

from shared.outside_bytes import Party
from tests.adversary.facade.attacked import AttackedFacade, meanwhile
from tests.adversary.guards import bounds, check, guards_nothing
from tests.support.simulators.behaviour import Behaviour, Endless, Stalls

pytestmark = pytest.mark.attack
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
AT_ONCE = 16  # blobs of one device
FRAMING: dict[str, Behaviour] = {
    "103 for ever": Endless(b"", b"HTTP/1.1 103 \r\n\r\n"),
    "100 with headers for ever": Endless(b"", b"HTTP/1.1 100 \r\nX: y\r\n\r\n"),
    "empty lines for ever": Endless(b"", b"\r\n"),
    "answers behind the answer": Endless(OK + b"Content-Length: 0\r\n\r\n", OK + b"\r\n"),
    "chunks of one byte": Endless(CHUNKED, b"1\r\nX\r\n"),
    "chunks of six bytes": Endless(CHUNKED, b"6\r\nABCDEF\r\n"),
    "an extension for ever": Endless(CHUNKED + b"1;", b"a"),
    "trailers for ever": Endless(CHUNKED + b"0\r\n", b"X: y\r\n"),
}
SLOW: dict[str, Behaviour] = {
    "no answer": Stalls(),
    "a byte a second": Endless(OK + b"Content-Length: 60000\r\n\r\n", b" ", pause_seconds=1.0),
}
STALLED = 30  # of one device: as many pulls as it may have connections


@guards_nothing("waiting costs next to nothing; what this harness adds is seen here")
@pytest.mark.parametrize("kind", SLOW)
async def test_a_registry_that_takes_its_time(kind: str, attacked: AttackedFacade) -> None:
    """As many pulls as a device may have."""
    paths = [attacked.blob(bytes([each]) * 1000, get=SLOW[kind]) for each in range(STALLED)]
    await attacked.connect()
    device = attacked.attacker()
    async with (
        attacked.watched(f"30 pulls, {kind}", Party.REGISTRY) as attack,
        meanwhile(*(device.get(path) for path in paths)),
    ):
        await attack.to_its_end()


@bounds(
    "shared.upstream.framing.MAX_INTERIM_ANSWERS",
    "shared.upstream.framing.MAX_HEADS_BYTES",
    "shared.upstream.framing.MAX_FRAMING_BYTES",
    "shared.upstream.framing.FRAMING_BYTES_PER_SECOND",
)
@check(
    "shared/upstream/bounded_connection.py",
    "        self.force_close()\n        if self._expected is None:\n            self.abort()\n",
    "        return\n",
)
@pytest.mark.parametrize("kind", FRAMING)
async def test_framing_without_an_end(kind: str, attacked: AttackedFacade) -> None:
    """Always another digest, so that no memory of the last one ends it."""
    await attacked.connect()
    device, number = attacked.attacker(), 0
    async with attacked.watched(kind, Party.REGISTRY) as attack:
        while attack.goes_on:
            contents = [b"%d" % each * 10_000 for each in range(number, number + AT_ONCE)]
            number += AT_ONCE
            paths = [attacked.blob(each, get=FRAMING[kind]) for each in contents]
            async with meanwhile(*(device.get(path) for path in paths)) as pulls:
                await asyncio.wait(pulls, timeout=max(0.0, attack.ends_at - time.monotonic()))
            attacked.registry.forget()
