"""An outbound proxy on a real socket: opens tunnels, and records what it was asked for.

    async with ProxySimulator(username="user", password="secret") as proxy:
        proxy.statuses["203.0.113.5:443"] = 502        # answered in place of a tunnel
        proxy.leads_to["registry.example:443"] = ("127.0.0.1", 8443)
        ...
        assert proxy.targets == ["127.0.0.1:5000"]     # of every request, in order

Whatever is not CONNECT is answered 405, and recorded too.
"""

import asyncio

from typing_extensions import override

from tests.support.simulators.body import write_plain
from tests.support.simulators.login import basic_header
from tests.support.simulators.wire import RecordedRequest, Wire, WireServer


class ProxySimulator(WireServer):
    """See the module's docstring."""

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str = "",
        address: str = "127.0.0.1",
        raw_answer: bytes | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(address=address, port=port)
        self._expected = None if username is None else basic_header(username, password)
        self._raw_answer = raw_answer
        self.statuses: dict[str, int] = {}
        self.leads_to: dict[str, tuple[str, int]] = {}

    @property
    def url(self) -> str:
        """The URL without a credential."""
        return f"http://{self._address}:{self.port}"

    @property
    def targets(self) -> list[str]:
        """What each request named."""
        return [request.target for request in self.requests]

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Refuse, or open a tunnel and stay in it to its end."""
        if self._raw_answer is not None:
            await wire.write(self._raw_answer)
            wire.close()
        elif request.method != "CONNECT":
            await write_plain(wire, 405)
        elif self._expected not in (None, request.header("Proxy-Authorization")):
            challenge = ("Proxy-Authenticate", 'Basic realm="upstream text nobody may see"')
            await write_plain(wire, 407, b"", (challenge,))
        elif request.target in self.statuses:
            await write_plain(wire, self.statuses[request.target], b"upstream text")
        else:
            await self._tunnel(request.target, wire)

    async def _tunnel(self, target: str, wire: Wire) -> None:
        host, _, port = target.rpartition(":")
        destination = self.leads_to.get(target, (host.strip("[]"), int(port)))
        try:
            reader, writer = await asyncio.open_connection(*destination)
        except OSError:
            await write_plain(wire, 502)
            return
        await wire.head(200, ())
        try:
            await wire.relay(reader, writer)
        finally:
            writer.transport.abort()
