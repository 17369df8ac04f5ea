"""The device address: accepts, shakes hands, and hands over to `DeviceServer`.

A handshake takes the newest TLS context, so that a reload is one assignment, and nothing is lost
between two servers. Where no connection or no handshake can be taken, devices wait in the kernel's
queue; `handshakes.py` says whose handshake gives way before that. Whom nobody knows, and who has
begun too many, is closed at once (`strange_addresses.py`).
"""

import asyncio
import socket
from functools import partial
from typing import Final

from attrs import define, field
from OpenSSL import SSL

from facade.devices.chain_verifier import ChainVerifier
from facade.devices.device_server import DeviceServer
from facade.devices.device_transport import DeviceTransport
from facade.devices.farewell import say_farewell
from facade.devices.handshake import Handshake
from facade.devices.handshake_end import GIVEN_UP, TIMED_OUT, TOO_OFTEN, Ending
from facade.devices.handshakes import Handshakes
from facade.devices.live_connections import LiveConnection
from facade.devices.refused_handshakes import RefusedHandshakes
from facade.devices.strange_addresses import StrangeAddresses
from facade.devices.tasks_by_site import TasksBySite
from facade.devices.tls import RefusedConnectionError
from facade.loop.thread_work import in_access_thread
from facade.metrics.device_metrics import DeviceMetrics
from shared.accept_loop import AcceptLoop
from shared.setting_types import ListenAddress
from shared.site import site_of

# A fleet that comes at once waits there. Linux caps it at net.core.somaxconn, 4,096 by default, and
# has whoever comes beyond it try again after a second.
LISTEN_BACKLOG: Final = 65_535
_CLOSED: Final = -1  # the descriptor of a closed socket


@define(eq=False)
class DeviceListener:
    """A listening socket, and the handshakes that have begun on it."""

    _socket: socket.socket
    _devices: DeviceServer
    _metrics: DeviceMetrics
    context: SSL.Context  # of every handshake that begins from now on
    _accepting: AcceptLoop = field(init=False)
    _handshakes: Handshakes = field(init=False)
    _strange: StrangeAddresses = field(factory=StrangeAddresses, init=False)
    _farewells: TasksBySite = field(init=False)
    _refused: RefusedHandshakes = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with no handshake."""
        limits = self._devices.live.limits
        self._accepting = AcceptLoop(self._socket, self._begin, self._has_place)
        self._handshakes = Handshakes(limits.handshakes)
        self._farewells = TasksBySite(limits.farewells)
        self._refused = RefusedHandshakes(self._metrics, self._devices.identity_rule)
        self._metrics.handshakes.set_function(lambda: self._handshakes.count)

    def start(self) -> None:
        """Let devices in."""
        self._accepting.start()

    async def judge_anew(self) -> None:
        """Cut who is connected, and whom a handshake with the present context would refuse."""
        live, verifier = self._devices.live, self._verifier
        connected = live.identified()

        def refused() -> list[LiveConnection]:
            return [each for each in connected if not verifier.accepts(each.device)]

        live.cut_no_longer_accepted(await in_access_thread(refused))

    @property
    def _verifier(self) -> ChainVerifier:
        return ChainVerifier(self.context, self._devices.identity_rule)

    @property
    def is_shaking_hands(self) -> bool:
        """Whether handshakes are under way."""
        return self._handshakes.count > 0

    def close(self) -> None:
        """Give the address up. Who has connected already is let in. Safe to call twice."""
        if self._socket.fileno() == _CLOSED:
            return
        self._accepting.finish()
        self._socket.close()

    def stop(self) -> None:
        """Give the address up, and handshakes that have begun, too."""
        self.close()
        self._handshakes.give_up_all()
        self._farewells.give_up_all()
        self._refused.close()

    def _has_place(self) -> bool:
        return not self._devices.live.is_full and self._handshakes.has_place()

    def _begin(self, accepted: socket.socket, peer: str) -> None:
        site = site_of(peer)
        if not self._strange.may_begin(site):
            accepted.close()
            self._refused.note(TOO_OFTEN, peer)
            return
        handshake = Handshake(accepted, peer, site, self.context, self._on_end)
        self._handshakes.add(handshake)
        handshake.begin()

    def _on_end(self, handshake: Handshake, ending: Ending | None) -> None:
        self._handshakes.remove(handshake)
        if ending is None:
            self._let_in(handshake)
            return
        self._metrics.handshakes_failed.inc()
        if ending is TIMED_OUT or ending is GIVEN_UP:
            handshake.socket.close()
            self._refused.note(ending, handshake.peer)
        else:
            self._take_leave(handshake.socket, handshake.site)
            self._tell_of_refused(ending, handshake)

    def _let_in(self, handshake: Handshake) -> None:
        protocol = self._devices()
        try:
            DeviceTransport(handshake.socket, handshake.connection, protocol)
        except RefusedConnectionError as error:
            self._tell_of_refused(error.ending, handshake)
            return
        self._handshakes.note_good_end(handshake.site)
        self._strange.note_good_end(handshake.site)
        is_of_before = handshake.context is not self.context  # reloaded meanwhile
        if (
            is_of_before
            and protocol.device.identity
            and not self._verifier.accepts(protocol.device)
        ):
            self._devices.live.cut_no_longer_accepted([protocol])

    def _tell_of_refused(self, ending: Ending, handshake: Handshake) -> None:
        if ending.is_about_certificate:
            self._devices.live.admissions.note_refused(ending.words)
        self._refused.note(ending, handshake.peer, handshake.connection)

    def _take_leave(self, refused: socket.socket, site: str) -> None:
        """Let a device that was refused read why, beside the handshakes of others."""
        leaving = self._farewells.begin(say_farewell(refused), site)
        leaving.add_done_callback(partial(_close_unbegun, refused))


def _close_unbegun(accepted: socket.socket, task: asyncio.Task[None]) -> None:
    """Close the socket of a task that was given up before its first step, or failed."""
    # One that has begun closes its own, and ends as usual.
    if task.cancelled() or task.exception() is not None:
        accepted.close()


def listening_socket(listen: ListenAddress, *, reuse_port: bool) -> socket.socket:
    """Return the socket, not blocking; raise `OSError`."""
    made = socket.create_server(
        (listen.host, listen.port),
        family=socket.AF_INET6 if ":" in listen.host else socket.AF_INET,
        backlog=LISTEN_BACKLOG,
        reuse_port=reuse_port,
    )
    made.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return made
