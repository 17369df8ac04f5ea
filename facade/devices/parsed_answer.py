"""The answer to a parsed request: aiohttp's request and response around the facade's handler."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol

from facade.answers.answer_headers import error_response, new_request_id
from facade.answers.distribution_errors import INTERNAL
from facade.devices.aborted_pull import PullAbortedError, abort
from facade.devices.answer_writer import AnswerWriter
from facade.devices.incoming_requests import IncomingRequest
from shared.structured_log import get_logger

DeviceHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_log = get_logger("facade.parsed_answer")


async def is_given(
    connection: BaseProtocol, incoming: IncomingRequest, handler: DeviceHandler, *, is_last: bool
) -> bool:
    """Give the answer; tell whether the connection may go on. Raises `ConnectionError`.

    `is_last`: the connection may not. To be called in a task of the answer's own.
    """
    message, body = incoming.message, incoming.body
    if is_last:
        message = message._replace(should_close=True)
    loop = asyncio.get_running_loop()
    task = cast("asyncio.Task[None]", asyncio.current_task(loop))
    writer = AnswerWriter(connection, loop)
    request = web.BaseRequest(message, body, cast(Any, connection), writer, task, loop)
    response = await handler(request)
    await response.prepare(request)
    await response.write_eof()
    return bool(response.keep_alive) and body.is_eof()


async def response_or_500(
    request: web.BaseRequest, handler: DeviceHandler, device: str | None
) -> web.StreamResponse:
    """Return what the handler answers; a mistake of ours becomes a 500.

    Raises `ConnectionError`, with the connection reset, if a part of the answer was given.
    """
    try:
        return await handler(request)
    except Exception as error:
        if isinstance(error, PullAbortedError) or request.writer.output_size > 0:
            abort(request.transport)
            raise ConnectionError("the answer was aborted") from error
        _log.error("request failed", device=device, exc_info=error)
        return error_response(INTERNAL, new_request_id())
