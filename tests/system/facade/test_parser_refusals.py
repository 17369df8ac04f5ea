"""What the HTTP parser refuses: answered in our own words, with nothing of the request in them.

aiohttp's own answer and traceback quote the line: `Authorization : Bearer X` leaked a whole token.
"""

import asyncio
import contextlib

import pytest

from facade.devices.device_connection import MAX_HEAD_BYTES
from facade.devices.incoming_requests import MAX_HEADER_FIELDS
from tests.support.eventually import PATIENCE_SECONDS, eventually
from tests.support.facade_process import Facade
from tests.support.raw_http import raw_connection
from tests.system.facade.conftest import Served

CANARY = b"canary-3c9e51ad"
HEAD = b"GET {path} HTTP/1.1\r\nHost: x\r\n"

REFUSED = {
    "a space before the colon": HEAD + b"Authorization : Bearer {canary}\r\n\r\n",
    "a tab before the colon": HEAD + b"Authorization\t: Bearer {canary}\r\n\r\n",
    "a NUL in a value": HEAD + b"Authorization: Bearer {canary}\0\r\n\r\n",
    "a NUL in a name": HEAD + b"X-{canary}\0: y\r\n\r\n",
    "a carriage return alone": HEAD + b"X: {canary}\rY: z\r\n\r\n",
    "a line feed alone": HEAD + b"X: {canary}\nY: z\r\n\r\n",
    "line feeds throughout": b"GET {path} HTTP/1.1\nHost: {canary}\n\n",
    "a folded line": HEAD + b"Authorization: Bearer\r\n {canary}\r\n\r\n",
    "no colon": HEAD + b"Bearer {canary}\r\n\r\n",
    "no name": HEAD + b": {canary}\r\n\r\n",
    "a name in brackets": HEAD + b"({canary}): y\r\n\r\n",
    "a name that is no ASCII": HEAD + "X-{canary}-é: y\r\n\r\n".encode(),
    "a control character": HEAD + b"X: {canary}\x01\r\n\r\n",
    "a huge value": HEAD + b"Authorization: Bearer " + b"{canary}" * 700 + b"\r\n\r\n",
    "a huge name": HEAD + b"{canary}" * 700 + b": y\r\n\r\n",
    "a value without an end": HEAD + b"Authorization: Bearer " + b"{canary}" * 4000,
    "a hundred fields": HEAD + b"Cookie: {canary}\r\n" * 100 + b"\r\n",
    "a version of our own": b"GET {path} HTTP/9.9\r\nCookie: {canary}\r\n\r\n",
    "a version that is none": b"GET {path} HTTP/{canary}\r\n\r\n",
    "a lower-case protocol": b"GET {path} http/1.1\r\nHost: {canary}\r\n\r\n",
    "a method that is none": b"{canary} {path} HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET {path} HTTP/1.1\r\nCookie: {canary}\r\n\r\n",
    "two hosts": HEAD + b"Host: {canary}\r\n\r\n",
    "a length and chunks": HEAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{canary}",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{canary}",
    "a length below nothing": HEAD + b"Content-Length: -5\r\n\r\n{canary}",
    "a length with a sign": HEAD + b"Content-Length: +5\r\n\r\n{canary}",
    "a length in hexadecimal": HEAD + b"Content-Length: 0x5\r\n\r\n{canary}",
    "a length beyond numbers": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n{canary}",
    "a length that is a word": HEAD + b"Content-Length: {canary}\r\n\r\n",
    "a transfer coding that is none": HEAD + b"Transfer-Encoding: {canary}\r\n\r\n",
    "chunks not at the end": HEAD + b"Transfer-Encoding: chunked, {canary}\r\n\r\n0\r\n\r\n",
    "a chunk without a size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n{canary}\r\n\r\n",
    "a NUL in the target": b"GET {path}\0{canary} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target without a slash": b"GET {canary} HTTP/1.1\r\nHost: x\r\n\r\n",
    "an authority that is none": b"GET http://[{canary}/v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long target": b"GET /{canary}" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{canary}",
    "TLS within TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03{canary}\r\n\r\n",
    "what is no HTTP at all": b"\x00\x01\x02{canary}\xff\xfe\r\n\r\n",
    "a greeting": b"EHLO {canary}\r\n\r\n",
}


