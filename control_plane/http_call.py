"""One call of the API: what of a request a handler may use, parsed and bounded."""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson
from aiohttp import hdrs, web
from attrs import frozen

from control_plane.connection_reader import Place
from control_plane.errors import (
    FieldError,
    InvalidRequestError,
    NotAuthenticatedError,
    NotFoundError,
    UnreadableBodyError,
    UnsupportedMediaTypeError,
)
from control_plane.field_reader import read_object
from control_plane.operator_token import InvalidOperatorTokenError, OperatorToken
from control_plane.operators import AuthenticatedOperator

MAX_BODY_BYTES: Final = 128 * 1024  # a CA bundle and long lists; approvals fit in 256 KiB
BODY_TIMEOUT_SECONDS: Final = 30.0  # for one small body; a slower sender holds memory
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
MAX_CURSOR_CHARACTERS: Final = 128
MAX_SEQUENCE: Final = 2**63 - 1  # Postgres' bigint

_JSON: Final = "application/json"
_MERGE_PATCH: Final = "application/merge-patch+json"  # RFC 7396, what our PATCH is


@frozen
class Call:
    """A request of a known operator whose role reaches."""

    request: web.Request
    operator: AuthenticatedOperator

    @property
    def connection_id(self) -> UUID:
        """The connection's id in the path; `NotFoundError` for what is no id."""
        return self.path_id("connection")

    def path_id(self, noun: str) -> UUID:
        """Return the id in the path, of a `noun`; raise `NotFoundError` for what is no id."""
        text = self.request.match_info["id"]
        try:
            path_id = UUID(text)
        except ValueError:
            path_id = None
        if path_id is None or str(path_id) != text:
            message = f"there is no {noun} of this id"
            raise NotFoundError(message)
        return path_id

    async def body(self, *, optional: bool = False) -> Mapping[str, object]:
        """Return the JSON object of the body; an absent optional one is empty."""
        content = await self._read()
        if optional and not content:
            return {}
        accepted = (_JSON, _MERGE_PATCH) if self.request.method == "PATCH" else (_JSON,)
        if self.request.content_type not in accepted:
            message = f"the body has to have the Content-Type {' or '.join(accepted)}"
            raise UnsupportedMediaTypeError(message)
        return read_object(content)

    def query(self, *names: str) -> dict[str, str]:
        """Return the query's parameters, each given once; refuse all but the named ones."""
        query = self.request.query
        errors = [
            FieldError("", "there is no such parameter", parameter=name[:64])
            for name in query
            if name not in names
        ] + [
            FieldError("", "given more than once", parameter=name)
            for name in names
            if len(query.getall(name, [])) > 1
        ]
        if errors:
            raise InvalidRequestError(tuple(errors))
        return dict(query)

    async def _read(self) -> bytes:
        if self.request.headers.getall(hdrs.CONTENT_ENCODING, []):
            message = f"the body has to be {_JSON} as it is, without a Content-Encoding"
            raise UnsupportedMediaTypeError(message)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                return await self.request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except web.RequestPayloadError:
            message = "the body ended early or was malformed"
            raise UnreadableBodyError(message) from None


def bearer_token(request: web.Request) -> OperatorToken:
    """Return the token of `Authorization: Bearer`, or raise `NotAuthenticatedError`."""
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    if not values:
        raise _without_token("an operator's token is required", reason="no token")
    if len(values) > 1:
        message = "there are several Authorization headers, and only one is read"
        raise _without_token(message, reason="several Authorization headers")
    scheme, _, text = values[0].partition(" ")
    if scheme.lower() != "bearer":
        message = "the Authorization header is of another scheme than Bearer"
        raise _without_token(message, reason="another scheme than Bearer")
    try:
        return OperatorToken.parse(text.strip(" "))
    except InvalidOperatorTokenError as error:
        message = f"this is no operator's token, or not the whole of one: {error}"
        raise NotAuthenticatedError(message, reason="not of a token's form") from None


def _without_token(message: str, *, reason: str) -> NotAuthenticatedError:
    message = f"{message}: send Authorization: Bearer TOKEN"
    return NotAuthenticatedError(message, reason=reason, is_token_given=False)


def parse_limit(query: Mapping[str, str]) -> int:
    """Return how many items a page has."""
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not _is_number(text, MAX_LIMIT) or int(text) < 1:
        raise _wrong_parameter("limit", f"expected 1 to {MAX_LIMIT}")
    return int(text)


def parse_switch(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return a parameter that is `true` or `false`."""
    text = query.get(name, str(default).lower())
    if text not in {"true", "false"}:
        raise _wrong_parameter(name, "expected true or false")
    return text == "true"


def parse_sequence(query: Mapping[str, str]) -> int:
    """Return the place in the audit log after which a page begins: `after`, or its `cursor`."""
    if "after" in query and "cursor" in query:
        raise _wrong_parameter("cursor", "the same as after; give one of them")
    name = "cursor" if "cursor" in query else "after"
    text = query.get(name, "0")
    if not _is_number(text, MAX_SEQUENCE):
        raise _wrong_parameter(name, "expected the sequence of an entry")
    return int(text)


def parse_cursor(query: Mapping[str, str]) -> Place | None:
    """Return the place of a connection list's `cursor`."""
    text = query.get("cursor")
    if text is None:
        return None
    try:
        moment, connection_id = (
            base64.b64decode(text[:MAX_CURSOR_CHARACTERS], altchars=b"-_", validate=True)
            .decode("ascii")
            .split(" ")
        )
        place = datetime.fromisoformat(moment), UUID(connection_id)
    except (ValueError, binascii.Error):
        place = None
    if place is None or place[0].tzinfo is None:
        raise _wrong_parameter("cursor", "expected the next_cursor of a page")
    return place


def format_cursor(place: Place | None) -> str | None:
    """Return the text of a place in the connection list."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(f"{place[0].isoformat()} {place[1]}".encode()).decode()


def json_response(value: object, *, status: int = 200) -> web.Response:
    """Return a JSON answer."""
    return web.Response(status=status, body=orjson.dumps(value), content_type=_JSON)


def _is_number(text: str, at_most: int) -> bool:
    return (text.isascii() and text.isdecimal() and len(text) <= len(str(at_most))) and int(
        text
    ) <= at_most


def _wrong_parameter(name: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError((FieldError("", detail, parameter=name),))
