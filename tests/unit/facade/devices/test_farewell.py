"""A device whose handshake is refused reads why, and no socket of it stays for long."""

import asyncio
import datetime as dt
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from OpenSSL import SSL
from prometheus_client import CollectorRegistry

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from facade.devices.device_listener import DeviceListener, listening_socket
from facade.devices.device_server import DeviceServer
from facade.devices.device_trust import DeviceTrust
from facade.devices.farewell import FAREWELL_BYTES, say_farewell
from facade.devices.live_connections import LiveConnections
from facade.devices.tasks_by_site import TasksBySite
from facade.metrics.device_metrics import DeviceMetrics
from facade.values.device_identity import IdentityRule
from shared.identity_form import DEFAULT_URI_PATTERN, IdentityKind, compile_uri_pattern
from shared.setting_types import ListenAddress
from tests.support.device_socket import PATIENCE_SECONDS, Device, tcp_pair
from tests.support.eventually import eventually

LONG = 3600.0  # seconds: what ends within a test ends for another reason
SOON = 0.05
REQUEST = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
BOTH_VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
Issue = Callable[[CertificateAuthority, CertificateAuthority], IssuedCertificate | None]


def none(_ours: CertificateAuthority, _others: CertificateAuthority) -> None:
    """Present no certificate."""


def expired(ours: CertificateAuthority, _others: CertificateAuthority) -> IssuedCertificate:
    """Present one that ended a minute ago."""
    return ours.issue(not_after=dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1))


def not_yet_valid(ours: CertificateAuthority, _others: CertificateAuthority) -> IssuedCertificate:
    """Present one that begins tomorrow."""
    return ours.issue(not_before=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))


def of_another_ca(_ours: CertificateAuthority, others: CertificateAuthority) -> IssuedCertificate:
    """Present one that nobody here trusts."""
    return others.issue_device()


@pytest.fixture
async def address(
    facade_tls: SSL.Context, device_ca: CertificateAuthority
) -> AsyncIterator[tuple[str, int]]:
    """Where a listener of the device address listens; no socket of it is left open."""
    metrics = DeviceMetrics.create(CollectorRegistry())
    live = LiveConnections(DeviceTrust.build([device_ca.certificate], None), metrics)
    rule = IdentityRule(IdentityKind.SPIFFE, compile_uri_pattern(DEFAULT_URI_PATTERN))
    listening = listening_socket(ListenAddress("127.0.0.1", 0), reuse_port=False)
    host, port = listening.getsockname()
    listener = DeviceListener(listening, DeviceServer(never, rule, live), metrics, facade_tls)
    listener.start()
    yield host, port
    listener.stop()


@BOTH_VERSIONS
@pytest.mark.parametrize("issue", [none, expired, not_yet_valid, of_another_ca])
async def test_a_refused_device_reads_the_alert_after_it_has_written_more(
    address: tuple[str, int],
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    other_ca: CertificateAuthority,
    tmp_path: Path,
    issue: Issue,
    version: ssl.TLSVersion,
) -> None:
    """As curl writes its request before it reads: a reset would have taken the alert with it."""
    tls = ssl.create_default_context(cadata=server_ca.pem.decode())
    tls.minimum_version = tls.maximum_version = version
    if (issued := issue(device_ca, other_ca)) is not None:
        files = issued.write(tmp_path, "device")
        tls.load_cert_chain(files.certificate, files.key)
    with socket.create_connection(address) as raw:
        raw.settimeout(PATIENCE_SECONDS)
        seen = await asyncio.to_thread(Device(raw, tls).refusal_after_writing, REQUEST)
    assert "ALERT" in seen


async def test_a_device_that_stays_is_left_after_a_while() -> None:
    """Whatever it waits for."""
    device, accepted = tcp_pair()
    with device:
        await say_farewell(accepted, SOON)
        assert accepted.fileno() == -1
        assert await asyncio.to_thread(device.recv, 1) == b""


async def test_a_device_that_leaves_is_waited_for_no_longer() -> None:
    """Most do as soon as they have read the alert."""
    device, accepted = tcp_pair()
    leaving = asyncio.create_task(say_farewell(accepted, LONG))
    assert await asyncio.to_thread(device.recv, 1) == b""
    device.close()
    await leaving
    assert accepted.fileno() == -1


async def test_a_device_that_sends_without_end_is_left() -> None:
    """So many bytes of it are thrown away, and not more."""
    device, accepted = tcp_pair()
    with device:
        leaving = asyncio.create_task(say_farewell(accepted, LONG))
        sent = await asyncio.to_thread(sent_until_reset, device)
        await leaving
    assert sent >= FAREWELL_BYTES
    assert accepted.fileno() == -1


def sent_until_reset(device: socket.socket) -> int:
    """Return how many bytes the other end's kernel took before it refused them."""
    piece = bytes(FAREWELL_BYTES // 4)
    for number in itertools.count():
        try:
            device.sendall(piece)
        except ConnectionError:
            return number * len(piece)
    raise AssertionError


async def test_of_more_devices_than_are_waited_for_the_oldest_is_left() -> None:
    """A fleet whose certificates have all expired costs no more sockets than that."""
    pairs = [tcp_pair() for _ in range(4)]
    farewells = TasksBySite(2)
    for _, accepted in pairs:
        _ = farewells.begin(say_farewell(accepted, LONG), "192.0.2.1")
        await asyncio.sleep(0)
    await eventually(lambda: farewells.count == 2)
    is_open = [accepted.fileno() != -1 for _, accepted in pairs]
    assert is_open == [False, False, True, True]
    farewells.give_up_all()
    await eventually(lambda: all(accepted.fileno() == -1 for _, accepted in pairs))
    for device, _ in pairs:
        device.close()


async def never(request: web.BaseRequest) -> web.StreamResponse:
    """Nobody comes so far as to ask."""
    raise AssertionError(request)
