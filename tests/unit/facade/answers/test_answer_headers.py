"""The head of a manifest's answer is byte for byte what aiohttp writes for the same answer."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path

import pytest
from aiohttp import web

from facade.answers.answer_headers import CACHE_CONTROL, AnswerHead, answer_headers
from shared.oci import MANIFEST_MEDIA_TYPES, Digest

REQUEST_ID = "0123456789abcdef"
CONTENTS = [b"{}", b"x" * 70_000]  # JSON has two bytes at least
DIGESTS = [Digest.parse(f"sha256:{'a' * 64}"), Digest.parse(f"sha512:{'b' * 128}")]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_head_is_what_aiohttp_writes(tmp_path: Path, method: str) -> None:
    """So that a device cannot tell which way its request went; the time alone is another."""
    cases = list(product(DIGESTS, sorted(MANIFEST_MEDIA_TYPES), CONTENTS))

    async def handle(request: web.BaseRequest) -> web.Response:
        digest, media_type, content = cases[int(request.path[1:])]
        return web.Response(headers=answer_headers(digest, media_type, REQUEST_ID), body=content)

    async with connected(handle, tmp_path / "socket") as (reader, writer):
        for number, (digest, media_type, content) in enumerate(cases):
            writer.write(b"%b /%d HTTP/1.1\r\nHost: x\r\n\r\n" % (method.encode(), number))
            written = await reader.readuntil(b"\r\n\r\n")
            if method == "GET":
                await reader.readexactly(len(content))
            ours = AnswerHead.of(digest, media_type, len(content)).bytes_now(REQUEST_ID)
            assert _timeless(ours) == _timeless(written)


@asynccontextmanager
async def connected(
    handle: Callable[[web.BaseRequest], Awaitable[web.Response]], path: Path
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give a connection to a server of aiohttp's own."""
    server = web.Server(handle)
    listening = await asyncio.get_running_loop().create_unix_server(server, str(path))
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()
        listening.close()
        await server.shutdown(1.0)


def test_each_head_bears_the_id_that_it_is_given() -> None:
    """What is remembered of a head is the rest of it."""
    one = AnswerHead.of(DIGESTS[0], "a/b", 1)
    heads = [one.bytes_now(f"id-{number}") for number in range(3)]
    assert [re.findall(rb"X-Request-Id: (\S+)", head) for head in heads] == [
        [b"id-0"],
        [b"id-1"],
        [b"id-2"],
    ]


def test_digest_type_and_length_make_another_head() -> None:
    """Each is in it, and a remembered head is no other's."""
    one = (DIGESTS[0], "a/b", 1)
    others = [(DIGESTS[1], "a/b", 1), (DIGESTS[0], "a/c", 1), (DIGESTS[0], "a/b", 2)]
    heads = {_timeless(AnswerHead.of(*each).bytes_now(REQUEST_ID)) for each in (one, *others, one)}
    assert len(heads) == 4


def test_an_answer_without_a_type_has_no_such_field() -> None:
    """A 304 speaks of what the device has."""
    headers = answer_headers(DIGESTS[0], None, REQUEST_ID)
    assert "Content-Type" not in headers
    assert headers["Cache-Control"] == CACHE_CONTROL
    assert headers["ETag"] == f'"{DIGESTS[0]}"'
    assert list(headers)[-1] == "X-Request-Id"


def _timeless(head: bytes) -> bytes:
    timeless, dates = re.subn(
        rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", b"\r\nDate: now\r\n", head
    )
    assert dates == 1
    return timeless
