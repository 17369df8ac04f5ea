"""Handshakes that do not end give way: of whoever has most, the oldest."""

import asyncio
import gc
import socket
import warnings

from aiohttp import web
from OpenSSL import SSL
from prometheus_client import CollectorRegistry

from deploy.dev.device_ca import CertificateAuthority
from facade.devices.device_identity import IdentityRule
from facade.devices.device_listener import (
    DeviceListener,
    TasksBySite,
    listening_socket,
)
from facade.devices.device_metrics import DeviceMetrics
from facade.devices.device_server import DeviceServer
from facade.devices.device_trust import DeviceTrust
from facade.devices.live_connections import LiveConnections
from shared.identity_form import DEFAULT_URI_PATTERN, IdentityKind, compile_uri_pattern
from shared.setting_types import ListenAddress


async def stalled(name: str, ended: list[str]) -> None:
    """Wait until given up."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        ended.append(name)


async def test_the_oldest_of_the_site_with_most_gives_way() -> None:
    """Whoever opens thousands of them pushes out its own."""
    handshakes, ended = TasksBySite(4), list[str]()
    _ = handshakes.begin(stalled("good", ended), "192.0.2.1")
    for number in range(6):
        _ = handshakes.begin(stalled(f"bad {number}", ended), "192.0.2.2")
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ended == ["bad 0", "bad 1", "bad 2"]
    assert handshakes.count == 4
    handshakes.give_up_all()
    await asyncio.sleep(0.01)
    assert len(ended) == 7
    assert handshakes.count == 0


async def test_a_handshake_that_ends_makes_room() -> None:
    """Most end within milliseconds."""
    handshakes = TasksBySite(1)
    for _ in range(5):
        _ = handshakes.begin(asyncio.sleep(0), "192.0.2.1")
        await asyncio.sleep(0.001)
    assert handshakes.count == 0


async def test_who_is_accepted_while_the_listener_stops_is_left_no_socket(
    facade_tls: SSL.Context, device_ca: CertificateAuthority
) -> None:
    """A handshake that was given up before its first step can close nothing itself."""
    metrics = DeviceMetrics.create(CollectorRegistry())
    live = LiveConnections(DeviceTrust.build([device_ca.certificate], None), metrics)
    rule = IdentityRule(IdentityKind.SPIFFE, compile_uri_pattern(DEFAULT_URI_PATTERN))
    listening = listening_socket(ListenAddress("127.0.0.1", 0), reuse_port=False)
    listener = DeviceListener(listening, DeviceServer(never, rule, live), metrics, facade_tls)
    with socket.create_connection(listening.getsockname()) as device:
        listener.start()
        asyncio.get_running_loop().call_soon(listener.stop)  # runs ahead of the handshake
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            assert await asyncio.to_thread(device.recv, 1) == b""
            gc.collect()
        assert not caught


async def never(request: web.BaseRequest) -> web.StreamResponse:
    """Nobody comes so far as to ask."""
    raise AssertionError(request)
