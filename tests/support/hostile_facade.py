"""What stands where a device expects its facade: it passes on what the real one says, or lies.

It has the facade's own certificate, and wants the device's, as the real one does.
"""

import ssl

import aiohttp
from typing_extensions import override

from tests.support.facade_process import Device, device_session
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest, Wire

_PASSED_ON = ("Content-Type", "Content-Length", "Content-Range", "Docker-Content-Digest")
_PIECE_BYTES = 64 * 1024


class HostileFacade(RegistrySimulator):
    """`blob` and `manifest` lie; whatever they do not say is the real facade's answer."""

    def __init__(self, device: Device) -> None:
        files = device.facade.files
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(files.folder / "server.pem", files.folder / "server.key")
        tls.load_verify_locations(files.folder / "device-ca.pem")
        tls.verify_mode = ssl.CERT_REQUIRED
        super().__init__(tls=tls, name="localhost")
        self._device = device

    @override
    async def miss(self, request: RecordedRequest, wire: Wire) -> None:
        """Ask the real facade, and pass its answer on; a break is passed on as one."""
        url = f"https://localhost:{self._device.facade.port}{request.target}"
        headers = {name: value for name, value in request.headers if name in {"Range", "Accept"}}
        try:
            async with (
                device_session(self._device.tls()) as session,
                session.get(url, headers=headers, auto_decompress=False) as answer,
            ):
                told = [
                    (name, answer.headers[name]) for name in _PASSED_ON if name in answer.headers
                ]
                await wire.head(answer.status, told)
                async for piece in answer.content.iter_chunked(_PIECE_BYTES):
                    await wire.write(piece)
        except aiohttp.ClientError:
            wire.reset()
