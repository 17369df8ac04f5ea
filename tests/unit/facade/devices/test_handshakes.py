"""Handshakes that go on are waited for; those that stop give way to who waits."""

import asyncio
import gc
import socket
import warnings
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from OpenSSL import SSL
from prometheus_client import CollectorRegistry

from deploy.dev.device_ca import CertificateAuthority
from facade.devices.device_listener import DeviceListener, listening_socket
from facade.devices.device_server import DeviceServer
from facade.devices.device_trust import DeviceTrust
from facade.devices.handshake import STALL_SECONDS, Handshake
from facade.devices.handshake_end import Ending
from facade.devices.handshakes import OWED_SECONDS, Handshakes
from facade.devices.live_connections import LiveConnections
from facade.devices.tasks_by_site import TasksBySite
from facade.metrics.device_metrics import DeviceMetrics
from facade.values.device_identity import IdentityRule
from shared.identity_form import DEFAULT_URI_PATTERN, IdentityKind, compile_uri_pattern
from shared.setting_types import ListenAddress
from tests.support.clock import Clock
from tests.support.eventually import some_turns


async def stalled(name: str, ended: list[str]) -> None:
    """Wait until given up."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        ended.append(name)


class Door:
    """Four places for handshakes, and a clock that moves when it is told to."""

    def __init__(self, tls: SSL.Context) -> None:
        self.clock = Clock()
        self.handshakes = Handshakes(4, clock=self.clock)
        self.ended = list[str]()
        self.begun = dict[str, Handshake]()
        self.devices = dict[str, socket.socket]()
        self._tls = tls
        self._sockets = list[socket.socket]()

    def begin(self, name: str, site: str) -> None:
        """Let a device connect. Nothing that it sends is read."""
        assert self.handshakes.has_place()
        ours, self.devices[name] = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        self._sockets += ours, self.devices[name]

        def end(_handshake: Handshake, _ending: Ending | None) -> None:
            self.ended.append(name)

        self.begun[name] = Handshake(ours, site, site, self._tls, end, self.clock)
        self.handshakes.add(self.begun[name])

    def fill(self, *sites: str) -> None:
        """Have as many handshakes as there are places, named by their number."""
        for number, site in enumerate(sites):
            self.begin(str(number), site)
        assert self.handshakes.count == 4

    def close(self) -> None:
        """Leave no socket."""
        for each in self._sockets:
            each.close()


@pytest.fixture
async def door(facade_tls: SSL.Context) -> AsyncIterator[Door]:
    """Nobody has come yet."""
    made = Door(facade_tls)
    yield made
    made.close()


async def test_a_fleet_that_comes_at_once_waits(door: Door) -> None:
    """None of it is given up, however many wait: the oldest is nearest to its end."""
    door.fill("fleet", "fleet", "fleet", "fleet")
    door.clock.advance(STALL_SECONDS - 0.1)

    assert not door.handshakes.has_place()
    assert door.ended == []
    assert door.handshakes.count == 4


async def test_those_that_stop_give_way_together(door: Door) -> None:
    """Whoever waited for them has waited long enough."""
    door.fill("bad", "bad", "bad", "good")
    door.clock.advance(STALL_SECONDS / 2)
    door.begun["3"].note(b"its certificate is awaited")
    door.clock.advance(STALL_SECONDS / 2)

    assert door.handshakes.has_place()
    assert door.handshakes.count == 1
    assert door.ended == ["0", "1", "2"]


@pytest.mark.parametrize("repeated", [False, True])
async def test_the_same_state_is_no_progress(door: Door, *, repeated: bool) -> None:
    """Single bytes, sent slowly, keep no place."""
    door.fill("bad", "bad", "bad", "bad")
    for each in door.begun.values():
        each.note(b"a hello is awaited")
    door.clock.advance(STALL_SECONDS)
    if repeated:
        for each in door.begun.values():
            each.note(b"a hello is awaited")

    assert door.handshakes.has_place()
    assert door.handshakes.count == 0


async def test_what_we_did_not_read_yet_is_not_the_devices_fault(door: Door) -> None:
    """A busy facade takes long for each; bytes, an end or a reset are about to be found."""
    door.fill("good", "good", "good", "good")
    for name in ("0", "1", "2"):
        door.devices[name].sendall(b"hello")
    door.devices["3"].close()
    door.clock.advance(2 * STALL_SECONDS)

    assert not door.handshakes.has_place()
    assert door.handshakes.count == 4


async def test_an_address_that_owes_pushes_out_its_own(door: Door) -> None:
    """At once, and nobody else's: strangers keep the door closed for one stall at most."""
    door.fill("bad", "bad", "bad", "bad")
    door.clock.advance(STALL_SECONDS)
    door.begin("good", "good")
    for number in range(10):
        door.begin(f"bad {number}", "bad")

    assert "good" not in door.ended
    assert door.ended[4:] == [f"bad {number}" for number in range(7)]


async def test_good_ends_pay_what_an_address_owes(door: Door) -> None:
    """A fleet with a few bad links among it is not taken for a flood."""
    door.fill("fleet", "fleet", "fleet", "fleet")
    for name in ("0", "1"):
        door.devices[name].sendall(b"hello")
    door.clock.advance(STALL_SECONDS)
    assert door.handshakes.has_place()
    door.handshakes.note_good_end("fleet")
    door.begin("a", "fleet")
    door.begin("b", "fleet")

    assert door.handshakes.has_place()  # it owes one still: the oldest went
    assert door.ended == ["2", "3", "0"]
    door.begin("c", "fleet")
    door.handshakes.note_good_end("fleet")
    assert not door.handshakes.has_place()


async def test_what_is_owed_is_forgotten(door: Door) -> None:
    """An address is lent to somebody else."""
    door.fill("bad", "bad", "bad", "bad")
    door.clock.advance(STALL_SECONDS)
    assert door.handshakes.has_place()
    door.clock.advance(OWED_SECONDS)
    for number in range(4):
        door.begin(f"good {number}", "bad")

    assert not door.handshakes.has_place()


async def test_all_are_given_up_at_the_end(door: Door) -> None:
    """A facade that stops waits for nobody."""
    door.fill("a", "b", "c", "d")
    door.handshakes.give_up_all()

    assert sorted(door.ended) == ["0", "1", "2", "3"]
    assert door.handshakes.count == 0


async def test_the_oldest_farewell_of_the_site_with_most_gives_way() -> None:
    """Whoever is refused thousands of times pushes out its own."""
    farewells, ended = TasksBySite(4), list[str]()
    _ = farewells.begin(stalled("good", ended), "192.0.2.1")
    for number in range(6):
        _ = farewells.begin(stalled(f"bad {number}", ended), "192.0.2.2")
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ended == ["bad 0", "bad 1", "bad 2"]
    assert farewells.count == 4
    farewells.give_up_all()
    await some_turns()
    assert len(ended) == 7
    assert farewells.count == 0


async def test_one_that_ends_makes_room() -> None:
    """Most end within milliseconds."""
    tasks = TasksBySite(1)
    for _ in range(5):
        _ = tasks.begin(asyncio.sleep(0), "192.0.2.1")
        await some_turns()
    assert tasks.count == 0


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
