"""Which bytes of a connection are shown to who answers at once, and when: never out of turn.

Real TLS; each `send` is a record of its own, which the connection is given as one.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web
from attrs import define, field

from deploy.dev.device_ca import CertificateAuthority, CertificateFiles
from facade.devices.connection_limits import ConnectionLimits
from facade.devices.device_connection import DeviceConnection
from facade.devices.device_server import DeviceServer
from facade.devices.device_transport import RECORD_BYTES
from facade.devices.pulls_under_way import DrainStage
from tests.support.device_servers import DeviceServers
from tests.support.eventually import eventually, some_turns
from tests.support.leftovers import leftovers
from tests.support.raw_http import RawAnswer, RawConnection, request_bytes

KNOWN = request_bytes(b"/known")
OTHER = request_bytes(b"/other")
HELD = request_bytes(b"/held")
TRIES = 100  # of what is so once the loop has come around


def at_once(body: bytes) -> bytes:
    """Return an answer's bytes."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@define
class Scene:
    """A device server that answers some heads at once, and what it saw."""

    answers: dict[bytes, bytes] = field(factory=lambda: {KNOWN: at_once(b"at once")})
    shown: list[bytes] = field(factory=list)
    parsed: list[str] = field(factory=list)
    lone_heads: list[bytes | None] = field(factory=list)
    connections: list[DeviceConnection] = field(factory=list)
    gate: asyncio.Event = field(factory=asyncio.Event)  # of `HELD`
    devices: DeviceServer = field(init=False)
    port: int = field(init=False)

    def answer_at_once(self, _connection: DeviceConnection, head: bytes) -> bytes | None:
        """Answer what is known."""
        self.shown.append(head)
        return self.answers.get(head)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer with the path, and do not wait for a body."""
        connection = cast(DeviceConnection, request.protocol)
        self.connections.append(connection)
        self.lone_heads.append(connection.lone_head)
        self.parsed.append(request.path)
        if request.path == "/held":
            await self.gate.wait()
        return web.Response(text=request.path)


Serve = Callable[..., Awaitable[Scene]]


@pytest.fixture
async def serve(
    device_ca: CertificateAuthority, server_certificate: CertificateFiles
) -> AsyncIterator[Serve]:
    """Serve with the device endpoint's own protocol and TLS."""
    async with DeviceServers.open(device_ca, server_certificate) as servers:

        async def serve(*, per_device: int = 100, **settings: float) -> Scene:
            scene = Scene()
            scene.devices, scene.port = servers.begin(
                scene.handle,
                ConnectionLimits(per_device=per_device),
                answer_at_once=scene.answer_at_once,
                **settings,
            )
            return scene

        yield serve


@pytest.fixture
def device_tls(
    tmp_path: Path, device_ca: CertificateAuthority, server_ca: CertificateAuthority
) -> ssl.SSLContext:
    """A device's side of TLS."""
    files = device_ca.issue_device().write(tmp_path, "device")
    context = ssl.create_default_context(cadata=server_ca.pem.decode())
    context.load_cert_chain(files.certificate, files.key)
    return context


@asynccontextmanager
async def connected(scene: Scene, tls: ssl.SSLContext) -> AsyncIterator[RawConnection]:
    """Give a connection of the device."""
    reader, writer = await asyncio.open_connection("localhost", scene.port, ssl=tls)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


async def asked(connection: RawConnection, request: bytes) -> RawAnswer:
    """Return the answer to a request that is sent in one piece."""
    await connection.send(request)
    return await connection.answer()


async def until_read(scene: Scene, tls: ssl.SSLContext) -> None:
    """Return when the server has read all that was sent before: it reads who comes later, too."""
    async with connected(scene, tls) as later:
        assert (await asked(later, request_bytes(b"/later"))).body == b"/later"
    scene.shown.remove(request_bytes(b"/later"))
    scene.parsed.remove("/later")