def fill(request: bytes, served: Served) -> bytes:
    """Put the canary in, and the path of what would be served."""
    return request.replace(b"{path}", served.path.encode()).replace(b"{canary}", CANARY)


async def test_a_malformed_request_leaks_nothing(
    facade: Facade, served: Served, subtests: pytest.Subtests
) -> None:
    """400 in the shape of every error, then the end; the log has who asked, and a class name."""
    for name, request in REFUSED.items():
        with subtests.test(request=name):
            before = len(facade.log_lines(event="malformed request"))
            async with raw_connection(served.device) as connection:
                await connection.send(fill(request, served))
                answer = await connection.answer()
                assert (answer.status, answer.error["code"]) == (400, "UNSUPPORTED")
                assert answer.error["message"] == "the request is not valid HTTP"
                assert CANARY not in answer.body
                assert not any(CANARY.decode() in value for _, value in answer.headers)
                assert CANARY not in await connection.rest()
            lines = facade.log_lines(event="malformed request")[before:]
            assert len(lines) == 1
            known = {"time", "level", "logger", "event", "device", "peer", "reason"}
            assert lines[0].keys() == known
    assert CANARY.decode() not in facade.log_text
    assert served.upstream.connections_made == 0


async def test_garbage_behind_a_request_leaks_nothing(facade: Facade, served: Served) -> None:
    """A pipelined second request is parsed while the first is on its way."""
    good = fill(HEAD, served) + b"\r\n"
    for garbage in (b"\0" + CANARY, CANARY + b" : " + CANARY + b"\r\n\r\n", b"\r\n" + CANARY * 900):
        for pieces in ([good + garbage + b"\r\n\r\n"], [good, garbage + b"\r\n\r\n"]):
            async with raw_connection(served.device) as connection:
                for piece in pieces:
                    await connection.send(piece)
                received = await connection.rest()
            assert b"HTTP/1.0 400 " in received
            assert CANARY not in received
    assert CANARY.decode() not in facade.log_text


async def test_a_head_without_an_end_is_cut(facade: Facade, served: Served) -> None:
    """Each field is as long as `Range` may be, and what has no end cannot be looked at."""
    field = b"X: " + CANARY + b"a" * 32_000 + b"\r\n"
    assert len(field) * MAX_HEADER_FIELDS > 2 * MAX_HEAD_BYTES
    async with raw_connection(served.device) as connection:
        await connection.send(fill(HEAD, served))
        with contextlib.suppress(ConnectionError):
            for _ in range(MAX_HEADER_FIELDS // 2):
                await connection.send(field)
        assert await connection.rest() == b""
    await eventually(lambda: bool(facade.log_lines(event="a head without an end")))
    assert CANARY.decode() not in facade.log_text
    assert (await served.device.get("/v2/")).status == 200


async def test_a_request_that_never_ends_leaks_nothing(facade: Facade, served: Served) -> None:
    """A device that goes away in the middle is no error, and its half line nobody's to read."""
    async with raw_connection(served.device) as connection:
        await connection.send(fill(HEAD + b"Authorization: Bearer {canary}", served))
    assert (await served.device.get("/v2/")).status == 200
    assert CANARY.decode() not in facade.log_text
    assert facade.log_lines(level="error") == []


@pytest.mark.parametrize(
    "content",
    [
        b"GET /v2/%b HTTP/1.1\r\nHost: x\r\nCookie: %b\r\n\r\n" % (CANARY, CANARY),
        b"\x16\x03\x01\x00\x05" + CANARY,
        CANARY * 5000,
        b"",
    ],
)
async def test_what_is_no_tls_leaks_nothing(facade: Facade, content: bytes) -> None:
    """Somebody will always try `http://` on the device port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", facade.port)
    writer.write(content)
    writer.write_eof()
    received = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        with contextlib.suppress(OSError):  # reset, perhaps before our end: "not connected"
            received = await reader.read()
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    assert CANARY not in received
    assert b"HTTP/" not in received
    assert (await facade.device().get("/v2/")).status == 200
    assert CANARY.decode() not in facade.log_text
