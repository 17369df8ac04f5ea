"""A registry that does its worst, while another device asks for a warm manifest of another one."""

import asyncio
import time

import pytest

from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import Behaviour, Endless, Stalls
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TRICKLE = Endless(OK + b"Content-Length: 60000\r\n\r\n", b" ", pause_seconds=1.0)
AT_ONCE = 16  # blobs of one device
FRAMING: dict[str, tuple[str, Behaviour]] = {
    "103 for ever": ("V1", Endless(b"", b"HTTP/1.1 103 \r\n\r\n")),
    "100 with headers for ever": ("V1", Endless(b"", b"HTTP/1.1 100 \r\nX: y\r\n\r\n")),
    "empty lines for ever": ("V1", Endless(b"", b"\r\n")),
    "answers behind the answer": ("V1", Endless(OK + b"Content-Length: 0\r\n\r\n", OK + b"\r\n")),
    "chunks of one byte": ("V12", Endless(CHUNKED, b"1\r\nX\r\n")),
    "chunks of six bytes": ("V12", Endless(CHUNKED, b"6\r\nABCDEF\r\n")),
    "an extension for ever": ("V12", Endless(CHUNKED + b"1;", b"a")),
    "trailers for ever": ("V12", Endless(CHUNKED + b"0\r\n", b"X: y\r\n")),
    "a byte a second": ("V11", TRICKLE),
}
STALLED = 30  # of one device: as many pulls as it may have connections


async def test_a_registry_that_says_nothing(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """Waiting costs next to nothing: also what this harness itself adds is seen here."""
    paths = [
        pull_path(upstream, upstream.blob(bytes([each]) * 1000, get=Stalls()))
        for each in range(STALLED)
    ]
    await connect(facade, own_writer, upstream)
    device = facade.device()
    async with watch("silence", "30 pulls, no answer", Party.REGISTRY, target) as attack:
        pulls = [asyncio.create_task(device.get(path)) for path in paths]
        await attack.to_its_end()
        for pull in pulls:
            pull.cancel()
        await asyncio.gather(*pulls, return_exceptions=True)


@pytest.mark.parametrize("kind", FRAMING)
async def test_framing_without_an_end(
    kind: str,
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """Always another digest, so that no memory of the last one ends it."""
    row, behaviour = FRAMING[kind]
    await connect(facade, own_writer, upstream)
    device, number = facade.device(), 0
    async with watch(row, kind, Party.REGISTRY, target) as attack:
        while attack.goes_on:
            contents = [b"%d" % each * 10_000 for each in range(number, number + AT_ONCE)]
            number += AT_ONCE
            paths = [pull_path(upstream, upstream.blob(each, get=behaviour)) for each in contents]
            pulls = [asyncio.create_task(device.get(path)) for path in paths]
            await asyncio.wait(pulls, timeout=max(0.0, attack.ends_at - time.monotonic()))
            for pull in pulls:
                pull.cancel()
            await asyncio.gather(*pulls, return_exceptions=True)
            upstream.forget()