async def test_a_lone_head_is_shown_and_what_it_is_answered_is_sent(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """The parser never sees it, from the first request of a connection on."""
    scene = await serve()
    async with connected(scene, device_tls) as connection:
        for _ in range(3):
            assert (await asked(connection, KNOWN)).body == b"at once"
    assert scene.shown == [KNOWN] * 3
    assert scene.parsed == []


async def test_what_is_not_answered_at_once_is_parsed_as_ever(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """Its handler is told the head that it stands in; afterwards nobody keeps that."""
    scene = await serve()
    async with connected(scene, device_tls) as connection:
        assert (await asked(connection, OTHER)).body == b"/other"
        assert scene.lone_heads == [OTHER]
        assert scene.connections[0].lone_head is None
    assert (scene.shown, scene.parsed) == ([OTHER], ["/other"])


BODY = b"Content-Length: %d\r\n" % len(KNOWN)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
OUT_OF_TURN = {
    "a piece of a head before it": [b"GET /other HTTP/1.1\r\nX: ", KNOWN],
    "a piece of a line before it": [b"G", KNOWN[1:]],
    "a blank line before it": [b"\r\n", KNOWN],
    "blank lines that end as a head does": [b"\r\n\r\n", KNOWN],
    "another request before it": [OTHER + KNOWN],
    "another request behind it": [KNOWN + OTHER],
    "a piece of another behind it": [KNOWN + b"G", b"ET /other HTTP/1.1\r\nHost: x\r\n\r\n"],
    "in a body of known length": [request_bytes(b"/other", headers=BODY), KNOWN],
    "in a body of a POST": [request_bytes(b"/other", method="POST", headers=BODY), KNOWN],
    "in chunks": [request_bytes(b"/other", headers=CHUNKED), b"%x\r\n" % len(KNOWN), KNOWN],
    "behind another protocol": [request_bytes(b"/other", headers=UPGRADE), KNOWN],
    "through a tunnel": [request_bytes(b"x:1", method="CONNECT"), KNOWN],
    "behind what is no HTTP": [b"\x16\x03\x01\r\n\r\n", KNOWN],
    "behind a last request": [request_bytes(b"/other", headers=b"Connection: close\r\n"), KNOWN],
}


@pytest.mark.parametrize("pieces", OUT_OF_TURN.values(), ids=OUT_OF_TURN)
async def test_what_may_be_no_request_is_shown_to_nobody(
    serve: Serve, device_tls: ssl.SSLContext, pieces: list[bytes]
) -> None:
    """The parser alone knows what such bytes are."""
    scene = await serve()
    async with connected(scene, device_tls) as connection:
        for piece in pieces:
            await connection.send(piece)
        await until_read(scene, device_tls)
    assert KNOWN not in scene.shown


async def test_while_another_is_answered_a_head_is_not_shown(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """Its answer would overtake. Neither of the two may be remembered, and later ones are shown."""
    scene = await serve()
    async with connected(scene, device_tls) as connection:
        await connection.send(HELD)
        await eventually(lambda: scene.parsed == ["/held"])
        await connection.send(KNOWN)
        await until_read(scene, device_tls)
        assert scene.shown == [HELD]
        assert scene.connections[0].lone_head is None
        scene.gate.set()
        assert (await connection.answer()).body == b"/held"
        assert (await connection.answer()).body == b"/known"
        assert scene.parsed == ["/held", "/known"]
        assert KNOWN not in scene.lone_heads
        for _ in range(TRIES):
            if (await asked(connection, KNOWN)).body == b"at once":
                break
        assert scene.shown[-1] == KNOWN


async def test_while_an_answer_waits_to_be_sent_a_head_is_not_shown(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """Nothing piles up for a device that does not read; all comes in its order in the end."""
    scene = await serve()
    large = bytes(32 << 20)  # more than the kernel takes
    scene.answers[OTHER] = at_once(large)
    async with connected(scene, device_tls) as connection:
        await connection.send(OTHER)
        await eventually(lambda: scene.shown == [OTHER])
        await connection.send(KNOWN)
        await eventually(lambda: scene.parsed == ["/known"])
        assert scene.shown == [OTHER]
        assert (await connection.answer()).body == large
        assert (await connection.answer()).body == b"/known"


async def test_the_end_of_an_answer_at_once_is_not_kept_back(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """It leaves in the turn of the loop in which it is given, as any other answer's does."""
    scene = await serve()
    scene.answers[OTHER] = at_once(bytes(RECORD_BYTES + 1))  # not one packet
    async with connected(scene, device_tls) as connection:
        assert (await asked(connection, KNOWN)).body == b"at once"
        (made,) = scene.devices.connections
        assert made.transport is not None
        accepted: socket.socket = made.transport.get_extra_info("socket")
        made.data_received(OTHER)
        assert not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK)
        assert len((await connection.answer()).body) == RECORD_BYTES + 1


async def test_an_old_connections_last_answer_says_so(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """What is answered at once cannot, so nothing is any more."""
    scene = await serve(max_age_seconds=1.0)
    async with connected(scene, device_tls) as connection:
        await connection.send(HELD)
        await eventually(lambda: bool(scene.connections) and scene.connections[0].is_aged)
        scene.gate.set()
        assert (await connection.answer()).body == b"/held"
        answer = await asked(connection, KNOWN)
        assert (answer.body, answer.header("Connection")) == (b"/known", "close")
        assert await connection.rest() == b""
    assert scene.shown == [HELD]


async def test_every_connections_next_answer_is_its_last_once_the_facade_is_to_stop(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """So that a client that asks for more connects to another one."""
    scene = await serve()
    async with connected(scene, device_tls) as connection:
        assert (await asked(connection, KNOWN)).body == b"at once"
        scene.devices.pulls.advance(DrainStage.LEAVING)
        answer = await asked(connection, KNOWN)
        assert (answer.body, answer.header("Connection")) == (b"/known", "close")
        assert await connection.rest() == b""


async def test_an_answer_that_the_device_has_not_read_yet_is_waited_for(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """However long ago it was given: what waits here would be lost."""
    scene = await serve()
    large = bytes(32 << 20)  # more than the kernel takes
    scene.answers[OTHER] = at_once(large)
    async with connected(scene, device_tls) as connection:
        await connection.send(OTHER)
        await eventually(lambda: scene.shown == [OTHER])
        (made,) = scene.devices.connections
        made.awaited_since -= 3600.0
        assert scene.devices.pulls.has_any()
        assert (await connection.answer()).body == large
        await eventually(lambda: not scene.devices.pulls.has_any())


async def test_nothing_is_answered_at_once_while_the_server_stops(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """What is under way is answered, idle connections end, and what comes then comes too late."""
    scene = await serve()
    async with connected(scene, device_tls) as busy, connected(scene, device_tls) as idle:
        assert (await asked(idle, KNOWN)).body == b"at once"
        await busy.send(HELD)
        await eventually(lambda: scene.parsed == ["/held"])
        stopping = asyncio.create_task(scene.devices.shut_down(10.0))
        await asyncio.sleep(0)
        for connection in (busy, idle):
            with suppress(ConnectionError):
                await connection.send(KNOWN)
        assert await idle.rest() == b""
        scene.gate.set()
        assert (await busy.answer()).body == b"/held"
        assert await busy.rest() == b""
        await stopping
    assert scene.shown == [KNOWN, HELD]
    assert scene.parsed == ["/held"]


async def test_a_connection_that_is_cut_answers_nothing_more(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """A revocation cuts: what the device had sent already is read by nobody."""
    scene = await serve()
    async with connected(scene, device_tls) as connection:
        assert (await asked(connection, OTHER)).body == b"/other"
        (live,) = scene.connections
        await connection.send(KNOWN)
        live.cut()
        assert await connection.until_reset() == b""
    assert scene.shown == [OTHER]


async def test_a_connection_is_idle_since_its_last_answer_at_once(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """The one that is in use does not give way to a new one."""
    scene = await serve(per_device=1)
    async with connected(scene, device_tls) as first, connected(scene, device_tls) as second:
        assert (await asked(second, KNOWN)).body == b"at once"
        assert (await asked(first, KNOWN)).body == b"at once"
        async with connected(scene, device_tls) as third:
            assert (await asked(third, KNOWN)).body == b"at once"
            assert await second.until_reset() == b""
            assert (await asked(first, KNOWN)).body == b"at once"


async def test_a_connection_lives_while_it_is_answered_and_ends_when_it_is_not(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """Answers at once count as any other for the keep-alive."""
    seconds = 2.0
    scene = await serve(keep_alive_seconds=seconds)
    loop = asyncio.get_running_loop()
    async with connected(scene, device_tls) as connection:
        until = loop.time() + 1.5 * seconds
        while loop.time() < until:
            assert (await asked(connection, KNOWN)).body == b"at once"
            await asyncio.sleep(0.01)
        assert await connection.rest() == b""
    assert scene.parsed == []


async def test_an_answer_whose_device_left_is_gone_at_once(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """A cancelled task keeps the frames that it came through, and what they had read."""
    scene = await serve()
    await until_read(scene, device_tls)  # what is made once is made
    with leftovers() as left:
        async with connected(scene, device_tls) as connection:
            await connection.send(HELD)
            await eventually(lambda: scene.parsed == ["/held"])
        await eventually(lambda: not scene.devices.live)
        scene.connections.clear()
        await some_turns()  # the ends of tasks
    assert (left.frames, left.objects) == ([], [])
