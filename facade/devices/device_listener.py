"""The device address: accepts, shakes hands, and hands over to `DeviceServer`.

Accepting is our own loop, for three reasons. A handshake takes the newest TLS context, so that a
reload is one assignment, and nothing is lost between two servers. A handshake that stalls can be
given up for a newer one. Where no connection can be taken, devices wait in the kernel's queue.
"""

import asyncio
import socket
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from attrs import define, field
from OpenSSL import SSL

from facade.devices.device_metrics import DeviceMetrics
from facade.devices.device_server import DeviceServer
from facade.devices.device_transport import DeviceTransport
from facade.devices.farewell import say_farewell
from facade.devices.handshake import HandshakeFailedError, shake_hands
from facade.devices.handshake_end import GIVEN_UP, TIMED_OUT, Ending
from facade.devices.refused_handshakes import RefusedHandshakes
from facade.devices.shared_address import another_listens
from facade.devices.tls import HANDSHAKE_TIMEOUT_SECONDS, RefusedConnectionError
from shared.setting_types import ListenAddress
from shared.site import site_of
from shared.structured_log import get_logger
from shared.supervised import tell_of_failure

LISTEN_BACKLOG: Final = 1024  # a fleet that reconnects at once; the kernel caps it at somaxconn
ACCEPTS_AT_ONCE: Final = 32  # a turn of the loop; each is some 30 microseconds
FULL_PAUSE_SECONDS: Final = 0.1  # until it is looked again whether a connection has ended
OUT_OF_DESCRIPTORS_PAUSE_SECONDS: Final = 1.0  # as asyncio's own servers
_CLOSED: Final = -1  # the descriptor of a closed socket
_log = get_logger("facade.device_listener")


@define(eq=False)
class DeviceListener:
    """A listening socket, and the handshakes that have begun on it."""

    _socket: socket.socket
    _devices: DeviceServer
    _metrics: DeviceMetrics
    context: SSL.Context  # of every handshake that begins from now on
    _handshakes: "TasksBySite" = field(init=False)
    _farewells: "TasksBySite" = field(init=False)
    _refused: RefusedHandshakes = field(init=False)
    _pause: asyncio.TimerHandle | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with no handshake."""
        limits = self._devices.live.limits
        self._handshakes = TasksBySite(limits.handshakes)
        self._farewells = TasksBySite(limits.farewells)
        self._refused = RefusedHandshakes(self._metrics, self._devices.identity_rule)
        self._metrics.handshakes.set_function(lambda: self._handshakes.count)

    def start(self) -> None:
        """Let devices in."""
        self._pause = None
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    @property
    def is_shared(self) -> bool:
        """Whether another process listens on the same address."""
        return another_listens(self._socket)

    def stop(self) -> None:
        """Let nobody in any more, and give up handshakes that have begun. Safe to call twice."""
        if self._socket.fileno() == _CLOSED:
            return
        if self._pause is not None:
            self._pause.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._handshakes.give_up_all()
        self._farewells.give_up_all()
        self._refused.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            if self._devices.live.is_full:
                self._pause_for(FULL_PAUSE_SECONDS)
                return
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor or no memory for one more
                _log.error("cannot accept", reason=type(error).__name__)
                self._pause_for(OUT_OF_DESCRIPTORS_PAUSE_SECONDS)
                return
            accepted.setblocking(False)  # noqa: FBT003 - the standard library's own signature
            shaking = self._shake_hands(accepted, address[0])
            begun = self._handshakes.begin(shaking, site_of(address[0]))
            begun.add_done_callback(partial(_close_unbegun, accepted))

    async def _shake_hands(self, accepted: socket.socket, peer: str) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_SECONDS):
                tls = await shake_hands(accepted, self.context)
        except (HandshakeFailedError, TimeoutError, asyncio.CancelledError) as error:
            self._metrics.handshakes_failed.inc()
            if isinstance(error, HandshakeFailedError):
                self._take_leave(accepted, site_of(peer))
            else:
                accepted.close()
            self._tell_of(error, peer)
            return  # also where it was cancelled: given up, which is its end
        try:
            DeviceTransport(accepted, tls, self._devices())
        except RefusedConnectionError as error:
            self._tell_of_refused(error.ending, peer, tls)

    def _tell_of(self, error: BaseException, peer: str) -> None:
        match error:
            case HandshakeFailedError():
                self._tell_of_refused(error.ending, peer, error.connection)
            case TimeoutError():
                self._refused.note(TIMED_OUT, peer)
            case _:
                self._refused.note(GIVEN_UP, peer)

    def _tell_of_refused(self, ending: Ending, peer: str, tls: SSL.Connection) -> None:
        if ending.is_about_certificate:
            self._devices.live.admissions.note_refused(ending.words)
        self._refused.note(ending, peer, tls)

    def _take_leave(self, refused: socket.socket, site: str) -> None:
        """Let a device that was refused read why, beside the handshakes of others."""
        leaving = self._farewells.begin(say_farewell(refused), site)
        leaving.add_done_callback(partial(_close_unbegun, refused))

    def _pause_for(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._pause = loop.call_later(seconds, self.start)


@define(eq=False)
class TasksBySite:
    """Handshakes that have begun, or farewells: bounded; the oldest of who has most gives way."""

    _limit: int
    _by_site: dict[str, dict[asyncio.Task[None], None]] = field(factory=dict, init=False)
    count: int = field(default=0, init=False)

    def begin(self, work: Coroutine[Any, Any, None], site: str) -> asyncio.Task[None]:
        """Run what has to do with somebody of this site."""
        if self.count >= self._limit:
            self._give_up_one()
        task = asyncio.create_task(work)
        self._by_site.setdefault(site, {})[task] = None
        self.count += 1
        task.add_done_callback(lambda done: self._forget(done, site))
        task.add_done_callback(tell_of_failure)
        return task

    def give_up_all(self) -> None:
        """End every one."""
        for tasks in self._by_site.values():
            for task in tasks:
                task.cancel()

    def _give_up_one(self) -> None:
        site = max(self._by_site, key=lambda each: len(self._by_site[each]))
        oldest = next(iter(self._by_site[site]))
        self._forget(oldest, site)
        oldest.cancel()

    def _forget(self, task: asyncio.Task[None], site: str) -> None:
        tasks = self._by_site.get(site, {})
        if task in tasks:
            del tasks[task]
            self.count -= 1
            if not tasks:
                del self._by_site[site]


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
