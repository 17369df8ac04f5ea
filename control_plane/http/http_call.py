"""One call of the API: the parts of a request that a handler may use, parsed and bounded."""

import asyncio
from collections.abc import Mapping
from typing import Final
from uuid import UUID

import orjson
from aiohttp import hdrs, web
from attrs import frozen

from control_plane.errors import (
    NotAuthenticatedError,
    NotFoundError,
    UnreadableBodyError,
    UnsupportedMediaTypeError,
)
from control_plane.http.operation import JSON, MERGE_PATCH
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.reading.entity_tag import SeenTags, entity_tag
from control_plane.reading.field_reader import read_object
from control_plane.reading.page import View
from control_plane.reading.query_reader import QueryReader
from shared.failures import forget_frames

MAX_BODY_BYTES: Final = 128 * 1024  # a CA bundle and long lists; approvals fit in 256 KiB
MAX_REVOCATIONS_BODY_BYTES: Final = 4 * 1024 * 1024  # of device revocations: 400 bytes for each
READ_ON_THE_LOOP_BYTES: Final = 16 * 1024  # no body of that length takes more than 8 ms
BODY_TIMEOUT_SECONDS: Final = 30.0  # for a small body; a slower sender would hold memory


@frozen
class Call:
    """A request of a known operator whose role suffices."""

    request: web.Request
    operator: AuthenticatedOperator

    @property
    def connection_id(self) -> UUID:
        """The connection's id in the path; `NotFoundError` if it is not an id."""
        return self.path_id("connection")

    def path_id(self, noun: str) -> UUID:
        """Return the id of a `noun` in the path; raise `NotFoundError` if it is not an id."""
        text = self.request.match_info["id"]
        try:
            path_id = UUID(text)
        except ValueError:
            path_id = None
        if path_id is None or str(path_id) != text:
            raise NotFoundError(f"there is no {noun} of this id")
        return path_id

    async def long_body(self, max_bytes: int) -> Mapping[str, object]:
        """Return the JSON object of a body that may be longer than others.

        It has to arrive in the same time as any other body.
        """
        content = await content_of(self.request.clone(client_max_size=max_bytes))
        if self.request.content_type != JSON:
            raise UnsupportedMediaTypeError(f"the body has to have the Content-Type {JSON}")
        return await _read(content)

    async def body(self, *, optional: bool = False) -> Mapping[str, object]:
        """Return the JSON object of the body; an absent optional one is empty."""
        content = await content_of(self.request)
        if optional and not content:
            return {}
        accepted = (JSON, MERGE_PATCH) if self.request.method == "PATCH" else (JSON,)
        if self.request.content_type not in accepted:
            raise UnsupportedMediaTypeError(
                f"the body has to have the Content-Type {' or '.join(accepted)}"
            )
        return await _read(content)

    @property
    def seen(self) -> SeenTags | None:
        """What the caller saw, as `If-Match` names it; None if they do not say."""
        return SeenTags.of_header(self.request.headers.getall(hdrs.IF_MATCH, []))

    def query(self) -> QueryReader:
        """Return the query, to be read; `finish` refuses parameters that nobody read."""
        query = self.request.query
        return QueryReader({name: query.getall(name) for name in query})


async def _read(content: bytes) -> Mapping[str, object]:
    if len(content) <= READ_ON_THE_LOOP_BYTES:
        return read_object(content)
    return await asyncio.to_thread(read_object, content)


async def content_of(request: web.BaseRequest, media_type: str = JSON) -> bytes:
    """Return the bytes of a body; raise why it is not read."""
    if request.headers.getall(hdrs.CONTENT_ENCODING, []):
        raise UnsupportedMediaTypeError(
            f"the body has to be {media_type} as it is, without a Content-Encoding"
        )
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except web.RequestPayloadError:
        raise UnreadableBodyError("the body ended early or was malformed") from None
    except ConnectionError as left:
        # The body keeps this one, and by its frames the request: until garbage is looked for.
        forget_frames(left)
        raise ConnectionResetError("whoever sent the body has left") from None


def bearer_token(request: web.Request) -> str:
    """Return the text of `Authorization: Bearer`, or raise `NotAuthenticatedError`."""
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    if not values:
        raise _without_token("an operator's token is required", reason="no token")
    if len(values) > 1:
        raise _without_token(
            "there are several Authorization headers, and only one is read",
            reason="several Authorization headers",
        )
    scheme, _, text = values[0].partition(" ")
    if scheme.lower() != "bearer":
        raise _without_token(
            "the Authorization header is of another scheme than Bearer",
            reason="another scheme than Bearer",
        )
    return text.strip(" ")


def _without_token(message: str, *, reason: str) -> NotAuthenticatedError:
    return NotAuthenticatedError(
        f"{message}: send Authorization: Bearer TOKEN", reason=reason, is_token_given=False
    )


def view_response(view: View, *, status: int = 200) -> web.Response:
    """Return the answer with a view of what may be changed, and its tag."""
    response = json_response(view, status=status)
    response.headers[hdrs.ETAG] = entity_tag(view)
    return response


def json_response(value: object, *, status: int = 200) -> web.Response:
    """Return a JSON answer."""
    return web.Response(status=status, body=orjson.dumps(value), content_type=JSON)
