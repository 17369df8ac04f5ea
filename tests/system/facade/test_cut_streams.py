"""Revocations reach what runs: streams from the store and from upstream, and the flight itself."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

import pytest

from tests.support.device_stream import DeviceStream, End, device_stream
from tests.support.established import connections_to
from tests.support.eventually import eventually
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.memory import MIB
from tests.support.simulators.behaviour import Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

BLOB = bytes(64 * MIB)  # far more than what buffers hold on the way
SLOW = Slow(piece_bytes=16 * 1024, pause_seconds=0.05)
REVOKED = "the connection was revoked meanwhile"
RECEIVE_BUFFER = 32 * 1024
MOST_RECEIVED = MIB  # what the device itself had taken already: its kernel, and asyncio on its side


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """With a store."""
    folder = tmp_path_factory.mktemp("cache")
    return {"FACADE_CACHE_DIR": str(folder), "FACADE_CACHE_MAX_BYTES": "1GiB"}


def metric(facade: Facade, line_start: str) -> float:
    """Return the value behind the beginning of a line; 0 where there is none yet."""
    lines = facade.operations("/metrics")[1].splitlines()
    values = [float(each.split()[-1]) for each in lines if each.startswith(line_start)]
    return sum(values)


async def test_a_revoked_devices_streams_are_cut_and_its_time_is_measured(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """From the store and from upstream; another device's go on, from the same download."""
    warm, cold = upstream.blob(BLOB), upstream.blob(BLOB + b"x", get=SLOW)
    await connect(facade, writer, upstream)
    ca = facade.files.device_ca
    revoked, other = (facade.device(ca.issue_device(device=name)).tls() for name in ("bad", "good"))
    async with device_stream(facade.port, other, pull_path(upstream, warm)) as first:
        assert await first.end() is End.WHOLE
    count = "facade_device_revocation_seconds_count"
    cut = 'facade_device_connections_cut_total{reason="revoked"}'
    counted, cut_before = metric(facade, count), metric(facade, cut)
    async with AsyncExitStack() as stack:

        async def opened(tls: object, digest: str) -> DeviceStream:
            path = pull_path(upstream, digest)
            made = device_stream(facade.port, tls, path, receive_buffer=RECEIVE_BUFFER)  # type: ignore[arg-type]  # a device's context
            stream = await stack.enter_async_context(made)
            await stream.take(1000)
            return stream

        ours = [await opened(revoked, digest) for digest in (warm, cold)]
        others = [await opened(other, digest) for digest in (warm, cold)]
        await writer.write(writer.device_revocation("spiffe://example.com/fleet/line-a/device/bad"))
        await eventually(lambda: metric(facade, cut) == cut_before + 2)
        assert [await each.end() for each in ours] == [End.RESET, End.RESET]
        assert all(each.received < MOST_RECEIVED for each in ours)
        assert await others[0].end() is End.WHOLE
        await others[1].take(1000)
    assert metric(facade, count) == counted + 2


async def test_a_revoked_connections_streams_and_flights_end(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Nothing more is asked of the registry, and what is stored is not sent on either."""
    warm, cold = upstream.blob(BLOB), upstream.blob(BLOB + b"y", get=SLOW)
    approval = await connect(facade, writer, upstream)
    tls = facade.device().tls()
    async with device_stream(facade.port, tls, pull_path(upstream, warm)) as first:
        assert await first.end() is End.WHOLE
    async with (
        device_stream(
            facade.port, tls, pull_path(upstream, warm), receive_buffer=RECEIVE_BUFFER
        ) as stored,
        device_stream(
            facade.port, tls, pull_path(upstream, cold), receive_buffer=RECEIVE_BUFFER
        ) as arriving,
    ):
        await stored.take(1000)
        await arriving.take(1000)
        assert connections_to(upstream.port) >= 1
        await writer.revoke(approval.connection_id)
        await eventually(lambda: len(facade.log_lines(reason=REVOKED)) == 2)
        for stream in (stored, arriving):
            assert await stream.end() is End.RESET
            assert stream.received < MOST_RECEIVED
    await eventually(lambda: connections_to(upstream.port) == 0)
    for digest in (warm, cold):
        assert (await facade.device().get(pull_path(upstream, digest))).status == 404
