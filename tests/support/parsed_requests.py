"""What aiohttp's parser, with the facade's bounds, makes of bytes that come alone."""

import asyncio
from typing import cast

from aiohttp import web
from aiohttp.http import HttpProcessingError, HttpRequestParser, StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD

from facade.devices.incoming_requests import (
    MAX_HEADER_FIELD_BYTES,
    MAX_HEADER_FIELDS,
    MAX_REQUEST_LINE_BYTES,
)


def parsed_request(head: bytes, loop: asyncio.AbstractEventLoop) -> web.BaseRequest | None:
    """Return the request without a body that the bytes are; None if they are anything else."""
    protocol = web.Server(_unasked, loop=loop)()
    parser = HttpRequestParser(
        protocol,
        loop,
        2**16,
        max_line_size=MAX_REQUEST_LINE_BYTES,
        max_field_size=MAX_HEADER_FIELD_BYTES,
        max_headers=MAX_HEADER_FIELDS,
        auto_decompress=False,
    )
    try:
        messages, upgraded, _ = parser.feed_data(head)
    except HttpProcessingError:
        return None
    if len(messages) != 1 or upgraded or messages[0][1] is not EMPTY_PAYLOAD:
        return None
    task = cast("asyncio.Task[None]", None)  # nothing of a request that is only looked at
    return web.BaseRequest(
        messages[0][0], EMPTY_PAYLOAD, protocol, StreamWriter(protocol, loop), task, loop
    )


async def _unasked(_request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError
