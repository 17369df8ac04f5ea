"""A registry whose answers are framing without an end, on the way through a facade."""

import asyncio
from typing import Final

import pytest

from deploy.dev.device_ca import IssuedCertificate
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.memory import MIB, Memory
from tests.support.simulators.behaviour import Behaviour, Endless, Honest
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import outcome_of

CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS: Final[dict[str, Behaviour]] = {
    "103": Endless(b"", b"HTTP/1.1 103 \r\n\r\n"),
    "100": Endless(b"", b"HTTP/1.1 100 \r\nX: y\r\n\r\n"),
    "chunks of one byte": Endless(CHUNKED, b"1\r\nX\r\n"),
    "an extension": Endless(CHUNKED + b"1;", b"a"),
}
AT_ONCE: Final = 4
MAX_GROWTH_BYTES: Final = 64 * MIB  # an attack without a bound took 1.4 GiB


@pytest.mark.parametrize("kind", ENDLESS)
async def test_framing_without_an_end_costs_little(
    kind: str,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    issued: IssuedCertificate,
) -> None:
    """Each pull ends, none of them cleanly; another device's honest one beside them comes."""
    contents = [b"%d" % each * 50_000 for each in range(AT_ONCE)]
    digests = [upstream.blob(each, get=ENDLESS[kind]) for each in contents]
    good = upstream.blob(b"good" * 50_000, get=Honest())
    await connect(facade, writer, upstream)
    device = facade.device(issued)
    before = Memory.of(facade.child.pid).now
    pulls = [outcome_of(device, pull_path(upstream, each)) for each in digests]
    outcomes = await asyncio.gather(*pulls)
    assert {outcome.status for outcome in outcomes} == {502}
    other = facade.device(facade.files.device_ca.issue_device(device="press-8"))
    assert (await outcome_of(other, pull_path(upstream, good))).digest == good
    assert facade.is_alive()
    assert Memory.of(facade.child.pid).peak - before < MAX_GROWTH_BYTES
