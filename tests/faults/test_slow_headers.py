"""Requests whose headers drip: cut off in time, bounded by device, and a good device is served."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

import pytest

from tests.faults.report import FaultReport
from tests.support.device_stream import device_stream
from tests.support.eventually import eventually
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.memory import MIB
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

PING = request_bytes(b"/v2/")
PER_DEVICE = 4  # pulls at once, and twice as many connections


@pytest.fixture(scope="module")
def facade_settings() -> Mapping[str, str]:
    """A device's bound that is soon reached."""
    return {"FACADE_MAX_CONNECTIONS_PER_DEVICE": str(PER_DEVICE)}


@pytest.mark.long
async def test_headers_that_drip_are_cut_off_in_time_and_bounded_by_device(
    facade: Facade, fault_report: FaultReport
) -> None:
    """Beyond its bound a device's own connections without a request give way, nobody else's."""
    slow = facade.device(facade.files.device_ca.issue_device(device="press-slow"))
    tls = slow.tls()
    async with AsyncExitStack() as stack:
        dripping = []
        for _ in range(4 * PER_DEVICE):
            dripping.append(await stack.enter_async_context(raw_connection(slow, tls)))
            await dripping[-1].send(b"GET /v2/ HTTP/1.1\r\nHost:")
        ended = [asyncio.create_task(each.rest(seconds=60)) for each in dripping]
        await eventually(lambda: sum(each.done() for each in ended) >= 2 * PER_DEVICE)
        assert (await facade.device().get("/v2/")).status == 200
        for each, task in zip(dripping, ended, strict=True):
            if not task.done():
                await each.send(b" l")
        assert await asyncio.gather(*ended) == [b""] * len(ended)
    assert len(facade.log_lines(event="no request in time")) == 2 * PER_DEVICE
    fault_report.row("headers that drip", "cut after 15 s; good devices: nothing", "by itself")


@pytest.mark.long
async def test_slow_headers_of_a_later_request_are_cut_off_too(facade: Facade) -> None:
    """A first good request earns nobody a slow second one."""
    async with raw_connection(facade.device()) as connection:
        await connection.send(PING)
        assert (await connection.answer()).status == 200
        before = len(facade.log_lines(event="no request in time"))
        await connection.send(b"GET /v2/ HTTP/1.1\r\n")
        assert await connection.rest(seconds=40) == b""
    assert len(facade.log_lines(event="no request in time")) == before + 1


@pytest.mark.long
async def test_a_pull_that_has_no_turn_in_time_is_told_to_come_back(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, fault_report: FaultReport
) -> None:
    """429 with Retry-After, which containerd and podman keep to; and the rest is answered."""
    path = pull_path(upstream, upstream.blob(bytes(32 * MIB)))
    await connect(facade, writer, upstream)
    device = facade.device(facade.files.device_ca.issue_device(device="press-many"))
    tls = device.tls()
    async with AsyncExitStack() as stack:
        for _ in range(PER_DEVICE):
            await stack.enter_async_context(device_stream(facade.port, tls, path))
        answer = await device.get(path)
        assert (answer.status, answer.error_code) == (429, "TOOMANYREQUESTS")
        assert int(answer.headers["Retry-After"]) > 0
        assert (await device.get("/v2/")).status == 200
    fault_report.row("a device that pulls too much at once", "429 after 10 s", "by itself")
