"""Devices' connections whose protocol writes down what the transport tells it."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any, Protocol, cast

from attrs import define, field, frozen
from OpenSSL import SSL
from typing_extensions import override

from facade.devices.device_transport import DeviceTransport
from tests.support.device_socket import SMALL_BUFFER_BYTES, Device, tcp_pair
from tests.support.eventually import eventually
from tests.support.server_handshake import shake_hands
from tests.support.tls_records import RecordWriter


class DeviceTls(Protocol):
    """Makes a good device's contexts."""

    def __call__(
        self, version: ssl.TLSVersion = ..., key_log: Path | None = None
    ) -> ssl.SSLContext:
        """Return one of this version; its secrets are written to `key_log`."""


class Notes(asyncio.Protocol):
    """Is told things in the order that a protocol may rely on; otherwise it fails."""

    transport: DeviceTransport

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: list[Exception | None] = []
        self.is_paused = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(DeviceTransport, transport)

    @override
    def data_received(self, data: bytes) -> None:
        assert not self.lost
        self.received += data

    @override
    def pause_writing(self) -> None:
        assert not self.is_paused
        self.is_paused = True

    @override
    def resume_writing(self) -> None:
        assert self.is_paused
        self.is_paused = False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)

    async def until_received(self, count: int) -> bytes:
        """Return what the device sent, once so many bytes have come."""
        await eventually(lambda: len(self.received) >= count)
        return bytes(self.received)

    async def until_lost(self) -> Exception | None:
        """Return why the connection ended."""
        await eventually(lambda: bool(self.lost))
        return self.lost[0]

    async def until_not_paused(self) -> None:
        """Wait for the turn to write."""
        await eventually(lambda: not self.is_paused)


@frozen
class Connection:
    """Both ends, after their handshake."""

    device: Device
    accepted: socket.socket
    notes: Notes
    transport: DeviceTransport


@define
class Connections:
    """Makes connections, and ends them."""

    _facade_tls: SSL.Context
    _device_tls: DeviceTls
    _transports: list[DeviceTransport] = field(factory=list, init=False)
    _sockets: list[socket.socket] = field(factory=list, init=False)

    async def connect(
        self,
        notes: Notes | None = None,
        *,
        reads_late: bool = False,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        key_log: Path | None = None,
        **settings: Any,
    ) -> Connection:
        """Shake hands. These notes, or new ones, are the connection's protocol.

        A device that reads late has a small buffer, so that little is on its way to it.
        """
        raw, accepted = tcp_pair(receive_buffer=SMALL_BUFFER_BYTES if reads_late else None)
        self._sockets += [raw, accepted]
        device = Device(raw, self._device_tls(version, key_log))
        _, ours = await asyncio.gather(
            asyncio.to_thread(device.shake_hands), shake_hands(accepted, self._facade_tls)
        )
        notes = notes or Notes()
        transport = DeviceTransport(accepted, ours, notes, **settings)
        self._transports.append(transport)
        return Connection(device, accepted, notes, transport)

    async def connect_writer(
        self, folder: Path, *, reads_late: bool = False
    ) -> tuple[Connection, RecordWriter]:
        """Shake hands, and give the test the writing of the device's records."""
        key_log = folder / "key-log"
        connection = await self.connect(reads_late=reads_late, key_log=key_log)
        return connection, RecordWriter(connection.device, key_log)

    def forget(self, transport: DeviceTransport) -> None:
        """Let go of a connection that has ended."""
        self._transports.remove(transport)

    async def close(self) -> None:
        """End what has not ended."""
        for transport in self._transports:
            transport.abort()
        await asyncio.sleep(0)  # the protocols are told in the loop's next turn
        for each in self._sockets:
            each.close()
